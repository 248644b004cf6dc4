"""One sparse linear system: large quadratic programs with few nonzeros and without inequalities.

``H y + A'm = -c,  A y = b`` by an ``L D L'`` factorization whose order is found once
(:mod:`bilevel.linear_algebra.saddle_system`). The inertia says whether H is definite where the rows leave room (Nocedal
and Wright, *Numerical Optimization*, theorem 16.3). What it does not decide (singular Hessians, rows that contradict
each other by little) is refused, for another engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import lsqr

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.linear_algebra.saddle_system import KktSystem
from bilevel.programs.answer import Answer, ClosedForm, Status
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.sparse_form import SparseForm
from bilevel.registry import register
from bilevel.solvers.engines.symbolic_ldl import closed_form

_RESIDUAL = 1e-10  # of the system, relative, above which its solution is none
_BENT = 1e-11  # curvature below minus this, relative to the terms it is the sum of, is negative
_PATIENCE = 10_000  # steps of the least-squares method


@register("sparse_system")
class SparseSystem(Engine):
    """Large sparse quadratic programs without inequalities, by one sparse factorization.

    Take it when a quadratic program without inequalities is large with few nonzeros; where there are bounds or rows
    besides, take ``piqp``.
    """

    def suits(self, program: Program) -> float:
        plain = program.shape is Shape.QUADRATIC and not program.has_inequalities and not program.discrete
        return 1.0 if plain and program.sparse else 0.0

    def prepare(self, program: Program) -> Solver:
        return _SparseSolver(program)

    def closed_form(self, program: Program) -> ClosedForm | None:
        return closed_form(program)


class _SparseSolver(Solver):
    """The factor is kept where neither H nor A depends on the parameters."""

    def __init__(self, program: Program) -> None:
        form = numeric_form(program)
        assert isinstance(form, SparseForm)
        self._form, self._target = form, program.row_lower
        self._system = KktSystem(form.upper, form.matrix)
        self._stands = form.constant_hessian and form.constant_matrix
        if self._stands:
            self._system.factorize(form.upper.data, form.matrix.data)

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        form = self._form
        form.at(parameters)
        right = self._target - form.offset
        if not self._stands:
            self._system.factorize(form.upper.data, form.matrix.data)
        if not self._system.definite:
            return self._undecided(right)
        found = self._system.solve(-form.gradient[:, None], right[:, None])
        y = found.y[:, 0]
        excess = float(np.abs(form.matrix @ y - right).max(initial=0.0))
        met = excess <= tolerances.FEASIBILITY / 100 * tolerances.scale(float(np.abs(right).max(initial=0.0)))
        if not (met and found.error <= _RESIDUAL):
            return self._contradiction(right) or Answer(
                Status.REFUSED, message="the sparse system is too ill-conditioned"
            )
        objective = form.objective(y)
        return Answer(Status.OPTIMAL, y, objective, objective, True)

    def _undecided(self, right: Array) -> Answer:
        """No proof that H is definite where it matters: a direction of negative curvature, or a refusal."""
        form = self._form
        broken = self._contradiction(right)
        if broken is not None:
            return broken
        direction = None if form.matrix.shape[0] else self._system.descent()
        if direction is not None and np.isfinite(direction).all():
            size = np.abs(direction)
            if direction @ (form.hessian @ direction) < -_BENT * (size @ (abs(form.hessian) @ size)):
                return Answer(Status.UNBOUNDED, message="the objective has a direction of negative curvature")
        return Answer(Status.REFUSED, message="the Hessian is not definite at this point")

    def _contradiction(self, right: Array) -> Answer | None:
        """That the equalities contradict each other: weights w with ``A'w = 0`` and ``b'w`` beyond the tolerance."""
        matrix: Any = self._form.matrix
        if not matrix.shape[0]:
            return None
        lengths = np.sqrt((matrix * matrix).sum(axis=1))
        lengths = np.where(lengths > 0.0, lengths, 1.0)
        rows = matrix.multiply(1.0 / lengths[:, None]).tocsr()
        particular = lsqr(rows, right / lengths, atol=1e-15, btol=1e-15, iter_lim=_PATIENCE)[0]
        weights = right / lengths - rows @ particular
        residual = float(np.abs(weights * lengths).max())
        pull = float(np.abs(rows.T @ weights).max(initial=0.0))
        pull *= tolerances.scale(float(np.abs(particular).max()))
        open_ = residual > tolerances.FEASIBILITY * tolerances.scale(float(np.abs(right).max()))
        if open_ and pull * tolerances.scale(float(np.abs(particular).max())) <= tolerances.FEASIBILITY * float(
            weights @ weights
        ):
            return Answer(
                Status.INFEASIBLE, message=f"the equality constraints contradict each other by {residual:.3g}"
            )
        return None
