"""Where boxes of the upper variables are cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bilevel.arrays import Array
from bilevel.graphs.taylor import Taylor
from bilevel.solvers.boxes.tube import Tube

_FIRST = {1: 16, 2: 6, 3: 4}  # pieces of each side to begin with
_DECADES = 10.0  # a side whose ends differ by this factor is cut at the geometric mean


class BoxCutting:
    """Cuts boxes within ``[low, high]``.

    Parameters
    ----------
    taylor : Taylor
        The arithmetic.
    low, high : ndarray of shape (d,)
        The whole.
    """

    def __init__(self, taylor: Taylor, low: Array, high: Array) -> None:
        self._taylor, self._low, self._high = taylor, low, high
        self._decades = (low > 0.0) & (high > _DECADES * np.maximum(low, 0.0))

    def first(self) -> tuple[Array, Array]:
        """A lattice of boxes."""
        count = _FIRST[len(self._low)]
        sides = []
        for low, high, decades in zip(self._low, self._high, self._decades, strict=True):
            edges = np.geomspace(low, high, count + 1) if decades else np.linspace(low, high, count + 1)
            edges[0], edges[-1] = low, high
            sides.append(edges if low < high else edges[:2])
        low, high = (np.meshgrid(*(edges[part] for edges in sides), indexing="ij") for part in _PARTS)
        return np.array([g.ravel() for g in low]), np.array([g.ravel() for g in high])

    def shares(self, low: Array, high: Array, tubes: Sequence[Tube], model: Array) -> Array:
        """How much there is to gain by cutting each side, shape (d, boxes): a hint, made of three shares.

        What the variable moves in the Hessians, from which the remainders come; what it moves in F; and its width, so
        that every side is cut in the end.
        """
        with np.errstate(all="ignore"):
            plain = (high - low) / (self._high - self._low)[:, None]
            ratio = np.log(high / low) / np.log(self._high / self._low)[:, None]
        width = np.where(self._decades[:, None], ratio, plain)
        width = np.where(np.isfinite(width), width, 0.0)
        moved = np.abs(model[self._taylor.linear])
        for (j, k), size in zip(self._taylor.pairs, np.abs(model[self._taylor.quadratic]), strict=True):
            with np.errstate(over="ignore"):  # a hint: infinite will do
                moved[j] += 0.5 * size
                moved[k] += 0.5 * size
        sway = np.sum([tube.sway for tube in tubes], axis=0)
        sway = _normal(sway) * np.minimum(sway.sum(axis=0), 1.0)  # little is not worth the other side's turn
        total = sway + _normal(moved) + _normal(width)
        return np.where(width > 0.0, total, -1.0)

    def halves(self, low: Array, high: Array, share: Array) -> tuple[Array, Array]:
        """Two halves of each box, across the side with the largest share."""
        widest, boxes = share.argmax(axis=0), np.arange(low.shape[1])
        a, b = low[widest, boxes], high[widest, boxes]
        cut = np.where((a > 0.0) & (b > _DECADES * a), np.sqrt(np.maximum(a * b, 0.0)), 0.5 * (a + b))
        first_high, second_low = high.copy(), low.copy()
        first_high[widest, boxes] = second_low[widest, boxes] = cut
        return np.concatenate([low, second_low], axis=1), np.concatenate([first_high, high], axis=1)


def _normal(parts: Array) -> Array:
    """Divided by their sum over the sides."""
    parts = np.where(np.isfinite(parts), parts, 0.0)
    found: Array = parts / np.maximum(parts.sum(axis=0), 1e-300)
    return found


_PARTS = (slice(None, -1), slice(1, None))
