"""The search path: the upper level as a black box, the lower level solved exactly at every point.

ask -> response -> archive -> tell, until the budget, the time or the space is used up. A finite space whose every
point was answered with a proof is a proof itself: full enumeration.

With workers several points are out at once, and they are told in the order in which they were asked for, however long
each takes: point i is asked for when i - w + 1 outcomes are told, where w is the number of workers. So a history
depends on the seed and on w alone, and on the seed alone where the search does not learn. What an evaluation starts
from below is a function of the history as well (:mod:`bilevel.solvers.anchors`).
"""

from __future__ import annotations

import inspect
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bilevel import registry
from bilevel.contracts.engine import Observer, Path, Point, Search, Settings, Status
from bilevel.errors import BilevelError, OptionError, SpaceError, StudyError
from bilevel.graphs.compiled import Array
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.replies import Reply
from bilevel.response.response import Response, warms
from bilevel.results.result import Finding, Termination, Verdict
from bilevel.sensitivity.hypergradient import Gradient
from bilevel.sensitivity.second_order import SecondOrder
from bilevel.solvers.loop.anchors import LAG, Anchors, NearestAnswers, NoAnchors
from bilevel.solvers.loop.granted_gradients import Differentiate, Gradients, differentiator, granted
from bilevel.solvers.loop.identity import identity_of
from bilevel.solvers.loop.in_order import Alone, Crew, Workers
from bilevel.solvers.pools.processes import deaf
from bilevel.solvers.storages.sqlite import NoStudy, Study
from bilevel.upper.archive import Archive, Evaluation
from bilevel.upper.space import Space

DEFAULT_BUDGET = 100
_PREFERRED = ("surrogate", "random")
_AT_ONCE = 256  # points asked of a search that does not learn where one process answers many in one call
_PATIENCE = 1000  # proposals in a row that bring nothing new before a search counts as stalled
_AHEAD = 4  # points per worker that a search which does not learn is asked for in advance


@register("search")
class OuterLoop(Path):
    """Black-box search over the upper level, the lower level solved exactly at every point."""

    pessimistic = True
    multipliers = True
    conditions = True

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        compilation = Compilation.of(problem)
        space = Space(compilation)
        budget = settings.budget if settings.budget is not None else DEFAULT_BUDGET
        study = NoStudy() if settings.study is None else Study(settings.study)
        try:
            space.start = study.start(space.start)
            # A stored run may be continued for ever, and must not depend on where it stopped: it knows no budget.
            search = _make(space, settings, budget, study)
            gradients = granted(search, compilation)
            _equip(search, compilation, gradients)
            anchors = _anchors(search, compilation, space)
            study.begin(
                identity_of(compilation, space, search.name, settings.seed, settings.options) if settings.study else {},
                _window(search, settings, anchors),
            )
            crew = _crew(compilation, space, settings, gradients, study)
            return _Run(search, space, crew, study, anchors, observer).until(problem, budget, _deadline(settings))
        finally:
            study.close()


def _equip(search: Search, compilation: Compilation, gradients: Gradients) -> None:
    """Give a search what goes with its gradients."""
    coupling = compilation.problem.coupling
    if not gradients:
        return
    if coupling:
        _, lower, upper = compilation.rows(coupling)
        search.coupling = lower, upper
    elif SecondOrder.takes(compilation):
        search.curvature = SecondOrder(compilation)


def _anchors(search: Search, compilation: Compilation, space: Space) -> Anchors:
    """What points start from below."""
    if not warms(compilation):
        return NoAnchors()
    names = [variable.name for follower in compilation.problem.followers for variable in follower.variables]
    return NearestAnswers(space, names, 0 if search.learns else LAG)


def _window(search: Search, settings: Settings, anchors: Anchors) -> int:
    """How many points may be out at once; many where one call answers them, and no study remembers the number."""
    if search.learns:
        return settings.workers
    most = _AT_ONCE if settings.workers == 1 and settings.study is None else _AHEAD * settings.workers
    return most if isinstance(anchors, NoAnchors) else min(most, LAG)


def _deadline(settings: Settings) -> float:
    return math.inf if settings.time_limit is None else time.monotonic() + settings.time_limit


