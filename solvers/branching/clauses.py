"""What every bilevel-feasible point meets: one of several bounds, each on a variable or on a row of the table.

Two kinds. An answer y' that the follower could give (Xu and Wang 2014, doi 10.1016/j.cor.2013.07.016): his objective is
no worse than with y', or the leader's part of some row forbids y'. An improving direction d (Wang and Xu 2017, *The
watermelon algorithm*, doi 10.1137/15M1051592): y + d, which is better than y wherever y is, breaks some row or bound.
The alternatives of a direction hang on y as well, it needs no x to be known, and a short one touches few rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bilevel.arrays import Array
from bilevel.solvers.branching.integer_levels import IntegerFollower


class Limit(NamedTuple):
    """A bound that may hold: of a row of the table or a variable, from below (sign 1) or from above (-1)."""

    row: bool
    place: int
    sign: int
    end: float

    def opposite(self) -> Limit:
        """What holds where it does not."""
        return Limit(self.row, self.place, -self.sign, self.end - self.sign)


Clause = tuple[Limit, ...]


def no_better(follower: IntegerFollower, answer: Array) -> Clause:
    """The follower does no worse than with an answer, or it is forbidden."""
    found = [Limit(True, follower.objective, -1, float(follower.slope @ answer))]
    taken = follower.own @ answer
    for i in np.flatnonzero(follower.leaders >= 0):
        place = int(follower.leaders[i])
        found += [Limit(True, place, 1, follower.high[i] - taken[i] + 1)] if np.isfinite(follower.high[i]) else []
        found += [Limit(True, place, -1, follower.low[i] - taken[i] - 1)] if np.isfinite(follower.low[i]) else []
    return tuple(found)


def no_step(follower: IntegerFollower, direction: Array) -> Clause:
    """A step along an improving direction leads out of what is allowed."""
    found, moved = [], follower.own @ direction
    for i in np.flatnonzero(moved):
        end = follower.high[i] if moved[i] > 0 else follower.low[i]
        found += _beyond(True, int(follower.used[i]), end, moved[i])
    for k in np.flatnonzero(direction):
        end = follower.most[k] if direction[k] > 0 else follower.least[k]
        found += _beyond(False, int(follower.places[k]), end, direction[k])
    return tuple(found)


def _beyond(row: bool, place: int, end: float, move: float) -> list[Limit]:
    if not np.isfinite(end):
        return []
    sign = 1 if move > 0 else -1
    whole = np.floor(end) if move > 0 else np.ceil(end)
    return [Limit(row, place, sign, float(whole - move + sign))]
