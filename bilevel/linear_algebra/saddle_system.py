"""Systems ``[H A'; A 0]`` of optimality with some rows and variables held, one pattern for all of them.

A row that is not active has its entries put to zero and -1 on the diagonal, a variable that is held by a bound 1 on the
diagonal and nothing beside it: whatever is active, order and fill stay. Rows get ``-rounding`` on the diagonal, which
makes the system quasidefinite where H is definite; iterative refinement on the true system takes it out again
(Vanderbei 1995; Wright 1999, doi 10.1137/S1052623497321985). That also is the proximal method of multipliers, so that
dependent rows do no harm as long as they agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bilevel.arrays import Array
from bilevel.linear_algebra.sparse_factor import Matrix, SparseFactor
from bilevel.linear_algebra.sparsity import mirrored

_SHIFT = 1e-8  # on the diagonal of a row, relative to its length in the metric of the Hessian
_FLAT = 1e-6  # on that of a variable without curvature: the product of both bounds the growth of the factor
_PIVOT = 1e-14  # see bilevel.solvers.engines.linear_system
_STEPS = 30  # of refinement
_ENOUGH = 1e-15  # residual at which refining stops, relative to the right side

Mask = NDArray[np.bool_]


@dataclass(slots=True)
class Solution:
    """What :meth:`KktSystem.solve` finds.

    Attributes
    ----------
    y, rows, bounds : ndarray of shape (n, k), (m, k), (n, k)
        Variables, multipliers of the rows, and of the variables' bounds; zero where not held.
    error : float
        Largest residual of the true system, relative to the right side, in the units of the Hessian's diagonal.
    """

    y: Array
    rows: Array
    bounds: Array
    error: float


class KktSystem:
    """The systems of one pattern.

    Parameters
    ----------
    upper : csc_array of shape (n, n)
        Pattern of H's upper triangle, the diagonal with all its places.
    matrix : csr_array of shape (m, n)
        Pattern of A.

    Attributes
    ----------
    definite : bool
        Whether H is positive definite on the null space of what is held, by the inertia of the factor.
    """

    def __init__(self, upper: Matrix, matrix: Matrix) -> None:
        n, m = upper.shape[0], matrix.shape[0]
        self._n, self._m, self._count = n, m, upper.nnz
        self._h_rows, self._h_columns = upper.indices, np.repeat(np.arange(n), np.diff(upper.indptr))
        self._a_rows, self._a_columns = np.repeat(np.arange(m), np.diff(matrix.indptr)), matrix.indices
        rows = np.concatenate([self._h_rows, self._a_columns, n + np.arange(m)])
        columns = np.concatenate([self._h_columns, n + self._a_rows, n + np.arange(m)])
        labels = np.arange(1.0, len(rows) + 1.0)  # not zero, which scipy might drop
        pattern = sparse.csc_array((labels, (rows, columns)), shape=(n + m, n + m))
        pattern.sort_indices()
        self._source = pattern.data.astype(np.int64) - 1
        self._factor = SparseFactor(pattern)
        self._h_diagonal = upper.indptr[1:] - 1
        self._whole, mirror = mirrored(pattern)
        self._whole_source = self._source[mirror]
        self._hessian, self._h_mirror = mirrored(upper)
        self._matrix = sparse.csr_array((np.zeros(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
        self._held: Mask = np.zeros(n, dtype=bool)
        self._scale: Array = np.ones(n + m)
        self.definite = False

    def factorize(self, hessian: Array, matrix: Array, rows: Mask | None = None, held: Mask | None = None) -> bool:
        """Take over values and what is active; False where the factor is none.

        Parameters
        ----------
        hessian, matrix : ndarray
            Values of H's upper triangle and of A, in the order of the patterns.
        rows : ndarray of bool, shape (m,), optional
            Which rows are active; all if not given.
        held : ndarray of bool, shape (n,), optional
            Which variables are held; none if not given.
        """
        n, m = self._n, self._m
        self._held = np.zeros(n, dtype=bool) if held is None else held
        active = np.ones(m, dtype=bool) if rows is None else rows
        self._hessian.data[:] = hessian[self._h_mirror]
        self._matrix.data[:] = matrix
        h, a = hessian.copy(), matrix.copy()
        if rows is not None:
            a[~active[self._a_rows]] = 0.0
        if held is not None and held.any():
            a[held[self._a_columns]] = 0.0
            h[held[self._h_rows] | held[self._h_columns]] = 0.0
            h[self._h_diagonal[held]] = 1.0
        units, lengths = self._units(h, a)
        values = np.concatenate([h, a, np.where(active, 0.0, -1.0)])
        self._whole.data[:] = values[self._whole_source]
        diagonal = h[self._h_diagonal]
        flat = diagonal <= 0.0
        values[self._h_diagonal[flat]] -= _FLAT / units[flat] ** 2
        values[len(h) + len(a) :] -= np.where(active, _SHIFT * lengths**2, 0.0)
        self._scale = np.concatenate([units, 1.0 / lengths])
        found = self._factor.factorize(values[self._source])
        pivots = self._factor.pivots
        sound = bool((pivots[:n] > _PIVOT * diagonal).all()) or bool(flat.any())
        self.definite = found and sound and int((pivots > 0.0).sum()) == n
        return found

    def _units(self, hessian: Array, matrix: Array) -> tuple[Array, Array]:
        """Units of the variables, in which H has ones on its diagonal, and the rows' lengths in these."""
        diagonal = hessian[self._h_diagonal]
        curved = diagonal > 0.0
        units = 1.0 / np.sqrt(np.where(curved, diagonal, 1.0))
        lengths = self._lengths(matrix * units[self._a_columns] * curved[self._a_columns])
        if not curved.all():  # what has no curvature is measured by the rows that hold it
            entries = np.abs(matrix)
            beside = ~curved[self._a_columns] & (entries > 0.0)
            least = np.full(self._n, np.inf)
            sizes = np.where(lengths > 0.0, lengths, 1.0)[self._a_rows[beside]] / entries[beside]
            np.minimum.at(least, self._a_columns[beside], sizes)
            units = np.where(curved | ~np.isfinite(least), units, least)
            lengths = self._lengths(matrix * units[self._a_columns])
        return units, np.where(lengths > 0.0, lengths, 1.0)

    def _lengths(self, entries: Array) -> Array:
        lengths: Array = np.sqrt(np.bincount(self._a_rows, entries * entries, self._m))
        return lengths

    def solve(self, right: Array, below: Array, at: Array | None = None) -> Solution:
        """Solve ``H y + A' rows + bounds = right``, ``A y = below`` on active rows, ``y = at`` where held.

        Parameters
        ----------
        right, below, at : ndarray of shape (n, k), (m, k), (n, k)
            Right sides; ``at`` is zero if not given. Entries of rows that are not active do not matter.
        """
        n, held = self._n, self._held
        target = np.concatenate([right, below])
        values = np.zeros(right.shape) if at is None else at
        if held.any():
            if at is not None:
                fixed = np.where(held[:, None], at, 0.0)
                target -= np.concatenate([self._hessian @ fixed, self._matrix @ fixed])
            target[:n][held] = values[held]
        idle = self._whole.diagonal()[n:] == -1.0
        target[n:][idle] = 0.0
        found, error = self._refined(target)
        y, rows = found[:n], found[n:]
        bounds = np.zeros(right.shape)
        if held.any():
            y[held] = values[held]
            bounds[held] = (right - self._hessian @ y - self._matrix.T @ rows)[held]
        return Solution(y, rows, bounds, error)

    def _refined(self, target: Array) -> tuple[Array, float]:
        scale = self._scale[:, None]
        size = float(np.abs(target * scale).max(initial=0.0)) or 1.0
        best = self._factor.solve(target)
        residual = target - self._whole @ best
        error = float(np.abs(residual * scale).max(initial=0.0)) / size
        for _ in range(_STEPS):
            if not error > _ENOUGH:
                break
            trial = best + self._factor.solve(residual)
            residual = target - self._whole @ trial
            smaller = float(np.abs(residual * scale).max(initial=0.0)) / size
            if not smaller < error:
                break
            slow, best, error = smaller > 0.5 * error, trial, smaller
            if slow:
                break
        return best, error if np.isfinite(best).all() else np.inf

    def descent(self) -> Array | None:
        """A direction of negative curvature where H, alone, has one that a pivot shows."""
        return self._factor.negative()
