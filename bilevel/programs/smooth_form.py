"""The numeric form of a smooth program: values, first and second derivatives at a point in one compiled call.

What :class:`bilevel.programs.quadratic_form.QuadraticForm` is to a quadratic program. Terms ``||R w - t||^2`` with a
constant R and losses over rows of data stay matrices, and where the objective is a sum over many affine functions of y
its derivatives go through these (:mod:`bilevel.programs.affine_arguments`): neither compiling nor evaluating then sees
rows times n^2 operations.
"""

from __future__ import annotations

from typing import Protocol

import casadi as ca
import numpy as np
from scipy import sparse

from bilevel.arrays import Array
from bilevel.expressions.squares import symbols_of, write_out
from bilevel.graphs.compiled import Compiled
from bilevel.programs.affine_arguments import AffineArguments, affine_arguments
from bilevel.programs.program import Program

_WORTH_LOOKING = 20_000  # nodes times variables below which the graph is not searched for affine arguments
_WORTH_LIFTING = 10_000  # of these times n^2, below which writing everything out is faster
_FULL = 30  # nonzeros per affine argument of their Hessian, beyond which nothing is gained


class SmoothForm:
    """Values and derivatives of a nonlinear program.

    Parameters
    ----------
    program : Program
        Without kinks.

    Attributes
    ----------
    objective : float
    gradient : ndarray of shape (n,)
        Of the objective.
    hessian : ndarray of shape (n, n)
        Of the Lagrangian.
    rows : ndarray of shape (m,)
    jacobian : ndarray of shape (m, n)
        Of the rows. All of them hold the numbers of the last call, and may be overwritten.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._squares = program.squares
        self._weights = Compiled([program.parameters], [program.weights]) if self._squares else None
        function = write_out(program.short, program.moving)
        self._losses = program.loss_sum if program.losses else None
        if self._squares or self._losses:
            symbols = symbols_of([*self._squares, *program.losses])
            function = ca.substitute(function, symbols, ca.SX.zeros(symbols.numel(), 1))
        arguments = _worth_lifting(function, program)
        self._parts: _Parts = _Written(function, program) if arguments is None else _Lifted(arguments, program)
        self.objective = np.nan

    def at(self, parameters: Array) -> SmoothForm:
        """Take over the parameters of the calls that follow."""
        self._parts.at(parameters)
        if self._weights is not None:
            self._of_squares: list[float] = self._weights(parameters)[0].tolist()
        if self._losses is not None:
            self._losses.at(parameters)
        return self

    def __call__(self, y: Array, weights: Array) -> None:
        """Evaluate at ``y``, shape (n,), with the rows weighed by their multipliers in the Hessian, shape (m,)."""
        self.objective, self.gradient, self.hessian, self.rows, self.jacobian = self._parts(y, weights)
        if self._squares:
            for square, weight in zip(self._squares, self._of_squares, strict=True):
                self.objective += weight * square.value(y)
                square.add_slope(weight, y, self.gradient)
                where = square.places if isinstance(square.places, slice) else np.ix_(square.places, square.places)
                block = (where, where) if isinstance(where, slice) else where
                self.hessian[block] += weight * square.factor.hessian
        if self._losses is not None:
            self.objective += self._losses.value(y)
            self.gradient += self._losses.gradient(y)
            self.hessian += self._losses.hessian(y)


def smooth_form(program: Program) -> SmoothForm:
    """The form of a program; who asks again is given the same, which holds the numbers of whoever called it last."""
    return program.kept("smooth", lambda: SmoothForm(program))


_Values = tuple[float, Array, Array, Array, Array]


class _Parts(Protocol):
    """The objective without its constant squares, and the rows."""

    def at(self, parameters: Array) -> None:
        """Take over the parameters."""

    def __call__(self, y: Array, weights: Array) -> _Values:
        """Objective, gradient, the Lagrangian's Hessian, rows, Jacobian."""


def _worth_lifting(function: ca.SX, program: Program) -> AffineArguments | None:
    p, y = program.parameters, program.variables
    if ca.n_nodes(function) * program.n < _WORTH_LOOKING:
        return None
    found = affine_arguments(function, p, y)
    if found is None or found.symbols.numel() * program.n**2 < _WORTH_LIFTING:
        return None
    slope = ca.gradient(found.outer, found.symbols)
    full = ca.jacobian_sparsity(slope, found.symbols).nnz() > _FULL * found.symbols.numel()
    return None if full else found


