"""A quadratic program whose costs and limits of rows move along a line: what a path is followed through.

    min_z  1/2 z'H z + (c0 + s c1)'z    s.t.  low0 + s low1 <= A z <= high0 + s high1,   lower <= z <= upper

H may stand beside data: ``H = T'R'R T + S`` with R an array and one entry in each column of T, a sign times a unit, so
that a split ``w = z+ - z-`` costs no second copy of the data and nothing of size p x p is formed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bilevel.arrays import Array

_DENSE = 500  # variables up to which S is an array


@dataclass(frozen=True, eq=False)
class Curvature:
    """H, by its products and blocks.

    Attributes
    ----------
    matrix : ndarray of shape (k, p)
        R, with the square's weight in it.
    owner, sign : ndarray of shape (n,)
        The column of R that each variable has, and with what factor; zero where it has none.
    rest : csr_array of shape (n, n)
        S.
    """

    matrix: Array
    owner: NDArray[np.int_]
    sign: Array
    rest: sp.csr_array

    @cached_property
    def _beside(self) -> Any:
        """S as an array where that is not large; None where it is zero."""
        if not self.rest.nnz:
            return None
        return self.rest.toarray() if len(self.owner) <= _DENSE else self.rest

    @cached_property
    def _fold(self) -> sp.csr_array:
        """T, shape (p, n)."""
        n = len(self.owner)
        return sp.csr_array((self.sign, (self.owner, np.arange(n))), shape=(self.matrix.shape[1], n))

    def columns(self, places: NDArray[np.int_]) -> Array:
        """R T in some columns, shape (k, len(places))."""
        found: Array = self.matrix[:, self.owner[places]] * self.sign[places]
        return found

    def diagonal(self) -> Array:
        """The diagonal of H, shape (n,)."""
        found: Array = self.rest.diagonal()
        if len(self.matrix):
            found = found + np.einsum("ij,ij->j", self.matrix, self.matrix)[self.owner] * self.sign**2
        return found

    def times(self, z: Array) -> Array:
        """``H z`` for z of shape (n,) or (n, k)."""
        found = np.zeros_like(z) if self._beside is None else np.asarray(self._beside @ z)
        return found + self._pulled(self.matrix @ (self._fold @ z)) if len(self.matrix) else found

    def times_some(self, places: NDArray[np.int_], values: Array) -> Array:
        """``H z`` of a z that is zero but in some places, values of shape (len(places), k)."""
        found = np.zeros((len(self.owner), values.shape[1]))
        if self._beside is not None:
            found[places] = values
            found = np.asarray(self._beside @ found)
        return found + self._pulled(self.columns(places) @ values) if len(self.matrix) else found

    def _pulled(self, residuals: Array) -> Array:
        """``T'R'`` times residuals of shape (k,) or (k, r)."""
        pulled: Array = (self.matrix.T @ residuals)[self.owner]
        return pulled * (self.sign if pulled.ndim == 1 else self.sign[:, None])

    def column(self, rows: NDArray[np.int_], j: int) -> Array:
        """Some entries of a column of H."""
        found = np.zeros(len(rows))
        if self._beside is not None:
            found = self._beside[rows, j] if isinstance(self._beside, np.ndarray) else self._beside[rows, [j]]
        if len(self.matrix):
            own = self.sign[j] * self.matrix[:, self.owner[j]]
            found = found + self.sign[rows] * (own @ self.matrix)[self.owner[rows]]
        return np.asarray(found)

    def block(self, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Array:
        """Some entries of H."""
        if self._beside is None:
            found = np.zeros((len(rows), len(columns)))
        elif isinstance(self._beside, np.ndarray):
            found = self._beside[np.ix_(rows, columns)]
        else:
            found = self._beside[rows][:, columns].toarray()
        if len(self.matrix):
            found = found + self.columns(rows).T @ self.columns(columns)
        return np.asarray(found)


@dataclass(frozen=True, eq=False)
class ParametricProgram:
    """The program.

    Attributes
    ----------
    curvature : Curvature
        H.
    costs : ndarray of shape (2, n)
        c0 and c1.
    matrix : ndarray of shape (m, n)
        A.
    low, high : ndarray of shape (2, m)
        Limits of the rows and their rates.
    lower, upper : ndarray of shape (n,)
        Bounds.
    """

    curvature: Curvature
    costs: Array
    matrix: Array
    low: Array
    high: Array
    lower: Array
    upper: Array

    @property
    def n(self) -> int:
        """Number of variables."""
        return len(self.lower)

    @property
    def m(self) -> int:
        """Number of rows."""
        return len(self.matrix)

    @property
    def equal(self) -> NDArray[np.bool_]:
        """Which rows are equalities all along."""
        equal: NDArray[np.bool_] = (self.low == self.high).all(axis=0)
        return equal

    def between(self, first: float, last: float) -> ParametricProgram:
        """The same with s from ``first`` to ``last`` as the parameter from 0 to 1."""
        parts = (self.costs, self.low, self.high)
        costs, low, high = (np.stack([_along(p, first), (last - first) * p[1]]) for p in parts)
        return replace(self, costs=costs, low=low, high=high)


def _along(pair: Array, s: float) -> Array:
    """``pair[0] + s pair[1]``, infinite where the first is."""
    moved: Array = pair[0] + s * pair[1]
    return moved
