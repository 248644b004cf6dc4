"""Whether symmetric matrices are positive semidefinite, up to the rounding they carry.

Which test is for what:

- :func:`definite`: a matrix of numbers, semidefinite or not, with a third word for "rounding hides it". For proofs.
- :func:`definite_on`: the same on the null space of some rows, a reduced Hessian. For proofs.
- :func:`interval_definite`: every matrix between two. For proofs over a box.
- :func:`is_definite`: strictly definite, beyond rounding. For engines and formulas that factorize.
- ``sparse_factor.Definiteness``: a large sparse one, by the pivots of its factor. For proofs.
- A Cholesky factor that a solver holds anyway says as much by its pivots: ``newton_steps.surely_definite``.

Those for proofs scale to a unit diagonal first: a congruence, which keeps signs, and without which ``1e12 u^2 - v^2``
would pass for convex.
"""

from __future__ import annotations

import math

import casadi as ca
import numpy as np
from scipy.linalg import null_space

from bilevel import tolerances
from bilevel.arrays import Array

_ROUNDING = 1e-10
"""An eigenvalue above minus this counts as zero, in a matrix scaled to a unit diagonal.

A Gram matrix of m rows is off by m units in the last place of ``sqrt(h_ii h_jj)`` per entry, 1e-11 for 1e5 rows.
"""
_NOISE = 1e-14
"""Entries below this, relative to the largest, may be zeros that cancellation left behind: nothing is said of them."""


def numbers(matrix: ca.SX) -> Array:
    """A matrix without symbols as numbers."""
    found: Array = ca.Function("number", [], [ca.densify(matrix)]).call([])[0].full()
    return found


def scales(matrix: Array) -> Array:
    """Roots of the diagonal's magnitudes; of a row's largest entry where the diagonal is zero; 1 for a zero row."""
    diagonal, largest = np.abs(matrix.diagonal()), np.abs(matrix).max(axis=1, initial=0.0)
    scale: Array = np.sqrt(np.where(diagonal > 0, diagonal, np.where(largest > 0, largest, 1.0)))
    return scale


def definite(matrix: Array) -> int:
    """+1 where a symmetric matrix is positive semidefinite up to rounding, -1 where it is not, 0 if none can tell."""
    diagonal, largest = matrix.diagonal(), np.abs(matrix).max(axis=1, initial=0.0)
    if not np.isfinite(matrix).all():
        return 0
    wrong = (largest > 0) & (diagonal <= 0)  # a zero on the diagonal wants a zero row
    if wrong.any():
        return -1 if (largest[wrong] > _NOISE * largest.max()).any() else 0
    scale = scales(matrix)
    scaled = matrix / scale[:, None] / scale
    return 1 if not matrix.size or float(np.linalg.eigvalsh(scaled)[0]) >= -_ROUNDING else -1


def definite_on(matrix: Array, rows: Array) -> bool:
    """Whether a symmetric matrix is positive semidefinite on the null space of some rows (the reduced Hessian)."""
    scale = scales(matrix)
    # Near-dependent rows count as dependent (rcond): that makes the null space larger, never smaller.
    rows = rows / scale
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    basis = null_space(rows / np.where(norms > 0, norms, 1.0), rcond=1e-9)
    reduced = basis.T @ (matrix / scale[:, None] / scale) @ basis
    return not reduced.size or float(np.linalg.eigvalsh(reduced)[0]) >= -_ROUNDING


def interval_definite(low: Array, high: Array) -> bool:
    """Whether every symmetric matrix between two is positive semidefinite.

    On the diagonal the lower end decides: more of it only helps. Beside it ``l(A) >= l(center) - rho(radius)``.
    """
    ends = np.stack([low, high])
    diagonal = low.diagonal().copy()
    index = np.arange(len(low))
    ends[:, index, index] = diagonal
    if not np.isfinite(ends).all() or (diagonal < 0).any():
        return False
    center, radius = ends.mean(axis=0), (ends[1] - ends[0]) / 2
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    center, radius = center / scale[:, None] / scale, radius / scale[:, None] / scale
    return float(np.linalg.eigvalsh(center)[0]) - float(np.linalg.eigvalsh(radius)[-1]) >= -_ROUNDING


SPREAD = 1e6
"""Of a Hessian's diagonal; see :func:`own_units`."""


def own_units(hessian: Array) -> Array | None:
    """Units of the variables in which a Hessian has ones on its diagonal; None where it is fine in its own.

    It is not where its diagonal is positive and spread over more than :data:`SPREAD`: eigenvalues, null spaces and
    DAQP's active sets then lose the variables that are written in large units.
    """
    diagonal = hessian.diagonal()
    least = float(diagonal.min(initial=math.inf))
    return 1.0 / np.sqrt(diagonal) if 0.0 < SPREAD * least < float(diagonal.max(initial=0.0)) else None


def relative_smallest_eigenvalue(hessian: Array) -> float:
    """Smallest eigenvalue over the largest magnitude; 0 for a zero matrix."""
    diagonal = hessian.diagonal()
    apart = np.count_nonzero(hessian) == np.count_nonzero(diagonal)
    eigenvalues = np.sort(diagonal) if apart else np.linalg.eigvalsh(hessian)
    largest = float(np.abs(eigenvalues).max(initial=0.0))
    return 0.0 if largest == 0.0 else float(eigenvalues[0]) / largest


def is_definite(hessian: Array) -> bool:
    """Whether a symmetric matrix is positive definite beyond rounding."""
    return relative_smallest_eigenvalue(hessian) > tolerances.DEFINITE
