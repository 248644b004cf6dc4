"""Newton's method: smooth convex programs of moderate size, to the last digits and in microseconds.

Without constraints steps are ``H d = -g`` by Cholesky's factorization, shortened until f falls (Boyd and Vandenberghe
2004, *Convex Optimization*, 9.5); with bounds or rows each step is a convex quadratic program
(:mod:`bilevel.solvers.engines.smooth.newton_rows`). How far the optimum is off is measured as that method's theory
does, by ``d'Hd``, in which neither the units of y nor those of f count. Where it is not sure of its answer (f falls for
ever, has no value at the start, or is too flat for a Newton step to say where its optimum is) it refuses.
"""

from __future__ import annotations

import math

import casadi as ca
import numpy as np
from scipy.linalg.lapack import dposv

from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.deadline import passed
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program, Shape
from bilevel.registry import register
from bilevel.solvers.engines.smooth.newton_rows import RowsSolver
from bilevel.solvers.engines.smooth.newton_steps import (
    DESCENT,
    ITERATIONS,
    NewtonSolver,
    Progress,
    lifted,
    settled,
    surely_definite,
)

_LARGEST, _LARGEST_FREE = 200, 500  # variables, with and without constraints
_MOST_ROWS = 400
_SPARSE = 100, 0.1  # variables beyond which a Hessian with fewer nonzeros, as a share, is for sparse linear algebra


@register("newton")
class Newton(Engine):
    """Smooth convex programs of up to some hundred variables, by Newton's method with exact derivatives.

    Take it when a smooth convex program has up to some hundred variables; for larger, sparse or nonconvex ones take
    ``ipopt``.
    """

    warms = True

    def suits(self, program: Program) -> float:
        largest = _LARGEST if program.has_inequalities or program.m else _LARGEST_FREE
        if not program.convex or program.discrete or program.n > largest or program.m > _MOST_ROWS:
            return 0.0
        if program.shape is not Shape.NONLINEAR or program.kinked:
            return 0.0
        if program.losses:
            return 0.85
        return 0.0 if program.n > _SPARSE[0] and _density(program) < _SPARSE[1] else 0.85

    def prepare(self, program: Program) -> Solver:
        return RowsSolver(program) if program.m or program.bounded_variables.any() else _FreeSolver(program)


def _density(program: Program) -> float:
    """Share of the objective's Hessian that is not zero."""
    pattern = ca.jacobian_sparsity(program.gradient, program.variables)
    return float(pattern.nnz()) / program.n**2


class _FreeSolver(NewtonSolver):
    """Without bounds and rows."""

    _none = np.zeros(0)

    def _from(self, y: Array) -> Answer | None:
        """Iterate; None where it comes to nothing."""
        form, progress = self._form, Progress()
        form(y, self._none)
        if not math.isfinite(form.objective):
            return None
        for _ in range(ITERATIONS):
            if passed():
                return None
            gradient, objective = form.gradient, form.objective
            hessian = form.hessian
            factor, step, failed = dposv(hessian, gradient)
            sure = not failed and surely_definite(factor, hessian)
            if not sure:
                definite = lifted(hessian, form.gradient)
                if definite is None:
                    return None
                hessian = definite
                _, step, failed = dposv(hessian, gradient)
                if failed:
                    return None
            slope = float(gradient @ step)
            if progress.ended(slope, y, step, hessian, objective):
                if not settled(y, step, slope, objective):
                    return None
                return Answer(Status.OPTIMAL, y, objective, objective, sure)
            self.iterations += 1
            moved = self._along(y, step, slope, objective)
            if moved is None:
                return None
            y = moved
        return None

    def _along(self, y: Array, step: Array, slope: float, objective: float) -> Array | None:
        """A point along the step at which f is lower; the form then holds its numbers."""
        form, length = self._form, 1.0
        while length > DESCENT.shortest:
            point = y - length * step
            form(point, self._none)
            if DESCENT.falls(form.objective, objective, length * slope):
                return point
            if slope <= DESCENT.blind * max(1.0, abs(objective)) and abs(float(form.gradient @ step)) <= 0.5 * slope:
                return point  # where f is all rounding its slope says more
            length = DESCENT.shorter(length, form.objective, objective, slope)
        return None
