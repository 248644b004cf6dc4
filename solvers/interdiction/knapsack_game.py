"""A knapsack whose items the leader blocks, ``min_b cost b + max { profit y : weight y <= capacity, y_k = 0 if b_k }``.

The knapsack interdiction problem of DeNegre (2011), with any linear rows over the leader's binaries, costs of blocking,
items that nobody can block, and several copies of an item.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.programs.program import Program
from bilevel.solvers.interdiction.blockers import Blockers, blockers_of, opposed
from bilevel.solvers.rounds.linear_answer import LinearFollower
from bilevel.solvers.rounds.linear_numbers import numbers_of

_COPIES = 400  # of items, together: each is a pass over a table
_LARGEST = 60_000  # capacity of which every value has a place of its own
_GRID = 20_000  # parts into which a capacity is cut that has no such places
_DENOMINATOR = 1000
_FRACTION = 1e-10


@dataclass(frozen=True)
class KnapsackGame:
    """One game, its items in the order of profit per weight.

    Attributes
    ----------
    constant, cost : float, ndarray of shape (n,)
        What the leader pays for blocking.
    profit : ndarray of shape (n,)
        What he pays for each copy that the follower takes.
    weight : ndarray of int, shape (n,)
        Of one copy.
    copies : ndarray of int, shape (n,)
        How many there are.
    capacity : int
        Of the knapsack.
    exact : bool
        Whether weights and capacity are the model's own; else weights are rounded up and the capacity down.
    blockable : ndarray of bool, shape (n,)
        Whether the leader can block an item.
    matrix, low, high : ndarray of shape (m, n), (m,), (m,)
        The leader's rows over the items blocked.
    place, at : ndarray of int, shape (n,)
        The variable that blocks an item, and its value that does.
    """

    constant: float
    cost: Array
    profit: Array
    weight: NDArray[np.int64]
    copies: NDArray[np.int_]
    capacity: int
    exact: bool
    blockable: NDArray[np.bool_]
    matrix: Array
    low: Array
    high: Array
    place: NDArray[np.int_]
    at: NDArray[np.int_]

    def values(self, blocked: NDArray[np.bool_]) -> dict[int, float]:
        """What the leader's variables are, by place, where these items are blocked."""
        there = np.flatnonzero(self.blockable)
        return {int(self.place[k]): float(self.at[k] if blocked[k] else 1 - self.at[k]) for k in there}


def knapsack_game(program: Program, follower: LinearFollower, binary: NDArray[np.bool_]) -> KnapsackGame | None:
    """The game that a problem is; None where it is none.

    Parameters
    ----------
    program : Program
        The high-point problem, without rows of the leader's that mention y.
    follower : LinearFollower
        The only one.
    binary : ndarray of bool
        Which of the program's variables are binary.
    """
    numbers, blockers = numbers_of(program), blockers_of(follower, binary)
    if numbers is None or blockers is None or not opposed(numbers, follower):
        return None
    sack = _knapsack(follower, blockers)
    blocking = blockers.place[blockers.place >= 0]
    everybody = np.sort(np.concatenate([blocking, follower.places]))
    if sack is None or not np.array_equal(everybody, np.arange(program.n)):
        return None  # a binary that blocks two items, or a variable of the leader's that blocks none
    weight, capacity = sack
    profit = np.maximum(numbers.slope[follower.places], 0.0)
    copies = _copies(blockers.top, weight, capacity, profit)
    if copies.sum() > _COPIES:
        return None
    whole, room, exact = _whole(weight, capacity)
    order = np.argsort(-profit / np.maximum(weight, 1e-12 * capacity + 1e-300), kind="stable")
    place, at = blockers.place[order], blockers.at[order]
    blockable = place >= 0
    sign = np.where(blockable, 2.0 * at - 1.0, 0.0)  # x = at where blocked, 1 - at where not
    leaders = ~numbers.matrix[:, follower.places].any(axis=1)
    matrix = numbers.matrix[leaders]
    free = np.zeros(program.n)
    free[place[blockable]] = 1.0 - at[blockable]
    shift = matrix @ free
    return KnapsackGame(
        constant=numbers.constant + float(numbers.slope @ free),
        cost=sign * numbers.slope[place],
        profit=profit[order],
        weight=whole[order],
        copies=copies[order],
        capacity=room,
        exact=exact,
        blockable=blockable,
        matrix=sign * matrix[:, place],
        low=numbers.low[leaders] - shift,
        high=numbers.high[leaders] - shift,
        place=place,
        at=at,
    )


def _knapsack(follower: LinearFollower, blockers: Blockers) -> tuple[Array, float] | None:
    """The weights and the capacity, where all variables are counts and but one row has a say."""
    if not follower.integer.all() or follower.lower.any():
        return None
    sides = []
    for i in blockers.structural:
        row, most = follower.of_y[i], _reach(follower.of_y[i], blockers.top)
        least = -_reach(-follower.of_y[i], blockers.top)
        if most > follower.high[i]:
            sides.append((row, float(follower.high[i])))
        if least < follower.low[i]:
            sides.append((-row, -float(follower.low[i])))
    if len(sides) != 1:
        return None
    weight, capacity = sides[0]
    return (weight, capacity) if (weight >= 0.0).all() and capacity >= 0.0 else None


def _reach(row: Array, top: Array) -> float:
    used = row > 0.0
    return float(row[used] @ top[used])


def _copies(top: Array, weight: Array, capacity: float, profit: Array) -> NDArray[np.int_]:
    """How many of each item the follower can take and would: none of what brings nothing."""
    room = tolerances.ENGINE * tolerances.scale(capacity)
    fits = np.where(weight > 0.0, (capacity + room) / np.where(weight > 0.0, weight, 1.0), math.inf)
    most = np.minimum(top, np.floor(fits))
    return np.where(profit > 0.0, np.minimum(most, _COPIES + 1), 0.0).astype(int)


def _whole(weight: Array, capacity: float) -> tuple[NDArray[np.int64], int, bool]:
    """Weights and capacity as whole numbers, and whether nothing was rounded for it."""
    parts = [Fraction(float(w)).limit_denominator(_DENOMINATOR) for w in weight]
    near = all(abs(float(p) - w) <= _FRACTION * max(1.0, w) for p, w in zip(parts, weight, strict=True))
    common = math.lcm(*(p.denominator for p in parts)) if near else 0
    counts = [int(p * common) for p in parts]
    unit = math.gcd(*counts)
    if unit:
        step = unit / common
        room = capacity / step
        if room <= _LARGEST:
            places = math.floor(room + tolerances.ENGINE * (1.0 + room))
            return np.array([min(c // unit, places + 1) for c in counts], dtype=np.int64), places, True
    step = capacity / _GRID
    if step == 0.0:
        return np.where(weight > 0.0, 1, 0).astype(np.int64), 0, True
    return np.ceil(weight / step - 1e-12).astype(np.int64), _GRID, False