def _crew(
    compilation: Compilation, space: Space, settings: Settings, gradients: Gradients, study: Study | NoStudy
) -> Crew:
    """Who evaluates: this process or others. An outcome depends on its point and start, not on what was solved last."""
    if settings.workers > 1:
        return Workers(compilation.problem, space, settings.workers, gradients, study.add)
    response = Response(compilation.problem, compilation=compilation, warm=False)
    return Alone(Evaluate(space, response, differentiator(compilation, gradients)), study.add)


def _make(space: Space, settings: Settings, budget: int, study: Study | NoStudy) -> Search:
    """The search by name, with the options it takes."""
    name = settings.method
    if registry.find(Search, name) is None:
        name = next(n for n in _PREFERRED if registry.find(Search, n) is not None)
        if space.size <= budget:
            name = "grid"
        name = study.identity.get("method", name)
    part = registry.get(Search, name)
    known = [p.name for p in inspect.signature(part.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in settings.options:
        if option not in known:
            raise OptionError(f"{name} has no option {option!r}; it takes {', '.join(known) or 'none'}")
    rng = np.random.default_rng(settings.seed)
    return part(space, rng, budget if isinstance(study, NoStudy) else None, **settings.options)


class Evaluate:
    """One upper point to one line of the history."""

    def __init__(self, space: Space, response: Response, gradient: Differentiate | None = None) -> None:
        self._space = space
        self._response = response
        self._gradient = gradient
        self._sense = response.problem.sense
        self._followers = response.problem.followers
        self._ready: dict[Point, Reply] = {}

    def ahead(self, points: Sequence[Point]) -> None:
        """Answer at several points in one call, where the response can, for when they are evaluated."""
        if len(points) > 1 and self._response.batches and points[0] not in self._ready:
            replies = self._response.many(np.array([self._space.vector(point) for point in points]))
            self._ready = dict(zip(points, replies, strict=True))

    def __call__(self, point: Point, index: int, start: Array | None = None) -> Evaluation:
        """Evaluate, from a start below if given; whatever goes wrong there is data."""
        began = time.perf_counter()
        upper = self._space.values(point)
        x = self._space.vector(point)
        reply = self._ready.pop(point, None) or self._response(x, upper, start)
        evaluation = Evaluation(index, point, upper, status=reply.status, message=reply.message, proved=reply.proved)
        if reply.status is Status.OPTIMAL and reply.y is not None:
            evaluation.lower = self._response.lower_values(reply.y)
            evaluation.cost = reply.cost
            evaluation.upper_objective = self._sense * reply.cost
            below = zip(self._followers, reply.lower, strict=False)
            evaluation.lower_objective = tuple(follower.stated(follower.sense * f) for follower, f in below)
            evaluation.upper_violation = reply.violation
            if self._gradient is not None:
                _differentiate(evaluation, self._gradient(x, reply.y))
        evaluation.seconds = time.perf_counter() - began
        return evaluation


def _differentiate(evaluation: Evaluation, gradient: Gradient | None) -> None:
    """Write the derivatives down, where there are any."""
    if gradient is None:
        return
    evaluation.gradient = tuple(gradient.value.tolist())
    if len(gradient.coupling):
        evaluation.coupling = tuple(gradient.coupling.tolist())
        evaluation.jacobian = tuple(map(tuple, gradient.jacobian.tolist()))


class _Run:
    """One run of a search: what is out, what is known, and what becomes of it."""

    def __init__(
        self,
        search: Search,
        space: Space,
        crew: Crew,
        study: Study | NoStudy,
        anchors: Anchors,
        observer: Observer,
    ) -> None:
        self._search, self._space, self._crew, self._observer = search, space, crew, observer
        self._study, self._anchors = study, anchors
        self._archive = Archive()
        self._out: deque[Point] = deque()
        self._replayed = 0
        self._idle = 0

    def until(self, problem: Problem, budget: int, deadline: float) -> Finding:
        """Run to the end, whichever comes first; an interruption keeps all that was found."""
        try:
            termination = self._loop(budget, deadline)
        except KeyboardInterrupt:
            termination = Termination.INTERRUPTED
        finally:
            with deaf():
                self._keep_what_is_finished()
                self._crew.close()
                self._search.close()
        if len(self._archive) == 0 and termination is Termination.STALLED:
            raise SpaceError(_empty(self._space))
        finding = _finding(problem, self._space, self._archive, termination)
        if self._search.remark:
            finding.notes.append(f"{self._search.name} stopped by itself: {self._search.remark}")
        if self._replayed:
            finding.notes.append(f"{self._replayed} of {len(self._archive)} evaluations come from the study")
        return finding

    def _loop(self, budget: int, deadline: float) -> Termination:
        while len(self._archive) < budget:
            self._ask(budget)
            if not self._out:
                return Termination.STALLED
            evaluation = self._outcome(len(self._archive), deadline)
            if evaluation is None:
                return Termination.TIME_LIMIT
            self._out.popleft()
            self._archive.add(evaluation)
            self._anchors.add(evaluation)
            self._search.tell(evaluation)
            self._observer.evaluated(self._archive)
            if time.monotonic() > deadline:
                return Termination.TIME_LIMIT
        return Termination.BUDGET

    def _ask(self, budget: int) -> None:
        """Have as many points out as there may be after so many outcomes."""
        told = len(self._archive)
        while len(self._out) < min(self._study.window(told), budget - told):
            points = self._search.ask(1)
            if not points or self._idle > _PATIENCE:
                return
            for point in points:
                _insist(self._space, self._search, point)
                if point in self._archive or point in self._out:
                    self._idle += 1
                else:
                    self._idle = 0
                    self._send(point)
            if self._idle and self._out:
                return  # it waits for an outcome

    def _send(self, point: Point) -> None:
        index = len(self._archive) + len(self._out)
        self._out.append(point)
        stored = self._study.evaluations.get(index)
        if stored is None:
            self._crew.submit(point, index, self._anchors.start(point, index))
        elif stored.point != point:
            raise StudyError(
                f"the study cannot be continued: point {index} is {self._space.values(stored.point)} there and"
                f" {self._space.values(point)} here; was it written by another version of this package or of numpy?"
            )

    def _outcome(self, index: int, deadline: float) -> Evaluation | None:
        """Of the oldest point that is out: stored, or evaluated now."""
        stored = self._study.evaluations.get(index)
        if stored is None:
            return self._crew.take(deadline)
        self._replayed += 1
        return stored

    def _keep_what_is_finished(self) -> None:
        """Outcomes that overtook an older point which has none, at the end of the history."""
        for evaluation in self._crew.finished():
            evaluation.index = len(self._archive)
            self._archive.add(evaluation)


def _insist(space: Space, search: Search, point: Point) -> None:
    if not space.allows(point):
        raise BilevelError(
            f"the search {search.name} proposed {space.values(point)}, which breaks an upper constraint over x"
        )


def _finding(problem: Problem, space: Space, archive: Archive, termination: Termination) -> Finding:
    best = archive.incumbent
    finding = Finding(termination, Verdict.BEST_FOUND if best is not None else Verdict.FAILED, archive=archive)
    finding.space, finding.conditions = space.dimensions, space.conditions
    if best is not None:
        finding.upper, finding.lower = best.upper, best.lower
    if _enumerated(space, archive):
        finding.termination = Termination.OPTIMALITY
        if all(e.proved for e in archive):
            finding.notes.append(f"all {len(archive)} points of the space were evaluated: an enumeration is a proof")
            finding.claim = Verdict.CERTIFIED_GLOBAL if best is not None else Verdict.INFEASIBLE
            finding.bound = None if best is None else best.upper_objective
    elif best is not None:
        finding.notes += _neighbourhood(space, archive, best)
    if best is None:
        finding.notes.append(_why_none(archive.evaluations))
    return finding


def _neighbourhood(space: Space, archive: Archive, best: Evaluation) -> list[str]:
    """Say so where the answer is known to be locally optimal in the discrete variables."""
    near = list(space.neighbours(best.point)) if any(d.integer and d.size > 1 for d in space.dimensions) else []
    if not near or not all(point in archive for point in near):
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
        counts[kind] = counts.get(kind, 0) + 1
        example.setdefault(kind, evaluation.message)
    parts = [f"{n} points: {kind}" + (f" ({example[kind]})" if example[kind] else "") for kind, n in counts.items()]
    return "no feasible point; " + "; ".join(parts) if parts else "no point was evaluated"


def _empty(space: Space) -> str:
    return (
        "the upper constraints over x alone leave no point that the search could find among"
        f" {', '.join(space.names[:5])}; widen the bounds, or check the constraints and Allowed predicates"
    )
