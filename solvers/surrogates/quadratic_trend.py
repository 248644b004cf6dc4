r"""A separable quadratic with unknown coefficients, as features whose inner product is its covariance.

    t(x) = sum_k a_k z_k + b_k (z_k^2 - 1/12),   z = x - 1/2,   a_k ~ N(0, 12 v),  b_k ~ N(0, 180 v)

The factors give every term the same variance over the unit box. Added to a stationary process (Rasmussen and Williams
2006, section 2.7) it says what such a process cannot: what falls towards one side goes on falling, which is most of
what few points in many dimensions can tell. An indicator of a category has no square.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array

__all__ = ["quadratic", "quadratic_slope"]

_LINEAR, _SQUARE = math.sqrt(12.0), math.sqrt(180.0)


def _plain(groups: NDArray[np.int_]) -> NDArray[np.int_]:
    """The columns that stand alone in their group."""
    return np.flatnonzero(np.bincount(groups)[groups] == 1)


def quadratic(points: Array, groups: NDArray[np.int_]) -> Array:
    """The features, shape (n, p + number of columns alone in their group)."""
    z = points - 0.5
    return np.hstack([_LINEAR * z, _SQUARE * (z[:, _plain(groups)] ** 2 - 1.0 / 12.0)])


def quadratic_slope(point: Array, groups: NDArray[np.int_]) -> Array:
    """Derivatives of the features at one point of shape (p,), shape (number of features, p)."""
    p, plain = len(point), _plain(groups)
    slope = np.zeros((p + len(plain), p))
    slope[np.arange(p), np.arange(p)] = _LINEAR
    slope[p + np.arange(len(plain)), plain] = 2.0 * _SQUARE * (point[plain] - 0.5)
    return slope
