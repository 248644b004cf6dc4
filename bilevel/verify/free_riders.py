"""Followers' variables that no objective below mentions, and what they say about an unbounded F.

Such a variable is the follower's to decide, and he does not care: any value that the constraints of his level allow is
part of an optimal answer. The optimistic leader takes the best one, and where F falls without end along it F is
unbounded, at that x already. An engine that is asked for the best of the follower's optima there has no answer, or
gives its own word for infinity.

That it falls without end is proved by intervals on the half-line ``t >= T`` along which the variables move: some
derivative of F by t stays below zero there, or F itself below numbers that sink with T and end far below what any
solver takes for finite. A row holds on it where it holds at T and moves away from its bounds, or where its range lies
within them. What intervals do not see, a logarithm's slow fall say, is not claimed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.expressions.row_terms import KINKS
from bilevel.expressions.translation import mentioned
from bilevel.graphs.intervals import Graph, Interval
from bilevel.language.attitude import Attitude
from bilevel.programs.compilation import Compilation
from bilevel.reading.pieces import as_number, numeric_bounds
from bilevel.reading.problem import Problem

_STARTS = (0.0, 1e3, 1e6)  # of the half-line
_FAR = (1e75, 1e150)  # where F's own range is looked at
_ORDERS = 5  # of the derivatives; the first alone where there are kinks
_JUMPS = KINKS - {ca.OP_FABS, ca.OP_FMIN, ca.OP_FMAX}
_FALLING = 1e-12  # what a derivative that stays below zero is below
_TOGETHER = 5  # variables that are moved together, in 3**5 directions
_MOST = 50  # that are moved one by one


def free_riders(problem: Problem) -> tuple[Any, ...]:
    """Followers' variables without a bound on some side that F mentions and no objective below; an optimist's alone."""
    if problem.attitude is not Attitude.OPTIMISTIC:
        return ()
    inside = mentioned([problem.objective.expr])
    loose = [v for f in problem.followers if f.objective is not None for v in f.written.variables if id(v) in inside]
    loose = [var for var in loose if None in numeric_bounds(var)]
    if not loose:
        return ()
    minded = mentioned([w.objective.expr for w in (f.written for f in problem.followers) if w.objective is not None])
    return tuple(var for var in loose if id(var) not in minded)[:_MOST]


def falls_without_end(problem: Problem, upper: dict[str, Any], lower: dict[str, Any]) -> str | None:
    """At a bilevel-feasible point: along which free riders F is proved unbounded, in words, or None."""
    riders = free_riders(problem)
    if not riders:
        return None
    line = _Line(problem, upper, lower)
    for direction in _directions(riders):
        if line.falls(direction):
            names = " and ".join(f"{var.name} to {'minus ' if sign < 0 else ''}infinity" for var, sign in direction)
            return f"F falls without end as the follower, to whom it makes no difference, takes {names}"
    return None


class _Line:
    """F and the rows of both levels along a half-line from a point."""

    def __init__(self, problem: Problem, upper: dict[str, Any], lower: dict[str, Any]) -> None:
        compilation = Compilation.of(problem)
        written = [row for follower in problem.followers for row in follower.written.constraints]
        rows, self._low, self._high = compilation.written_rows([*problem.constraints, *written])
        self._outputs, self._t = ca.vertcat(compilation.upper_objective, rows), ca.SX.sym("t")
        self._orders = _ORDERS
        self._symbols = [compilation.x, compilation.all_y]
        self._x = ca.DM([as_number(var, upper[var.name]) for var in problem.variables])
        self._names = [var.name for var in problem.lower_variables]
        self._y = ca.DM([lower.get(name, 0.0) for name in self._names])

    def falls(self, direction: list[tuple[Any, int]]) -> bool:
        """Whether F is proved to fall without end along it, and the rows to hold."""
        moves = ca.DM.zeros(len(self._names), 1)
        for var, sign in direction:
            moves[self._names.index(var.name)] = sign
        (along,) = ca.substitute([self._outputs], self._symbols, [ca.SX(self._x), self._y + moves * self._t])
        slopes = ca.jacobian(along, self._t)
        operations = set(Graph(ca.SX(0, 1), self._t, along).ops)
        if not operations.isdisjoint(_JUMPS):  # a derivative knows nothing of them
            return False
        self._orders = 1 if not operations.isdisjoint(KINKS) else _ORDERS
        return any(self._cost_falls(along[0], start) and self._hold(along, slopes, start) for start in _STARTS)

    def _cost_falls(self, cost: ca.SX, start: float) -> bool:
        tops = [self._ranges(cost, end)[0][1] for end in _FAR]
        if tops[1] < min(-tolerances.INFINITE, 2.0 * tops[0]):
            return True
        for _ in range(self._orders):
            cost = ca.jacobian(cost, self._t)
            if self._ranges(cost, start)[0][1] < -_FALLING:
                return True
        return False

    def _hold(self, along: ca.SX, slopes: ca.SX, start: float) -> bool:
        here = ca.Function("rows", [self._t], [along])(start).full()[1:, 0]
        ranges, moves = self._ranges(along, start)[1:], self._ranges(slopes, start)[1:]
        slack = tolerances.FEASIBILITY * np.array([tolerances.scale(low, high) for low, high in self._limits])
        for k, (low, high) in enumerate(self._limits):
            inside = low - slack[k] <= here[k] <= high + slack[k]
            rises, sinks = moves[k][0] >= 0.0, moves[k][1] <= 0.0
            kept = inside and (rises or low == -np.inf) and (sinks or high == np.inf)
            if not kept and not (low <= ranges[k][0] and ranges[k][1] <= high):
                return False
        return True

    @property
    def _limits(self) -> list[Interval]:
        return list(zip(self._low.tolist(), self._high.tolist(), strict=True))

    def _ranges(self, functions: ca.SX, start: float) -> list[Interval]:
        """Of some functions of t, for all t from there on."""
        graph = Graph(ca.SX(0, 1), self._t, functions)
        with np.errstate(all="ignore"):  # infinite ends meet
            found = graph.enclose([], [(start, np.inf)])
        return [found[node] for node in graph.outputs]


def _directions(riders: tuple[Any, ...]) -> Iterator[list[tuple[Any, int]]]:
    """One by one first, then together."""
    ends = [_signs(var) for var in riders]
    for var, signs in zip(riders, ends, strict=True):
        yield from ([(var, sign)] for sign in signs if sign)
    if 1 < len(riders) <= _TOGETHER:
        for signs in itertools.product(*ends):
            moving = [(var, sign) for var, sign in zip(riders, signs, strict=True) if sign]
            if len(moving) > 1:
                yield moving


def _signs(var: Any) -> tuple[int, ...]:
    low, high = numeric_bounds(var)
    return (0, *((-1,) if low is None else ()), *((1,) if high is None else ()))
