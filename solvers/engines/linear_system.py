"""One linear system: quadratic programs without inequalities.

``min 0.5 y'Hy + c'y  s.t.  A y = b``: with ``y = y_p + Z z``, Z a basis of the null space of A, the optimum solves
``(Z'HZ) z = -Z'(c + H y_p)`` (Nocedal and Wright, *Numerical Optimization*, 16.2). Without constraints Z is the
identity.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import null_space
from scipy.linalg.lapack import dposv, dpotrf, dpotrs

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.linear_algebra.definiteness import own_units
from bilevel.programs.answer import Answer, Answers, ClosedForm, Status
from bilevel.programs.numeric_form import dense_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.quadratic_form import QuadraticForm
from bilevel.registry import register
from bilevel.solvers.engines.symbolic_ldl import closed_form

_SMALLEST_PIVOT = 1e-14
"""Of a Cholesky factor, squared, relative to the matrix's own entry on the diagonal: the rounding of that. The same
whatever the units of the variables, as the factorization is (Higham, *Accuracy and Stability*, theorem 10.6)."""


_LARGEST_MOVING = 20  # variables of squares that move up to which a formula may be small enough
_LARGEST_DENSE = 2000  # variables of a sparse program that are worth a dense factorization


@register("linear_system")
class LinearSystem(Engine):
    """Unconstrained and equality-constrained quadratic programs by one Cholesky factorization.

    Take it when a quadratic program has no inequalities and is dense; where it has few nonzeros, take
    ``sparse_system``.
    """

    def suits(self, program: Program) -> float:
        plain = program.shape is Shape.QUADRATIC and not program.has_inequalities and not program.discrete
        if plain and program.sparse:  # after the sparse engines, for the singular systems that these leave
            return 0.75 if program.n <= _LARGEST_DENSE else 0.0
        return 1.0 if plain else 0.0

    def prepare(self, program: Program) -> Solver:
        return _Reduced(program) if program.m else _Unconstrained(program)

    def closed_form(self, program: Program) -> ClosedForm | None:
        # The Hessian of squares that move is a product of matrices, large and full: not written out to be refused.
        if program.squares or (program.moving and program.n > _LARGEST_MOVING):
            return None
        return closed_form(program)


class _Unconstrained(Solver):
    """``H y = -c``; one factorization for all parameters where H is constant or moves along a line."""

    def __init__(self, program: Program) -> None:
        self._form = dense_form(program)
        self._factor = None
        self._moves = not self._form.constant_hessian  # then the next point writes it anew
        if self._form.constant_hessian:
            factor, failed = dpotrf(self._form.hessian)
            good = not failed and _well_conditioned(factor, self._form.hessian.diagonal())
            self._factor = factor if good else None

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        pencil = self._form.pencil
        if pencil is not None:
            numbers = self._form.without_hessian(parameters)
            found, holds = pencil.solve(numbers[None], -self._form.gradient[None])
            if holds[0]:
                return self._optimal(self._form, found[0])
        form = self._form.at(parameters)
        if self._factor is not None:
            y, failed = dpotrs(self._factor, -form.gradient)
        else:
            diagonal = form.hessian.diagonal().copy()
            factor, y, failed = dposv(form.hessian, -form.gradient, overwrite_a=self._moves, overwrite_b=True)
            failed = failed or not _well_conditioned(factor, diagonal)
        if failed:
            form = form.at(parameters)  # the factor stands in the place of a Hessian that moves
            return _semidefinite(form.hessian, form.gradient, np.zeros(len(form.gradient)), None, form.constant[0])
        return self._optimal(form, y)

    def many(self, parameters: Array) -> Answers | None:
        pencil = self._form.pencil
        if self._factor is None and pencil is None:
            return None
        numbers, gradient, constant = self._form.many(parameters)
        if self._factor is not None:
            y = dpotrs(self._factor, -gradient.T)[0].T
            holds = np.ones(len(y), dtype=bool)
        else:
            assert pencil is not None
            y, holds = pencil.solve(numbers, -gradient)
        objective = constant + 0.5 * np.einsum("ij,ij->i", gradient, y)
        return Answers(y, objective, holds & np.isfinite(objective))

    @staticmethod
    def _optimal(form: QuadraticForm, y: Array) -> Answer:
        objective = float(form.constant[0] + 0.5 * form.gradient.dot(y))
        return Answer(Status.OPTIMAL, y, objective, objective, True)


class _Reduced(Solver):
    """The same on the null space of the equality rows."""

    def __init__(self, program: Program) -> None:
        self._form = dense_form(program)
        self._target = program.row_lower
        self._basis = null_space(self._form.matrix) if self._form.constant_matrix else None

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        form = self._form.at(parameters)
        right = self._target - form.offset
        units = own_units(form.hessian)
        if units is None:
            basis = self._basis if self._basis is not None else null_space(form.matrix)
            particular: Array = np.linalg.lstsq(form.matrix, right, rcond=None)[0].astype(float)
        else:
            rows = form.matrix * units
            lengths = np.linalg.norm(rows, axis=1)
            lengths[lengths == 0.0] = 1.0
            rows /= lengths[:, None]
            basis = units[:, None] * null_space(rows)
            particular = units * np.linalg.lstsq(rows, right / lengths, rcond=None)[0]
        residual = np.abs(form.matrix @ particular - right).max(initial=0.0)
        if residual > tolerances.FEASIBILITY * tolerances.scale(np.abs(right).max(initial=0.0)):
            return Answer(
                Status.INFEASIBLE, message=f"the equality constraints contradict each other by {residual:.3g}"
            )
        return _semidefinite(form.hessian, form.gradient, particular, basis, form.constant[0])


def _well_conditioned(factor: Array, diagonal: Array) -> bool:
    pivots = factor.diagonal()
    return bool((pivots * pivots > _SMALLEST_PIVOT * diagonal).all())


def _semidefinite(hessian: Array, gradient: Array, origin: Array, basis: Array | None, constant: float) -> Answer:
    """Minimise over ``origin + span(basis)`` whatever the definiteness of the Hessian there."""
    z_basis = np.eye(len(origin)) if basis is None else basis
    reduced = z_basis.T @ hessian @ z_basis
    units = own_units(reduced)
    if units is not None:
        z_basis, reduced = z_basis * units, reduced * np.outer(units, units)
    slope = z_basis.T @ (gradient + hessian @ origin)
    eigenvalues, vectors = np.linalg.eigh(reduced)
    largest = np.abs(eigenvalues).max(initial=0.0)
    flat = eigenvalues <= tolerances.DEFINITE * largest
    if (eigenvalues < -tolerances.DEFINITE * largest).any():
        return Answer(Status.UNBOUNDED, message="the objective has a direction of negative curvature")
    rotated = vectors.T @ slope
    if np.abs(rotated[flat]).max(initial=0.0) > tolerances.ENGINE * tolerances.scale(np.abs(slope).max(initial=0.0)):
        return Answer(Status.UNBOUNDED, message="the objective falls forever along a direction without curvature")
    steps = np.where(flat, 0.0, -rotated / np.where(flat, 1.0, eigenvalues))
    y = origin + z_basis @ (vectors @ steps)
    objective = float(y @ (0.5 * (hessian @ y) + gradient) + constant)
    return Answer(Status.OPTIMAL, y, objective, objective, not flat.any())
