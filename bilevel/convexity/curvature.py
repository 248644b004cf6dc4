"""Convexity by composition: a walk over a compiled graph that knows which operations keep functions convex.

Disciplined convex programming (Grant, Boyd and Ye 2006, *Disciplined convex programming*) with ranges in place of
declared signs: what does not depend on y is data, whatever nonlinear function of x it is, and counts with its range. An
affine node may have any data as coefficients, so the square of a residual is convex whatever x does to the regressors.

Beyond plain curvature each node that is nowhere negative carries two degrees, the parameters of generalised convexity
(Avriel, Diewert, Schaible and Zang 1988, *Generalized concavity*, ch. 8):

    f = u^d  with u >= 0 convex    convex_degree   d, the largest known;  infinite: log f is convex
    f = u^e  with u >= 0 concave   concave_degree  e, the smallest known; infinite: log f is concave

Powers multiply degrees, products add concave ones, sums take the worse, ``u^d / v^e`` has degree d - e; d >= 1 means
convex and e <= 1 concave. These few rules hold norms, log-sum-exp, quadratic over linear, geometric means and
Cobb-Douglas functions. Saturating functions are known by a rule of their own (:mod:`bilevel.convexity.fractional`).

A node's claim is about its domain, and only made where that domain is convex in y: the logarithm or root of a concave
function keeps it, a power of a function that may change sign does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import casadi as ca

from bilevel.convexity.fractional import Fractions
from bilevel.graphs.intervals import Graph, Interval, defined, negative, product, quotient

_NO_DEGREE = math.nan
_DOWN, _EITHER, _UP = -1, 0, 1


@dataclass(frozen=True, slots=True)
class Curvature:
    """What is known of a node as a function of y, for every x.

    Attributes
    ----------
    range : tuple of float
        Of its values.
    convex, concave : bool
        Both: affine.
    convex_degree : float
        0 where none is known.
    concave_degree : float
        NaN where none is known.
    quadratic : bool
        A polynomial of degree two at most.
    kink : bool
        Something it is made of may not be differentiable: a maximum, an absolute value.
    steep : bool
        Something it is made of may have an infinite derivative: a root where its argument is zero.
    partial : bool
        Something it is made of may have no value at some y.
    """

    range: Interval
    convex: bool = False
    concave: bool = False
    convex_degree: float = 0.0
    concave_degree: float = _NO_DEGREE
    quadratic: bool = False
    kink: bool = False
    steep: bool = False
    partial: bool = False

    @property
    def affine(self) -> bool:
        """Both convex and concave."""
        return self.convex and self.concave

    def settled(self) -> Curvature:
        """Degrees as the sign allows, and the curvature they imply."""
        up, down = 0.0, _NO_DEGREE
        if self.range[0] >= 0:
            up = max(self.convex_degree, 1.0) if self.convex else self.convex_degree
            down = min(1.0, self.concave_degree) if self.concave else self.concave_degree  # min(1, NaN) is 1
        convex, concave = self.convex or up >= 1, self.concave or down <= 1
        quadratic = self.quadratic or (convex and concave)
        return Curvature(self.range, convex, concave, up, down, quadratic, self.kink, self.steep, self.partial)

    def __neg__(self) -> Curvature:
        mirrored = replace(self, range=negative(self.range), convex=self.concave, concave=self.convex)
        return replace(mirrored, convex_degree=0.0, concave_degree=_NO_DEGREE).settled()

    def __or__(self, other: Curvature) -> Curvature:
        """The same node, known in two ways."""
        down = [e for e in (self.concave_degree, other.concave_degree) if e == e]
        return replace(
            self,
            convex=self.convex or other.convex,
            concave=self.concave or other.concave,
            convex_degree=max(self.convex_degree, other.convex_degree),
            concave_degree=min(down, default=_NO_DEGREE),
            quadratic=self.quadratic or other.quadratic,
        )


def _plus(a: Interval, shift: float) -> Interval:
    return a[0] + shift, a[1] + shift


def data(values: Interval) -> Curvature:
    """A node that does not depend on y: affine, and where it is not negative of any degree."""
    up, down = (math.inf, 0.0) if values[0] >= 0 else (0.0, _NO_DEGREE)
    return Curvature(values, True, True, up, down, True)


def _sum(a: Curvature, b: Curvature, values: Interval) -> Curvature:
    up, down = (a.convex_degree, b.convex_degree), (a.concave_degree, b.concave_degree)
    return Curvature(
        values,
        a.convex and b.convex,
        a.concave and b.concave,
        min(up) if min(up) >= 1 else 0.0,  # (u^d + v^d)^(1/d) is a norm of convex functions for d >= 1,
        max(down) if down[0] <= 1 and down[1] <= 1 else _NO_DEGREE,  # and concave in (u, v) for d <= 1
        quadratic=a.quadratic and b.quadratic,
    )


def _scaled(a: Curvature, by: Interval, values: Interval) -> Curvature:
    """Data times a function: the sign decides, and an affine function stays affine whatever the sign."""
    if a.affine:
        return Curvature(values, True, True, quadratic=True)
    if by[0] >= 0:
        return replace(a, range=values)
    if by[1] <= 0:
        return replace(-a, range=values)
    return Curvature(values, quadratic=a.quadratic)


def _product(a: Curvature, b: Curvature, values: Interval) -> Curvature:
    quadratic = a.affine and b.affine
    if a.range[0] >= 0 and b.range[0] >= 0:
        up = math.inf if a.convex_degree == b.convex_degree == math.inf else 0.0
        return Curvature(values, False, False, up, a.concave_degree + b.concave_degree, quadratic=quadratic)
    if a.range[0] < 0 >= a.range[1]:
        return -_product(-a, b, negative(values))
    if b.range[0] < 0 >= b.range[1]:
        return -_product(a, -b, negative(values))
    return Curvature(values, quadratic=quadratic)


def _ratio(a: Curvature, b: Curvature, values: Interval) -> Curvature:
    """``u^d / v^e`` with c = d - e > 0 is ``(u^(1 + e/c) v^(-e/c))^c``: that base is convex, and falls in v."""
    if a.range[0] >= 0 and b.range[0] >= 0:
        up = math.inf if a.convex_degree == math.inf else a.convex_degree - b.concave_degree
        known = b.concave_degree == b.concave_degree and up > 0
        down = a.concave_degree + math.inf if b.convex_degree == math.inf else _NO_DEGREE
        return Curvature(values, False, False, up if known else 0.0, down)
    if b.range[0] < 0 >= b.range[1]:
        return -_ratio(a, -b, negative(values))
    if a.range[0] < 0 >= a.range[1]:
        return -_ratio(-a, b, negative(values))
    return Curvature(values)


def _power(a: Curvature, exponent: Interval, values: Interval) -> Curvature:
    low, high = exponent
    whole = low == high and low.is_integer()
    if whole and low > 0 and low % 2 == 0 and a.affine and a.range[0] < 0:
        return Curvature(values, True, False, low, quadratic=low == 2)  # |a|^p
    if whole and a.range[1] <= 0 and a.range[0] < 0:
        mirrored = _power(-a, exponent, values if low % 2 == 0 else negative(values))
        return mirrored if low % 2 == 0 else -mirrored
    if a.range[0] < 0:
        # Only a concave base with an exponent below 1 that is no integer has a convex domain. Above 1 the edge of the
        # domain would be a constraint that nobody wrote, and the KKT conditions would lack its multiplier.
        if whole or low != high or low > 1 or not a.concave:
            return Curvature(values)
        a = replace(a, convex_degree=0.0, concave_degree=1.0)
    if low > 0 or (low == 0 and low < high):
        up = math.inf if a.convex_degree == math.inf else a.convex_degree * low
        quadratic = a.affine and low == high == 2
        return Curvature(
            values, False, False, up, a.concave_degree * high, quadratic, steep=low < 1 and a.range[0] <= 0
        )
    if high < 0:
        up = math.inf if a.concave_degree == a.concave_degree else 0.0
        return Curvature(values, False, False, up, math.inf if a.convex_degree == math.inf else _NO_DEGREE)
    return Curvature(values)


def _exponential(a: Curvature, values: Interval) -> Curvature:
    return Curvature(values, False, False, math.inf if a.convex else 0.0, math.inf if a.concave else _NO_DEGREE)


def _logarithm(a: Curvature, values: Interval) -> Curvature:
    return Curvature(values, a.convex_degree == math.inf, a.concave or a.concave_degree == a.concave_degree)


def _maximum(a: Curvature, b: Curvature, values: Interval) -> Curvature:
    if (
        a.partial or b.partial
    ):  # the compiled maximum of NaN and b is b: beyond a's domain it falls to b, which is not convex
        return Curvature(values, kink=True)
    if a.range[0] >= b.range[1]:
        return a
    if b.range[0] >= a.range[1]:
        return b
    return Curvature(values, a.convex and b.convex, False, min(a.convex_degree, b.convex_degree), kink=True)


def _absolute(a: Curvature, values: Interval) -> Curvature:
    if a.range[0] >= 0:
        return a
    return -a if a.range[1] <= 0 else Curvature(values, a.affine, False, kink=True)


# Where a function of one argument is convex (+1) or concave (-1), and whether it rises (+1) or falls (-1) there.
_REGIONS: dict[int, list[tuple[float, float, int, int]]] = {
    ca.OP_SINH: [(0, math.inf, 1, _UP), (-math.inf, 0, -1, _UP)],
    ca.OP_COSH: [(0, math.inf, 1, _UP), (-math.inf, 0, 1, _DOWN), (-math.inf, math.inf, 1, _EITHER)],
    **{op: [(0, math.inf, -1, _UP), (-math.inf, 0, 1, _UP)] for op in (ca.OP_TANH, ca.OP_ATAN, ca.OP_ASINH, ca.OP_ERF)},
    ca.OP_SIN: [(0, math.pi, -1, _EITHER), (-math.pi, 0, 1, _EITHER)],
    ca.OP_COS: [(-math.pi / 2, math.pi / 2, -1, _EITHER), (math.pi / 2, 3 * math.pi / 2, 1, _EITHER)],
}


def _by_region(op: int, a: Curvature, values: Interval) -> Curvature:
    for low, high, shape, slope in _REGIONS[op]:
        kept = a.affine or (slope == shape and a.convex) or (slope == -shape and a.concave)
        if low <= a.range[0] and a.range[1] <= high and kept:
            return Curvature(values, shape == 1, shape == -1)
    return Curvature(values)


_UNARY: dict[int, Callable[[Curvature, Interval], Curvature]] = {
    ca.OP_ASSIGN: lambda a, values: a,
    ca.OP_NEG: lambda a, values: -a,
    ca.OP_TWICE: lambda a, values: _scaled(a, (2.0, 2.0), values),
    ca.OP_SQ: lambda a, values: _power(a, (2.0, 2.0), values),
    ca.OP_INV: lambda a, values: _power(a, (-1.0, -1.0), values),
    ca.OP_SQRT: lambda a, values: _power(a, (0.5, 0.5), values),
    ca.OP_EXP: _exponential,
    ca.OP_EXPM1: lambda a, values: Curvature(values, a.convex, a.concave),
    ca.OP_LOG: _logarithm,
    ca.OP_LOG1P: lambda a, values: _logarithm(_sum(a, data((1.0, 1.0)), _plus(a.range, 1.0)).settled(), values),
    ca.OP_FABS: _absolute,
    **{op: partial(_by_region, op) for op in _REGIONS},
}

_BINARY: dict[int, Callable[[Curvature, Curvature, Interval], Curvature]] = {
    ca.OP_ADD: _sum,
    ca.OP_SUB: lambda a, b, values: _sum(a, -b, values),
    ca.OP_MUL: _product,
    ca.OP_DIV: _ratio,
    ca.OP_FMAX: _maximum,
    ca.OP_FMIN: lambda a, b, values: -_maximum(-a, -b, negative(values)),
}


class _Walk:
    """One pass over the nodes that depend on y."""

    def __init__(self, graph: Graph, ranges: Sequence[Interval]) -> None:
        self._graph = graph
        self._ranges = ranges
        self._known: dict[int, Curvature] = {}
        self._fractions = Fractions(graph, ranges)
        self._monomials: dict[int, tuple[int, float]] = {}  # node: (base, exponent), because y**3 arrives as y * y**2
        for node, depends in enumerate(graph.depends):
            if depends:
                self._known[node] = self._visit(node)

    def at(self, node: int) -> Curvature:
        """What is known of a node."""
        return self._known.get(node) or data(self._ranges[node])

    def _shape_of(self, node: int) -> tuple[bool, bool]:
        known = self.at(node)
        return known.convex, known.concave

    def _visit(self, node: int) -> Curvature:
        op, args, values = self._graph.ops[node], self._graph.args[node], self._ranges[node]
        found = self._rule(op, args, values).settled()
        monomial = self._monomial(op, args)
        if monomial is not None:
            base, exponent = self._monomials[node] = monomial
            found = (found | _power(self.at(base), (exponent, exponent), values).settled()).settled()
        arguments = [self._known[i] for i in args if i in self._known]
        convex, concave = self._fractions(node, self._shape_of)
        kink = found.kink or any(a.kink for a in arguments)
        steep = found.steep or any(a.steep for a in arguments)
        partial = any(a.partial for a in arguments) or not (
            op == ca.OP_INPUT or defined(op, [self._ranges[i] for i in args])
        )
        if (convex or concave) and not partial:  # beyond a pole the rule says nothing
            found = (found | Curvature(values, convex, concave)).settled()
        return replace(found, kink=kink, steep=steep, partial=partial) if kink or steep or partial else found

    def _rule(self, op: int, args: tuple[int, ...], values: Interval) -> Curvature:
        if op == ca.OP_INPUT:
            return Curvature(values, True, True)
        if len(args) == 1:
            return _UNARY[op](self.at(args[0]), values) if op in _UNARY else Curvature(values, kink=True)
        first, second = (self._graph.depends[i] for i in args)
        one, two = self._ranges[args[0]], self._ranges[args[1]]
        if op in (ca.OP_MUL, ca.OP_IF_ELSE_ZERO) and not first:
            return _scaled(self.at(args[1]), one if op == ca.OP_MUL else (0.0, 1.0), values)
        if op in (ca.OP_MUL, ca.OP_DIV) and not second:
            return _scaled(self.at(args[0]), two if op == ca.OP_MUL else quotient((1.0, 1.0), two), values)
        if op in (ca.OP_POW, ca.OP_CONSTPOW) and not second:
            return _power(self.at(args[0]), two, values)
        if op == ca.OP_POW and not first and one[0] > 0:
            factor = (math.log(one[0]), math.log(one[1]))
            return _exponential(_scaled(self.at(args[1]), factor, product(factor, two)).settled(), values)
        if op == ca.OP_MUL and (self._entropy(*args) or self._entropy(*reversed(args))):
            return Curvature(values, convex=True)
        return (
            _BINARY[op](self.at(args[0]), self.at(args[1]), values) if op in _BINARY else Curvature(values, kink=True)
        )

    def _monomial(self, op: int, args: tuple[int, ...]) -> tuple[int, float] | None:
        """Base and exponent of a product of powers of one node, unless its domain is larger than the product's."""
        parts = [self._monomials.get(i, (i, 1.0)) for i in args]
        if op not in (ca.OP_SQ, ca.OP_MUL, ca.OP_INV, ca.OP_DIV) or len({base for base, _ in parts}) != 1:
            return None
        exponents = [exponent for _, exponent in parts]
        base = parts[0][0]
        if self._ranges[base][0] < 0 and (op == ca.OP_DIV or any(e <= 0 for e in exponents)):
            return None
        if op in (ca.OP_SQ, ca.OP_INV):
            return base, exponents[0] * (2 if op == ca.OP_SQ else -1)
        return base, exponents[0] + exponents[1] * (1 if op == ca.OP_MUL else -1)

    def _entropy(self, factor: int, logarithm: int) -> bool:
        """``u log(c u)``, and ``u log(u / v)`` with u >= 0 and v >= 0 concave, which falls in v."""
        if self._graph.ops[logarithm] != ca.OP_LOG:
            return False
        u, inside = self._stripped(factor), self._stripped(self._graph.args[logarithm][0])
        if not self.at(u).affine:
            return False
        if inside == u:
            return True
        if self._graph.ops[inside] != ca.OP_DIV:
            return False
        over, under = self._graph.args[inside]
        v = self.at(under)
        return self._stripped(over) == u and self._ranges[u][0] >= 0 and v.concave and v.range[0] >= 0

    def _stripped(self, node: int) -> int:
        """A node without the data it is multiplied with, where that is nowhere negative."""
        while True:
            op, args = self._graph.ops[node], self._graph.args[node]
            sides = [i for i in args if self._graph.depends[i]]
            rest = [i for i in args if not self._graph.depends[i]]
            scaled = op in (ca.OP_MUL, ca.OP_TWICE) or (op == ca.OP_DIV and sides == [args[0]])
            if not scaled or len(sides) != 1 or any(self._ranges[i][0] < 0 for i in rest):
                return node
            node = sides[0]


def curvatures(graph: Graph, ranges: Sequence[Interval]) -> list[Curvature]:
    """What composition says of each output of a graph.

    Parameters
    ----------
    graph : Graph
        Of some expressions of x and y.
    ranges : sequence of tuple of float
        Of its nodes, from :meth:`Graph.enclose`.
    """
    walk = _Walk(graph, ranges)
    return [walk.at(node) for node in graph.outputs]
