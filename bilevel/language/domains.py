"""Declaring the upper search space: sequences of values, scales, and predicates that algebra cannot say.

The space *is* the domains of the upper variables. A finite Pyomo ``Set`` is an integer sequence: value number k of K
is the integer k. :func:`discretize` gives a continuous variable such a domain, :func:`set_scale` says on which scale a
continuous one is searched, and :class:`Allowed` rules out combinations by a Python predicate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.base.block import BlockData, ScalarBlock
from pyomo.core.base.indexed_component import normalize_index

from bilevel.arrays import as_python
from bilevel.errors import SpaceError

SCALES = ("linear", "log")
_SCALE_SUFFIX = "bilevel_scale"
_OWN = "_bilevel_values"  # of a domain: the user's own values


def each(var: Any) -> list[Any]:
    """The variable data of a scalar, an indexed or an already indexed-into variable."""
    return list(var.values()) if hasattr(var, "is_indexed") and var.is_indexed() else [var]


def discretize(
    var: Any,
    values: Iterable[Any] | None = None,
    *,
    levels: int | None = None,
    scale: str = "linear",
) -> None:
    """Turn an upper variable into an integer sequence by giving it a finite domain.

    Parameters
    ----------
    var : pyomo Var
        A scalar variable, one element of an indexed one, or a whole indexed one.
    values : iterable, optional
        The values, in the order the search should see them as neighbours.
    levels : int, optional
        Instead of values: this many points between the bounds, both included.
    scale : {"linear", "log"}
        Spacing of ``levels``.

    Raises
    ------
    SpaceError
        If neither or both of ``values`` and ``levels`` are given, a value repeats or lies outside the bounds, or
        bounds are missing or not positive on a logarithmic scale.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> from bilevel import discretize
    >>> model = pyo.ConcreteModel()
    >>> model.depth = pyo.Var(bounds=(1, 64))
    >>> discretize(model.depth, [1, 2, 4, 8, 16, 32, 64])
    >>> model.penalty = pyo.Var(bounds=(0.01, 100))
    >>> discretize(model.penalty, levels=5, scale="log")
    >>> [round(value, 6) for value in model.penalty.domain]
    [0.01, 0.1, 1.0, 10.0, 100.0]
    """
    if (values is None) == (levels is None):
        raise SpaceError(f"discretize({var.name}): give either values or levels")
    chosen = None if values is None else list(values)
    for data in each(var):
        points = _levels(data, levels, scale) if chosen is None and levels is not None else list(chosen or ())
        if not points:
            raise SpaceError(f"discretize({data.name}): the list of values is empty")
        lower, upper = data.bounds if all(map(is_number, points)) else (None, None)
        outside = [v for v in points if is_number(v) and not between(v, lower, upper)]
        if outside:
            raise SpaceError(f"discretize({data.name}): {outside[0]} lies outside the bounds ({lower}, {upper})")
        data.domain = _listed(data.name, points)


def _listed(name: str, points: list[Any]) -> Any:
    """A Set of these values, in their order; Pyomo's own members may be others, ``(64,)`` becomes 64."""
    jagged = {"dimen": None} if any(isinstance(point, tuple) for point in points) else {}
    try:
        domain = pyo.Set(initialize=points, ordered=True, **jagged)
        if len(set(points)) == len(points):
            domain.construct()
    except TypeError as error:
        raise SpaceError(f"discretize({name}): {error}; a member of a set cannot change: give a tuple") from None
    if len(set(points)) != len(points) or len(domain) != len(points):
        raise SpaceError(f"discretize({name}): a value appears twice")
    setattr(domain, _OWN, tuple(points))
    return domain


def members(domain: Any) -> tuple[Any, ...]:
    """The values of a finite domain as the user gave them, in order."""
    own: tuple[Any, ...] | None = getattr(domain, _OWN, None)
    return _as_given(domain) if own is None else own


def _as_given(domain: Any) -> tuple[Any, ...]:
    """A Set's members; of a Set that takes tuples of any length as they were given, ``(64,)`` where Pyomo has 64."""
    values = tuple(domain)
    given = getattr(getattr(getattr(domain, "_init_values", None), "_init", None), "val", None)
    if not isinstance(given, (list, tuple)) or len(given) != len(values):
        return values
    flat = (normalize_index(one) if isinstance(one, tuple) else one for one in given)
    same = all(one is value or one == value for one, value in zip(flat, values, strict=True))
    return tuple(given) if same else values


def give(var: Any, value: Any) -> None:
    """Give a variable a value of its domain, whatever kind of object that is."""
    try:
        var.set_value(value, skip_validation=True)
    except TypeError:  # a domain takes a tuple, a variable's value must be one that Pyomo knows
        var._value = value


