"""Boxes of x, each with several cells of y: arrays of all of them, and how they are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array

_FIRST = {1: 32, 2: 8, 3: 4}  # cells along an axis at the start, by the number of lower variables
_NARROWEST = 1e-12  # of the whole side
_AS_WIDE = 0.5  # of its box of x, beside the whole sides: cells that are wider are cut with it


@dataclass(frozen=True)
class Pairs:
    """Boxes of x, each with a cell of y.

    Attributes
    ----------
    low, high : ndarray of shape (d + n, pairs)
        x, then y.
    owner : ndarray of int, shape (pairs,)
        Which box of x, in the order of the boxes.
    silent : ndarray of bool, shape (pairs,)
        Which are there for a point that is good for the follower, and hold no answers of their own.
    """

    low: Array
    high: Array
    owner: NDArray[np.int_]
    silent: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.owner)

    def taken(self, which: NDArray[np.bool_]) -> Pairs:
        """Some of them."""
        return Pairs(self.low[:, which], self.high[:, which], self.owner[which], self.silent[which])

    def of_boxes(self, boxes: NDArray[np.int_], count: int) -> Pairs:
        """Those of some of ``count`` boxes, which are numbered anew in the order given."""
        place = np.full(count, -1)
        place[boxes] = np.arange(len(boxes))
        mine = self.taken(place[self.owner] >= 0)
        return Pairs(mine.low, mine.high, place[mine.owner], mine.silent)

    def and_those(self, others: Pairs, boxes: int) -> Pairs:
        """With others behind them, where these are of so many boxes."""
        return Pairs(
            np.concatenate([self.low, others.low], axis=1),
            np.concatenate([self.high, others.high], axis=1),
            np.concatenate([self.owner, others.owner + boxes]),
            np.concatenate([self.silent, others.silent]),
        )


def whole(low: Array, high: Array, d: int) -> Pairs:
    """One box of all x, the first d entries, with a grid of cells."""
    count = _FIRST[len(low) - d]
    sides = [np.linspace(a, b, count + 1 if b > a else 2) for a, b in zip(low[d:], high[d:], strict=True)]
    lows, highs = (
        np.array([grid.ravel() for grid in np.meshgrid(*(side[ends] for side in sides), indexing="ij")])
        for ends in (slice(None, -1), slice(1, None))
    )
    cells = lows.shape[1]
    first, last = (np.repeat(end[:d, None], cells, axis=1) for end in (low, high))
    none = np.zeros(cells, dtype=int)
    return Pairs(np.concatenate([first, lows]), np.concatenate([last, highs]), none, none > 0)


def halved(pairs: Pairs, bounds: Array, side: Array, d: int) -> tuple[Pairs, Array, float]:
    """Boxes of x cut along their widest side, and cells that are as wide.

    Parameters
    ----------
    pairs : Pairs
        What is left.
    bounds : ndarray of shape (boxes,)
        Of the boxes.
    side : ndarray of shape (d + n,)
        What widths are relative to.
    d : int
        Number of upper variables.

    Returns
    -------
    tuple of Pairs, ndarray of shape (children,) and float
        The children with their bounds, and the least bound of what is too narrow to be cut.
    """
    if not len(pairs):
        return pairs, np.zeros(0), math.inf
    boxes, owner = np.unique(pairs.owner, return_inverse=True)
    bounds = bounds[boxes]
    width = (pairs.high - pairs.low) / side[:, None]
    widest = np.zeros(len(boxes))
    np.maximum.at(widest, owner, width.max(axis=0))
    narrow = widest <= _NARROWEST
    settled = float(bounds[narrow].min(initial=math.inf))
    pairs = Pairs(pairs.low, pairs.high, owner, pairs.silent).taken(~narrow[owner])
    for i in range(d, len(side)):
        width = (pairs.high - pairs.low) / side[:, None]
        cut = (width[i] > _AS_WIDE * width[:d].max(axis=0)) & (width[i] > _NARROWEST) & ~pairs.silent
        lower, upper = _cut(pairs, np.where(cut, i, -1))
        pairs = lower.and_those(upper, 0)
    width = (pairs.high[:d] - pairs.low[:d]) / side[:d, None]
    lower, upper = _cut(pairs, np.where(width.max(axis=0) > _NARROWEST, width.argmax(axis=0), -1))
    owner = np.concatenate([2 * lower.owner, 2 * upper.owner + 1])
    names, owner = np.unique(owner, return_inverse=True)
    both = lower.and_those(upper, 0)
    return Pairs(both.low, both.high, owner, both.silent), bounds[names // 2], settled


def _cut(pairs: Pairs, axis: NDArray[np.int_]) -> tuple[Pairs, Pairs]:
    """Each pair's lower half along an axis, the whole of it where that is -1; and the upper halves there are."""
    cut = axis >= 0
    along, every = np.flatnonzero(cut), axis[cut]
    middle = 0.5 * (pairs.low[every, along] + pairs.high[every, along])
    high, low = pairs.high.copy(), pairs.low[:, cut]
    high[every, along] = middle
    low[every, np.arange(len(every))] = middle
    lower = Pairs(pairs.low, high, pairs.owner, pairs.silent)
    return lower, Pairs(low, pairs.high[:, cut], pairs.owner[cut], pairs.silent[cut])
