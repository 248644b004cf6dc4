"""The linear algebra of a follower's optimality: multipliers, and the system ``[L_yy a'; a 0]``, dense or sparse.

Both take the active constraints as :class:`bilevel.sensitivity.active_constraints.Active` says, with gradients that are
an array or a sparse matrix.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg.lapack import dgesv, dposv

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.programs.program import Program
from bilevel.sensitivity.active_constraints import Active
from bilevel.sensitivity.follower_derivatives import Derivatives, SparseDerivatives

_RESIDUAL = 1e-6  # of the system, above which it is singular
_DEPENDENT = 1e-7  # of the same where no multiplier meets some motion of the active rows

Mask = NDArray[np.bool_]
Solved = tuple[Array, Array, bool]


class System(Protocol):
    """What :class:`bilevel.sensitivity.answer_motion.Sensitivity` asks for."""

    def gradients(self, jacobian: Any, places: NDArray[np.int_]) -> Any:
        """The gradients of some of the rows and, behind these, of the bounds."""

    def multipliers(self, matrix: Any, owners: NDArray[np.int_], slope: Array) -> tuple[Array, bool]:
        """Least-squares multipliers of constraints, and whether their gradients are independent."""

    def solve(self, x: Array, y: Array, active: Active, right: Array, below: Array | None) -> Solved:
        """The system for right sides (right, below), shapes (n, k) and (active, k); ``below`` zero if None.

        By least squares where it is singular, and then not regular, which is the last that is returned.
        """


class DenseSystem:
    """Of a program with dense matrices."""

    def __init__(self, program: Program, derivatives: Derivatives) -> None:
        self._derivatives = derivatives
        self._m = program.m
        free = not program.m and not program.has_inequalities
        self._normals = np.zeros((0, 0)) if free else np.eye(program.m + program.n, program.n, -program.m)

    def gradients(self, jacobian: Array, places: NDArray[np.int_]) -> Array:
        """See :class:`System`."""
        self._normals[: self._m] = jacobian
        return self._normals[places]

    def multipliers(self, matrix: Array, owners: NDArray[np.int_], slope: Array) -> tuple[Array, bool]:
        """See :class:`System`."""
        found, _, rank, _ = np.linalg.lstsq(matrix.T, -slope, rcond=None)
        return np.asarray(found, dtype=float), bool(rank == len(matrix))

    def solve(self, x: Array, y: Array, active: Active, right: Array, below: Array | None) -> Solved:
        """See :class:`System`."""
        curvature = self._derivatives.curvature(x, y, active.weights)
        n, k = len(right), active.matrix.shape[0]
        if not k:
            _, v, failed = dposv(curvature, right, overwrite_a=self._derivatives.fresh)
            if not failed:
                return v, np.zeros((0, right.shape[1])), True
            curvature = self._derivatives.curvature(x, y, active.weights)
        system = np.zeros((n + k, n + k))
        system[:n, :n], system[:n, n:], system[n:, :n] = curvature, active.matrix.T, active.matrix
        target = np.zeros((n + k, right.shape[1]))
        target[:n] = right
        if below is not None:
            target[n:] = below
        _, _, solution, failed = dgesv(system, target)
        limit = _RESIDUAL * tolerances.scale(float(np.abs(target).max(initial=0.0)))
        regular = not failed and float(np.abs(system @ solution - target).max(initial=0.0)) <= limit
        if not regular:
            solution = np.linalg.lstsq(system, target, rcond=None)[0]
        return solution[:n], solution[n:], regular


class SparseSystem:
    """Of a program with sparse ones: whatever is active, one pattern and one order (``saddle_system``)."""

    def __init__(self, program: Program, derivatives: SparseDerivatives) -> None:
        from bilevel.linear_algebra.saddle_system import KktSystem

        self._derivatives = derivatives
        self._n, self._m = program.n, program.m
        upper, self._jacobian = derivatives.patterns()
        identity = sparse.eye_array(program.n, format="csc")
        self._system = KktSystem(upper, self._jacobian)
        self._least = KktSystem(identity, self._jacobian)
        self._identity = identity.data
        self._any = np.random.default_rng(0).uniform(1.0, 2.0, program.m)

    def gradients(self, jacobian: Any, places: NDArray[np.int_]) -> Any:
        """See :class:`System`."""
        self._jacobian = jacobian
        normals = sparse.vstack([jacobian, sparse.eye_array(self._n, format="csr")], format="csr")
        return normals[places]

    def multipliers(self, matrix: Any, owners: NDArray[np.int_], slope: Array) -> tuple[Array, bool]:
        """See :class:`System`."""
        of_rows, places = owners >= 0, _places(matrix, owners)
        rows, held = self._masks(owners[of_rows], places)
        self._least.factorize(self._identity, self._jacobian.data, rows, held)
        solved = self._least.solve(-slope[:, None], np.zeros((self._m, 1)))
        found = np.empty(len(owners))
        found[of_rows], found[~of_rows] = solved.rows[owners[of_rows], 0], solved.bounds[places, 0]
        if not of_rows.any():
            return found, True
        lengths = np.sqrt((self._jacobian * self._jacobian).sum(axis=1))
        moved = self._least.solve(np.zeros((self._n, 1)), (self._any * lengths)[:, None])
        return found, moved.error <= _DEPENDENT

    def solve(self, x: Array, y: Array, active: Active, right: Array, below: Array | None) -> Solved:
        """See :class:`System`."""
        owners, of_rows = active.owners, active.owners >= 0
        places = _places(active.matrix, owners)
        curvature = self._derivatives.curvature(x, y, active.weights)
        self._system.factorize(curvature.data, self._jacobian.data, *self._masks(owners[of_rows], places))
        count = right.shape[1]
        limits, at = np.zeros((self._m, count)), np.zeros((self._n, count))
        if below is not None:
            limits[owners[of_rows]], at[places] = below[of_rows], below[~of_rows]
        found = self._system.solve(right, limits, at)
        multipliers = np.empty((len(owners), count))
        multipliers[of_rows], multipliers[~of_rows] = found.rows[owners[of_rows]], found.bounds[places]
        return found.y, multipliers, self._system.definite and found.error <= _RESIDUAL

    def _masks(self, rows: NDArray[np.int_], places: NDArray[np.int_]) -> tuple[Mask, Mask]:
        active, held = np.zeros(self._m, dtype=bool), np.zeros(self._n, dtype=bool)
        active[rows], held[places] = True, True
        return active, held


def system_of(program: Program, derivatives: Derivatives) -> System:
    """The one that goes with a program."""
    if program.sparse:
        return SparseSystem(program, cast(SparseDerivatives, derivatives))
    return DenseSystem(program, derivatives)


def _places(matrix: Any, owners: NDArray[np.int_]) -> NDArray[np.int_]:
    """Of the bounds among some constraints: the variables they hold."""
    if not len(owners):
        return np.zeros(0, dtype=int)
    found: NDArray[np.int_] = matrix.indices[matrix.indptr[:-1][owners < 0]]
    return found


def signed(signs: Array, matrix: Any) -> Any:
    """The rows of a matrix, each times a number."""
    if sparse.issparse(matrix):
        return sparse.diags_array(signs, format="csr") @ matrix
    return signs[:, None] * matrix


def stacked(above: Any, beneath: Any) -> Any:
    """One matrix over the other."""
    if sparse.issparse(above):
        return sparse.vstack([above, beneath], format="csr")
    return np.vstack([above, beneath])
