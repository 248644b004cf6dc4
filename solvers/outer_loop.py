"""The search path: the upper level as a black box, the lower level solved exactly at every point.

ask -> response -> archive -> tell, until the budget, the time or the space is used up. A finite space whose every
point was answered with a proof is a proof itself: full enumeration.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from bilevel import registry
from bilevel.archive import Archive, Evaluation
from bilevel.compiling import Compilation
from bilevel.contracts import Observer, Path, Point, Search, Settings, Status
from bilevel.errors import BilevelError, OptionError, RefusedError, SpaceError
from bilevel.hypergradient import Hypergradient
from bilevel.problem import Problem
from bilevel.registry import register
from bilevel.response import Response
from bilevel.result import Finding, Termination, Verdict
from bilevel.space import Space

DEFAULT_BUDGET = 100
_PREFERRED = ("surrogate", "random")
_PATIENCE = 1000  # proposals in a row that bring nothing new before a search counts as stalled


@register("search")
class OuterLoop(Path):
    """Black-box search over the upper level, the lower level solved exactly at every point."""

    pessimistic = True
    multipliers = True

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        compilation = Compilation(problem)
        space = Space(compilation)
        budget = settings.budget if settings.budget is not None else DEFAULT_BUDGET
        search = _make(space, settings, budget)
        gradient = Hypergradient(compilation) if search.uses_gradients else None
        if gradient is not None and problem.coupling:
            raise RefusedError(
                f"{search.name} cannot hold the coupling constraint {problem.coupling[0].name}; use kkt or a surrogate"
            )
        evaluate = Evaluate(space, Response(problem, compilation=compilation), gradient)
        archive = Archive()
        deadline = math.inf if settings.time_limit is None else time.monotonic() + settings.time_limit
        try:
            termination = _loop(search, space, evaluate, archive, budget, deadline, observer)
        except KeyboardInterrupt:
            termination = Termination.INTERRUPTED
        finally:
            search.close()
        if len(archive) == 0 and termination is Termination.STALLED:
            raise SpaceError(_empty(space))
        return _finding(problem, space, archive, termination)


def _make(space: Space, settings: Settings, budget: int) -> Search:
    """The search by name, with the options it takes."""
    name = settings.method
    if registry.find(Search, name) is None:
        name = next(n for n in _PREFERRED if registry.find(Search, n) is not None)
        if space.size <= budget:
            name = "grid"
    part = registry.get(Search, name)
    known = [p.name for p in inspect.signature(part.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in settings.options:
        if option not in known:
            raise OptionError(f"{name} has no option {option!r}; it takes {', '.join(known) or 'none'}")
    return part(space, np.random.default_rng(settings.seed), budget, **settings.options)


class Evaluate:
    """One upper point to one line of the history."""

    def __init__(self, space: Space, response: Response, gradient: Hypergradient | None = None) -> None:
        self._space = space
        self._response = response
        self._gradient = gradient
        self._sense = response.problem.sense
        self._senses = [follower.sense for follower in response.problem.followers]

    def __call__(self, point: Point, index: int) -> Evaluation:
        """Evaluate; whatever goes wrong below is data."""
        began = time.perf_counter()
        upper = self._space.values(point)
        x = self._space.vector(point)
        reply = self._response(x, upper)
        evaluation = Evaluation(index, point, upper, status=reply.status, message=reply.message, proved=reply.proved)
        if reply.status is Status.OPTIMAL and reply.y is not None:
            evaluation.lower = self._response.lower_values(reply.y)
            evaluation.cost = reply.cost
            evaluation.upper_objective = self._sense * reply.cost
            evaluation.lower_objective = tuple(s * f for s, f in zip(self._senses, reply.lower, strict=False))
            evaluation.upper_violation = reply.violation
            if self._gradient is not None:
                evaluation.gradient = tuple(self._gradient(x, reply.y).value.tolist())
        evaluation.seconds = time.perf_counter() - began
        return evaluation


def _loop(
    search: Search,
    space: Space,
    evaluate: Evaluate,
    archive: Archive,
    budget: int,
    deadline: float,
    observer: Observer,
) -> Termination:
    idle = 0
    while len(archive) < budget:
        points = search.ask(1)
        if not points or idle > _PATIENCE:
            return Termination.STALLED
        for point in points:
            _insist(space, search, point)
            if point in archive:
                idle += 1
                continue
            idle = 0
            evaluation = evaluate(point, len(archive))
            archive.add(evaluation)
            search.tell(evaluation)
            observer.evaluated(archive)
        if time.monotonic() > deadline:
            return Termination.TIME_LIMIT
    return Termination.BUDGET


def _insist(space: Space, search: Search, point: Point) -> None:
    if not space.allows(point):
        raise BilevelError(
            f"the search {search.name} proposed {space.values(point)}, which breaks an upper constraint over x"
        )


def _finding(problem: Problem, space: Space, archive: Archive, termination: Termination) -> Finding:
    best = archive.incumbent
    finding = Finding(termination, Verdict.BEST_FOUND if best is not None else Verdict.FAILED, archive=archive)
    if best is not None:
        finding.upper, finding.lower = best.upper, best.lower
    if _enumerated(space, archive):
        finding.termination = Termination.OPTIMALITY
        if all(e.proved for e in archive):
            finding.notes.append(f"all {len(archive)} points of the space were evaluated: an enumeration is a proof")
            finding.claim = Verdict.CERTIFIED_GLOBAL if best is not None else Verdict.INFEASIBLE
            finding.bound = None if best is None else best.upper_objective
    if best is None:
        finding.notes.append(_why_none(archive.evaluations))
    return finding


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
        counts[kind] = counts.get(kind, 0) + 1
        example.setdefault(kind, evaluation.message)
    parts = [f"{n} points: {kind}" + (f" ({example[kind]})" if example[kind] else "") for kind, n in counts.items()]
    return "no feasible point; " + "; ".join(parts) if parts else "no point was evaluated"


def _empty(space: Space) -> str:
    return (
        "the upper constraints over x alone leave no point that the search could find among"
        f" {', '.join(space.names[:5])}; widen the bounds, or check the constraints and Allowed predicates"
    )
