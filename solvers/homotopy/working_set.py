"""The linear algebra of a working set: which variables are free, which rows are held, and what follows from both.

    [H_FF  A_WF'] [ z_F ]   [ right_F ]
    [A_WF   0   ] [ l_W ] = [ right_W ]

by the null space of the rows held (Gill, Murray and Wright 1981, 5.1), or without rows by a Cholesky factor that grows
by a row as a variable becomes free. A set is *regular* where the solution is the only one; where it is not there is
either a direction along which f is flat and all that is held stays held, or a dependence between what is held.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtrs

from bilevel.arrays import Array
from bilevel.solvers.homotopy.parametric_program import ParametricProgram

_SINGULAR = 1e-11  # a pivot, relative to the diagonal it came from, that is none
_FLAT = 1e-9  # an eigenvalue, relative to the Hessian's largest entry, along which f is flat
_REFRESHED = 60  # changes after which the factor is made anew

Places = NDArray[np.int_]


class WorkingSet(ABC):
    """Free variables and held rows."""

    def __init__(self, program: ParametricProgram) -> None:
        self.program = program
        self.free: Places = np.zeros(0, dtype=int)
        self.held: Places = np.zeros(0, dtype=int)

    @abstractmethod
    def change(self, free: Places, held: Places) -> bool:
        """Take another set; whether it is regular."""

    @abstractmethod
    def solve(self, right: Array, limits: Array) -> tuple[Array, Array]:
        """``z_F`` and ``l_W``, for columns of right hand sides."""

    @abstractmethod
    def flat(self) -> Array | None:
        """Of a set that is not regular: a direction ``d_F`` with ``A_WF d = 0`` and ``Z'H d = 0``, or None."""

    def dependence(self) -> Array | None:
        """Of a set that is not regular: weights v of the rows with ``A_WF'v = 0``, or None."""
        return None


class FreeVariables(WorkingSet):
    """Without rows."""

    def __init__(self, program: ParametricProgram) -> None:
        super().__init__(program)
        self._hessian: Array = np.zeros((0, 0))
        self._factor: Array = np.zeros((0, 0))
        self._changes = 0
        self._regular = True

    def change(self, free: Places, held: Places) -> bool:
        before = self.free
        wanted, known = np.zeros((2, self.program.n), dtype=bool)
        wanted[free], known[before] = True, True
        kept = wanted[before]
        new = np.flatnonzero(wanted & ~known)
        if not kept.all():
            self._hessian = self._hessian[np.ix_(kept, kept)]
        self.free = before[kept]
        for j in new.tolist():
            self._append(j)
        grown = kept.all() and len(new) == 1 and self._regular and self._changes < _REFRESHED
        self._regular = self._grow() if grown else self._anew()
        return self._regular

    def _append(self, j: int) -> None:
        k = len(self.free)
        column = self.program.curvature.column(np.append(self.free, j), j)
        larger = np.empty((k + 1, k + 1))
        larger[:k, :k] = self._hessian
        larger[k], larger[:, k] = column, column
        self._hessian, self.free = larger, np.append(self.free, j)

    def _grow(self) -> bool:
        k = len(self.free) - 1
        column = self._hessian[k, :k]
        low = _lower(self._factor, column) if k else column
        pivot = self._hessian[k, k] - float(low @ low)
        if not pivot > _SINGULAR * self._hessian[k, k]:
            return False
        factor = np.zeros((k + 1, k + 1))
        factor[:k, :k], factor[k, :k], factor[k, k] = self._factor, low, np.sqrt(pivot)
        self._factor = factor
        self._changes += 1
        return True

    def _anew(self) -> bool:
        self._changes = 0
        try:
            self._factor = np.asarray(np.linalg.cholesky(self._hessian))
        except np.linalg.LinAlgError:
            return False
        return bool((self._factor.diagonal() ** 2 > _SINGULAR * self._hessian.diagonal()).all())

    def solve(self, right: Array, limits: Array) -> tuple[Array, Array]:
        if not len(self.free):
            return right, limits
        return _lower(self._factor, _lower(self._factor, right), transposed=True), limits

    def flat(self) -> Array | None:
        return _least_direction(self._hessian, _size(self._hessian))


class RowsHeld(WorkingSet):
    """With rows: everything is made anew at each change."""

    def change(self, free: Places, held: Places) -> bool:
        self.free, self.held = free, held
        program = self.program
        self._hessian = program.curvature.block(free, free)
        self._rows = program.matrix[held][:, free]
        k, r = len(free), len(held)
        self._independent = r <= k
        if not self._independent:
            return False
        basis, triangle = np.linalg.qr(self._rows.T, mode="complete")
        self._range, self._null, self._triangle = basis[:, :r], basis[:, r:], triangle[:r]
        size = np.linalg.norm(self._rows, axis=1)
        self._independent = bool((np.abs(self._triangle.diagonal()) > _SINGULAR * size).all())
        if not self._independent:
            return False
        self._reduced = self._null.T @ self._hessian @ self._null
        try:
            self._factor = np.linalg.cholesky(self._reduced)
        except np.linalg.LinAlgError:
            return False
        return bool((self._factor.diagonal() ** 2 > _SINGULAR * _size(self._hessian)).all())

    def solve(self, right: Array, limits: Array) -> tuple[Array, Array]:
        z = self._range @ _lower(self._triangle.T, limits) if len(self.held) else np.zeros_like(right)
        if self._null.shape[1]:
            slope = self._null.T @ (right - self._hessian @ z)
            z = z + self._null @ _lower(self._factor, _lower(self._factor, slope), transposed=True)
        pull = self._range.T @ (right - self._hessian @ z)
        return z, _lower(self._triangle.T, pull, transposed=True) if len(self.held) else limits

    def flat(self) -> Array | None:
        if not self._independent:
            return None
        found = _least_direction(self._reduced, _size(self._hessian))
        return None if found is None else self._null @ found

    def dependence(self) -> Array | None:
        if self._independent:
            return None
        vectors, values, _ = np.linalg.svd(self._rows, full_matrices=True)
        rank = int((values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)).sum())
        return vectors[:, rank] if rank == len(self.held) - 1 else None


def _lower(factor: Array, right: Array, transposed: bool = False) -> Array:
    """The solution with a lower triangular matrix; LAPACK without the checks that cost more than it."""
    found: Array = dtrtrs(factor, right, lower=1, trans=1 if transposed else 0)[0]
    return found


def _size(hessian: Array) -> float:
    return float(np.abs(hessian).max(initial=0.0))


def _least_direction(hessian: Array, size: float) -> Array | None:
    """The direction in which a singular matrix is flat; None where it is not one direction."""
    if not len(hessian):
        return None
    values, vectors = np.linalg.eigh(hessian)
    return vectors[:, 0] if int((values <= _FLAT * size).sum()) == 1 else None
