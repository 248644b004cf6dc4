"""Least squares with an l1 term: the lasso, the elastic net, non-negative least squares, by active sets.

The answer is exact for its active set: one Cholesky factorization of the columns that are not at rest (Osborne,
Presnell and Turlach 2000). It is the only one where the columns that could be active are independent, which is seen at
the answer.
"""

from __future__ import annotations

from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.programs.answer import Answer, Status
from bilevel.programs.l1.form import L1Form
from bilevel.programs.l1.recognition import l1_form
from bilevel.programs.program import Program
from bilevel.registry import register
from bilevel.solvers.engines.active_sets.optimum import ActiveSets


@register("l1")
class L1(Engine):
    """Least squares with an absolute value or a bound on each coefficient, of any size, by exact active sets.

    Take it when the follower is a lasso, an elastic net or non-negative least squares, however written; for other
    quadratic programs take ``daqp``.
    """

    warms = True
    specialises = True

    def suits(self, program: Program) -> float:
        return 0.95 if l1_form(program) is not None else 0.0

    def prepare(self, program: Program) -> Solver:
        form = l1_form(program)
        assert form is not None
        return _L1Solver(form)


class _L1Solver(Solver):
    def __init__(self, form: L1Form) -> None:
        self._form, self._sets = form, ActiveSets(form)

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        weights = self._form.at(parameters)
        if weights is None:
            return Answer(Status.REFUSED, message="the penalties are no longer convex at this point")
        found = self._sets(weights, None if start is None else self._form.coefficients(start))
        if found is None:
            return Answer(Status.REFUSED, message="the active sets did not settle")
        objective = self._form.objective(weights, found.w)
        return Answer(Status.OPTIMAL, self._form.point(found.w), objective, objective, found.unique)
