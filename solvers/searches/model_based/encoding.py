"""The space as a surrogate sees it: unit coordinates on the lattice, and features in which distances mean something.

A sequence or integer of K values lies at k/(K - 1). A category's levels are indicators divided by sqrt 2: two different
levels are at distance 1 whatever their places in the list, which is the Hamming distance in a squared exponent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array, Point

if TYPE_CHECKING:
    from bilevel.upper.space import Space

Mask = NDArray[np.bool_]
_SMALL = 4096
"""A lattice of at most so many points is searched whole instead of by candidates."""


class Encoding:
    """Arrays that describe the dimensions, and the maps between points, unit coordinates and features.

    Attributes
    ----------
    steps : ndarray of shape (d,)
        Lattice steps from one end to the other; 0 for a real.
    movable, categorical, ordered, real : ndarray of bool, shape (d,)
        Which dimensions have more than one value; which hold names; which of the rest lie on a lattice, or do not.
    groups : ndarray of int, shape (p,)
        The movable dimension, counted from 0, to which each feature belongs.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        sizes = np.array([d.size for d in space.dimensions])
        integer = np.array([d.integer for d in space.dimensions], dtype=bool)
        named = np.array([d.categorical for d in space.dimensions], dtype=bool)
        self.movable: Mask = sizes > 1
        self.steps: Array = np.where(integer, sizes - 1, 0.0)
        self.categorical: Mask = named & self.movable
        self.ordered: Mask = integer & ~named & self.movable
        self.real: Mask = ~integer & self.movable
        plain = np.flatnonzero(self.movable & ~self.categorical)
        self._plain = plain
        self._named = np.flatnonzero(self.categorical)
        rank = np.cumsum(self.movable) - 1
        widths = [int(sizes[k]) for k in self._named]
        self.groups = np.concatenate([rank[plain], np.repeat(rank[self._named], widths)]).astype(np.int_)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def small(self) -> bool:
        """Whether the whole lattice is few enough points to look at each."""
        return self.space.size <= _SMALL

    def snap(self, units: Array) -> Array:
        """The nearest lattice point of every row, inactive dimensions at rest."""
        clipped = np.clip(units, 0.0, 1.0)
        span = np.maximum(self.steps, 1.0)
        lattice = np.where(self.steps > 0, np.floor(clipped * span + 0.5) / span, np.where(self.movable, clipped, 0.0))
        return self.canonical(lattice)

    def canonical(self, units: Array) -> Array:
        """Rows with their inactive dimensions at rest."""
        if not self.space.conditions:
            return units
        units, active = units.copy(), np.ones(units.shape, dtype=bool)
        for condition in self.space.conditions:
            on, dimension = condition.on, self.space.dimensions[condition.place]
            levels = np.rint(units[:, on] * self.steps[on]) + self.space.dimensions[on].lower
            active[:, condition.place] &= active[:, on] & np.isin(levels, list(condition.when))
            units[~active[:, condition.place], condition.place] = dimension.to_unit(condition.rest)
        return units

    def features(self, units: Array) -> Array:
        """What the surrogates take, shape (m, p)."""
        parts = [units[:, self._plain]]
        for k in self._named:
            levels = np.rint(units[:, k] * self.steps[k])
            parts.append((levels[:, None] == np.arange(self.steps[k] + 1)) / math.sqrt(2.0))
        return np.hstack(parts)

    def point(self, unit: Array) -> Point:
        """The point at unit coordinates."""
        return self.space.from_unit(unit)

    def unit(self, point: Point) -> Array:
        """The unit coordinates of a point."""
        return np.asarray(self.space.to_unit(point), dtype=float)

    def lattice(self) -> Array:
        """Every point of a finite space, in unit coordinates, those that constraints rule out included."""
        if not len(self):
            return np.zeros((1, 0))  # one point, without coordinates
        axes = [np.arange(step + 1) / max(step, 1.0) for step in self.steps]
        whole = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(self))
        return np.unique(self.canonical(whole), axis=0) if self.space.conditions else whole
