"""The verdict that is borne out."""

from __future__ import annotations

from bilevel.contracts.finding import Finding, Verdict
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.verify.check import Check


def verdict_of(finding: Finding, check: Check, problem: Problem) -> tuple[Verdict, float | None, list[str]]:
    """The verdict a checked point bears out, the bound that may be reported, and notes on what was lowered.

    A bound that a verified point beats is wrong: it is withdrawn, never reported. So is one made of random numbers.
    """
    notes: list[str] = []
    bound = finding.bound
    if not check.stands:
        notes = [f"not verified: {c}" for c in check.complaints]
        if bound is not None and finding.claim is Verdict.CERTIFIED_GLOBAL:
            notes.append("F comes near its bound only where y is no answer: the best F may not be attained")
        notes += [str(check.noise)] if check.noise is not None else []
        return Verdict.FAILED, bound, notes
    if check.noise is not None:
        return Verdict.BEST_FOUND, None, [str(check.noise)]
    cost = problem.sense * check.upper_objective
    if bound is not None:
        below = problem.sense * bound
        if not Compilation.of(problem).closes(below, cost):  # the other way round: it is above F
            notes.append(
                f"the bound {bound:.10g} is withdrawn: a verified point with F = {check.upper_objective:.10g} beats it"
            )
            bound = None
        elif (
            finding.claim is Verdict.CERTIFIED_GLOBAL and check.certain and Compilation.of(problem).closes(cost, below)
        ):
            return Verdict.CERTIFIED_GLOBAL, bound, notes
        else:
            bound = problem.sense * min(below, cost)
    if finding.claim is Verdict.VERIFIED_LOCAL:
        return Verdict.VERIFIED_LOCAL, bound, notes
    if finding.claim is Verdict.CERTIFIED_GLOBAL:
        cause = "the bound does not close on F at the re-solved y" if check.certain else "the re-solved y is not proved"
        notes.append(f"no certificate: {cause}")
    if not check.proved:
        notes.append("the lower level was re-solved, but its optimum is not proved to be global")
    return Verdict.BEST_FOUND, bound, notes
