"""Factors ``L D L'`` of symmetric sparse matrices, the elimination order found once for all values of a pattern.

Without pivoting: sound for definite and quasidefinite matrices (Vanderbei 1995, *Symmetric quasidefinite matrices*),
and unchanged by a scaling of the unknowns. The signs of D are the inertia (Sylvester). The order is that of
approximate minimum degree (Amestoy, Davis and Duff 1996), the factorization QDLDL's (Stellato et al. 2020,
doi 10.1007/s12532-020-00179-2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import qdldl
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve_triangular

from bilevel.arrays import Array

Matrix = Any
"""A sparse matrix of scipy's, which has no types."""


class SparseFactor:
    """A factor of the symmetric matrices of one pattern.

    Parameters
    ----------
    upper : csc_array of shape (n, n)
        The upper triangle, indices sorted, every entry of the diagonal with a place; its values do not matter.

    Attributes
    ----------
    pivots : ndarray of shape (n,)
        D, in the order of the unknowns.
    """

    def __init__(self, upper: Matrix) -> None:
        self._upper = sparse.csc_matrix(upper, copy=True)
        self.diagonal = self._upper.indptr[1:] - 1  # sorted, the last of a column of the upper triangle
        self._upper.data[:] = 0.0
        self._upper.data[self.diagonal] = 1.0
        self.pivots: Array = np.ones(self._upper.shape[0])
        self._factor: Any = qdldl.Solver(self._upper, upper=True) if self._upper.shape[0] else None
        self.order: NDArray[np.int_] = np.asarray(self._factor.factors()[2]) if self._factor else np.zeros(0, dtype=int)

    def factorize(self, values: Array) -> bool:
        """Factorize the matrix with these values of its upper triangle; False where a pivot is zero or no number."""
        if self._factor is None:
            return True
        self._upper.data[:] = values
        self._factor.update(self._upper, upper=True)
        self.pivots[self.order] = self._factor.factors()[1]
        return bool(np.isfinite(self.pivots).all()) and bool(self.pivots.all())

    def solve(self, right: Array) -> Array:
        """The solution for right sides of shape (n,) or (n, k)."""
        if self._factor is None:
            return np.zeros(right.shape)
        if right.ndim == 1:
            return np.asarray(self._factor.solve(np.ascontiguousarray(right)))
        found = np.empty(right.shape)
        for k in range(right.shape[1]):
            found[:, k] = self._factor.solve(np.ascontiguousarray(right[:, k]))
        return found

    def negative(self) -> Array | None:
        """A direction d with ``d'Kd`` equal to the most negative pivot; None where there is none."""
        lower, pivots, order = self._factor.factors()
        k = int(np.argmin(pivots))
        if not pivots[k] < 0.0:
            return None
        unit = np.zeros(len(pivots))
        unit[k] = 1.0
        transposed = sparse.csr_array((lower + sparse.eye_array(len(pivots))).T)
        direction = np.empty(len(pivots))
        direction[order] = spsolve_triangular(transposed, unit, lower=False, unit_diagonal=True)
        return direction


_ROUNDING = 1e-10  # of an eigenvalue, in units in which the diagonal is one


class Definiteness:
    """The sign of the least eigenvalue of the matrices of one pattern, up to rounding.

    ``definiteness(values)`` is 1 where the matrix is positive definite beyond rounding, 0 where it is semidefinite up
    to rounding, -1 where it is neither. Rounding is measured in units in which the diagonal is one, as in
    :mod:`bilevel.linear_algebra.definiteness`; the signs of the pivots of ``H -+ rounding`` decide.
    """

    def __init__(self, upper: Matrix) -> None:
        self._factor = SparseFactor(upper)

    def __call__(self, values: Array) -> int:
        """See the class; values of the upper triangle."""
        places = self._factor.diagonal
        diagonal = values[places]
        if (diagonal < 0.0).any() or not np.isfinite(values).all():
            return -1
        largest = float(diagonal.max(initial=0.0))
        if largest == 0.0:
            return -1 if np.abs(values).max(initial=0.0) > 0.0 else 0
        for sign, meaning in ((-1.0, 1), (1.0, 0)):
            shifted = values.copy()
            shifted[places] += sign * _ROUNDING * np.where(diagonal > 0.0, diagonal, largest)
            if self._factor.factorize(shifted) and (self._factor.pivots > 0.0).all():
                return meaning
        return -1
