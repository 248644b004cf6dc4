"""The answers of a parametric quadratic program from s = 0 to s = 1, piece by piece: a parametric active-set method.

On a piece the working set stays, and the answer and its multipliers are linear in s. A piece ends where a free variable
meets a bound, a row its limit, or a multiplier zero (Best 1996; for the lasso Osborne, Presnell and Turlach 2000, Efron
et al. 2004; for the support vector machine Hastie, Rosset, Tibshirani and Zhu 2004). There the set changes in that
place. Where several things happen at one s, those that the next piece would break are changed one after the other, the
first of them first (Murty 1974, *Opsearch* 11, 123-130): s moves on only once nothing would be broken, and where that
does not come about after many changes the path is given up, never guessed.

If a set ceases to be regular, the answer jumps along the direction in which f is flat until something new is met, or
the multipliers move along the dependence until one of them is zero.

The first answer is found by the same: costs and limits are set such that a given point is the answer, and lead from
there to what they are in a straight line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bilevel.arrays import Array
from bilevel.deadline import look
from bilevel.errors import RefusedError
from bilevel.solvers.homotopy.active_set import EQUAL, FIXED, LOOSE, LOWER, RESTING, UPPER, ActiveSet, Sides
from bilevel.solvers.homotopy.parametric_program import ParametricProgram
from bilevel.solvers.homotopy.set_changes import SetChanges

_CLOSE = 1e-10  # within this of zero, relative to its size, a slack or a multiplier is zero
_MOST_CHANGES = 50  # at one s, for every variable and row that could change there
_MOST_PIECES = 100_000


@dataclass(frozen=True, eq=False)
class Piece:
    """From ``start`` to ``end`` the answer is ``z[0] + s z[1]``, the rows' multipliers ``rows[0] + s rows[1]``.

    Attributes
    ----------
    z : ndarray of shape (2, n)
    rows : ndarray of shape (2, m)
    at, row_at : ndarray of int8, shapes (n,) and (m,)
        Where variables and rows are.
    """

    start: float
    end: float
    z: Array
    rows: Array
    at: Sides
    row_at: Sides

    @property
    def mirrored(self) -> Piece:
        """The same with ``1 - s`` as the parameter."""
        z, rows = (np.stack([pair[0] + pair[1], -pair[1]]) for pair in (self.z, self.rows))
        return Piece(1.0 - self.end, 1.0 - self.start, z, rows, self.at, self.row_at)


class PathFollowing:
    """Follows one program.

    Parameters
    ----------
    program : ParametricProgram
        Convex, on s from 0 to 1.

    Raises
    ------
    RefusedError
        If the path cannot be followed; the message says where it ends.
    """

    def __init__(self, program: ParametricProgram) -> None:
        self.program = program
        z = np.clip(np.zeros(program.n), program.lower, program.upper)
        at = np.where(z == program.lower, LOWER, np.where(z == program.upper, UPPER, RESTING)).astype(np.int8)
        at[program.lower == program.upper] = FIXED
        self._active = ActiveSet(_leading_to(program, z, at), z, at)
        self._change = SetChanges(self._active)

    def pieces(self) -> list[Piece]:
        """The whole path, in order."""
        self._follow()
        self._active.change_to(self.program)
        self._hold_equalities()
        return self._follow()

    def _follow(self) -> list[Piece]:
        found: list[Piece] = []
        active, s, changes = self._active, 0.0, 0
        most = _MOST_CHANGES * (2 + self.program.n + self.program.m)
        while len(found) < _MOST_PIECES:
            look()
            lines = active.lines()
            value, rate = active.margins(lines)
            event = self._broken(value, rate, s)
            if event is None:
                end, event = _next(value, rate, s)
                if end > s:
                    found.append(Piece(s, end, lines.z, lines.rows, active.at.copy(), active.row_at.copy()))
                    changes = 0
                s = end
            if event is None:
                return found
            self._change(event, lines, s)
            changes += 1
            if changes > most:
                raise RefusedError(f"what happens at once at {s:.9g} of the way does not come apart")
        raise RefusedError(f"the path has more than {_MOST_PIECES} pieces")

    def _broken(self, value: Array, rate: Array, s: float) -> int | None:
        """The first of what is at zero, or below, at s and would be broken before the end."""
        now, then = value + s * rate, value + rate
        at_once = (now <= _CLOSE) & ((rate < 0.0) & (then < -_CLOSE) | (now < -_CLOSE))
        places = np.flatnonzero(at_once)
        if not len(places):
            return None
        resting = self._active.at[np.minimum(places % self.program.n, self.program.n - 1)] == RESTING
        resting &= places < 2 * self.program.n
        return int(places[resting][0] if resting.any() else places[0])

    def _hold_equalities(self) -> None:
        """Rows whose limits have met are held for good, but for those that depend on what is held: they may wait."""
        active = self._active
        active.row_at[self.program.equal & (active.row_at != LOOSE)] = EQUAL
        for i in np.flatnonzero(self.program.equal & (active.row_at == LOOSE)).tolist():
            active.row_at[i] = EQUAL
            if not active.take():
                active.row_at[i] = LOOSE
        active.take()


def _next(value: Array, rate: Array, s: float) -> tuple[float, int | None]:
    """Where something first reaches zero, and what."""
    falling = (rate < 0.0) & (value + rate < -_CLOSE)
    where = np.full(len(value), math.inf)
    where[falling] = np.maximum(-value[falling] / rate[falling], s)
    first = int(where.argmin()) if len(where) else 0
    if not len(where) or not where[first] < 1.0:
        return 1.0, None
    return float(where[first]), first


def _leading_to(target: ParametricProgram, z: Array, at: Sides) -> ParametricProgram:
    """The program that starts where z is the answer and ends where the other begins."""
    slope = target.curvature.times(z) + target.costs[0]
    unit = float(np.abs(slope).max(initial=0.0)) or 1.0
    shift = np.where(at == RESTING, -slope, 0.0)
    shift = np.where((at == LOWER) & (slope < unit), unit - slope, shift)
    shift = np.where((at == UPPER) & (slope > -unit), -unit - slope, shift)
    body = target.matrix @ z
    reach = np.maximum(1.0, np.abs(body))
    low = np.minimum(target.low[0], body - reach)
    high = np.maximum(target.high[0], body + reach)
    return replace(
        target,
        costs=np.stack([target.costs[0] + shift, -shift]),
        low=np.stack([low, _rate(target.low[0], low)]),
        high=np.stack([high, _rate(target.high[0], high)]),
    )


def _rate(end: Array, start: Array) -> Array:
    finite = np.isfinite(start)
    return np.where(finite, np.where(finite, end, 0.0) - np.where(finite, start, 0.0), 0.0)
