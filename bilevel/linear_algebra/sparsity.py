"""Patterns of nonzeros: counted, completed, mirrored, and turned into SciPy's."""

from __future__ import annotations

from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bilevel.arrays import Array
from bilevel.linear_algebra.sparse_factor import Matrix

_FEW = 0.1  # of the triangle of the optimality system that its factor fills


def few_nonzeros(hessian: ca.Sparsity, jacobian: ca.Sparsity) -> bool:
    """Whether the system ``[H A'; A 0]`` has few nonzeros, and its factor too (Davis 2006, *Direct Methods*, ch. 4)."""
    n, m = jacobian.size2(), jacobian.size1()
    most = 0.5 * _FEW * (n + m) ** 2
    if hessian.nnz() / 2 + jacobian.nnz() > most:
        return False
    corner = ca.Sparsity.diag(m)
    system = ca.vertcat(ca.horzcat(hessian + ca.Sparsity.diag(n), jacobian.T), ca.horzcat(jacobian, corner))
    return bool(system.ldl(True)[0].nnz() <= most)


def with_diagonal(triangle: ca.SX) -> ca.SX:
    """The same with a place for every entry of the diagonal."""
    return ca.project(triangle, triangle.sparsity() + ca.Sparsity.diag(triangle.shape[0]))


def column_of(matrix: ca.SX) -> ca.SX:
    """The nonzeros of a matrix, column by column, shape (k, 1)."""
    return ca.densify(ca.vec(matrix.nz[:])) if matrix.nnz() else ca.SX(0, 1)


def pattern(upper: ca.SX) -> Matrix:
    """The places of a square matrix's nonzeros, all with the value zero, compressed by columns."""
    return sparse.csc_array((np.zeros(upper.nnz()), *indices(upper)), shape=upper.shape)


def indices(matrix: ca.SX) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Row indices and column ends, as scipy takes them."""
    pattern = matrix.sparsity()
    return np.array(pattern.row(), dtype=np.int32), np.array(pattern.colind(), dtype=np.int32)


def mirrored(upper: Matrix) -> tuple[Matrix, NDArray[np.int_]]:
    """The symmetric matrix of an upper triangle, and where in the triangle each of its values stands."""
    columns = np.repeat(np.arange(upper.shape[0]), np.diff(upper.indptr))
    beside = upper.indices != columns
    places = np.arange(upper.nnz)
    rows, others = np.concatenate([upper.indices, columns[beside]]), np.concatenate([columns, upper.indices[beside]])
    order = np.lexsort((rows, others))
    mirror = np.concatenate([places, places[beside]])[order]
    ends = np.concatenate([[0], np.cumsum(np.bincount(others, minlength=upper.shape[0]))])
    data = upper.data[mirror]
    whole = sparse.csc_array((data, rows[order].astype(np.int32), ends.astype(np.int32)), shape=upper.shape)
    return whole, mirror


def dense(matrix: Any) -> Array:
    """A matrix of a form as an array, for those who need all of it."""
    found: Array = matrix.toarray() if sparse.issparse(matrix) else matrix
    return found
