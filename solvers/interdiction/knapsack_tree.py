"""Branch and bound over the items of a knapsack game: block it, or let it be taken.

Items are decided in the order of profit per weight. A node keeps, for every room, the most that the follower makes of
what he was left so far; with the table of the sequential game this bounds all that may follow
(:mod:`bilevel.solvers.interdiction.sequential_game`). Combinatorial, no linear program is ever solved (Weninger and
Fukasawa 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.solvers.interdiction.knapsack_game import KnapsackGame
from bilevel.solvers.interdiction.sequential_game import SequentialGame, number_kind, taken

Blocked = NDArray[np.bool_]

_OFTEN = 64  # nodes between two looks at the clock
_ROWS = 6  # that are tried for the budget, at most


@dataclass
class Found:
    """What a search came to: the best blocking, its F (infinite where there is none), a bound on every F."""

    blocked: Blocked | None
    value: float
    bound: float


@dataclass(frozen=True)
class _Node:
    item: int  # the first that is not decided
    activity: Array  # of the leader's rows
    cost: float
    packed: Array  # the most that the items left to the follower bring, for every room
    blocked: tuple[int, ...]
    bound: float


class KnapsackTree:
    """The tree of one game.

    Parameters
    ----------
    game : KnapsackGame
        What is played.
    value : callable
        F at a blocking, exactly; asked only where the game's weights were rounded.
    ended : callable
        Whether the time is over.
    """

    def __init__(
        self,
        game: KnapsackGame,
        value: Callable[[Blocked], float],
        ended: Callable[[], bool],
    ) -> None:
        self._game, self._value, self._ended = game, value, ended
        self._room = tolerances.FEASIBILITY * np.array(
            [tolerances.scale(a, b) for a, b in zip(game.low, game.high, strict=True)]
        )
        self._least, self._most = _from_each(np.minimum(game.matrix, 0.0)), _from_each(np.maximum(game.matrix, 0.0))
        self._whole = _from_each(game.matrix)
        free = game.blockable & (game.cost <= 0.0)
        self._all_free = np.append(np.cumprod(free[::-1])[::-1], 1).astype(bool)
        self._rest_cost = _from_each(game.cost)
        self._slack = 0.0 if number_kind(game) is np.int32 else 1e-9
        self._unknown = math.inf  # the least bound at a blocking to which there was no answer
        self.best = Found(None, math.inf, -math.inf)
        self._table = self._tables()

    def _tables(self) -> SequentialGame:
        """The table of the row that makes the best budget."""
        game = self._game
        budgets = [r for r in range(len(game.low)) if (game.matrix[r] >= 0.0).all() and 0.0 <= game.high[r] < math.inf]
        root = self._root()
        left = self._left(root)
        tables = [SequentialGame(game, r, float(left[r])) for r in budgets[:_ROWS]] or [SequentialGame(game, None, 0.0)]
        return max(tables, key=lambda table: table.bound(0, root.packed, left))

    def _root(self) -> _Node:
        packed = np.zeros(self._game.capacity + 1, dtype=number_kind(self._game))
        return _Node(0, np.zeros(len(self._game.low)), 0.0, packed, (), -math.inf)

    def _left(self, node: _Node) -> Array:
        return np.asarray(self._game.high + self._room - node.activity)

    def run(self) -> Found:
        """To the end, or to that of the time; the bound holds in any case."""
        stack, count, best = [self._root()], 0, self.best
        closest = math.inf
        while stack:
            count += 1
            if count % _OFTEN == 0 and self._ended():
                closest = min(node.bound for node in stack)
                break
            node = stack.pop()
            bound = node.cost + self._table.bound(node.item, node.packed, self._left(node))
            if bound >= best.value - self._slack * tolerances.scale(best.value):
                continue
            if node.item == len(self._game.profit) or self._may_block_the_rest(node):
                self._leaf(node)
            else:
                stack += self._children(node, max(bound, node.bound))
        least = best.value - self._slack * tolerances.scale(best.value)
        best.bound = self._game.constant + min(least, closest, self._unknown)
        best.value += self._game.constant
        return best

    def _may_block_the_rest(self, node: _Node) -> bool:
        """Whether nothing speaks against blocking all that is left, which no other choice then beats."""
        end = node.activity + self._whole[:, node.item]
        inside = (end <= self._game.high + self._room) & (end >= self._game.low - self._room)
        return bool(self._all_free[node.item] and inside.all())

    def _leaf(self, node: _Node) -> None:
        blocked = np.zeros(len(self._game.profit), dtype=bool)
        blocked[list(node.blocked)] = True
        blocked[node.item :] = True
        value = node.cost + float(self._rest_cost[node.item]) + float(node.packed[-1])
        if not self._game.exact:
            below, value = value, self._value(blocked) - self._game.constant
            self._unknown = self._unknown if math.isfinite(value) else min(self._unknown, below)
        if value < self.best.value:
            self.best.blocked, self.best.value = blocked, value

    def _children(self, node: _Node, bound: float) -> list[_Node]:
        """The two nodes below, that in which the item is blocked last: it is looked at first."""
        game, k = self._game, node.item
        found = []
        if self._possible(k + 1, node.activity):
            packed = node.packed
            if game.copies[k]:
                packed = packed.copy()
                taken(packed, int(game.weight[k]), game.profit[k], int(game.copies[k]))
            found.append(_Node(k + 1, node.activity, node.cost, packed, node.blocked, bound))
        activity = node.activity + game.matrix[:, k]
        if game.blockable[k] and self._possible(k + 1, activity):
            found.append(
                _Node(k + 1, activity, node.cost + float(game.cost[k]), node.packed, (*node.blocked, k), bound)
            )
        return found

    def _possible(self, item: int, activity: Array) -> bool:
        """Whether the leader's rows can still be met, as far as ranges say."""
        low = activity + self._least[:, item] <= self._game.high + self._room
        high = activity + self._most[:, item] >= self._game.low - self._room
        return bool(low.all() and high.all())


def _from_each(parts: Array) -> Array:
    """The sum of the entries from each on, along the last axis, and the empty sum."""
    sums = np.cumsum(parts[..., ::-1], axis=-1)[..., ::-1]
    return np.concatenate([sums, np.zeros((*parts.shape[:-1], 1))], axis=-1)
