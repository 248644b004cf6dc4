"""First and second derivatives of a follower's program at a point, as numbers."""

from __future__ import annotations

from typing import Any, Protocol

import casadi as ca
import numpy as np
from scipy import sparse

from bilevel.arrays import Array
from bilevel.expressions.squares import Square
from bilevel.graphs.compiled import Compiled
from bilevel.linear_algebra.sparsity import column_of, indices, pattern, with_diagonal
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.smooth_form import smooth_form

Matrix = Any
"""A sparse matrix of scipy's, which has no types."""


class Derivatives(Protocol):
    """What the system of a follower's optimality is made of."""

    @property
    def fresh(self) -> bool:
        """Whether the curvature is written anew by each call, so that a factor may take its place."""

    def first(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """The objective's gradient, the rows' Jacobian, shape (m, n), and the rows."""

    def curvature(self, x: Array, y: Array, weights: Array) -> Array:
        """The Lagrangian's Hessian, shape (n, n), with the rows weighed by their multipliers.

        Asked for right after :meth:`first` at the same x, if that is asked at all.
        """


class OfForm:
    """First and second derivatives of a linear or quadratic program: matrices that its form has anyway."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stands: Array | None = None  # the x whose Hessian nobody has had yet

    @property
    def fresh(self) -> bool:
        """See :class:`Derivatives`."""
        return not numeric_form(self._program).constant_hessian

    def first(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """See :class:`Derivatives`."""
        form, self._stands = numeric_form(self._program).at(x), x
        return form.hessian @ y + form.gradient, form.matrix, form.matrix @ y + form.offset

    def curvature(self, x: Array, y: Array, weights: Array) -> Array:
        """See :class:`Derivatives`."""
        form = numeric_form(self._program)
        known, self._stands = self._stands is x, None
        hessian: Array = form.hessian if known else form.at(x).hessian
        return hessian


class OfGraph:
    """The same of a nonlinear program."""

    fresh = True

    def __init__(self, program: Program) -> None:
        self._form = smooth_form(program)
        self._none = np.zeros(program.m)

    def first(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """See :class:`Derivatives`."""
        form = self._form.at(x)
        form(y, self._none)
        return form.gradient.copy(), form.jacobian.copy(), form.rows.copy()

    def curvature(self, x: Array, y: Array, weights: Array) -> Array:
        """See :class:`Derivatives`."""
        self._form.at(x)(y, weights)
        return self._form.hessian


class SparseDerivatives(Derivatives, Protocol):
    """The same with sparse matrices: the Jacobian by rows, of the curvature the upper triangle by columns."""

    def first(self, x: Array, y: Array) -> tuple[Array, Matrix, Array]:
        """See :class:`Derivatives`."""

    def curvature(self, x: Array, y: Array, weights: Array) -> Matrix:
        """See :class:`Derivatives`."""

    def patterns(self) -> tuple[Matrix, Matrix]:
        """A curvature and a Jacobian with the patterns of all."""


class OfSparseForm:
    """Of a linear or quadratic program with a :class:`bilevel.programs.sparse_form.SparseForm`."""

    fresh = False

    def __init__(self, program: Program) -> None:
        self._form: Any = numeric_form(program)
        self._stands: Array | None = None

    def first(self, x: Array, y: Array) -> tuple[Array, Matrix, Array]:
        """See :class:`SparseDerivatives`."""
        form, self._stands = self._form.at(x), x
        return form.hessian @ y + form.gradient, form.matrix, form.matrix @ y + form.offset

    def curvature(self, x: Array, y: Array, weights: Array) -> Matrix:
        """See :class:`SparseDerivatives`."""
        known, self._stands = self._stands is x, None
        return self._form.upper if known else self._form.at(x).upper

    def patterns(self) -> tuple[Matrix, Matrix]:
        """See :class:`SparseDerivatives`."""
        return self._form.upper, self._form.matrix


class OfSparseGraph:
    """Of a nonlinear program."""

    fresh = False

    def __init__(self, program: Program, slope: ca.SX, weights: ca.SX) -> None:
        p, y = program.parameters, program.variables
        rows = program.jacobian.T
        upper = with_diagonal(ca.triu(ca.jacobian(slope, y, {"symmetric": True})))
        self._first = Compiled([p, y], [program.gradient, column_of(rows), program.rows])
        self._second = Compiled([p, y, weights], [column_of(upper)])
        self._jacobian = sparse.csr_array((np.zeros(rows.nnz()), *indices(rows)), shape=program.jacobian.shape)
        self._upper = pattern(upper)

    def first(self, x: Array, y: Array) -> tuple[Array, Matrix, Array]:
        """See :class:`SparseDerivatives`."""
        slope, self._jacobian.data[:], rows = self._first(x, y)
        return slope, self._jacobian, rows

    def curvature(self, x: Array, y: Array, weights: Array) -> Matrix:
        """See :class:`SparseDerivatives`."""
        self._upper.data[:] = self._second(x, y, weights)[0]
        return self._upper

    def patterns(self) -> tuple[Matrix, Matrix]:
        """See :class:`SparseDerivatives`."""
        return self._upper, self._jacobian


def derivatives_of(program: Program, slope: ca.SX, weights: ca.SX) -> Derivatives:
    """Those of a program, from its form where it is linear or quadratic, sparse where it is sparse."""
    if program.shape is Shape.NONLINEAR:
        return OfSparseGraph(program, slope, weights) if program.sparse else OfGraph(program)
    return OfSparseForm(program) if program.sparse else OfForm(program)


class Crossing:
    """``crossing(x, y, weights)`` gives ``L_yx``, shape (n, p), and the rows' derivative in x, shape (m, p).

    Sparse ones for a sparse program.
    """

    def __init__(self, program: Program, slope: ca.SX, weights: ca.SX, squares: tuple[Square, ...]) -> None:
        p, y = program.parameters, program.variables
        self._squares = squares
        of_weights = ca.jacobian(program.weights, p) if squares else ca.SX(0, p.numel())
        self._losses = program.loss_sum if program.losses else None
        of_losses = ca.jacobian(ca.vertcat(ca.SX(0, 1), *program.loss_weights), p)
        blocks = [ca.jacobian(slope, p), ca.jacobian(program.rows, p), of_weights, of_losses]
        self._shapes = [block.shape for block in blocks]
        self._indices = [indices(block) for block in blocks[:2]] if program.sparse else None
        columns = map(column_of, blocks) if program.sparse else (ca.vec(ca.densify(block)) for block in blocks)
        self._compiled = Compiled([p, y, weights], list(columns))

    def __call__(self, x: Array, y: Array, weights: Array) -> tuple[Any, Any]:
        """Both, with the rows weighed by their multipliers."""
        values = self._compiled(x, y, weights)
        if self._indices is not None:
            of_slope, of_rows = (
                sparse.csc_array((value, *places), shape=shape).tocsr()
                for value, places, shape in zip(values, self._indices, self._shapes, strict=False)
            )
            return of_slope, of_rows
        of_slope, of_rows, of_weights, of_losses = (
            value.reshape(shape, order="F") for value, shape in zip(values, self._shapes, strict=True)
        )
        if self._squares:
            of_slope = of_slope.copy()
        for square, moved in zip(self._squares, of_weights, strict=True):
            pull = np.zeros(len(y))
            square.add_slope(1.0, y, pull)
            of_slope += np.outer(pull, moved)
        if self._losses is not None:
            of_slope = of_slope + self._losses.at(x).crossed(y, of_losses)
        return of_slope, of_rows
