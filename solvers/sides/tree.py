"""Branch and bound over the sides that carry the follower's optimum.

A node is the high-point problem with some sides held active, and some multipliers zero. Its linear program bounds F
(:mod:`~bilevel.solvers.sides.hot_program`). Where the point it gives is no answer of the follower, a set of sides is
known of which one must be active (:mod:`~bilevel.solvers.sides.multiplier_cone`); child k holds the k-th of them
active, with the multipliers of the earlier ones zero, so that children do not overlap. The set is chosen so that its
cheapest child is as dear as can be: what a side costs is guessed from what it cost before (pseudo-costs; Benichou et
al. 1971, doi 10.1007/BF01584074), and the guesses that decide are looked up by solving the child (strong branching),
until the set is one of known costs.

Neither points nor emptiness are believed here: whoever runs the tree asks the follower at the points it suggests, and
a node that can be neither closed nor branched on keeps its bound in the tree's for good.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.solvers.sides.follower_sides import Sides
from bilevel.solvers.sides.hot_program import HotProgram, Solved
from bilevel.solvers.sides.multiplier_cone import CARRIES, MultiplierCone

_LOOKS = 12  # times that the dearest set is chosen anew at a node
_HOPE = 1.5  # what is unknown counts for more than it did on average: it is looked up before it is left out
_FAR = 1e6  # a child that is empty costs no more than this


@dataclass(frozen=True)
class Node:
    """What is settled: sides held active, and sides whose multipliers are zero.

    Attributes
    ----------
    bound : float
        On F, of its parent or its own.
    active, idle : frozenset of int
        These sides.
    basis : HighsBasis or None
        Where to start from.
    """

    bound: float
    active: frozenset[int] = frozenset()
    idle: frozenset[int] = frozenset()
    basis: Any = None


class Tree:
    """Searches while there are nodes.

    Parameters
    ----------
    program : HotProgram
        The high-point problem.
    sides : Sides
        Of its followers.
    cone : MultiplierCone
        Of the same.
    suggest : callable
        Is given points of the program that may be answers, and gives what a bound has to reach for a node to be closed.
    """

    def __init__(
        self, program: HotProgram, sides: Sides, cone: MultiplierCone, suggest: Callable[[Array | None], float]
    ) -> None:
        self._program, self._sides, self._cone, self._suggest = program, sides, cone, suggest
        self._heap: list[tuple[float, int, Node]] = [(-math.inf, 0, Node(-math.inf))]
        self._count = itertools.count(1)
        self._held: frozenset[int] = frozenset()
        self._floor = math.inf  # the least bound of what was closed, or could not be
        self._gain, self._times = np.zeros(len(sides)), np.zeros(len(sides))
        self._current: Node | None = None
        ends = list(zip(sides.places.tolist(), sides.signs.tolist(), strict=True))
        same = {end: k for k, end in enumerate(ends)}
        self._opposite = [same.get((place, -sign), -1) for place, sign in ends]
        self.nodes = 0
        self.undecided = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return not self._heap and self._current is None

    @property
    def bound(self) -> float:
        """No bilevel-feasible point has a smaller F, so far as is proved."""
        least = self._heap[0][0] if self._heap else math.inf
        current = self._current.bound if self._current is not None else math.inf
        return min(least, current, self._floor)

    def step(self) -> None:
        """One node: the child that the last one went on with, or the best of those that wait."""
        node = self._current or heapq.heappop(self._heap)[2]
        self._current = node  # an interruption loses nothing
        self._current = self._treat(node)

    def _treat(self, node: Node) -> Node | None:
        """Close a node, or branch on it; the child to go on with."""
        target = self._suggest(None)
        if node.bound >= target:
            self._floor = min(self._floor, node.bound)
            return None
        self.nodes += 1
        self._hold(node.active)
        if node.basis is not None:
            self._program.basis = node.basis
        solved = self._program.solve()
        node = Node(max(node.bound, solved.bound), node.active, node.idle, self._program.basis)
        if node.bound >= target or solved.point is None:
            self._close(node, target)
            return None
        values = self._program.values(solved.point)
        inactive = ~self._sides.active(values)
        inactive[list(node.active)] = False
        if self._cone.carried(inactive, node.idle) is not None:
            target = self._suggest(solved.point)
            self._hold(node.active)
            if node.bound >= target:
                self._close(node, target)
                return None
        return self._branch(node, self._sides.slacks(values), inactive, target)

    def _close(self, node: Node, target: float) -> None:
        self._floor = min(self._floor, node.bound)
        self.undecided += node.bound < target

    def _branch(self, node: Node, slacks: Array, inactive: NDArray[np.bool_], target: float) -> Node | None:
        found = self._dearest(node, slacks, inactive, target)
        children = self._halves(node, inactive) if found is None else self._children(node, *found)
        if children is None:
            self._close(node, target)
            return None
        waiting = children[:-1] if children and children[-1].bound < target else children
        for child in waiting:
            if child.bound >= target:
                self._floor = min(self._floor, child.bound)
            else:
                heapq.heappush(self._heap, (child.bound, next(self._count), child))
        return children[-1] if len(waiting) < len(children) else None

    def _children(self, node: Node, sides: list[int], costs: dict[int, float]) -> list[Node]:
        """The dearest first, whose multipliers are zero in the others; none where a node is empty."""
        children, idle = [], set(node.idle)
        for side in sorted(sides, key=lambda k: -costs[k]):
            bound = node.bound + costs[side] if costs[side] > 0 else node.bound
            children.append(Node(bound, node.active | {side}, frozenset(idle), node.basis))
            idle.add(side)
        return children

    def _halves(self, node: Node, inactive: NDArray[np.bool_]) -> list[Node] | None:
        """One pair settled: the side that carries most though it is not active. None where there is none."""
        _, multipliers = self._cone.least(inactive.astype(float), node.idle)
        if multipliers is None:
            return None
        carried = np.where(inactive, multipliers, 0.0)
        side = int(carried.argmax()) if len(carried) else 0
        if not carried.any() or carried[side] <= CARRIES:
            return None
        return [
            Node(node.bound, node.active | {side}, node.idle, node.basis),
            Node(node.bound, node.active, node.idle | {side}, node.basis),
        ]

    def _dearest(
        self, node: Node, slacks: Array, inactive: NDArray[np.bool_], target: float
    ) -> tuple[list[int], dict[int, float]] | None:
        """A set of sides of which one is active, and what each costs so far as is proved; None where there is none."""
        allowed = inactive.copy()
        allowed[list(node.idle)] = False
        most = min(target - node.bound, _FAR)
        guess = np.minimum(self._guess() * np.where(np.isfinite(slacks), np.maximum(slacks, 0.0), 1.0), most)
        costs: dict[int, float] = {}
        for _ in range(_LOOKS):
            found = self._cone.blocking(guess, allowed, node.idle)
            if found is None or any(not allowed[k] for k in found[0]):
                return None
            sides = found[0]
            unknown = [k for k in sides if k not in costs]
            if not unknown:
                break
            for k in unknown:
                costs[k] = self._look(k, node, float(slacks[k]))
                guess[k] = min(max(costs[k], 0.0), most)
        return sides, {k: costs.get(k, 0.0) for k in sides}

    def _guess(self) -> Array:
        """What a unit of slack cost on average."""
        overall = self._gain.sum() / max(self._times.sum(), 1.0)
        known = self._times > 0
        mean = np.divide(self._gain, self._times, out=np.full(len(self._gain), max(overall, 1e-3) * 4.0), where=known)
        guess: Array = _HOPE * mean
        return guess

    def _look(self, side: int, node: Node, slack: float) -> float:
        """What it costs to hold one more side active; 0 where nothing is proved, infinite where there is no point."""
        if self._opposite[side] in node.active:
            return math.inf
        self._hold(node.active | {side})
        self._program.basis = node.basis
        solved: Solved = self._program.solve()
        self._hold(node.active)
        if not math.isfinite(solved.bound):
            return solved.bound if solved.bound > 0 else 0.0
        cost = max(solved.bound - node.bound, 0.0)
        self._gain[side] += cost / max(slack, 1e-9)
        self._times[side] += 1.0
        return cost

    def _hold(self, active: frozenset[int]) -> None:
        """Hold these sides active and no others."""
        hold(self._program, self._sides, self._held, active)
        self._held = active


def hold(program: HotProgram, sides: Sides, before: frozenset[int], active: frozenset[int]) -> None:
    """Hold sides active in place of others."""
    dropped = {int(sides.places[k]) for k in before - active}
    for place in dropped:
        program.release(place)
    for k in active - before if not dropped else active:
        place, limit = int(sides.places[k]), float(sides.limits[k])
        program.limit(place, limit, limit)
