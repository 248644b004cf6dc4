"""Which binaries of the leader block which decisions of the follower: ``y_k <= u_k (1 - x_j)``, found in the rows.

An interdiction game (Fischetti, Ljubic, Monaci and Sinnl 2019, doi 10.1287/ijoc.2018.0831) has no other row in which
both levels' variables stand. Nobody declares it: every row of the follower is read, and one of any other kind means
that this is no such game.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.solvers.rounds.linear_answer import LinearFollower
from bilevel.solvers.rounds.linear_numbers import Numbers

_SAME = 1e-12
_LEFT = 1e-9  # of a variable, that counts as nothing


@dataclass(frozen=True)
class Blockers:
    """Who blocks what.

    Attributes
    ----------
    place : ndarray of int, shape (n,)
        Where the blocking binary stands among all variables, for each of the follower's; -1 where there is none.
    at : ndarray of int, shape (n,)
        Its value at which it blocks.
    top : ndarray of shape (n,)
        The follower's upper bounds where nothing is blocked.
    structural : ndarray of int
        The follower's other rows, over his own variables alone.
    """

    place: NDArray[np.int_]
    at: NDArray[np.int_]
    top: Array
    structural: NDArray[np.int_]


def blockers_of(follower: LinearFollower, binary: NDArray[np.bool_]) -> Blockers | None:
    """The blocking rows of a follower; None where some row with both levels' variables does anything else.

    Parameters
    ----------
    follower : LinearFollower
        Its rows over all variables.
    binary : ndarray of bool
        Which of all variables are binary.
    """
    count = len(follower.slope)
    place, at, top = np.full(count, -1), np.zeros(count, dtype=int), follower.upper.copy()
    structural: list[int] = []
    for i in range(len(follower.low)):
        mine, others = np.flatnonzero(follower.of_y[i]), np.flatnonzero(follower.of_v[i])
        if not others.size:
            structural.append(i)
        if not (others.size and mine.size):
            continue  # a row over x alone is the leader's in all but name
        tops = _tops(follower, i) if len(mine) == len(others) == 1 and binary[others[0]] else None
        if tops is None:
            return None
        k, j = int(mine[0]), int(others[0])
        if min(tops) >= top[k]:
            continue
        top[k] = min(top[k], max(tops))
        if tops[0] == tops[1]:
            continue
        if min(tops) > _LEFT or place[k] not in (-1, j) or (place[k] == j and at[k] != tops.index(min(tops))):
            return None
        place[k], at[k] = j, tops.index(min(tops))
    return Blockers(place, at, top, np.array(structural, dtype=int))


def _tops(follower: LinearFollower, i: int) -> tuple[float, float] | None:
    """How large a row lets its variable be, for both values of its binary; None where it does anything but that."""
    k, j = int(np.flatnonzero(follower.of_y[i])[0]), int(np.flatnonzero(follower.of_v[i])[0])
    if follower.lower[k] != 0.0:
        return None
    tops = []
    for value in (0.0, 1.0):
        room = np.array([follower.low[i], follower.high[i]]) - follower.of_v[i, j] * value
        low, high = sorted(room / follower.of_y[i, k])
        if low > _LEFT or high < -_LEFT:
            return None
        top = min(high, follower.upper[k])
        tops.append(math.floor(top + tolerances.INTEGRALITY) + 0.0 if follower.integer[k] and top < math.inf else top)
    return tops[0], tops[1]


def opposed(numbers: Numbers, follower: LinearFollower) -> bool:
    """Whether F falls by what the follower's objective rises by, times some positive number, as y moves."""
    mine, theirs = numbers.slope[follower.places], follower.slope
    k = int(np.argmax(np.abs(theirs)))
    if theirs[k] == 0.0 or not -mine[k] / theirs[k] > 0.0:
        return False
    factor = -mine[k] / theirs[k]
    return bool(np.abs(mine + factor * theirs).max() <= _SAME * np.abs(mine).max())
