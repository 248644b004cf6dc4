"""How an active set changes in one place, with something else in exchange where it would not be regular.

Without what left, there may be a direction in which f is flat and all that is held stays held: the answer jumps along
it to the first bound or limit on its way, which is held instead. With what entered, what is held may be dependent: its
multipliers move along the dependence until the first of them is zero, which is let go.
"""

from __future__ import annotations

import math

import numpy as np

from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.solvers.homotopy.active_set import EQUAL, FREE, LOOSE, LOWER, RESTING, UPPER, ActiveSet, Lines


class SetChanges:
    """Changes an active set in place."""

    def __init__(self, of: ActiveSet) -> None:
        self._of = of

    def __call__(self, which: int, lines: Lines, s: float) -> None:
        """Take or leave what a margin stands for; where the set would not be regular, something else in exchange."""
        n = self._of.program.n
        if which < 2 * n:
            j, side = which % n, (LOWER, UPPER)[which // n]
            if self._of.at[j] == FREE:
                self._enter(j, None, side, lines, s)
            else:
                start = self._of.at[j] if self._of.at[j] != RESTING else side
                self._leave(j, None, -1.0 if start == UPPER else 1.0, lines, s)
        else:
            i, side = (which - 2 * n) % self._of.program.m, (LOWER, UPPER)[(which - 2 * n) // self._of.program.m]
            if self._of.row_at[i] == LOOSE:
                self._enter(None, i, side, lines, s)
            else:
                self._leave(None, i, -1.0 if side == UPPER else 1.0, lines, s)

    def _leave(self, j: int | None, i: int | None, way: float, lines: Lines, s: float) -> None:
        """Free a variable, or let go of a row; ``way`` is where its value may go."""
        if j is not None:
            self._of.at[j] = FREE
        if i is not None:
            self._of.row_at[i] = LOOSE
        if self._of.take():
            return
        flat = self._of.set.flat()
        if flat is None:
            raise RefusedError(f"the answer is far from being the only one at {s:.9g} of the way")
        direction = np.zeros(self._of.program.n)
        direction[self._of.set.free] = flat
        moved = self._of.program.matrix @ direction
        own = direction[j] if j is not None else moved[i]
        if own * way < 0.0:
            direction, moved = -direction, -moved
        self._jump(direction, moved, lines, s)

    def _jump(self, direction: Array, moved: Array, lines: Lines, s: float) -> None:
        """Go along a direction in which f is flat to the first bound or limit, and hold that."""
        program = self._of.program
        z, body = lines.z[0] + s * lines.z[1], lines.body[0] + s * lines.body[1]
        low, high = program.low[0] + s * program.low[1], program.high[0] + s * program.high[1]
        free, loose = self._of.at == FREE, self._of.row_at == LOOSE
        lengths = np.full(2 * (program.n + program.m), math.inf)
        n, m = program.n, program.m
        tiny = 1e-12 * float(np.abs(direction).max())
        with np.errstate(divide="ignore", invalid="ignore"):
            lengths[:n] = np.where(free & (direction < -tiny), (program.lower - z) / direction, math.inf)
            lengths[n : 2 * n] = np.where(free & (direction > tiny), (program.upper - z) / direction, math.inf)
            lengths[2 * n : 2 * n + m] = np.where(loose & (moved < -tiny), (low - body) / moved, math.inf)
            lengths[2 * n + m :] = np.where(loose & (moved > tiny), (high - body) / moved, math.inf)
        lengths = np.maximum(lengths, 0.0)  # what it came from lies behind it
        first = int(lengths.argmin())
        if not math.isfinite(lengths[first]):
            raise RefusedError(f"the follower has no answer, or a ray of them, at {s:.9g} of the way")
        self._of.hold(first)
        if not self._of.take():
            raise RefusedError(f"the answer is far from being the only one at {s:.9g} of the way")

    def _enter(self, j: int | None, i: int | None, side: int, lines: Lines, s: float) -> None:
        """Hold a variable at a bound, or a row at a limit."""
        if j is not None:
            self._of.at[j] = side
        if i is not None:
            self._of.row_at[i] = EQUAL if self._of.program.equal[i] else side
        if self._of.take():
            return
        weights = self._of.set.dependence()
        if weights is None:
            raise RefusedError(f"more than one thing at once is dependent at {s:.9g} of the way")
        program = self._of.program
        rows = np.zeros(program.m)
        rows[self._of.set.held] = weights
        slope = rows @ program.matrix
        slope[self._of.at == FREE] = 0.0
        wanted = 1.0 if side == UPPER else -1.0  # the sign of the multiplier of what enters, on its own side
        own = rows[i] if i is not None else -slope[j]
        if own * wanted < 0.0:
            rows, slope = -rows, -slope
        self._exchange(rows, slope, lines, s, (j, i))

    def _exchange(self, rows: Array, slope: Array, lines: Lines, s: float, new: tuple[int | None, int | None]) -> None:
        """Move the multipliers along a dependence until one is zero, and let go of that."""
        at, row_at = self._of.at, self._of.row_at
        now, weights = lines.slope[0] + s * lines.slope[1], lines.rows[0] + s * lines.rows[1]
        n = self._of.program.n
        margin = np.concatenate([np.where(at == LOWER, now, -now), np.where(row_at == UPPER, weights, -weights)])
        rate = np.concatenate([np.where(at == LOWER, slope, -slope), np.where(row_at == UPPER, rows, -rows)])
        may = np.concatenate([np.isin(at, (LOWER, UPPER)), np.isin(row_at, (LOWER, UPPER))])
        if new[0] is not None:
            may[new[0]] = False
        if new[1] is not None:
            may[n + new[1]] = False
        tiny = 1e-12 * max(float(np.abs(rate).max(initial=0.0)), 1e-300)
        lengths = np.full(len(rate), math.inf)
        falling = may & (rate < -tiny)
        lengths[falling] = np.maximum(-margin[falling] / rate[falling], 0.0)
        first = int(lengths.argmin())
        if not math.isfinite(lengths[first]):
            raise RefusedError(f"the follower has no answer beyond {s:.9g} of the way")
        if first < n:
            at[first] = FREE
        else:
            row_at[first - n] = LOOSE
        if not self._of.take():
            raise RefusedError(f"more than one thing at once is dependent at {s:.9g} of the way")
