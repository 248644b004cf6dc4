"""A model made plain before it is read: what can be said in several ways is said in one.

Every part of this package reads domains, bounds and rows off the model for itself. So that all of them read the same
the model itself is mended, once and before anything else, on a clone wherever there is something to mend:

- a bound or a row's side beyond every solver's infinity is none, and a row without a side is left out;
- an integer's bounds are integers, and a box without a value is refused by the variable's name;
- limits that move (``x - 1 <= y <= x + 1``) are two rows;
- a domain in several pieces becomes a list, or binaries and two rows (:mod:`bilevel.reading.pieces`);
- disjunctions, logic, ordered sets, complementarities and arcs become rows and binaries on the level they stand on
  (:mod:`bilevel.reading.plain.foreign_components`).
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.block import BlockData
from pyomo.core.expr.relational_expr import RangedExpression

from bilevel import tolerances
from bilevel.errors import ModelError, first_line
from bilevel.language.domains import Allowed
from bilevel.language.lower_level import LowerLevel, response_of
from bilevel.reading.pieces import MOST, Piece, is_category, is_plain, list_values, numeric_bounds, pieces_of
from bilevel.reading.plain.foreign_components import foreign, transform

BLOCK = "bilevel_reading"
_LEVELS = (pyo.Block, LowerLevel)

Mending = Callable[[], None]


def plain(model: BlockData) -> BlockData:
    """The model itself where there is nothing to mend, else a mended clone.

    Raises
    ------
    ModelError
        If a bound, a domain or a row has no meaning; names the component and the cure.
    """
    with _pyomo_unheard():
        if not any(True for _ in foreign(model)) and not any(True for _ in _mendings(model)):
            return model
        clone = cloned(model)
        make_plain(clone)
    return clone


def cloned(model: BlockData) -> BlockData:
    """A clone with the user's own functions and values."""
    clone = model.clone()
    _keep_functions(model, clone)
    return clone


@contextmanager
def _pyomo_unheard() -> Iterator[None]:
    """Pyomo logs what it raises as well, in many lines; here it becomes one sentence."""
    logger = logging.getLogger("pyomo")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def make_plain(model: BlockData) -> None:
    """The same in the model itself."""
    for mend in list(_mendings(model)):
        mend()
    transform(model)
    for mend in list(_mendings(model)):
        mend()


def _keep_functions(model: BlockData, clone: BlockData) -> None:
    """A clone copies what it can, and a user's function or value may be an object that counts its calls."""
    for ctype, kept in ((LowerLevel, "_response"), (Allowed, "_predicate")):
        for component in model.component_objects(ctype, descend_into=_LEVELS):
            setattr(clone.find_component(component), kept, getattr(component, kept))
    for var in model.component_data_objects(pyo.Var, descend_into=_LEVELS):
        if not var.fixed and is_category(var):
            clone.find_component(var).domain = var.domain


def _mendings(model: BlockData) -> Iterator[Mending]:
    """What has to be done to the model; nothing is done before it is called."""
    for var in model.component_data_objects(pyo.Var, active=True, descend_into=_LEVELS):
        if not var.fixed and not is_category(var):
            yield from _mend_variable(var)
    for constraint in model.component_data_objects(pyo.Constraint, active=True, descend_into=_LEVELS):
        yield from _mend_row(constraint)


def insist_on_a_value(var: Any) -> None:
    """Refuse a variable that can take no value at all.

    Raises
    ------
    ModelError
        Naming the variable and its bounds.
    """
    if not is_category(var):
        _insist_on_box(var, *_ends(var))


def _ends(var: Any) -> tuple[float, float]:
    low, high = numeric_bounds(var)
    found = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    if found[0] >= tolerances.INFINITE or found[1] <= -tolerances.INFINITE:
        raise ModelError(f"{var.name} has the bounds {_shown(*found)}, beyond what solvers count as finite; mend them")
    return found


def _insist_on_box(var: Any, low: float, high: float) -> None:
    if low > high:
        raise ModelError(f"{var.name} has the bounds {_shown(low, high)}, and no value lies between; mend them")


def _shown(low: float, high: float) -> str:
    return f"({low:.10g}, {high:.10g})"


def _mend_variable(var: Any) -> Iterator[Mending]:
    if var.domain.isfinite():
        _insist_on_list(var)
    declared = low, high = _ends(var)
    _insist_on_box(var, low, high)
    follower = _follower_of(var)
    if follower is not None and response_of(follower) is not None:
        return
    if var.is_integer() or var.is_binary():
        low, high = math.ceil(low - _ROUNDING) if low > -math.inf else low, _floor(high)
        if low > high:
            raise ModelError(f"{var.name} has the bounds {_shown(*declared)}, and no integer lies between; mend them")
    elif not is_plain(var) or (follower is not None and var.domain.isfinite()):
        yield partial(_take_apart, var, pieces_of(var), follower is None)
        return
    elif var.domain.isfinite():
        return
    low, high = _known(low), _known(high)
    if (low, high) != declared:
        yield partial(_set_bounds, var, low, high)


_ROUNDING = 1e-9  # by which an integer's bound may be off an integer


