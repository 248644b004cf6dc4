"""Sums of hinges: support vector machines, their regression, quantile regression, absolute errors.

The rows that decide an answer are few: those at their kink. They are found by an interior-point method whose steps cost
a factorization of the size of the coefficients, or from an answer nearby; the answer is then exact for them.
"""

from __future__ import annotations

from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.programs.answer import Answer, Status
from bilevel.programs.hinges.form import HingeForm
from bilevel.programs.hinges.recognition import hinge_form
from bilevel.programs.program import Program
from bilevel.registry import register
from bilevel.solvers.engines.hinge_sums.optimum import HingeOptimum


@register("hinges")
class Hinges(Engine):
    """Hinges, tubes, absolute values and quantile losses over rows of data, with up to a thousand coefficients.

    Take it when the follower is a support vector machine or a quantile regression, with a slack variable for each row;
    where an l1 term stands beside squares take ``l1``, for other quadratic programs ``daqp``.
    """

    warms = True
    specialises = True

    def suits(self, program: Program) -> float:
        return 0.95 if hinge_form(program) is not None else 0.0

    def prepare(self, program: Program) -> Solver:
        form = hinge_form(program)
        assert form is not None
        return _HingeSolver(form)


class _HingeSolver(Solver):
    def __init__(self, form: HingeForm) -> None:
        self._form, self._optimum = form, HingeOptimum(form)

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        form = self._form
        weights = form.at(parameters)
        if weights is None:
            return Answer(Status.REFUSED, message="the costs of the rows are no longer those of hinges at this point")
        found = self._optimum(weights, None if start is None else form.coefficients(start))
        if found is None:
            return Answer(Status.REFUSED, message="the rows at their kink were not found")
        objective = form.objective(weights, found.w)
        unique = found.unique and weights.single
        return Answer(Status.OPTIMAL, form.point(weights, found.w), objective, objective, unique)
