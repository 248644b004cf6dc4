"""Saturation as a rule: linear-fractional functions of a power or an exponential, convex or concave by their signs.

    q = (a u + b) / (c u + d),    u = v,  v^p with v >= 0,  or  exp v

holds ``R s/(s + K)`` (Michaelis and Menten), the Hill function ``s^a/(s^a + K^a)`` and the logistic one
``1/(1 + exp(-k (s - m)))``, however they are written: as ``1 - K/(s + K)``, as ``R/(1 + K/s)``. With ``j = a d - b c``

    u = v        q' ~ j       q'' ~ -2 j c                          / (c u + d)
    u = v^p      q' ~ j p     q'' ~  j p ((p - 1) d - (p + 1) c u)  / (c u + d)
    u = exp v    q' ~ j       q'' ~  j (d - c u)                    / (c u + d)

up to factors that are not negative. All of a, b, c, d, p are data, known by their ranges over the box of x. The signs
say where q is convex or concave in v, and in y where v is affine, or bent the right way for a q that rises or falls
(Boyd and Vandenberghe 2004, 3.2.4). A Hill function with p > 1 is S-shaped: concave where the whole box lies beyond its
turning point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import casadi as ca

from bilevel.graphs.intervals import Graph, Interval, negative, power, product, quotient

_NONE: Interval = (0.0, 0.0)
_ONE: Interval = (1.0, 1.0)
_EXPONENTIAL = -1  # in place of the node of an exponent
_CONSTANT = -2


@dataclass(frozen=True, slots=True)
class _Line:
    """``slope u + offset`` with ``u = base ** (factor * node)``, or an exponential of the base."""

    base: int
    node: int = _CONSTANT
    factor: float = 1.0
    slope: Interval = _ONE
    offset: Interval = _NONE

    @property
    def pure(self) -> bool:
        return self.offset == _NONE

    def like(self, other: _Line) -> bool:
        """Whether both are lines in the same u."""
        return (self.base, self.node, self.factor) == (other.base, other.node, other.factor)

    def scaled(self, by: Interval) -> _Line:
        return replace(self, slope=product(self.slope, by), offset=product(self.offset, by))

    def plus(self, slope: Interval, offset: Interval) -> _Line:
        return replace(self, slope=_sum(self.slope, slope), offset=_sum(self.offset, offset))


@dataclass(frozen=True, slots=True)
class _Ratio:
    """``(a u + b) / (c u + d)``: two lines in one u."""

    over: _Line
    under: _Line
    positive: bool  # whether the denominator is


class Fractions:
    """Finds such functions among the nodes of a graph, which are shown to it in order.

    Parameters
    ----------
    graph : Graph
        Of some expressions.
    ranges : sequence of tuple of float
        Of its nodes.
    """

    def __init__(self, graph: Graph, ranges: Sequence[Interval]) -> None:
        self._graph, self._ranges = graph, ranges
        self._first = _first_alike(graph)
        self._lines: dict[int, _Line] = {}
        self._ratios: dict[int, _Ratio] = {}

    def __call__(self, node: int, shape_of: Callable[[int], tuple[bool, bool]]) -> tuple[bool, bool]:
        """Whether a node that depends on y is convex, and concave, by being such a function of one known to be."""
        op, args = self._graph.ops[node], self._graph.args[node]
        self._lines[node] = self._line(op, args) or _Line(self._first[node])
        ratio = self._ratio(op, args)
        if ratio is None:
            return False, False
        self._ratios[node] = ratio
        slope, bend = self._signs(ratio)
        up, down = shape_of(ratio.under.base)
        rising, falling = slope[0] >= 0, slope[1] <= 0
        convex = bend[0] >= 0 and ((up and down) or (rising and up) or (falling and down))
        concave = bend[1] <= 0 and ((up and down) or (rising and down) or (falling and up))
        return convex, concave

    def _signs(self, ratio: _Ratio) -> tuple[Interval, Interval]:
        """Ranges with the signs of q' and q''."""
        under = ratio.under
        a, b, c, d = ratio.over.slope, ratio.over.offset, under.slope, under.offset
        j = _sum(product(a, d), negative(product(b, c)))
        v = self._ranges[under.base]
        if under.node == _EXPONENTIAL:
            u = tuple(math.exp(min(end, 700.0)) for end in v)
            slope, bracket = j, _sum(d, negative(product(c, (u[0], math.inf if v[1] > 700.0 else u[1]))))
        elif under.node == _CONSTANT and under.factor == 1.0:
            slope, bracket = j, product((-2.0, -2.0), c)
        else:
            p = self._exponent(under)
            u_range = power((max(v[0], 0.0), v[1]), p)
            falls = product(_sum(p, _ONE), product(c, u_range))
            slope, bracket = product(j, p), _sum(product(_sum(p, (-1.0, -1.0)), d), negative(falls))
        bend = product(slope, bracket)
        return slope, bend if ratio.positive else negative(bend)

    def _exponent(self, line: _Line) -> Interval:
        scale = line.factor, line.factor
        return scale if line.node == _CONSTANT else product(scale, self._ranges[line.node])

    def _line(self, op: int, args: tuple[int, ...]) -> _Line | None:
        moving = [i for i in args if self._graph.depends[i]]
        if not moving:
            return None
        known = [self._lines[i] for i in moving]
        line = known[0]
        if len(args) == 1:
            return self._of_one(op, line, args[0])
        if len(moving) == 2:
            return self._of_two(op, *known)
        rest = self._ranges[args[1] if args[0] == moving[0] else args[0]]
        first = args[0] == moving[0]
        if op in (ca.OP_ADD, ca.OP_SUB):
            shifted = line if first or op == ca.OP_ADD else line.scaled((-1.0, -1.0))
            return shifted.plus(_NONE, negative(rest) if first and op == ca.OP_SUB else rest)
        if op == ca.OP_MUL:
            return line.scaled(rest)
        if op == ca.OP_DIV:
            if first:
                return line.scaled(quotient(_ONE, rest))
            turned = self._raised(line, -1.0)
            return None if turned is None else turned.scaled(rest)
        if op in (ca.OP_POW, ca.OP_CONSTPOW) and first:
            return self._raised(line, rest[0]) if rest[0] == rest[1] else self._raised_by(line, args[1])
        return None

    def _of_one(self, op: int, line: _Line, argument: int) -> _Line | None:
        if op == ca.OP_NEG:
            return line.scaled((-1.0, -1.0))
        if op == ca.OP_TWICE:
            return line.scaled((2.0, 2.0))
        if op == ca.OP_EXP:
            return _Line(self._first[argument], _EXPONENTIAL)
        powers = {ca.OP_SQ: 2.0, ca.OP_SQRT: 0.5, ca.OP_INV: -1.0}
        return self._raised(line, powers[op]) if op in powers else None

    def _of_two(self, op: int, one: _Line, two: _Line) -> _Line | None:
        if op in (ca.OP_ADD, ca.OP_SUB) and one.like(two):
            other = two if op == ca.OP_ADD else two.scaled((-1.0, -1.0))
            return one.plus(other.slope, other.offset)
        if op not in (ca.OP_MUL, ca.OP_DIV) or one.base != two.base or not self._powers(one, two):
            return None
        sign = 1.0 if op == ca.OP_MUL else -1.0
        factor = one.factor + sign * two.factor
        if one.node != two.node or factor == 0.0:
            return None
        by = two.slope if op == ca.OP_MUL else quotient(_ONE, two.slope)
        return replace(one, factor=factor, slope=product(one.slope, by))

    def _powers(self, *lines: _Line) -> bool:
        """Whether they are multiples of powers of what is not negative."""
        return all(x.pure and x.node != _EXPONENTIAL and self._ranges[x.base][0] >= 0 for x in lines)

    def _raised(self, line: _Line, by: float) -> _Line | None:
        if not self._powers(line) or line.slope[0] < 0 or by == 0.0:
            return None
        slope = quotient(_ONE, line.slope) if by == -1.0 else power(line.slope, (by, by))
        return replace(line, factor=line.factor * by, slope=slope)

    def _raised_by(self, line: _Line, exponent: int) -> _Line | None:
        if not self._powers(line) or line.node != _CONSTANT or line.slope[0] < 0:
            return None
        slope = power(line.slope, self._ranges[exponent])
        return replace(line, node=self._first[exponent], slope=slope)

    def _ratio(self, op: int, args: tuple[int, ...]) -> _Ratio | None:
        if op == ca.OP_INV or (op in (ca.OP_POW, ca.OP_CONSTPOW) and self._ranges[args[1]] == (-1.0, -1.0)):
            return self._over(None, _ONE, args[0])
        if op == ca.OP_DIV and self._graph.depends[args[1]]:
            over = self._lines[args[0]] if self._graph.depends[args[0]] else None
            return self._over(over, self._ranges[args[0]], args[1])
        if op != ca.OP_MUL:
            return None
        for one, other in (args, args[::-1]):
            known = self._ratios.get(other)
            if known is None or known.over.slope != _NONE:
                continue
            if not self._graph.depends[one]:
                return replace(known, over=known.over.scaled(self._ranges[one]))
            if self._lines[one].like(known.under):
                return replace(known, over=self._lines[one].scaled(known.over.offset))
        return None

    def _over(self, over: _Line | None, value: Interval, under: int) -> _Ratio | None:
        """The quotient of a line, or of data with a range, and a node."""
        line, (low, high) = self._lines[under], self._ranges[under]
        if low < 0 < high or low == high == 0 or (over is not None and not over.like(line)):
            return None
        return _Ratio(over or replace(line, slope=_NONE, offset=value), line, low >= 0)


def _first_alike(graph: Graph) -> list[int]:
    """For every node the first that is the same operation of the same arguments."""
    first: list[int] = []
    known: dict[tuple[object, ...], int] = {}
    for node, (op, args) in enumerate(zip(graph.ops, graph.args, strict=True)):
        inputs = [first[i] for i in args]
        key = (op, *(sorted(inputs) if op in (ca.OP_ADD, ca.OP_MUL) else inputs), *graph.leaf(node))
        first.append(known.setdefault(key, node))
    return first


def _sum(a: Interval, b: Interval) -> Interval:
    low, high = a[0] + b[0], a[1] + b[1]
    return (low, high) if low <= high else (-math.inf, math.inf)