def _floor(end: float) -> float:
    return math.floor(end + _ROUNDING) if end < math.inf else end


def _known(end: float) -> float:
    """A bound, infinite where solvers take it so."""
    return end if abs(end) < tolerances.INFINITE else math.copysign(math.inf, end)


def _set_bounds(var: Any, low: float, high: float) -> None:
    var.setlb(low if math.isfinite(low) else None)
    var.setub(high if math.isfinite(high) else None)


def _insist_on_list(var: Any) -> None:
    values = list_values(var)
    if values is None:
        return
    if not values:
        raise ModelError(f"{var.name}: no value of its domain {var.domain} lies within its bounds; mend one of them")
    if not all(math.isfinite(value) for value in values):
        raise ModelError(f"{var.name}: a value of its domain is not finite; every number in a model must be")


def _follower_of(component: Any) -> Any:
    """The LowerLevel a component stands on, or None."""
    block = component.parent_block()
    while block is not None and block.ctype is not LowerLevel:
        block = block.parent_block()
    return block


def _take_apart(var: Any, pieces: tuple[Piece, ...], upper: bool) -> None:
    """Give a variable a domain that every part of this package reads alike."""
    low, high = pieces[0].low, pieces[-1].high
    discrete = all(piece.whole or piece.single for piece in pieces)
    if len(pieces) > 1 and not (math.isfinite(low) and math.isfinite(high)):
        raise ModelError(
            f"{var.name} has the domain {var.domain} in several pieces, and no finite bounds; give it both"
        )
    if len(pieces) > 1 and upper and discrete and sum(_count(piece) for piece in pieces) <= MOST:
        values = [value for piece in pieces for value in _values(piece)]
        var.domain = pyo.Set(initialize=values, ordered=True)
        var.domain.construct()
        return
    var.domain = pyo.Integers if all(p.whole or (p.single and p.low.is_integer()) for p in pieces) else pyo.Reals
    _set_bounds(var, low, high)
    if len(pieces) > 1:
        _select(var, pieces)


def _count(piece: Piece) -> float:
    return 1 if piece.single else piece.high - piece.low + 1


def _values(piece: Piece) -> list[float]:
    return [piece.low] if not piece.whole else list(range(int(piece.low), int(piece.high) + 1))


def _select(var: Any, pieces: tuple[Piece, ...]) -> None:
    """A binary for each gap, one where the variable is beyond it: ``low(z) <= var <= high(z)``."""
    block, name = _block_beside(var), var.local_name
    beyond = [block.beyond.add((name, k)) for k in range(1, len(pieces))]
    gaps = list(zip(pieces, pieces[1:], beyond, strict=False))
    block.row.add((name, "lower"), var >= pieces[0].low + sum((b.low - a.low) * z for a, b, z in gaps))
    block.row.add((name, "upper"), var <= pieces[0].high + sum((b.high - a.high) * z for a, b, z in gaps))
    for k, (near, far) in enumerate(itertools.pairwise(beyond), 1):
        block.row.add((name, k), near >= far)
    if var.value is not None:
        for piece, z in zip(pieces[1:], beyond, strict=True):
            z.set_value(int(var.value >= piece.low))


def _block_beside(component: Any) -> Any:
    """Where what is new stands, on the level of a component."""
    home = component.parent_block()
    if home.component(BLOCK) is None:
        home.add_component(BLOCK, pyo.Block())
        block = home.component(BLOCK)
        block.beyond = pyo.Var(pyo.Any, dense=False, domain=pyo.Binary)
        block.row = pyo.Constraint(pyo.Any)
    return home.component(BLOCK)


def _mend_row(constraint: Any) -> Iterator[Mending]:
    moving = isinstance(constraint.expr, RangedExpression) and any(
        _varies(constraint.expr.args[side]) for side in (0, 2)
    )
    if moving:
        yield partial(_split, constraint)
        return
    try:
        low, high = constraint.lb, constraint.ub
        raw = constraint.lower, constraint.upper
    except Exception as error:  # Pyomo's own, of several kinds: a Param without a value, infinity on the wrong side
        raise ModelError(f"{constraint.name}: a bound cannot be read: {first_line(error)}; mend it") from None
    if (low or 0.0) >= tolerances.INFINITE or (high or 0.0) <= -tolerances.INFINITE:
        raise ModelError(f"{constraint.name}: a bound is beyond what solvers count as finite; mend it")
    low, high = (None if end is None or abs(end) >= tolerances.INFINITE else end for end in (low, high))
    if low is None and high is None:
        yield constraint.deactivate
    elif (low is None) != (raw[0] is None) or (high is None) != (raw[1] is None):
        yield partial(constraint.set_value, (low, constraint.body, high))


def _varies(expression: Any) -> bool:
    return bool(getattr(expression, "is_potentially_variable", bool)())


def _split(constraint: Any) -> None:
    """Two rows in place of one whose limits move."""
    low, body, high = constraint.expr.args
    row, name = _block_beside(constraint).row, constraint.local_name
    row.add((name, "lower"), low <= body)
    row.add((name, "upper"), body <= high)
    constraint.deactivate()
