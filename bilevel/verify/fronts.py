"""The second look at a front: every point verified like any other answer, and what does not stand is left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from bilevel import tolerances
from bilevel.contracts.finding import Finding, Verdict
from bilevel.deadline import passed
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.results.fronts.front import FrontPoint
from bilevel.results.result import Result
from bilevel.upper.archive import Evaluation
from bilevel.upper.front import nondominated
from bilevel.verify.check import Check
from bilevel.verify.values_at import ValuesAt
from bilevel.verify.verifier import Verifier

_FAILURES = 50  # points that do not stand before the rest is left unverified


def values_at(problem: Problem, upper: dict[str, Any], lower: dict[str, Any]) -> dict[str, float]:
    """The several objectives by name, on the user's Pyomo expressions, in the user's sense."""
    read = ValuesAt(problem, upper, lower)
    return {objective.name: float(read(objective)) for objective in problem.objectives}


def point_of(problem: Problem, result: Result) -> FrontPoint:
    """A verified answer of one of the single-objective problems as a point of the front."""
    return FrontPoint(
        result.upper,
        result.lower,
        values_at(problem, result.upper, result.lower),
        result.verdict,
        lower_objective=result.lower_objective,
        bilevel_gap=result.bilevel_gap,
        upper_violation=result.upper_violation,
        lower_violation=result.lower_violation,
    )


class FrontJudge:
    """Verifies the points of a search's front.

    Parameters
    ----------
    problem : Problem
        With several ``objectives``.
    finding : Finding
        What the search found; ``certified_global`` where every point of the space was answered with a proof.
    unique : bool
        Whether the followers' answer is proved unique, so that x has one point of the front alone.

    Attributes
    ----------
    notes : list of str
        What a reader of the result should know.
    whole : bool
        Whether the front is proved to be the whole one.
    """

    def __init__(self, problem: Problem, finding: Finding, unique: bool) -> None:
        self._problem = problem
        self._compilation = Compilation.of(problem)
        response = Response(problem, compilation=self._compilation, warm=False)
        feasible = [evaluation for evaluation in finding.archive if evaluation.feasible and evaluation.costs]
        self._verifier = Verifier(self._compilation, response, (e.cost for e in feasible))
        self._left = feasible
        self._checks: dict[int, Check] = {}
        self.whole = finding.claim is Verdict.CERTIFIED_GLOBAL and unique
        self.notes: list[str] = []
        self._noisy = ""

    def points(self) -> list[FrontPoint]:
        """The nondominated points that stand."""
        lost, late = 0, False
        while True:
            front = self._nondominated()
            new = [evaluation for evaluation in front if evaluation.index not in self._checks]
            if not new:
                break
            for evaluation in new:
                late = late or passed()
                complaint = "the time was up" if late else self._complaint(evaluation)
                if complaint:
                    lost += 1
                    self.whole = False
                    self._left = [other for other in self._left if other is not evaluation]
                    if lost == 1:
                        self.notes.append(f"left out, as it did not stand a second look: {complaint}")
            if late or lost > _FAILURES:
                front = [evaluation for evaluation in self._nondominated() if evaluation.index in self._checks]
                break
        self.notes += [self._noisy] if self._noisy else []
        if lost > 1:
            self.notes.append(f"{lost} points were left out of the front in all")
        return [self._point(self._checks[evaluation.index]) for evaluation in front]

    def _nondominated(self) -> list[Evaluation]:
        costs = np.array([evaluation.costs for evaluation in self._left])
        return [e for e, kept in zip(self._left, nondominated(costs), strict=True) if kept] if len(costs) else []

    def _complaint(self, evaluation: Evaluation) -> str:
        """Why a point does not stand; empty where it does, and its check is kept."""
        check = self._verifier.check(evaluation.upper, evaluation.lower)
        if isinstance(check, str):
            return check
        if not check.stands:
            return "; ".join(check.complaints)
        if check.noise is not None:
            self.whole = False
            self._noisy = self._noisy or str(check.noise)
        found = values_at(self._problem, check.upper, check.lower)
        for name, value in evaluation.upper_objectives.items():
            moved = abs(found[name] - value) > tolerances.CERTIFICATE * tolerances.scale(value)
            if moved and check.noise is None:
                return f"{name} is {found[name]:.10g} at the re-solved y, not {value:.10g}"
        self._checks[evaluation.index] = check
        self.whole = self.whole and check.certain
        return ""

    def _point(self, check: Check) -> FrontPoint:
        shown = {var.name for var in self._problem.reported_variables}
        return FrontPoint(
            dict(check.upper),
            {name: value for name, value in check.lower.items() if name in shown},
            values_at(self._problem, check.upper, check.lower),
            Verdict.CERTIFIED_GLOBAL if self.whole else Verdict.BEST_FOUND,
            lower_objective=sum(check.lower_objectives),
            bilevel_gap=check.bilevel_gap,
            upper_violation=check.upper_violation,
            lower_violation=check.lower_violation,
        )
