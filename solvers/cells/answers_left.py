"""The cells that may hold a follower's answer for some x of a box, and how low F is at answers there.

A cell is left out where a row is out of reach; where a *rival*, one point that meets the rows for every x of the box,
is better throughout, ``f(x, y) - f(x, rival) > 0``; and where, no row of the follower's being near, f rises or falls
along an axis throughout and the cell does not touch the bound it falls towards (Mitsos, Lemonidis and Barton 2008, J.
Global Optimization 42, 475-513, bound the best f in the same manner; Hansen and Walster 2004, chapter 12, test
monotonicity).

F is bounded on what is left, and once more by ``F + l'f_y``: at an answer inside its bounds f_y is zero, so that this
is F there whatever l is. With l such that y moves the sum least the bound is off by the square of the cell's width.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array, sizes_of_rows
from bilevel.solvers.boxes.box_minimum import box_minimum
from bilevel.solvers.cells.cell_models import CellModels
from bilevel.solvers.cells.pairs import Pairs

_FEW = 64  # cells of a box that are kept though F is high on them
_FACES = 3  # variables up to which all faces of a cell are looked at

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Left:
    """What was found out about some pairs.

    Attributes
    ----------
    pairs : Pairs
        Those that may hold answers on which F matters, a few others, and silent ones around the best points.
    found : ndarray of shape (boxes,)
        Bounds of F on the boxes of x; infinite where no answer is, or none that meets the upper rows.
    every : Pairs
        All that were looked at.
    F : ndarray of shape (size, pairs)
        Its models on all of them.
    points : ndarray of shape (n, pairs)
        A good point for the follower in each cell.
    f : ndarray of shape (pairs,)
        There, x at the middle of its box.
    fits : ndarray of bool, shape (pairs,)
        Where that point may be an answer.
    """

    pairs: Pairs
    found: Array
    every: Pairs
    F: Array
    points: Array
    f: Array
    fits: Flags


class AnswersLeft:
    """Looks at pairs of one problem.

    Parameters
    ----------
    models : CellModels
        Of the problem.
    low, high : ndarray of shape (d + n,)
        The whole box.
    """

    def __init__(self, models: CellModels, low: Array, high: Array) -> None:
        self._models, self._low, self._high = models, low, high
        program = models.program
        own, upper = (
            sizes_of_rows(program.row_lower, program.row_upper),
            sizes_of_rows(models.row_lower, models.row_upper),
        )
        self._slack, self._upper_slack = tolerances.FEASIBILITY * own, tolerances.FEASIBILITY * upper

    def __call__(self, pairs: Pairs, count: int, goal: float) -> Left:
        """Look at pairs of ``count`` boxes; F matters where it is below the goal."""
        models, taylor, program = self._models, self._models.taylor, self._models.program
        x, y = models.coordinates(pairs)
        F, upper_rows = models.leader(x, y)
        f, rows, slope = models.follower(x, y)
        least, most = taylor.ranges(rows)
        out = _beyond(least, most, program.row_lower - self._slack, program.row_upper + self._slack)
        inner = np.asarray(((least > program.row_lower[:, None]) & (most < program.row_upper[:, None])).all(axis=0))
        broken = _beyond(
            *taylor.ranges(upper_rows), models.row_lower - self._upper_slack, models.row_upper + self._upper_slack
        )
        points, f_at, fits = self._points(pairs, f, x)
        beaten = self._beaten(f, f_at, fits, pairs.owner, count)
        low, high, off = self._falling(pairs, slope, inner)
        low_F = np.maximum(self._lowest(F), np.where(inner, self._lowest(self._tilted(pairs, F, slope)), -np.inf))
        holds = ~(out | beaten | off | pairs.silent)
        meets = holds & ~broken
        found = np.full(count, np.inf)
        np.minimum.at(found, pairs.owner[meets], low_F[meets])
        matters = meets & (low_F < goal)
        kept = matters | _first_few(f_at[0], holds & ~matters, pairs.owner)
        left = Pairs(low[:, kept], high[:, kept], pairs.owner[kept], pairs.silent[kept])
        rivals = self._around(pairs, points, self._rivals(f_at, fits, pairs.owner, count))
        return Left(left.and_those(rivals, 0), found, pairs, F, points, f_at[0], fits & ~(out | beaten | off))

    def _around(self, pairs: Pairs, points: Array, which: Flags) -> Pairs:
        """Silent cells around some points, as wide as their boxes of x: the best point moves with x."""
        d, side = self._models.d, self._high - self._low
        with np.errstate(divide="ignore", invalid="ignore"):
            width = np.nan_to_num((pairs.high[:d] - pairs.low[:d]) / side[:d, None])[:, which].max(axis=0)
        reach = width * side[d:, None]
        low = np.maximum(points[:, which] - reach, self._low[d:, None])
        high = np.minimum(points[:, which] + reach, self._high[d:, None])
        return Pairs(
            np.concatenate([pairs.low[:d, which], low]),
            np.concatenate([pairs.high[:d, which], high]),
            pairs.owner[which],
            np.ones(int(which.sum()), dtype=bool),
        )

    def _points(self, pairs: Pairs, f: Array, x: Array) -> tuple[Array, Array, Flags]:
        """Where the polynomials in y are least, models of f over x there, and whether rows are met for every x."""
        models, program = self._models, self._models.program
        low, high = pairs.low[models.d :], pairs.high[models.d :]
        _, t = box_minimum(*models.of_y(f))
        points = np.clip(low + 0.5 * (t + 1.0) * (high - low), low, high)
        f_at, rows = models.at(x, points)
        least, most = models.taylor.ranges(rows)
        fits = np.asarray(((least >= program.row_lower[:, None]) & (most <= program.row_upper[:, None])).all(axis=0))
        return points, f_at, fits & np.isfinite(f_at[-1])

    def _beaten(self, f: Array, f_at: Array, fits: Flags, owner: NDArray[np.int_], count: int) -> Flags:
        """Where the best rival at the middle of the box, or at the worst of it, is better throughout."""
        taylor = self._models.taylor
        beaten = np.zeros(len(owner), dtype=bool)
        for measure in (f_at[0], taylor.ranges(f_at)[1]):
            best = best_of(np.where(fits, measure, np.inf), owner, count)
            rival = f_at[:, np.maximum(best, 0)][:, owner]
            ahead = taylor.ranges(taylor.subtract(f, rival))[0] > 0.0
            beaten |= (best >= 0)[owner] & ahead
        return beaten

    def _falling(self, pairs: Pairs, slope: Array, inner: Flags) -> tuple[Array, Array, Flags]:
        """Cells drawn to the bound that f falls towards, and whether there is none."""
        low, high, d = pairs.low.copy(), pairs.high.copy(), self._models.d
        down, up = self._models.taylor.ranges(slope)
        off = np.zeros(len(pairs), dtype=bool)
        for i in range(self._models.n):
            rises, falls, k = inner & (down[i] > 0.0), inner & (up[i] < 0.0), d + i
            off |= (rises & (pairs.low[k] > self._low[k])) | (falls & (pairs.high[k] < self._high[k]))
            high[k] = np.where(rises, pairs.low[k], high[k])
            low[k] = np.where(falls, pairs.high[k], low[k])
        return low, high, off

    def _lowest(self, model: Array) -> Array:
        """Bounds of a function on pairs; minus infinity where nothing is known."""
        taylor = self._models.taylor
        low = box_minimum(taylor, model)[0] if taylor.d <= _FACES else taylor.ranges(model)[0]
        return np.where(np.isfinite(low), low, -np.inf)

    def _tilted(self, pairs: Pairs, F: Array, slope: Array) -> Array:
        """``F + l'f_y``; at a bound f_y is not zero, and l has the sign with which the sum is no more than F."""
        models, taylor = self._models, self._models.taylor
        d, n = models.d, models.n
        width = pairs.high[d:] - pairs.low[d:]
        free = width > 0.0
        reach = np.where(free, 0.5 * width, 1.0)
        bends = slope[1 + d : 1 + d + n] / reach[:, None, :]  # by y_j, of the slope along y_i
        system = np.where(free[:, None] & free[None], bends, 0.0).transpose(2, 0, 1)
        system[:, range(n), range(n)] += (~free).T
        right = -np.where(free, F[1 + d : 1 + d + n] / reach, 0.0).T
        usable: Flags = np.asarray(np.isfinite(system).all(axis=(1, 2)) & np.isfinite(right).all(axis=1))
        usable &= np.abs(np.linalg.det(np.where(usable[:, None, None], system, 0.0))) > 0.0
        system[~usable], right[~usable] = np.eye(n), 0.0
        weights = np.linalg.solve(system, right[:, :, None])[:, :, 0].T
        wrong = (pairs.low[d:] <= self._low[d:, None]) & (weights > 0.0)
        wrong |= (pairs.high[d:] >= self._high[d:, None]) & (weights < 0.0)
        weights = np.where(free & ~wrong & np.isfinite(weights), weights, 0.0)
        total = F
        for i in range(n):
            total = taylor.add(total, taylor.scaled(slope[:, i], weights[i]))
        return total

    def _rivals(self, f_at: Array, fits: Flags, owner: NDArray[np.int_], count: int) -> Flags:
        """The pairs whose points are the best at the middle or at a corner of their box of x."""
        d, taylor = self._models.d, self._models.taylor
        kept = np.zeros(len(owner), dtype=bool)
        for corner in [(0.0,) * d, *itertools.product((-1.0, 1.0), repeat=d)]:
            value = f_at[0] + sum(t * f_at[1 + k] for k, t in enumerate(corner))
            for (j, k), term in zip(taylor.pairs, f_at[taylor.quadratic], strict=True):
                if k < d:
                    value = value + corner[j] * corner[k] * term
            best = best_of(np.where(fits, value, np.inf), owner, count)
            kept[best[best >= 0]] = True
        return kept


def _beyond(least: Array, most: Array, low: Array, high: Array) -> Flags:
    """Whether some row is out of reach."""
    return np.asarray(((least > high[:, None]) | (most < low[:, None])).any(axis=0))


def _first_few(f: Array, which: Flags, owner: NDArray[np.int_]) -> Flags:
    """Of some pairs those with the best points, a few of each box: answers on which F is high tell what is none."""
    order = np.lexsort((f, ~which, owner))
    rank = np.empty(len(owner), dtype=int)
    rank[order] = np.arange(len(owner)) - np.searchsorted(owner[order], owner[order])
    return which & (rank < _FEW)


def best_of(measure: Array, owner: NDArray[np.int_], count: int) -> NDArray[np.int_]:
    """For each of ``count`` boxes the pair whose measure is least; -1 where none is finite."""
    order = np.lexsort((measure, owner))
    first = np.full(count, -1)
    owners, place = np.unique(owner[order], return_index=True)
    first[owners] = order[place]
    return np.where((first >= 0) & np.isfinite(measure[np.maximum(first, 0)]), first, -1)
