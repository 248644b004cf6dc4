"""Branch and bound for linear levels whose followers decide integers: on what an optimal answer must meet.

A node is the linear relaxation of both levels under some bounds. Where its optimum bears an improving direction of the
follower, or an answer of his that is better, the node is branched on the alternatives that this leaves
(:mod:`bilevel.solvers.branching.clauses`), each without the ones before; else on a fraction. No number is ever made up
for it: every alternative is a bound, where rows with big-M values would be as loose as the ranges are wide. Points come
from the follower's true answer at the x of some nodes.

All branches are over whole numbers within finite ranges, so the tree ends.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.programs.answer import Status
from bilevel.solvers.branching.clauses import Clause, Limit, no_better, no_step
from bilevel.solvers.branching.directions import Directions
from bilevel.solvers.branching.integer_levels import IntegerLevels
from bilevel.solvers.branching.relaxation import Ends, Relaxation

_EVERY, _RARER = 4, 1.1  # fractional nodes between two at whose rounded x the followers are asked, more as they go on
_FEW = 2  # alternatives with which no better clause is looked for


class Asked(NamedTuple):
    """What the followers said at an x: F of the leader's favourite answer, and the answers by name, none if unknown."""

    value: float
    answers: dict[str, Array]


class Node(NamedTuple):
    """A node by the limits that lead to it; ordered by its bound, deeper ones first."""

    bound: float
    height: int
    number: int
    limits: tuple[Limit, ...]


