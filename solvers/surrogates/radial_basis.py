r"""Interpolation by cubic radial functions with a linear tail (Powell 1992; Regis and Shoemaker 2013, eq. 1).

    s(x) = sum_i c_i ||x - x_i||^3 + b'x + a,        (Phi + rho I) c + P (b, a) = y,   P' c = eps (b, a)

The textbook has eps = 0, which needs as many points as the tail has coefficients. With eps > 0 the tail shrinks a
little and the system has a solution from the first point on: a search in 16 dimensions can use its model after ten.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lu_factor, lu_solve

from bilevel.arrays import Array
from bilevel.contracts.surrogate import Surrogate
from bilevel.registry import register

__all__ = ["RadialBasis"]

_RIDGE = 1e-8
_SHRINK = 1e-6


def squared_distances(A: Array, B: Array) -> Array:
    """``||a - b||^2`` for every row of A and of B, shape (len(A), len(B))."""
    square: Array = (A * A).sum(1)[:, None] + (B * B).sum(1) - 2.0 * (A @ B.T)
    np.maximum(square, 0.0, out=square)
    return square


@register("radial_basis")
class RadialBasis(Surrogate):
    """Cubic radial basis functions with a linear tail.

    Its deviation is the power function's cheap stand-in, the distance to the nearest point: zero where a value is
    known.

    Take it when there are many points or a fit must take no time; where the deviation is to be believed, take
    ``gaussian_process``.
    """

    def fit(self, points: Array, values: Array) -> None:
        count, dimension = points.shape
        self._points = points
        tail = np.column_stack([points - 0.5, np.ones(count)])
        system = np.zeros((count + dimension + 1, count + dimension + 1))
        square = squared_distances(points, points)
        system[:count, :count] = square * np.sqrt(square) + _RIDGE * np.eye(count)
        system[:count, count:] = tail
        system[count:, :count] = tail.T
        system[count:, count:] = -_SHRINK * np.eye(dimension + 1)
        right = np.concatenate([values, np.zeros(dimension + 1)])
        solution = lu_solve(lu_factor(system, check_finite=False), right, check_finite=False)
        self._weights, self._tail = solution[:count], solution[count:]

    def predict(self, points: Array) -> tuple[Array, Array]:
        square = squared_distances(points, self._points)
        distance = np.sqrt(square)
        mean = (square * distance) @ self._weights + (points - 0.5) @ self._tail[:-1] + self._tail[-1]
        return mean, distance.min(axis=1)
