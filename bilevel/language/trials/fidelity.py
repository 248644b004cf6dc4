"""An upper variable that says how closely to look: epochs, rows, grid points of a simulator.

It is no choice: more is always closer to the truth, and costs more. So no search moves it, the answer has it at its
upper bound, and with a pruner a point is looked at from below, the next value only where the last one was worth it
(successive halving, Jamieson and Talwalkar 2016).
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from bilevel.errors import SpaceError
from bilevel.language.domains import each, is_number, members

_SUFFIX = "bilevel_fidelity"
_FACTOR = 3.0  # between two looks


def fidelity(var: Any) -> None:
    """Declare an upper variable the fidelity of the evaluations: never optimised, at its upper bound in the answer.

    Parameters
    ----------
    var : pyomo Var
        A scalar variable on a model, with two bounds above zero or a finite list of numbers.

    Raises
    ------
    SpaceError
        If it has no model, no such bounds, or is several variables.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> import bilevel
    >>> model = pyo.ConcreteModel()
    >>> model.epochs = pyo.Var(within=pyo.Integers, bounds=(1, 81))
    >>> bilevel.fidelity(model.epochs)
    >>> rungs_of(model.epochs), full(model.epochs)
    ((1, 3, 9, 27), 81)
    """
    data = each(var)
    if len(data) != 1:
        raise SpaceError(f"fidelity({var.name}): one variable says how closely to look, not {len(data)}")
    (var,) = data
    block = var.parent_block()
    if block is None:
        raise SpaceError("fidelity: attach the variable to a model first")
    values = _values(var)
    if values is not None and not all(map(is_number, values)):
        raise SpaceError(f"fidelity({var.name}): its values are no numbers; give it a list of numbers or two bounds")
    if values is None and (None in var.bounds or not 0 < var.lb < var.ub):
        raise SpaceError(f"fidelity({var.name}): needs two bounds above zero; write Var(bounds=(least, full))")
    if block.component(_SUFFIX) is None:
        block.add_component(_SUFFIX, pyo.Suffix(direction=pyo.Suffix.LOCAL, datatype=None))
    block.component(_SUFFIX)[var] = 1


def is_fidelity(var: Any) -> bool:
    """Whether :func:`fidelity` was said of it."""
    suffix = var.parent_block().component(_SUFFIX)
    return suffix is not None and suffix.get(var) is not None


def full(var: Any) -> Any:
    """Its value in the answer."""
    values = _values(var)
    if values is not None:
        return max(values)
    return int(var.ub) if var.is_integer() else float(var.ub)


def rungs_of(var: Any) -> tuple[Any, ...]:
    """The values below that, rising, at which a point is looked at first: its list, or thirds of thirds."""
    values = _values(var)
    if values is not None:
        return tuple(sorted(values)[:-1])
    found, value = [], float(full(var)) / _FACTOR
    while value >= var.lb * (1.0 - 1e-9):
        found.append(round(value) if var.is_integer() else value)
        value /= _FACTOR
    return tuple(sorted(set(found)))


def _values(var: Any) -> list[Any] | None:
    finite = var.domain.isfinite() and not (var.is_integer() or var.is_binary())
    return list(members(var.domain)) if finite else None
