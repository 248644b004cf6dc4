"""Improving directions of an integer follower: those known, and the search for one that a point does not bear.

A point (x, y) at which y + d is feasible for some integer d with a better objective is not bilevel feasible, nor is
anything around it that leaves y + d feasible. Which d: the one whose step the fewest rows and bounds could ever forbid,
for each of them is a branch (Wang and Xu 2017; the improving-direction cuts of MibS 1.2 choose likewise). It is found
by a small mixed-integer program, at fractional points too.
"""

from __future__ import annotations

import itertools

import highspy
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.solvers.branching.integer_levels import IntegerFollower
from bilevel.solvers.libraries.quiet_highs import quiet_highs

_PAIRS = 30  # variables up to which moves of two at once are known from the start
_NODES, _SECONDS = 100, 1.0  # for one search; the latter for a machine that is busy with other things
_GAP = 0.3  # a direction with a few more branches will do
_ROOM = 1e-7
_FIRST_WAIT, _LONGEST_WAIT = 1, 64


class Directions:
    """The directions of one follower.

    Parameters
    ----------
    follower : IntegerFollower
        Whose objective they improve.
    lower, upper : ndarray of shape (n,)
        Ranges within which y can be at all.
    """

    def __init__(self, follower: IntegerFollower, lower: Array, upper: Array) -> None:
        self._follower, self._lower, self._upper = follower, lower, upper
        self._known: Array = np.zeros((0, len(follower.slope)))
        self._moves: Array = np.zeros((0, len(follower.low)))
        self._wait, self._skipped = _FIRST_WAIT, 0
        self._add(_short_ones(len(follower.slope)))

    def _add(self, directions: Array) -> None:
        better = directions[directions @ self._follower.slope < 0.0]
        self._known = np.vstack([self._known, better])
        self._moves = np.vstack([self._moves, better @ self._follower.own.T])

    def learn(self, direction: Array) -> None:
        """Remember one."""
        self._add(direction[None, :])

    def open_at(self, y: Array, used: Array) -> list[Array]:
        """The known directions in which a step is allowed.

        Parameters
        ----------
        y : ndarray of shape (n,)
            The follower's part of a point, perhaps fractional.
        used : ndarray of shape (m,)
            What his rows take there.
        """
        follower = self._follower
        after, there = used + self._moves, y + self._known
        inside = (after <= follower.high + _ROOM).all(axis=1) & (after >= follower.low - _ROOM).all(axis=1)
        inside &= (there <= follower.most + _ROOM).all(axis=1) & (there >= follower.least - _ROOM).all(axis=1)
        return list(self._known[inside])

    def found_at(self, y: Array, used: Array) -> Array | None:
        """A direction, new and remembered, in which a step is allowed; none where there is none, or not looked for.

        After a search in vain the next ones are left out, twice as many each time.
        """
        if self._skipped < self._wait - 1:
            self._skipped += 1
            return None
        self._skipped = 0
        found = self._search(y, used)
        self._wait = _FIRST_WAIT if found is not None else min(2 * self._wait, _LONGEST_WAIT)
        if found is not None:
            self.learn(found)
        return found

    def _search(self, y: Array, used: Array) -> Array | None:
        """``min`` number of rows and bounds that the step moves towards, over the integer steps that are allowed."""
        follower, n = self._follower, len(y)
        low, high = np.ceil(self._lower - y - _ROOM), np.floor(self._upper - y + _ROOM)
        if (low > high).any():
            return None
        unit = np.eye(n)
        sides = [(follower.own, follower.high - used), (-follower.own, used - follower.low)]
        sides += [(unit, follower.most - y), (-unit, y - follower.least)]
        rows = np.vstack([side for side, _ in sides])
        room = np.concatenate([room for _, room in sides])
        rows, room = rows[np.isfinite(room)], np.maximum(room[np.isfinite(room)], 0.0) + _ROOM
        highs = quiet_highs()
        for name, value in (("mip_max_nodes", _NODES), ("time_limit", _SECONDS), ("mip_rel_gap", _GAP)):
            highs.setOptionValue(name, value)
        none, count = np.zeros(0, dtype=np.int32), n + len(room)
        for k in range(n):
            highs.addCol(0.0, low[k], high[k], 0, none, np.zeros(0))
        for _ in room:  # 1 where the step uses any of what a row or a bound has left
            highs.addCol(1.0, 0.0, 1.0, 0, none, np.zeros(0))
        kinds = [highspy.HighsVarType.kInteger] * count
        highs.changeColsIntegrality(count, np.arange(count, dtype=np.int32), np.array(kinds))
        for i, (row, left) in enumerate(zip(rows, room, strict=True)):
            _add_row(highs, np.append(row, -left), [*range(n), n + i], -np.inf, 0.0)
        _add_row(highs, follower.slope, list(range(n)), -np.inf, -1.0)
        highs.run()
        solution = highs.getSolution()
        if not solution.value_valid:
            return None
        direction = np.round(np.array(solution.col_value)[:n])
        return direction if self._leads_on(direction, y, used) else None

    def _leads_on(self, direction: Array, y: Array, used: Array) -> bool:
        """Whether a step, rounded as it is, improves and is allowed."""
        follower = self._follower
        after, there = used + follower.own @ direction, y + direction
        inside = (after <= follower.high + 1e-6).all() and (after >= follower.low - 1e-6).all()
        inside = inside and (there <= follower.most + 1e-6).all() and (there >= follower.least - 1e-6).all()
        return bool(inside and follower.slope @ direction < 0.0)


def _short_ones(n: int) -> Array:
    """Moves of one variable by one, and of two where that is not too many."""
    unit = np.eye(n)
    singles = [sign * unit[k] for k in range(n) for sign in (1.0, -1.0)]
    couples = itertools.combinations(range(n), 2) if n <= _PAIRS else ()
    signs = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))
    pairs = [a * unit[j] + b * unit[k] for j, k in couples for a, b in signs]
    return np.array(singles + pairs).reshape(-1, n)


def _add_row(highs: highspy.Highs, row: Array, places: list[int], low: float, high: float) -> None:
    kept: NDArray[np.intp] = np.flatnonzero(row)
    highs.addRow(low, high, len(kept), np.array(places, dtype=np.int32)[kept], row[kept])
