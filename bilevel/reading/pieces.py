"""What a variable's domain holds within its bounds: pieces, each an interval, a run of integers or one value.

Pyomo's own predicates see the hull alone: ``Set(initialize=[0]) | RangeSet(8, 9, 0)`` has the interval (0, 9), and
``Integers - Set(initialize=[4])`` none at all. Its ranges tell the truth, and so does ``value in domain``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.range import NumericRange

from bilevel import tolerances
from bilevel.errors import ModelError, first_line
from bilevel.language.domains import between, is_number, members

MOST = 1000
"""Pieces of one domain; each is a value of a list, or a binary."""


@dataclass(frozen=True)
class Piece:
    """Values from ``low`` to ``high``, both included; the integers among them where ``whole``."""

    low: float
    high: float
    whole: bool = False

    @property
    def single(self) -> bool:
        """Whether it is one value."""
        return self.low == self.high


def is_category(var: Any) -> bool:
    """Whether a variable's domain holds anything that is not a number: words, None, tuples."""
    domain = var.domain
    if not domain.isfinite() or isinstance(domain, pyo.RangeSet):
        return False
    return not all(map(is_number, members(domain)))


def list_values(var: Any) -> tuple[Any, ...] | None:
    """The values of a variable that takes them from a list, within its bounds; None where no list is needed.

    They are the user's own objects, in the user's order. A run of integers needs no list.
    """
    domain = var.domain
    if not domain.isfinite() or (isinstance(domain, pyo.RangeSet) and var.is_integer()):
        return None
    values = members(domain)
    if is_category(var):
        return values
    low, high = numeric_bounds(var)
    inside = tuple(v for v in values if between(float(v), low, high))
    if var.is_integer() and all(type(v) is int for v in inside):
        first = inside[0] if inside else 0
        return None if var.is_binary() or inside == tuple(range(first, first + len(inside))) else inside
    return inside


def as_number(var: Any, value: Any) -> float:
    """What stands for a value in compiled functions: the number itself, or a category's place in its list.

    Raises
    ------
    ModelError
        If a category has no such value.
    """
    if not is_category(var):
        return float(value)
    values = members(var.domain)
    if value not in values:
        raise ModelError(f"{var.name}: {value!r} is not in its list")
    return float(values.index(value))


def as_value(var: Any, number: float) -> Any:
    """The value that a number stands for, a list's as the user gave it."""
    if is_category(var):
        return members(var.domain)[int(number)]
    values = list_values(var)
    if values is not None:
        return min(values, key=lambda v: abs(float(v) - number))
    return round(number) if not var.is_continuous() and number == round(number) else float(number)


def solved_value(solved: Any, var: Any) -> Any:
    """The value that a solver's copy of a variable took, off by a tolerance, as a value of the variable itself."""
    value = solved.value
    if is_category(var):  # a copy's words may be copies
        values, theirs = members(var.domain), members(solved.domain)
        return values[theirs.index(value)] if value in theirs else values[0]
    if value is None:  # nothing mentions it: any value will do
        value = 0.0 if var.value is None else var.value
    low, high = numeric_bounds(var)
    value = float(value) if low is None else max(float(value), low)
    value = value if high is None else min(value, high)
    return round(value) if var.is_integer() or var.is_binary() else as_value(var, float(within_domain(var, value)))


def numeric_bounds(var: Any) -> tuple[float | None, float | None]:
    """A variable's bounds, its domain's included; None where there is none.

    Raises
    ------
    ModelError
        If a bound is no number.
    """
    try:
        low, high = var.bounds
    except Exception as error:  # Pyomo's own, of several kinds: a Param without a value, infinity on the wrong side
        raise ModelError(f"the bounds of {var.name} cannot be read: {first_line(error)}; mend them") from None
    return low, high


def is_plain(var: Any) -> bool:
    """Whether a variable's domain is one interval, one run of integers, or a finite list."""
    domain = var.domain
    if domain.isfinite():
        return True
    ranges = list(domain.ranges())
    if not all(isinstance(r, NumericRange) for r in ranges):
        return False
    if len(ranges) == 1:
        return ranges[0].step in (-1, 0, 1)
    return bool(var.is_integer()) and all(_integral(r) for r in ranges)


def _integral(found: NumericRange) -> bool:
    return abs(found.step) == 1 or (found.start == found.end and float(found.start).is_integer())


def pieces_of(var: Any) -> tuple[Piece, ...]:
    """The pieces of a variable's domain within its bounds, ascending and apart; ends that are open are closed.

    Raises
    ------
    ModelError
        If the domain holds more than numbers, none within the bounds, or too many pieces.
    """
    ends = numeric_bounds(var)
    low, high = (
        missing if end is None else float(end) for end, missing in zip(ends, (-math.inf, math.inf), strict=True)
    )
    found: list[Piece] = []
    for each in var.domain.ranges():
        if not isinstance(each, NumericRange):
            raise ModelError(
                f"{var.name} has the domain {var.domain}, which may hold more than numbers: say which values it takes,"
                " within=Reals, Integers, or a Set of them"
            )
        found += _clipped(var, each, low, high)
    if not found:
        raise ModelError(f"{var.name}: no value of its domain {var.domain} lies within its bounds {_shown(low, high)}")
    merged = _merged(sorted(found, key=lambda piece: (piece.low, -piece.high)))
    return merged if len(merged) == 1 or not any(p.whole for p in merged) else _apart(var, merged)


