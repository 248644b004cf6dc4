"""From a point to the active set of the optimum: guesses for all coefficients at once, and descents where they fail.

A guess is a step of a semismooth Newton method (Hintermueller, Ito and Kunisch 2003): from an answer nearby a few of
them settle. Where they do not, sets change so that f falls each time (the feature-sign search, Lee, Battle, Raina and
Ng 2007; Lawson and Hanson 1974 for bounds), which ends because no set returns. The columns of the free coefficients
stay independent: where they are not, a step along which the data see nothing brings one of them to rest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.solvers.engines.active_sets.pieces import HIGH, LOW, ZERO, Pieces, State
from bilevel.solvers.engines.active_sets.unit_columns import UnitColumns

_GUESSES = 15
_MOST_AT_ONCE = 64
_STALLED = 12
_CURVED = 1e-20  # of a direction of length one: below it the data see nothing along it


class Search:
    """One search.

    Parameters
    ----------
    of : UnitColumns
        What is minimised, but for
    pieces : Pieces
        the penalties and bounds.
    tolerance : float
        Pulls below this are none.
    """

    def __init__(self, of: UnitColumns, pieces: Pieces, tolerance: float) -> None:
        self._of, self._pieces, self._tolerance = of, pieces, tolerance

    def guessed(self, z: Array) -> Array | None:
        """The optimum by sweeps over all coefficients; None where they do not settle."""
        state, z, seen = self._pieces.state(z), z.copy(), set()
        for _ in range(_GUESSES):
            free = np.flatnonzero(np.abs(state) == 1)
            target = self.stationary(z, state, free)
            if target is None:
                return None
            low, high = self._pieces.segment(state, free)
            at = target[free]
            out = (at < low) | (at > high)
            excess, side = self._excess(state, self._of.slope(target))
            enters = excess > 0.0
            if not out.any() and not enters.any():
                return target
            key = state.tobytes()
            if key in seen:
                return None
            seen.add(key)
            ends = np.where(at < low, low, high)[out]
            self._pieces.rest(state, free[out], ends)
            z = target
            z[free[out]] = ends
            state[enters] = side[enters]
        return None

    def descended(self, z: Array) -> Array | None:
        """The optimum by steps along which f falls; None where they get nowhere."""
        z, state = z.copy(), self._pieces.state(z)
        most, best, stalled = 1, math.inf, 0
        barred = np.zeros(len(z), dtype=bool)
        for _ in range(200 + 20 * len(z)):
            if not self._settle(z, state):
                return None
            excess, side = self._excess(state, self._of.slope(z))
            objective = self._of.objective(z)
            stalled = 0 if objective < best else stalled + 1
            best = min(best, objective)
            if not (excess > 0.0).any() or stalled > _STALLED:
                return z
            if stalled == 0:
                barred[:] = False
            wanting = np.flatnonzero((excess > 0.0) & ~barred)
            if not len(wanting):
                return z
            order = wanting[np.argsort(-excess[wanting], kind="stable")]
            if most > 1 and self._several(z, state, order[:most], side):
                most = min(2 * most, _MOST_AT_ONCE)
                continue
            most = 2
            barred[order[0]] = True
            if not self._enter(z, state, int(order[0]), int(side[order[0]])):
                return None
        return None

    def _excess(self, state: State, slope: Array) -> tuple[Array, State]:
        up, down = self._pieces.pulls(state, slope)
        excess = np.maximum(up, down)
        excess[excess <= self._tolerance] = 0.0
        excess[self._of.flat] = 0.0
        side = np.where(state == LOW, -1, np.where(state == HIGH, 1, np.where(up >= down, 1, -1)))
        return excess, side.astype(np.int8)

    def stationary(self, z: Array, state: State, free: NDArray[np.int_]) -> Array | None:
        """The point at which the free coefficients are stationary, wherever that is; None where several are."""
        factor = self._of.factor(free)
        if factor is None:
            return None
        target, bend = z.copy(), self._pieces.slopes(state, free)
        for _ in range(2 if factor.shaky else 1):
            if len(free):
                target[free] -= factor.solve(self._of.slope(target)[free] + bend)
        return target

    def _several(self, z: Array, state: State, places: NDArray[np.int_], side: State) -> bool:
        """Free several coefficients at once; False, and nothing has changed, where that leads nowhere."""
        before, kept = state.copy(), z.copy()
        state[places] = side[places]
        independent = self._of.factor(np.flatnonzero(np.abs(state) == 1)) is not None
        if independent and self._settle(z, state) and (state != before).any():
            return True
        state[:], z[:] = before, kept
        return False

    def _settle(self, z: Array, state: State) -> bool:
        """Move the free coefficients to where they are stationary, those that meet an end coming to rest there."""
        for _ in range(2 * len(z) + 1):  # each step but the last puts one to rest
            free = np.flatnonzero(np.abs(state) == 1)
            target = self.stationary(z, state, free)
            if target is None:
                if not self._thinned(z, state, free):
                    return False
            elif not self._step(z, state, free, target[free] - z[free], 1.0):
                return True
        return False

    def _thinned(self, z: Array, state: State, free: NDArray[np.int_]) -> bool:
        """Bring one of several dependent coefficients to rest, along a direction in which f does not rise."""
        direction = self._of.silent(free)
        if direction is None:
            return False
        slope = float((self._of.slope(z)[free] + self._pieces.slopes(state, free)) @ direction)
        if slope > 0.0:
            direction = -direction
        if self._step(z, state, free, direction, math.inf):
            return True
        if abs(slope) > self._tolerance * float(np.abs(direction).sum()):
            return False  # f falls for ever
        if self._step(z, state, free, -direction, math.inf):
            return True
        dropped = int(np.argmax(np.abs(direction)))  # nothing is in the way: the one that is zero is as good as any
        z[free] -= (z[free[dropped]] / direction[dropped]) * direction
        z[free[dropped]] = 0.0
        state[free[dropped]] = ZERO
        return True

    def _enter(self, z: Array, state: State, place: int, side: int) -> bool:
        """Free one coefficient, along a direction without curvature where its column depends on the others'."""
        free = np.flatnonzero(np.abs(state) == 1)
        way = float(side if state[place] == ZERO else -side)
        state[place] = side
        both = np.append(free, place)
        if self._of.factor(np.sort(both)) is not None:
            return True
        factor = self._of.factor(free)
        if factor is None:
            return False
        direction = np.full(len(both), way)
        direction[:-1] = factor.solve(-way * self._of.block(free, both[-1:])[:, 0]) if len(free) else 0.0
        columns = self._of.columns(both)
        if len(free) and factor.shaky:
            direction[:-1] -= factor.solve(columns[:, :-1].T @ (columns @ direction))
        curved = float(np.square(columns @ direction).sum()) / float(direction @ direction)
        slope = self._of.slope(z)[both] + self._pieces.slopes(state, both)
        falls = -float(slope @ direction)
        if falls <= 0.0:
            self._pieces.rest(state, both[-1:], z[both[-1:]])
            return True
        longest = falls / (curved * float(direction @ direction)) if curved > _CURVED else math.inf
        return self._step(z, state, both, direction, longest)

    def _step(self, z: Array, state: State, free: NDArray[np.int_], direction: Array, longest: float) -> bool:
        """Go along a direction to the first end that is met; whether one was, before the longest step."""
        low, high = self._pieces.segment(state, free)
        end = np.where(direction > 0.0, high, low)
        with np.errstate(divide="ignore", invalid="ignore"):
            lengths = np.where(direction == 0.0, math.inf, np.maximum((end - z[free]) / direction, 0.0))
        length = float(lengths.min(initial=math.inf))
        if length >= longest:
            z[free] += longest * direction
            return False
        if not math.isfinite(length):
            return False
        met = lengths <= length * (1.0 + 1e-14)
        z[free] += length * direction
        z[free[met]] = end[met]
        self._pieces.rest(state, free[met], end[met])
        return True