def is_number(value: Any) -> bool:
    """Whether a member of a list counts in algebra: a real number, also numpy's, or a truth value."""
    return isinstance(as_python(value), (bool, int, float))


def between(value: float, lower: float | None, upper: float | None) -> bool:
    """Whether a value lies within bounds, rounding apart."""
    return (lower is None or value >= lower - 1e-12) and (upper is None or value <= upper + 1e-12)


def _levels(var: Any, levels: int, scale: str) -> list[float]:
    lower, upper = _finite_bounds(var, "discretize", scale)
    if levels < 2:
        raise SpaceError(f"discretize({var.name}): levels must be at least 2")
    make = np.geomspace if scale == "log" else np.linspace
    inner = [float(v) for v in make(lower, upper, levels)]
    return [lower, *inner[1:-1], upper]


def _finite_bounds(var: Any, call: str, scale: str) -> tuple[float, float]:
    if scale not in SCALES:
        raise SpaceError(f"{call}({var.name}): scale is one of {', '.join(SCALES)}, not {scale!r}")
    lower, upper = var.bounds
    if lower is None or upper is None or not math.isfinite(lower) or not math.isfinite(upper):
        raise SpaceError(f"{call}({var.name}): needs finite bounds; write Var(bounds=(lower, upper))")
    if scale == "log" and lower <= 0:
        raise SpaceError(f"{call}({var.name}): a logarithmic scale needs a positive lower bound, not {lower}")
    return float(lower), float(upper)


def set_scale(var: Any, scale: str) -> None:
    """Say on which scale a continuous upper variable is searched.

    Parameters
    ----------
    var : pyomo Var
        Attached to a model, with finite bounds (positive for ``"log"``).
    scale : {"linear", "log"}
        The scale.

    Raises
    ------
    SpaceError
        If the variable has no model or its bounds do not suit the scale.

    Examples
    --------
    The middle of a penalty's range is then its geometric mean:

    >>> import pyomo.environ as pyo
    >>> from bilevel import set_scale
    >>> model = pyo.ConcreteModel()
    >>> model.penalty = pyo.Var(bounds=(1e-4, 100))
    >>> set_scale(model.penalty, "log")
    """
    for data in each(var):
        _finite_bounds(data, "set_scale", scale)
        block = data.parent_block()
        if block is None:
            raise SpaceError("set_scale: attach the variable to a model first")
        if block.component(_SCALE_SUFFIX) is None:
            block.add_component(_SCALE_SUFFIX, pyo.Suffix(direction=pyo.Suffix.LOCAL, datatype=None))
        block.component(_SCALE_SUFFIX)[data] = scale


def scale_of(var: Any) -> str:
    """The scale on which ``var`` is searched: what :func:`set_scale` said, else linear."""
    suffix = var.parent_block().component(_SCALE_SUFFIX)
    return "linear" if suffix is None else str(suffix.get(var, "linear"))


class Allowed(ScalarBlock):
    """A predicate over upper variables: points where it is false are not in the space.

    Parameters
    ----------
    variables : sequence of pyomo Var
        Their values are the predicate's positional arguments; an indexed variable stands for all its elements in order.
    predicate : callable
        Returns whether the combination is allowed. A module-level function keeps the model picklable.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> from bilevel import Allowed
    >>> model = pyo.ConcreteModel()
    >>> model.d = pyo.Var(within=pyo.Integers, bounds=(1, 64))
    >>> model.h = pyo.Var(within=pyo.Integers, bounds=(1, 8))
    >>> model.divisible = Allowed([model.d, model.h], lambda d, h: d % h == 0)
    >>> model.divisible.holds([12, 4]), model.divisible.holds([12, 5])
    (True, False)
    """

    def __init__(self, variables: Sequence[Any], predicate: Callable[..., bool], **kwargs: Any) -> None:
        kwargs.setdefault("ctype", Allowed)
        super().__init__(**kwargs)
        if not callable(predicate):
            raise SpaceError("Allowed(variables, predicate): the predicate must be a function of the variables' values")
        self._variables = [data for var in variables for data in each(var)]
        self._predicate = predicate

    @property
    def variables(self) -> list[Any]:
        """The variable data whose values are still to be chosen, in order; a fixed one is data."""
        return [var for var in self._variables if not var.fixed]

    def holds(self, values: Sequence[Any]) -> bool:
        """Whether the predicate is true for these values of :attr:`variables`."""
        chosen = iter(values)
        return bool(self._predicate(*(var.value if var.fixed else next(chosen) for var in self._variables)))


def allowed_on(block: BlockData) -> list[Allowed]:
    """The active :class:`Allowed` components on a block and the ordinary blocks inside it."""
    return list(block.component_objects(Allowed, active=True, descend_into=True))
