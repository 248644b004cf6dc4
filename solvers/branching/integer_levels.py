"""Two linear levels whose followers decide integers alone, as one table of rows on which a tree can branch.

Every row that a follower's feasibility or optimality hangs on stands in the table, in units in which it takes whole
numbers: what he uses of each of his rows, what the leader alone uses of it, and his objective. "This row is used by one
more" is then the change of one bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.solvers.rounds.implied_bounds import Box
from bilevel.solvers.rounds.linear_answer import LinearFollower
from bilevel.solvers.rounds.linear_numbers import Numbers
from bilevel.solvers.rounds.spacing import spacing

_NONE = -1


@dataclass(frozen=True)
class IntegerFollower:
    """One follower: ``min slope y  s.t.  low <= own_i y + theirs_i x <= high``, all in whole numbers.

    Attributes
    ----------
    places : ndarray of int, shape (n,)
        Where y stands among all variables.
    slope : ndarray of shape (n,)
        Minimised.
    own : ndarray of shape (m, n)
        His rows' coefficients.
    low, high : ndarray of shape (m,)
        Their ends.
    least, most : ndarray of shape (n,)
        His bounds.
    used, leaders : ndarray of int, shape (m,)
        Where a row, and the leader's part of it (-1 where it is nothing), stand in the table.
    objective : int
        Where his objective does.
    """

    places: NDArray[np.int_]
    slope: Array
    own: Array
    low: Array
    high: Array
    least: Array
    most: Array
    used: NDArray[np.int_]
    leaders: NDArray[np.int_]
    objective: int


@dataclass(frozen=True)
class IntegerLevels:
    """Both levels.

    Attributes
    ----------
    slope, constant : ndarray of shape (n,), float
        F, minimised.
    spacing : float
        Of its values at integers; 0 where they have none.
    integer : ndarray of bool, shape (n,)
        Which variables are integer.
    lower, upper : ndarray of shape (n,)
        Ranges of the variables.
    leader : ndarray of int
        The variables that are nobody else's.
    plain : int
        How many rows at the top of the table are the leader's, whatever the followers answer.
    matrix, low, high : ndarray of shape (r, n), (r,), (r,)
        The table.
    followers : dict
        By name.
    """

    slope: Array
    constant: float
    spacing: float
    integer: NDArray[np.bool_]
    lower: Array
    upper: Array
    leader: NDArray[np.int_]
    plain: int
    matrix: Array
    low: Array
    high: Array
    followers: dict[str, IntegerFollower]


def integer_levels(
    numbers: Numbers, integer: NDArray[np.bool_], box: Box, followers: dict[str, LinearFollower]
) -> IntegerLevels | None:
    """The table of a problem; None where some follower decides reals, or a row of his takes no whole numbers.

    Parameters
    ----------
    numbers : Numbers
        Of the high-point problem.
    integer : ndarray of bool
        Which of its variables are integer.
    box : Box
        Their ranges.
    followers : dict
        The followers, over the same variables.
    """
    if not all(follower.integer.all() for follower in followers.values()):
        return None
    if not (np.isfinite(box.lower[integer]).all() and np.isfinite(box.upper[integer]).all()):
        return None
    below = np.concatenate([follower.places for follower in followers.values()])
    plain = _without(numbers, followers.values())
    tables, ends = [numbers.matrix[plain]], [(numbers.low[plain], numbers.high[plain])]
    made, at = {}, int(plain.sum())
    for name, follower in followers.items():
        rows = _rows(follower, integer)
        if rows is None:
            return None
        own, theirs, low, high, slope = rows
        whole = theirs.copy()
        whole[:, follower.places] += own
        objective = np.zeros(len(integer))
        objective[follower.places] = slope
        there = np.flatnonzero(theirs.any(axis=1))
        leaders = np.full(len(low), _NONE)
        leaders[there] = at + len(low) + np.arange(len(there))
        tables += [whole, theirs[there], objective[None, :]]
        free = np.full(len(there) + 1, np.inf)
        ends += [(low, high), (-free, free)]
        last = at + len(low) + len(there)
        made[name] = IntegerFollower(
            *(follower.places, slope, own, low, high, follower.lower, follower.upper),
            *(at + np.arange(len(low)), leaders, last),
        )
        at = last + 1
    return IntegerLevels(
        slope=numbers.slope,
        constant=numbers.constant,
        spacing=spacing(numbers.slope, integer),
        integer=integer,
        lower=box.lower.copy(),
        upper=box.upper.copy(),
        leader=np.setdiff1d(np.arange(len(integer)), below),
        plain=int(plain.sum()),
        matrix=np.vstack(tables),
        low=np.concatenate([low for low, _ in ends]),
        high=np.concatenate([high for _, high in ends]),
        followers=made,
    )


def _without(numbers: Numbers, followers: Iterable[LinearFollower]) -> NDArray[np.bool_]:
    """The rows of the high-point problem that are not some follower's own, said again."""
    kept = np.ones(len(numbers.low), dtype=bool)
    for follower in followers:
        theirs = follower.of_v.copy()
        theirs[:, follower.places] += follower.of_y
        for i in np.flatnonzero(follower.of_y.any(axis=1)):
            same = (numbers.matrix == theirs[i]).all(axis=1)
            kept &= ~(same & (numbers.low == follower.low[i]) & (numbers.high == follower.high[i]))
    return kept


def _rows(follower: LinearFollower, integer: NDArray[np.bool_]) -> tuple[Array, Array, Array, Array, Array] | None:
    """A follower's rows and objective in whole numbers, the rows over x alone left out."""
    mine = np.flatnonzero(follower.of_y.any(axis=1))
    own, theirs = follower.of_y[mine], follower.of_v[mine]
    steps = np.zeros(len(mine))
    for i in range(len(mine)):
        row = theirs[i].copy()
        row[follower.places] += own[i]
        steps[i] = spacing(row, integer)
    step = spacing(follower.slope, follower.integer)
    if not (step and steps.all()):
        return None
    room = tolerances.FEASIBILITY
    low = np.ceil(follower.low[mine] / steps - room)
    high = np.floor(follower.high[mine] / steps + room)
    scaled = 1.0 / steps[:, None]
    return np.round(own * scaled), np.round(theirs * scaled), low, high, np.round(follower.slope / step)
