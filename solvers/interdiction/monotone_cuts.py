"""Interdiction cuts: what a follower could take, less what is blocked of it, bounds what he does take.

Where every row of the follower lets him give up what may be blocked, an answer y' without its blocked items is an
answer at every x, and at each bilevel-feasible point

    profit y  >=  profit y'  -  sum over the blocked k of profit_k y'_k

(Fischetti, Ljubic, Monaci and Sinnl 2019, doi 10.1287/ijoc.2018.0831, where such games are called monotone).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.solvers.interdiction.blockers import Blockers, blockers_of, opposed
from bilevel.solvers.rounds.linear_answer import LinearFollower
from bilevel.solvers.rounds.linear_numbers import Numbers


class MonotoneCuts:
    """The cuts of one game.

    Parameters
    ----------
    numbers : Numbers
        Of the high-point problem.
    follower : LinearFollower
        The only one.
    blockers : Blockers
        Who blocks what.
    """

    def __init__(self, numbers: Numbers, follower: LinearFollower, blockers: Blockers) -> None:
        self._profit, self._places, self._size = numbers.slope[follower.places], follower.places, len(numbers.slope)
        self._blockers, self._blocked = blockers, np.flatnonzero(blockers.place >= 0)

    def of(self, answer: Array) -> tuple[Array, float]:
        """The cut ``row . v >= low`` of an answer that the follower gave somewhere."""
        row, low = np.zeros(self._size), float(self._profit @ answer)
        row[self._places] = self._profit
        for k in self._blocked:
            loss, place = self._profit[k] * answer[k], self._blockers.place[k]
            row[place] += loss if self._blockers.at[k] == 1 else -loss
            low -= loss * (1 - self._blockers.at[k])
        return row, low


def monotone_cuts(numbers: Numbers, follower: LinearFollower, binary: NDArray[np.bool_]) -> MonotoneCuts | None:
    """The cuts of a problem; None where it is no such game, or giving up a blocked item may break a row.

    Parameters
    ----------
    numbers : Numbers
        Of the high-point problem, without rows of the leader's that mention y.
    follower : LinearFollower
        The only one.
    binary : ndarray of bool
        Which of the program's variables are binary.
    """
    blockers = blockers_of(follower, binary)
    if blockers is None or not opposed(numbers, follower):
        return None
    rows = follower.of_y[blockers.structural][:, blockers.place >= 0]
    low, high = follower.low[blockers.structural], follower.high[blockers.structural]
    falls, rises = (rows > 0.0).any(axis=1), (rows < 0.0).any(axis=1)  # as items are given up
    gives_way = not (falls & np.isfinite(low)).any() and not (rises & np.isfinite(high)).any()
    return MonotoneCuts(numbers, follower, blockers) if gives_way else None