class _Written(_Parts):
    """Everything as one compiled function of (p, y, weights)."""

    def __init__(self, function: ca.SX, program: Program, extra: tuple[ca.SX, ...] = ()) -> None:
        y, self._n, self._m = program.variables, program.n, program.m
        slope = ca.gradient(function, y)
        curvature = ca.jacobian(slope, y, {"symmetric": True})
        outputs, inputs = [function, slope], [program.parameters, y]
        if self._m:
            weights = ca.SX.sym("weights", self._m)
            of_rows = ca.jacobian(ca.jtimes(program.rows, y, weights, True), y, {"symmetric": True})
            outputs, inputs = [*outputs, program.rows, program.jacobian.T], [*inputs, weights]
            curvature = curvature + of_rows
        self._compiled = Compiled(inputs, [curvature, *outputs, *extra])
        hessian, self._objective, self._gradient, *others = self._compiled.outputs
        self._hessian = hessian.reshape((self._n, self._n), order="F")
        self._rows = others[0] if self._m else np.zeros(0)
        self._jacobian = others[1].reshape((self._n, self._m), order="F").T if self._m else np.zeros((0, self._n))
        self.extra = others[2:] if self._m else others

    def at(self, parameters: Array) -> None:
        self._parameters = parameters

    def __call__(self, y: Array, weights: Array) -> _Values:
        if self._m:
            self._compiled(self._parameters, y, weights)
        else:
            self._compiled(self._parameters, y)
        return float(self._objective[0]), self._gradient, self._hessian, self._rows, self._jacobian


class _Lifted(_Parts):
    """h(p, y, z) compiled, ``z = A y + b`` and the chain rule as products of matrices."""

    def __init__(self, arguments: AffineArguments, program: Program) -> None:
        z = arguments.symbols
        slope = ca.gradient(arguments.outer, z)
        of_z, across = ca.jacobian(slope, z, {"symmetric": True}), ca.jacobian(slope, program.variables)
        self._inner = _Inner(arguments.inner, program)
        within = program.but(parameters=ca.vertcat(program.parameters, z))
        self._written = _Written(arguments.outer, within, (slope, _column(of_z), _column(across)))
        self._p = program.parameters.numel()
        self._both = np.zeros(self._p + z.numel())
        self._diagonal = of_z.sparsity().is_diag() and of_z.nnz() == z.numel()
        self._of_z = _Scattered(of_z)
        self._across = _Scattered(across) if across.nnz() else None

    def at(self, parameters: Array) -> None:
        self._both[: self._p] = parameters
        self._inner.at(parameters)
        self._written.at(self._both)

    def __call__(self, y: Array, weights: Array) -> _Values:
        matrix = self._inner.matrix
        z = self._both[self._p :]
        np.dot(matrix, y, out=z)
        z += self._inner.offset
        objective, gradient, hessian, rows, jacobian = self._written(y, weights)
        slope, curvature, across = self._written.extra
        gradient += slope @ matrix
        if not self._diagonal:
            hessian += matrix.T @ (self._of_z(curvature) @ matrix)
        elif curvature.min(initial=0.0) >= 0.0:  # a product of a matrix with itself is half of one
            weighed = matrix * np.sqrt(curvature)[:, None]
            hessian += weighed.T @ weighed
        else:
            hessian += (matrix.T * curvature) @ matrix
        if self._across is not None:
            mixed = matrix.T @ self._across(across)
            hessian += mixed
            hessian += mixed.T
        return objective, gradient, hessian, rows, jacobian


def _column(matrix: ca.SX) -> ca.SX:
    return ca.vertcat(ca.SX(0, 1), *matrix.nonzeros())


class _Scattered:
    """A sparse matrix from its nonzeros."""

    def __init__(self, pattern: ca.SX) -> None:
        sparsity = pattern.sparsity()
        places = np.arange(sparsity.nnz(), dtype=float)
        self._matrix = sparse.csc_matrix((places, sparsity.row(), sparsity.colind()), shape=pattern.shape)

    def __call__(self, nonzeros: Array) -> sparse.csc_matrix:
        self._matrix.data = nonzeros
        return self._matrix


class _Inner:
    """A(p) and b(p) as numbers; evaluated once where they do not depend on p."""

    def __init__(self, inner: ca.SX, program: Program) -> None:
        p, seed = program.parameters, ca.SX.sym("seed", program.n)
        along = ca.jtimes(inner, program.variables, seed)
        zero = ca.SX.zeros(program.n, 1)
        along, offset = ca.substitute([along, inner], [program.variables], [zero])
        nowhere = np.zeros(p.numel())
        # All columns by one call of a function that is called once; what it shares is not worth looking for.
        self.matrix = np.ascontiguousarray(ca.Function("A", [p, seed], [along])(nowhere, np.eye(program.n)).full())
        self.offset = ca.Function("b", [p], [offset])(nowhere).full()[:, 0]
        moves = [bool(p.numel()) and ca.depends_on(part, p) for part in (along, offset)]
        self._columns = Compiled([p, seed], [along]) if moves[0] else None
        self._level = Compiled([p], [offset]) if moves[1] else None
        self._seeds = np.eye(program.n)

    def at(self, parameters: Array) -> None:
        if self._columns is not None:
            for column, seed in zip(self.matrix.T, self._seeds, strict=True):
                column[:] = self._columns(parameters, seed)[0]
        if self._level is not None:
            self.offset[:] = self._level(parameters)[0]
