"""The numeric form of a large linear or quadratic program with few nonzeros: matrices that stay sparse.

The same as :class:`bilevel.programs.quadratic_form.QuadraticForm`, entry by entry: of the Hessian's upper triangle and
of the rows only nonzeros are kept, and of these only those that move with the parameters are compiled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import casadi as ca
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.linear_algebra.sparse_factor import Definiteness, Matrix
from bilevel.linear_algebra.sparsity import column_of, dense, indices, mirrored, with_diagonal
from bilevel.programs.quadratic_form import QuadraticForm

if TYPE_CHECKING:
    from bilevel.programs.program import Program

_BLOCKS = ("hessian", "gradient", "constant", "matrix", "offset")


class SparseForm(QuadraticForm):
    """See :class:`bilevel.programs.quadratic_form.QuadraticForm`.

    Parameters
    ----------
    program : Program
        Linear or quadratic in its variables, without squares.
    companions : SX of shape (k, 1), optional
        Further functions of the parameters to evaluate in the same call.

    Attributes
    ----------
    upper : csc_array of shape (n, n)
        The Hessian's upper triangle, every entry of the diagonal with a place.
    hessian : csc_array of shape (n, n)
        All of it.
    matrix : csr_array of shape (m, n)
        The rows.
    """

    def __init__(self, program: Program, companions: ca.SX | None = None) -> None:
        self._name = program.name
        y, p = program.variables, program.parameters
        at_zero = ca.substitute([program.gradient, program.objective, program.rows], [y], [ca.SX.zeros(program.n, 1)])
        triangle = with_diagonal(ca.triu(program.hessian))
        rows = program.jacobian.T  # compressed by columns, so that the transpose is by rows
        blocks = [column_of(triangle), *map(ca.densify, at_zero[:2]), column_of(rows), ca.densify(at_zero[2])]
        column = ca.vertcat(*blocks)
        moving = _moving(column, p)
        self._values: Array = ca.Function("still", [p], [column])(np.full(p.numel(), math.nan)).full()[:, 0]
        self._ends = np.cumsum([0, *(int(block.numel()) for block in blocks)]).tolist()
        self._places = np.flatnonzero(moving)
        moved = [bool(moving[a:b].any()) for a, b in zip(self._ends[:-1], self._ends[1:], strict=True)]
        self.constant_hessian, self.constant_gradient, _, self.constant_matrix, self.constant_rows = (
            not m for m in moved
        )
        self._affine = _Affine.of(column, p, moving)
        self._bent = self._places if self._affine is None else np.setdiff1d(self._places, self._affine.places)
        extra = ca.SX(0, 1) if companions is None else companions
        wanted = len(self._bent) or companions is not None
        self._compiled = Compiled([p], [ca.vertcat(column[self._bent.tolist()], extra)]) if wanted else None
        buffer = np.zeros(0) if self._compiled is None else self._compiled.outputs[0]
        self._checked, self.companions = buffer[: len(self._bent)], buffer[len(self._bent) :]
        h, self.gradient, self.constant, a, self.offset = np.split(self._values, self._ends[1:-1])
        self.upper: Matrix = sparse.csc_array((h, *indices(triangle)), shape=triangle.shape)
        self.matrix = sparse.csr_array((a, *indices(rows)), shape=program.jacobian.shape)
        self.upper.data, self.matrix.data = h, a  # views: what is evaluated is written where they look
        self.hessian, self._mirror = mirrored(self.upper)

    def at(self, parameters: Array) -> QuadraticForm:
        """See :meth:`bilevel.programs.quadratic_form.QuadraticForm.at`."""
        if self._compiled is not None:
            self._compiled(parameters)
            self._values[self._bent] = self._checked
        if self._affine is not None:
            self._values[self._affine.places] = self._affine.base + self._affine.slopes @ parameters
        if not math.isfinite(self._values.dot(self._values)):
            self._blame()
        if not self.constant_hessian:
            np.take(self.upper.data, self._mirror, out=self.hessian.data)
        return self

    def _blame(self) -> None:
        for name, start, end in zip(_BLOCKS, self._ends[:-1], self._ends[1:], strict=True):
            if not np.isfinite(self._values[start:end]).all():
                raise FloatingPointError(f"{name} of {self._name} is no number at this point")

    @property
    def smallest(self) -> float:
        """The sign of the smallest eigenvalue of the Hessian last evaluated, up to rounding."""
        return float(self._definiteness(self.upper.data))

    @cached_property
    def _definiteness(self) -> Definiteness:
        return Definiteness(self.upper)


@dataclass(frozen=True)
class _Affine:
    """Entries that are affine in the parameters: ``base + slopes p``, of however many terms they are the sum."""

    places: NDArray[np.int_]
    base: Array
    slopes: Matrix

    @classmethod
    def of(cls, column: ca.SX, parameters: ca.SX, moving: NDArray[np.bool_]) -> _Affine | None:
        """Those of the moving entries of a column; None where there are none."""
        if not moving.any():
            return None
        bent = np.array(ca.which_depends(column, parameters, 2, True), dtype=bool)
        places = np.flatnonzero(moving & ~bent)
        part = column[places.tolist()]
        slope = ca.jacobian(part, parameters)
        if not len(places) or ca.depends_on(slope, parameters):
            return None
        values = ca.Function("affine", [parameters], [part, column_of(slope)])(np.zeros(parameters.numel()))
        base, slopes = (value.full()[:, 0] for value in values)
        if not (np.isfinite(base).all() and np.isfinite(slopes).all()):
            return None
        return cls(places, base, sparse.csc_array((slopes, *indices(slope)), shape=slope.shape).tocsr())


class DenseView(QuadraticForm):
    """A sparse form with its matrices written out.

    Parameters
    ----------
    form : SparseForm
        What is evaluated.
    """

    def __init__(self, form: QuadraticForm) -> None:
        self._form = form
        self.constant_hessian, self.constant_gradient = form.constant_hessian, form.constant_gradient
        self.constant_matrix, self.constant_rows = form.constant_matrix, form.constant_rows
        self.gradient, self.constant, self.offset = form.gradient, form.constant, form.offset
        self.companions = form.companions
        self.hessian, self.matrix = np.asfortranarray(dense(form.hessian)), dense(form.matrix)

    def at(self, parameters: Array) -> QuadraticForm:
        """See :meth:`bilevel.programs.quadratic_form.QuadraticForm.at`."""
        form = self._form.at(parameters)
        if not form.constant_hessian:
            self.hessian = np.asfortranarray(dense(form.hessian))
        if not form.constant_matrix:
            self.matrix = dense(form.matrix)
        return self


def _moving(column: ca.SX, parameters: ca.SX) -> NDArray[np.bool_]:
    """Which entries depend on the parameters."""
    if not parameters.numel() or not column.numel():
        return np.zeros(column.numel(), dtype=bool)
    return np.array(ca.which_depends(column, parameters, 1, True), dtype=bool)
