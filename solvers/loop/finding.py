"""What a search's history amounts to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from bilevel.arrays import Point
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.programs.compilation import Compilation
from bilevel.reading.pieces import as_number
from bilevel.reading.problem import Problem
from bilevel.response.missing_slopes import NO_GRADIENT, missing_slope
from bilevel.upper.archive import Archive, Evaluation
from bilevel.upper.space import Space


def finding_of(
    problem: Problem, space: Space, archive: Archive, termination: Termination, noisy: bool = False
) -> Finding:
    """The incumbent as a finding, and what the history proves: nothing where its values are ``noisy``."""
    best = archive.incumbent
    finding = Finding(termination, Verdict.BEST_FOUND if best is not None else Verdict.FAILED, archive=archive)
    finding.space, finding.conditions = space.dimensions, space.conditions
    if best is not None:
        finding.upper, finding.lower = best.upper, best.lower or None
    open_ = {e.point for e in archive.evaluations.singles() if e.pruned and not e.proved}
    if _enumerated(space, archive) and not open_:
        finding.termination = Termination.STALLED if noisy else Termination.OPTIMALITY
        if not noisy and all(e.proved for e in archive.evaluations.singles()):
            only = "" if all(f.response is None for f in problem.followers) else ", if the function repeats its answers"
            finding.notes.append(
                f"all {len(archive)} points of the space were evaluated: an enumeration is a proof{only}"
            )
            finding.claim = Verdict.CERTIFIED_GLOBAL if best is not None else Verdict.INFEASIBLE
            finding.bound = None if best is None else best.upper_objective
    elif best is not None and not noisy:
        finding.notes += _neighbourhood(space, archive, best, open_)
    if best is None:
        finding.notes.append(_why_none(archive.evaluations))
    finding.notes += _without_gradient(problem, archive)
    return finding


def _neighbourhood(space: Space, archive: Archive, best: Evaluation, open_: set[Point]) -> list[str]:
    """Say so where the answer is known to be locally optimal in the discrete variables."""
    near = list(space.neighbours(best.point)) if any(d.integer and d.size > 1 for d in space.dimensions) else []
    if not near or not all(point in archive and point not in open_ for point in near):
        return []
    return [f"locally optimal on the lattice: all {len(near)} neighbours of the answer were evaluated"]


def _enumerated(space: Space, archive: Archive) -> bool:
    """Whether the archive holds every point that the space allows."""
    if not math.isfinite(space.size) or not len(archive):
        return False
    if not space.constrained:
        return len(archive) == space.size
    return space.size <= 1_000_000 and all(p in archive for p in space.lattice() if space.allows(p))


def _why_none(evaluations: Iterable[Evaluation]) -> str:
    counts: dict[str, int] = {}
    example: dict[str, Any] = {}
    for evaluation in evaluations:
        kind = "breaks a coupling constraint" if evaluation.answered else f"lower level {evaluation.status}"
        kind = "pruned before it came to an answer" if evaluation.pruned else kind
        counts[kind] = counts.get(kind, 0) + 1
        example.setdefault(kind, evaluation.message)
    parts = [f"{n} points: {kind}" + (f" ({example[kind]})" if example[kind] else "") for kind, n in counts.items()]
    return "no feasible point; " + "; ".join(parts) if parts else "no point was evaluated"


def _without_gradient(problem: Problem, archive: Archive) -> list[str]:
    """Say once what hides the gradient, where a point has none."""
    found = [evaluation for evaluation in archive.evaluations.singles() if evaluation.message == NO_GRADIENT]
    if not found:
        return []
    y = np.array([found[0].lower[var.name] for var in problem.lower_variables])
    compilation = Compilation.of(problem)
    x = np.array([as_number(var, found[0].upper[var.name]) for var in problem.variables])
    why = missing_slope(compilation, [(x, y)]) or "the derivative of the followers' answer is not a number"
    return [f"{len(found)} of {len(archive)} points have no gradient: {why}"]