class Tree:
    """The tree of one problem.

    Parameters
    ----------
    levels : IntegerLevels
        The problem.
    ask : callable
        The followers' true answer at the x of a vector of all variables.
    left : callable
        Seconds left.
    cut : callable, optional
        The row ``row . v >= low`` that holds at every bilevel-feasible point, because of an answer of the follower's.
    """

    def __init__(
        self,
        levels: IntegerLevels,
        ask: Callable[[Array], Asked],
        left: Callable[[], float],
        cut: Callable[[Array], tuple[Array, float]] | None = None,
    ) -> None:
        self._levels, self._ask, self._left, self._cut = levels, ask, left, cut
        self._relaxation = Relaxation(levels)
        self._directions = {
            name: Directions(follower, levels.lower[follower.places], levels.upper[follower.places])
            for name, follower in levels.followers.items()
        }
        self._numbers = itertools.count()
        self._heap = [Node(-math.inf, 0, 0, ())]
        self._asked: dict[tuple[float, ...], Asked] = {}
        self._fractional, self._next_try = 0, 1
        self._alone = _rows_of_the_leader(levels)
        self._open = math.inf  # the least bound of nodes on which no word could be had
        self.best = math.inf

    @property
    def bound(self) -> float:
        """On F, proved so far."""
        if not math.isfinite(self.best):
            return min(self._open, math.inf if self.done else self._heap[0].bound)
        gap = tolerances.GLOBAL_GAP * tolerances.scale(self.best)
        least = self.best if self._levels.spacing > 2.0 * gap else self.best - gap
        return min(least, self._open, math.inf if self.done else self._heap[0].bound)

    @property
    def done(self) -> bool:
        """Whether nothing is left to branch on."""
        return not self._heap or self._heap[0].bound >= self._cutoff

    @property
    def _cutoff(self) -> float:
        """From here on a node cannot hold anything better: the values of F may be a step apart."""
        if not math.isfinite(self.best):
            return math.inf
        gap = tolerances.GLOBAL_GAP * tolerances.scale(self.best)
        return self.best - max(gap, self._levels.spacing - gap)

    def step(self) -> bool:
        """One node; False where the root's relaxation has no optimum, so that this is no tree for it."""
        node = heapq.heappop(self._heap)
        ends = self._relaxation.ends(node.limits)
        if ends is None or node.bound >= self._cutoff:
            return True
        status, value, v = self._relaxation.solve(ends, self._left())
        if status is Status.FAILED:
            self._open = min(self._open, node.bound)
            return bool(node.limits)
        value += self._levels.constant
        if status is Status.OPTIMAL and value < self._cutoff:
            self._branch(node, ends, max(value, node.bound), v)
        return True

    def _branch(self, node: Node, ends: Ends, value: float, v: Array) -> None:
        whole = np.abs(v - np.round(v))[self._levels.integer].max(initial=0.0) <= tolerances.INTEGRALITY
        v = np.where(self._levels.integer & whole, np.round(v), v)
        reach = self._relaxation.reach(ends)
        clause = self._step_clause(ends, reach, v)
        if clause is None and whole:
            clause = self._answer_clause(ends, reach, value, v)
            if clause is None:
                return
        elif clause is None:
            clause = self._found_clause(ends, reach, v) or self._fraction(v)
        earlier: tuple[Limit, ...] = ()
        for limit in clause:
            limits = (*node.limits, *earlier, limit)
            heapq.heappush(self._heap, Node(value, node.height - 1, next(self._numbers), limits))
            earlier = (*earlier, limit.opposite())

    def _step_clause(self, ends: Ends, reach: tuple[Array, Array], v: Array) -> Clause | None:
        """The shortest clause of a known direction that the point bears."""
        best: Clause | None = None
        for name, follower in self._levels.followers.items():
            used = self._levels.matrix[follower.used] @ v
            for direction in self._directions[name].open_at(v[follower.places], used):
                clause = live(no_step(follower, direction), ends, reach)
                if clause is not None and (best is None or len(clause) < len(best)):
                    best = clause
                if best is not None and len(best) <= _FEW:
                    return best
        return best

    def _found_clause(self, ends: Ends, reach: tuple[Array, Array], v: Array) -> Clause | None:
        for name, follower in self._levels.followers.items():
            used = self._levels.matrix[follower.used] @ v
            direction = self._directions[name].found_at(v[follower.places], used)
            if direction is not None:
                return live(no_step(follower, direction), ends, reach)
        return None

    def _answer_clause(self, ends: Ends, reach: tuple[Array, Array], value: float, v: Array) -> Clause | None:
        """What the followers' true answers forbid of a whole point; None where the node is done."""
        asked = self._at(v)
        gap = tolerances.GLOBAL_GAP * tolerances.scale(value)
        leader = self._levels.leader
        if asked.value <= value + gap or (ends.lower[leader] == ends.upper[leader]).all():
            if not asked.answers:
                self._open = min(self._open, value)
            return None
        found = []
        for name, answer in asked.answers.items():
            follower = self._levels.followers[name]
            direction = np.round(answer) - v[follower.places]
            if follower.slope @ direction < 0.0:
                self._directions[name].learn(direction)
                clauses = no_better(follower, np.round(answer)), no_step(follower, direction)
                found += [clause for clause in (live(c, ends, reach) for c in clauses) if clause is not None]
        if not found:  # every follower answers as here, and yet F is not what it is here
            self._open = min(self._open, value)
            return None
        return min(found, key=len)

    def _fraction(self, v: Array) -> Clause:
        """Down or up, for the variable that is farthest from a whole number; now and then the followers are asked."""
        self._fractional += 1
        if self._fractional >= self._next_try:
            self._next_try = math.ceil(_RARER * self._fractional) + _EVERY
            self._try(v)
        away = np.where(self._levels.integer, np.abs(v - np.round(v)), 0.0)
        k = int(np.argmax(away))
        below = Limit(False, k, -1, float(np.floor(v[k])))
        return (below, below.opposite())

    def _try(self, v: Array) -> None:
        """Ask at the rounded x, where the leader's own rows allow it."""
        near = np.where(self._levels.integer, np.round(v), v)
        rows, low, high = self._alone
        takes = rows @ near
        if (takes >= low - tolerances.FEASIBILITY).all() and (takes <= high + tolerances.FEASIBILITY).all():
            self._at(near)

    def _at(self, v: Array) -> Asked:
        key = tuple(v[self._levels.leader].tolist())
        if key not in self._asked:
            self._asked[key] = self._ask(v)
            self.best = min(self.best, self._asked[key].value)
            if self._cut is not None:
                for answer in self._asked[key].answers.values():
                    self._relaxation.cut(*self._cut(np.round(answer)))
        return self._asked[key]


def _rows_of_the_leader(levels: IntegerLevels) -> tuple[Array, Array, Array]:
    """The rows over x alone, and their ends."""
    others = np.setdiff1d(np.arange(len(levels.slope)), levels.leader)
    alone = np.flatnonzero(~levels.matrix[: levels.plain][:, others].any(axis=1))
    return levels.matrix[alone], levels.low[alone], levels.high[alone]


def live(clause: Clause, ends: Ends, reach: tuple[Array, Array]) -> Clause | None:
    """The alternatives that a node's bounds leave; None where one of them holds all over it."""
    kept: list[Limit] = []
    for limit in clause:
        least, most = (side[limit.place] for side in (reach if limit.row else (ends.lower, ends.upper)))
        if (least if limit.sign > 0 else -most) >= limit.sign * limit.end - tolerances.INTEGRALITY:
            return None
        if (most if limit.sign > 0 else -least) >= limit.sign * limit.end - tolerances.INTEGRALITY:
            kept.append(limit)
    return tuple(kept)
