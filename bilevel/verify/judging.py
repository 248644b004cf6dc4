"""From what a path found to what is reported: verified, given the verdict that is borne out, written on the model."""

from __future__ import annotations

import math
import time

from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.convexity.examination import convexity_of
from bilevel.language.attitude import Attitude
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.results.result import Result
from bilevel.verify.check import Check
from bilevel.verify.values_at import ValuesAt
from bilevel.verify.verdict import verdict_of
from bilevel.verify.verifier import Verifier

_TRIES = 20  # evaluated points that are verified in turn where the best one does not stand
_SECONDS = 10.0  # for all of them


def judged(problem: Problem, finding: Finding, method: str, deadline: float = math.inf) -> Result:
    """Verify what a path found and write it on the model.

    Where the point does not stand, because F falls towards an x at which the answer jumps, say, or because the lower
    level could not be solved to the digits that are asked for, the next best evaluated point that does is reported.
    """
    result = Result(
        method=method,
        verdict=finding.claim,
        termination=finding.termination,
        bound=finding.bound,
        convexity=finding.convexity,
        evaluations=len(finding.archive),
        history=list(finding.archive),
        notes=list(finding.notes),
        space=finding.space,
        conditions=finding.conditions,
    )
    if finding.upper is None:
        if finding.claim.holds_a_point:
            result.verdict = Verdict.FAILED
        return result
    compilation = Compilation.of(problem)
    verifier = Verifier(compilation, Response(problem, compilation=compilation, warm=False), deadline)
    check = verifier.check(finding.upper, finding.lower)
    if isinstance(check, str) or not check.stands:
        other = _next_best(finding, verifier, deadline)
        if other is not None:
            complaint = check if isinstance(check, str) else "; ".join(check.complaints)
            result.notes.append(
                f"the next best point: the best one did not stand a second look ({complaint}); the best F may not be"
                " attained"
            )
            finding.claim, check = Verdict.BEST_FOUND, other
    if isinstance(check, str):
        result.verdict = Verdict.FAILED
        result.notes.append(check)
        return result
    if check.stands and not check.proved and time.monotonic() < deadline:
        _prove_by_convexity(problem, compilation, check)
    if finding.bound is not None:  # a relaxation may know less than the form of F does
        finding.bound = problem.sense * max(problem.sense * finding.bound, compilation.floor)
    result.verdict, result.bound, notes = verdict_of(finding, check, problem)
    result.notes += notes + ([check.remark] if check.remark else [])
    if problem.attitude is Attitude.PESSIMISTIC:
        result.notes.append("pessimistic: y is the worst for the leader among the follower's optima")
    _fill(result, check)
    result.read_by(ValuesAt(problem, check))
    _write(problem, check)
    return result


def _prove_by_convexity(problem: Problem, compilation: Compilation, check: Check) -> None:
    """A follower's optimum that no engine proved is one where its problem is convex: stationary is all there is to be.

    Ties are another matter: where the choice among them is not proved the check's remark says so, and stays.
    """
    if problem.attitude is Attitude.OPTIMISTIC and not check.remark and not any(f.response for f in problem.followers):
        found = convexity_of(problem, compilation)
        check.proved = all(convexity.verdict == "proved" for convexity in found.values())


def _next_best(finding: Finding, verifier: Verifier, deadline: float) -> Check | None:
    """The best evaluated point that stands, among the best few."""
    feasible = sorted((e for e in finding.archive if e.feasible), key=lambda e: e.cost)
    others = [evaluation for evaluation in feasible if evaluation.upper != finding.upper]
    deadline = min(deadline, time.monotonic() + _SECONDS)
    for evaluation in others[:_TRIES]:
        if time.monotonic() > deadline:
            break
        check = verifier.check(evaluation.upper, evaluation.lower)
        if isinstance(check, Check) and check.stands:
            return check
    return None


def _fill(result: Result, check: Check) -> None:
    result.upper, result.lower = dict(check.upper), dict(check.lower)
    result.upper_objective = check.upper_objective
    result.lower_objective = sum(check.lower_objectives)
    result.bilevel_gap = check.bilevel_gap
    result.upper_violation, result.lower_violation = check.upper_violation, check.lower_violation
    if result.bound is not None:
        result.gap = abs(check.upper_objective - result.bound) / max(1.0, abs(check.upper_objective))
    if result.verdict is Verdict.CERTIFIED_GLOBAL:
        result.termination = Termination.OPTIMALITY


def _write(problem: Problem, check: Check) -> None:
    """Leave the answer on the user's model."""
    for var in problem.variables:
        var.set_value(check.upper[var.name], skip_validation=True)
    for var in problem.lower_variables:
        var.set_value(check.lower[var.name], skip_validation=True)
