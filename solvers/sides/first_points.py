"""Bilevel-feasible points, quickly: a penalty on the duality gap, and steps from one optimal basis to the next.

With multipliers mu fixed, ``sum_i mu_i s_i(x, y)`` is the gap between f and its dual: a linear function of (x, y). With
(x, y) fixed it is one of mu. Minimising ``F + rho`` times the gap in the two alternately, for a growing rho, ends at
points where it is zero, which are bilevel feasible (the penalty alternating direction method of Kleinert and Schmidt
2021, doi 10.1287/ijoc.2019.0945, who find points near the optimum in seconds where global methods have none).

From there a local search: with the sides that carry a multiplier held active, F is minimised over the rest, which stays
bilevel feasible; at the optimum another set of multipliers may do, without a side that F wants to leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from bilevel.arrays import Array
from bilevel.solvers.sides.follower_sides import Sides
from bilevel.solvers.sides.hot_program import HotProgram
from bilevel.solvers.sides.multiplier_cone import CARRIES, MultiplierCone
from bilevel.solvers.sides.tree import hold

_PENALTIES = 24
_GROWTH = 2.0
_ALTERNATIONS = 6
_NO_GAP = 1e-8
_STEPS = 60  # of the local search
_TRIED = 25  # sides that F wants to leave, at each
_BETTER = 1e-7


class FirstPoints:
    """Looks for good points of one problem.

    Parameters
    ----------
    program : HotProgram
        The high-point problem, a copy that nobody else solves.
    sides, cone : Sides, MultiplierCone
        Of its followers.
    more : callable
        Whether there is time.
    """

    def __init__(self, program: HotProgram, sides: Sides, cone: MultiplierCone, more: Callable[[], bool]) -> None:
        self._program, self._sides, self._cone, self._more = program, sides, cone, more
        self._cost = program.cost.copy()
        self._held: frozenset[int] = frozenset()

    def points(self, seed: int, count: int) -> Iterator[Array]:
        """Points to ask the follower at: of the relaxation, then of penalties from it and from tilted ones."""
        rng = np.random.default_rng(seed)
        size = float(np.abs(self._cost).max(initial=0.0)) or 1.0
        for k in range(count):
            tilt = size * rng.standard_normal(len(self._cost)) if k else 0.0
            point = self._solved(self._cost + tilt, frozenset())
            if point is None:
                return
            if k == 0:
                yield point
            found = self._alternating(point)
            if found is not None:
                yield self.improved(found)
            if not self._more():
                return

    def improved(self, point: Array) -> Array:
        """The end of the local search from a point that is bilevel feasible, or nearly so."""
        inactive = ~self._sides.active(self._program.values(point))
        multipliers = self._cone.carried(inactive, ())
        best = None if multipliers is None else self._on(multipliers)
        for _ in range(_STEPS):
            better = self._left(best) if best is not None and self._more() else None
            if better is None:
                break
            best = better
        return point if best is None else best

    def _alternating(self, point: Array) -> Array | None:
        """A point without a gap, from a point of the relaxation."""
        size = float(np.abs(self._cost).max(initial=0.0)) or 1.0
        scale = 1e-2
        for _ in range(_PENALTIES):
            gap = math.inf
            for _ in range(_ALTERNATIONS):
                slacks = np.maximum(self._sides.slacks(self._program.values(point)), 0.0) / self._sides.sizes
                _, multipliers = self._cone.least(slacks, ())
                if multipliers is None or not self._more():
                    return None
                new = float(multipliers @ slacks)
                if new <= _NO_GAP * max(1.0, float(multipliers.max(initial=0.0))):
                    return point
                if new >= gap * (1.0 - 1e-4):
                    break
                gap = new
                moved = self._solved(self._cost + size * scale * self._slope_of(multipliers), frozenset())
                if moved is None:
                    return None
                point = moved
            scale *= _GROWTH
        return None

    def _slope_of(self, multipliers: Array) -> Array:
        """The gap's gradient in the program's variables."""
        sides, m = self._sides, self._program.matrix.shape[0]
        weights = np.zeros(m + len(self._cost))
        np.add.at(weights, sides.places, -sides.signs * multipliers / sides.sizes)
        slope: Array = self._program.matrix.T @ weights[:m] + weights[m:]
        return slope

    def _on(self, multipliers: Array) -> Array | None:
        """The best point at which these multipliers vanish on inactive sides."""
        return self._solved(self._cost, frozenset(np.flatnonzero(multipliers > CARRIES).tolist()))

    def _left(self, point: Array) -> Array | None:
        """A better point from other multipliers at this one, the optimum of the sides that are held; None without."""
        sides = self._sides
        duals = np.concatenate(self._program.dual_values())
        held = np.array(sorted(self._held), dtype=int)
        wish = sides.signs[held] * duals[sides.places[held]]
        inactive = ~sides.active(self._program.values(point))
        before, here = self._held, float(self._cost @ point)
        for k in held[np.argsort(-wish)][: min(_TRIED, int((wish > 1e-9).sum()))].tolist():
            multipliers = self._cone.carried(inactive, (k,))
            if multipliers is None or not self._more():
                continue
            found = self._on(multipliers)
            if found is not None and float(self._cost @ found) < here - _BETTER * max(1.0, abs(here)):
                return found
        self._solved(self._cost, before)
        return None

    def _solved(self, cost: Array, active: frozenset[int]) -> Array | None:
        hold(self._program, self._sides, self._held, active)
        self._held = active
        self._program.change_cost(cost)
        return self._program.solve().point
