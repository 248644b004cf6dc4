"""From what a path found to what is reported: verified, given the verdict that is borne out, written on the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bilevel import tolerances
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.deadline import Deadline, passed, within
from bilevel.language.attitude import Attitude
from bilevel.programs.compilation import Compilation
from bilevel.reading.pieces import as_number, within_domain
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.results.result import Result
from bilevel.sensitivity.dual_signs import flat_by_sign
from bilevel.verify.again import asked_again, state_again
from bilevel.verify.check import Check
from bilevel.verify.elsewhere import noise_elsewhere
from bilevel.verify.free_riders import falls_without_end, free_riders
from bilevel.verify.noise import Noise
from bilevel.verify.values_at import ValuesAt
from bilevel.verify.verdict import verdict_of
from bilevel.verify.verifier import Verifier

_TRIES = 20  # evaluated points that are verified in turn where the best one does not stand
_SECONDS = 10.0  # for all of them


def judged(problem: Problem, finding: Finding, method: str) -> Result:
    """Verify what a path found and write it on the model; see :func:`_judged`."""
    result = _judged(problem, finding, method)
    hidden = set(problem.lower_names) - {problem.names[id(var)] for var in problem.reported_variables}
    if hidden:
        result.lower = _without(hidden, result.lower)
        # The finding's own history stays whole: it may be looked at once more.
        result.history = [replace(e, lower=_without(hidden, e.lower)) for e in result.history]
    return result


def _without(hidden: set[str], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in hidden}


def _judged(problem: Problem, finding: Finding, method: str) -> Result:
    """Verify what a path found and write it on the model.

    Where the point does not stand, because F falls towards an x at which the answer jumps, say, or because the lower
    level could not be solved to the digits that are asked for, the next best evaluated point that does is reported.
    """
    if finding.bound is not None and not abs(finding.bound) < tolerances.INFINITE:
        finding.bound = None
    result = Result(
        method=method,
        verdict=finding.claim,
        termination=finding.termination,
        bound=finding.bound,
        convexity=finding.convexity,
        evaluations=len(finding.archive),
        history=finding.archive.evaluations.copy(),
        notes=list(finding.notes),
        space=finding.space,
        conditions=finding.conditions,
    )
    if finding.upper is None:
        if finding.claim.holds_a_point:
            result.verdict = Verdict.FAILED
        noise = noise_elsewhere(problem, finding)
        return result if noise is None else _unproved(result, noise)
    compilation = Compilation.of(problem)
    response = Response(problem, compilation=compilation, warm=False)
    asked_again(response, finding)
    verifier = Verifier(compilation, response, finding.archive.evaluations.costs().tolist())
    check = verifier.check(finding.upper, finding.lower)
    if isinstance(check, str) or not check.stands:
        other = None if finding.schedule else _next_best(finding, verifier)
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
    endless = falls_without_end(problem, check.upper, check.lower) if check.stands else None
    if endless is not None:
        return _unbounded(result, endless)
    check.noise = check.noise or noise_elsewhere(problem, finding)
    if finding.bound is not None:  # a relaxation may know less than the form of F does
        finding.bound = problem.sense * max(problem.sense * finding.bound, compilation.floor)
    result.verdict, result.bound, notes = verdict_of(finding, check, problem)
    result.notes += notes + ([check.remark] if check.remark else [])
    if problem.attitude is Attitude.PESSIMISTIC:
        result.notes.append("pessimistic: y is the worst for the leader among the follower's optima")
    if problem.multipliers:
        x = np.array([as_number(var, check.upper[var.name]) for var in problem.variables], dtype=float)
        y = np.array([check.lower[name] for name in problem.lower_names], dtype=float)
        result.notes += flat_by_sign(compilation, x, y)
    _fill(result, check, compilation.scale(problem.sense * check.upper_objective))
    result.read_by(ValuesAt(problem, check.upper, check.lower), problem.model)
    problem.leave({**check.upper, **check.lower})
    state_again(result, finding)
    return result if check.noise is None else _noisy(result, check.noise)


def _unbounded(result: Result, why: str) -> Result:
    result.verdict, result.termination, result.bound = Verdict.UNBOUNDED, Termination.OPTIMALITY, None
    result.notes.append(f"unbounded: {why}")
    return result


def _noisy(result: Result, noise: Noise) -> Result:
    """A space that was enumerated is used up, and nothing is proved."""
    result.noise = noise.size
    if result.termination is Termination.OPTIMALITY:
        result.termination = Termination.STALLED
    return result


def _unproved(result: Result, noise: Noise) -> Result:
    result.verdict = Verdict.FAILED
    result.notes.append(str(noise))
    return _noisy(result, noise)


def unbounded_at_once(problem: Problem) -> Finding | None:
    """That F is unbounded along variables which only F mentions, where a few points tell, whatever the method."""
    if not free_riders(problem):
        return None
    compilation = Compilation.of(problem)
    verifier = Verifier(compilation, Response(problem, compilation=compilation, warm=False))
    for share in _SHARES:
        check = verifier.check({var.name: _between(var, compilation.ranges, share) for var in problem.variables})
        if isinstance(check, Check) and check.stands:
            why = falls_without_end(problem, check.upper, check.lower)
            if why is not None:
                return Finding(Termination.OPTIMALITY, Verdict.UNBOUNDED, notes=[f"unbounded: {why}"])
    return None


_SHARES = (0.5, 0.0, 1.0, 0.25, 0.75)  # of the way through the box of x


def _between(var: Any, ranges: Mapping[str, tuple[float, float]], share: float) -> Any:
    if var.domain.isfinite() and not (var.is_integer() or var.is_binary()):
        values = list(var.domain)
        return values[round(share * (len(values) - 1))]
    low, high = ranges[var.name]
    low = min(0.0, high) - 1.0 if math.isinf(low) else low
    high = max(0.0, low) + 1.0 if math.isinf(high) else high
    return within_domain(var, low + share * (high - low))


def _next_best(finding: Finding, verifier: Verifier) -> Check | None:
    """The best evaluated point that stands, among the best few."""
    feasible = sorted((e for e in finding.archive if e.feasible), key=lambda e: e.cost)
    others = [evaluation for evaluation in feasible if evaluation.upper != finding.upper]
    with within(Deadline.after(_SECONDS)):
        for evaluation in others[:_TRIES]:
            if passed():
                break
            check = verifier.check(evaluation.upper, evaluation.lower)
            if isinstance(check, Check) and check.stands:
                return check
    return None


def _fill(result: Result, check: Check, scale: float) -> None:
    result.upper, result.lower = dict(check.upper), dict(check.lower)
    result.upper_objective = check.upper_objective
    result.lower_objective = sum(check.lower_objectives)
    result.bilevel_gap = check.bilevel_gap
    result.upper_violation, result.lower_violation = check.upper_violation, check.lower_violation
    if result.bound is not None:
        result.gap = abs(check.upper_objective - result.bound) / scale
    if result.verdict is Verdict.CERTIFIED_GLOBAL:
        result.termination = Termination.OPTIMALITY
