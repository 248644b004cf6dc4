"""A lower bound on knapsack interdiction: the same game played item by item, each side knowing all that came before.

    v(k, u, c) = min( cost_k + v(k+1, u - price_k, c),                       block item k, if the budget u allows,
                      max over j of j profit_k + v(k+1, u, c - j weight_k) )  or let j copies be taken

A leader who must decide at once can do no better than one who sees what the follower has taken so far, so v bounds his
optimum from below, in any order of the items; in that of profit per weight it is near it (Weninger and Fukasawa 2024,
*A fast combinatorial algorithm for the bilevel knapsack problem with interdiction constraints*, Math. Program.). They
keep one value for each budget and capacity; here both are counted in coarse units, the follower's weights and what is
left to him rounded against him, the leader's prices and budget in his favour: still a bound, and of the same size for
any numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.solvers.interdiction.knapsack_game import KnapsackGame

_CELLS = 15_000_000  # of the whole table
_FINEST = 700  # parts of a budget or a capacity


class SequentialGame:
    """The table v of a game, and bounds from it.

    Parameters
    ----------
    game : KnapsackGame
        Of n items.
    row : int or None
        Which of the leader's rows is his budget; the others are left out, all where there is none.
    budget : float
        How much of it there is.
    """

    def __init__(self, game: KnapsackGame, row: int | None, budget: float) -> None:
        self._row = row
        count = len(game.profit)
        parts = max(1, int(min(_FINEST, (_CELLS / max(count, 1)) ** 0.5)))
        price = np.zeros(count) if row is None else game.matrix[row]
        self._unit = budget / parts or 1.0
        self._weight_unit = max(1, -(-game.capacity // parts))
        prices = np.floor(price / self._unit * (1.0 - 1e-12)).astype(int)
        weights = -(-game.weight // self._weight_unit)
        self._budgets = int(budget / self._unit * (1.0 + 1e-12))
        self._rooms = (game.capacity - np.arange(game.capacity + 1)) // self._weight_unit
        self._table = self._fill(game, prices, weights, int(self._rooms[0]))

    def _fill(self, game: KnapsackGame, prices: NDArray[np.int_], weights: NDArray[np.int64], rooms: int) -> Array:
        count = len(game.profit)
        table = np.zeros((count + 1, self._budgets + 1, rooms + 1), dtype=number_kind(game))
        for k in range(count - 1, -1, -1):
            after, here = table[k + 1], table[k]
            here[:] = after
            taken(here, int(weights[k]), game.profit[k], int(game.copies[k]))
            price = int(prices[k])
            if game.blockable[k] and price <= self._budgets:
                blocked = after[: self._budgets + 1 - price] + here.dtype.type(game.cost[k])
                np.minimum(here[price:], blocked, out=here[price:])
        return table

    def bound(self, item: int, packed: Array, left: Array) -> float:
        """The least F may be where the items before one are decided, without what they cost.

        Parameters
        ----------
        item : int
            The first that is not decided.
        packed : ndarray of shape (capacity + 1,)
            The most that those before it bring, for every room they may use.
        left : ndarray of shape (m,)
            What is left of each of the leader's rows.
        """
        budget = 0 if self._row is None else int(max(left[self._row], 0.0) / self._unit * (1.0 + 1e-12))
        return float((packed + self._table[item, min(budget, self._budgets)][self._rooms]).max())


def number_kind(game: KnapsackGame) -> type[np.generic]:
    """Whole numbers where all is whole and fits."""
    numbers = np.concatenate([game.profit, game.cost])
    whole = bool((numbers == np.round(numbers)).all())
    most = float(game.profit @ game.copies + np.abs(game.cost).sum())
    return np.int32 if whole and most < 2**30 else np.float64


def taken(values: Array, weight: int, profit: float, copies: int) -> None:
    """Let up to some copies of an item be taken: ``values[..., c]`` becomes the best with room c, in place."""
    rooms = values.shape[-1] - weight
    step = values.dtype.type(profit)
    for _ in range(copies if rooms > 0 else 0):
        np.maximum(values[..., weight:], values[..., :rooms] + step, out=values[..., weight:])