def _clipped(var: Any, found: NumericRange, low: float, high: float) -> list[Piece]:
    """A range of Pyomo's within bounds."""
    ends = sorted((float(found.start), float(found.end)))
    start, end = max(ends[0], low), min(ends[1], high)
    if found.step == 0:
        return [Piece(start, end)] if start <= end else []
    step, origin = abs(found.step), float(found.start)
    first, last = _nearest(start, origin, step, math.ceil), _nearest(end, origin, step, math.floor)
    if first > last:
        return []
    if step == 1 and (math.isinf(origin) or origin.is_integer()):
        return [Piece(first, last, whole=True)]
    _insist_on_few(var, (last - first) / step + 1)
    return [Piece(value, value) for value in _run(first, last, step)]


def _nearest(end: float, origin: float, step: float, way: Any) -> float:
    if math.isinf(end):
        return end
    slack = -1e-9 if way is math.ceil else 1e-9
    return origin + step * float(way((end - origin) / step + slack))


def _run(first: float, last: float, step: float) -> list[float]:
    return [first + k * step for k in range(round((last - first) / step) + 1)]


def _merged(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Without overlaps: intervals that meet are one, and so are neighbouring runs of integers."""
    solid = _joined([p for p in pieces if not p.whole and not p.single], 0.0)
    whole = [p for p in pieces if p.whole or (p.single and p.low.is_integer())]
    runs = _joined([Piece(p.low, p.high, True) for p in whole], 1.0)
    rest = [p for p in pieces if p.single and not p.whole and not p.low.is_integer()]
    runs = [p for p in runs if not any(s.low <= p.low and p.high <= s.high for s in solid)]
    rest = [p for p in rest if not any(s.low <= p.low <= s.high for s in solid)]
    return tuple(sorted([*solid, *runs, *dict.fromkeys(rest)], key=lambda piece: piece.low))


def _joined(pieces: list[Piece], reach: float) -> list[Piece]:
    found: list[Piece] = []
    for piece in pieces:
        if found and piece.low <= found[-1].high + reach:
            found[-1] = Piece(found[-1].low, max(found[-1].high, piece.high), piece.whole)
        else:
            found.append(piece)
    return found


def _apart(var: Any, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Integers beside intervals: each integer a piece by itself, unless all are integers."""
    if all(piece.whole for piece in pieces):
        return pieces
    solid = [p for p in pieces if not p.whole]
    found = list(solid)
    for piece in (p for p in pieces if p.whole):
        _insist_on_few(var, piece.high - piece.low + 1)
        values = _run(piece.low, piece.high, 1.0)
        found += [Piece(v, v) for v in values if not any(s.low <= v <= s.high for s in solid)]
    return tuple(sorted(found, key=lambda piece: piece.low))


def _insist_on_few(var: Any, count: float) -> None:
    if not count <= MOST:
        raise ModelError(
            f"{var.name}: its domain {var.domain} falls into more than {MOST} pieces within its bounds; narrow the"
            " bounds, or write it as a step times an integer variable"
        )


def _shown(low: float, high: float) -> str:
    return f"({low:g}, {high:g})"


def domain_violation(var: Any, value: Any) -> float:
    """How far a value is from its variable's domain, relative; infinite for a word that is not in it.

    Whether it is in the domain is Pyomo's to say; the distance, where it says no, is to the nearest piece.
    """
    if value in var.domain:
        return 0.0
    if is_category(var) or not is_number(value):
        return math.inf
    return min(abs(float(value) - v) / size_at(var, v) for v in _nearby(var, float(value)))


def size_at(var: Any, value: float) -> float:
    """What a tolerance is relative to at one value of a variable: less than usual where its bounds are closer."""
    low, high = numeric_bounds(var)
    if low is None or high is None:
        return tolerances.scale(value)
    first, last = float(low), float(high)  # a list's ends may be booleans
    return tolerances.size(value, (first + last) / 2.0, last - first)


def _nearby(var: Any, value: float) -> list[float]:
    """In every range of a variable's domain the value that is nearest."""
    if var.domain.isfinite() and not (var.is_integer() or var.is_binary()):
        return [float(v) for v in members(var.domain)]
    found = []
    for each in var.domain.ranges():
        if isinstance(each, NumericRange):
            low, high = sorted((float(each.start), float(each.end)))
            inside = value
            if each.step != 0 and math.isfinite(value):
                origin = low if math.isfinite(low) else high
                inside = origin + abs(each.step) * round((value - origin) / abs(each.step))
            found.append(min(max(inside, low), high))
    return found or [math.inf]


def within_domain(var: Any, value: Any) -> Any:
    """The value of a variable's domain that a computed one stands for, off by rounding or a solver's tolerance.

    A domain without its end, PositiveReals say, has no nearest one: the value is then moved inside by a little.
    """
    if value in var.domain or is_category(var) or not is_number(value):
        return value
    nearest = min(_nearby(var, float(value)), key=lambda v: abs(v - value))
    if abs(nearest - float(value)) > tolerances.FEASIBILITY * size_at(var, nearest):
        return value
    if nearest in var.domain or not math.isfinite(nearest):
        return nearest
    step = tolerances.ENGINE * size_at(var, nearest)
    return next((v for v in (nearest + step, nearest - step) if v in var.domain), nearest)
