"""One run of a search: ask, evaluate, record, tell."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections import deque
from dataclasses import replace

from bilevel.arrays import Point
from bilevel.contracts.finding import Finding, Termination
from bilevel.contracts.observer import Observer
from bilevel.contracts.search import Search
from bilevel.deadline import OutOfTime, current, heard, passed
from bilevel.errors import AnswerError, BilevelError, SpaceError, StudyError
from bilevel.programs.answer import Status
from bilevel.reading.problem import Problem
from bilevel.solvers.loop.anchors import Anchors
from bilevel.solvers.loop.crews.crew import Crew, Many
from bilevel.solvers.loop.finding import finding_of
from bilevel.solvers.loop.looks import AGAIN, Looks
from bilevel.solvers.loop.study import NoStudy
from bilevel.solvers.pools.interrupts import Stop, deaf, stopping
from bilevel.upper.archive import Archive, Evaluation
from bilevel.upper.batch import Batch
from bilevel.upper.space import Space

_log = logging.getLogger(__name__)
_GRACE = 0.1  # of the time limit, that the verification has to itself
_ASKED = 3.0  # evaluations: one more, and the two that the verification is worth
_SLOW, _SLOWER = 1.0, 5.0  # seconds, and times the middle one of the last: an evaluation that others may overtake
_RECENT = 50  # evaluations that are the last
_LOOK = 0.1  # seconds between looks for workers that are idle
_AT_ONCE = 256  # points answered in one call
_PATIENCE = 1000  # proposals in a row that bring nothing new before a search counts as stalled


class Run:
    """One run of a search: what is out, what is known, and what becomes of it.

    Points are told in the order in which they were asked for. Where evaluations have a limit (``overtakes``) one that
    takes far longer than the others, and may hang, is overtaken: workers that would wait for it are given more points,
    which the study remembers, so that the run goes on from it to the last bit all the same.
    """

    def __init__(
        self,
        search: Search,
        space: Space,
        crew: Crew,
        study: NoStudy,
        anchors: Anchors,
        observer: Observer,
        overtakes: bool = False,
        many: Many | None = None,
        looks: Looks | None = None,
    ) -> None:
        self._overtakes = overtakes
        self._search, self._space, self._crew, self._observer = search, space, crew, observer
        self._study, self._anchors, self._many = study, anchors, many
        self._looks = looks or Looks()
        self._archive = Archive()
        self._out: deque[Point] = deque()
        self._replayed = 0
        self._beyond = 0
        self._idle = 0
        self._stop = Stop()

    def until(self, problem: Problem, budget: int, limit: float | None) -> Finding:
        """Run to the end, whichever comes first; an interruption keeps all that was found."""
        grace = math.inf if limit is None else _GRACE * limit
        again: list[tuple[Evaluation, Evaluation]] = []
        try:
            with stopping(self._observer.said) as self._stop:
                many = self._many
                termination = self._loop(budget, grace) if many is None else self._together(budget, grace, many)
                ended = termination in (Termination.TIME_LIMIT, Termination.INTERRUPTED)
                again = [] if ended else self._again()
        except KeyboardInterrupt:
            termination = Termination.INTERRUPTED
        except OutOfTime:
            heard()
            termination = Termination.TIME_LIMIT
        finally:
            with deaf():
                self._keep_what_is_finished()
                self._crew.close()
                self._search.close()
        _log.info("%s ended after %d points: %s", self._search.name, len(self._archive), termination)
        if len(self._archive) == 0 and termination is Termination.STALLED:
            raise SpaceError(_empty(self._space))
        finding = finding_of(problem, self._space, self._archive, termination, self._looks.noisy)
        self._looks.settle(finding, again)
        if self._search.remark:
            finding.notes.append(f"{self._search.name} stopped by itself: {self._search.remark}")
        if self._replayed:
            finding.notes.append(f"{self._replayed} of {len(self._archive)} evaluations come from the study")
        if self._beyond:
            asked = f"the budget of {budget}" if termination is Termination.BUDGET else "this run got to"
            finding.notes.append(
                f"the study holds {self._beyond} points more than {asked}: the best of all is reported"
            )
        return finding

    def _loop(self, budget: int, grace: float) -> Termination:
        until = current()
        while len(self._archive) < budget:
            self._ask(budget)
            if not self._out:
                return Termination.STALLED
            evaluation = None if self._stop.asked else self._oldest(budget, until.end)
            if evaluation is None and self._stop.asked:
                self._crew.finish(until.end)
                return Termination.INTERRUPTED
            if evaluation is None:
                return Termination.TIME_LIMIT
            self._out.popleft()
            self._insist_on_shape(evaluation)
            self._archive.add(evaluation)
            self._anchors.add(evaluation)
            self._looks.add(evaluation)
            self._search.tell(evaluation)
            _log.debug("point %d: F %s, %s", evaluation.index, evaluation.upper_objective, evaluation.status)
            self._observer.at_work(self._crew.busy, self._crew.count)
            self._observer.evaluated(self._archive)
            if until.passed or (until.left + grace < _ASKED * evaluation.seconds and self._archive.incumbent):
                return Termination.TIME_LIMIT
        return Termination.BUDGET

    def _again(self) -> list[tuple[Evaluation, Evaluation]]:
        """The best points, and what came of them when they were asked again with new seeds."""
        best = self._looks.finalists(self._archive)
        for place, known in enumerate(best):
            self._crew.submit(known.point, AGAIN - place, None, self._looks.last_terms(known.index))
        found = []
        for known in best:
            evaluation = None if current().passed else self._crew.take(current().end)
            if evaluation is None:
                break
            found.append((known, replace(evaluation, index=known.index)))
        if best:
            self._study.enter(None)
        return found

    def _together(self, budget: int, grace: float, many: Many) -> Termination:
        """The same where nobody has to hear of an outcome before the next point is sent out."""
        until, points = current(), list[Point]()
        while len(self._archive) < budget:
            points = points or self._fresh(min(_AT_ONCE, budget - len(self._archive)))
            if not points:
                return Termination.STALLED
            batch = many(points, len(self._archive))
            points = points[len(batch.points) :]
            stopped = [k for k, e in batch.others.items() if e.status is Status.FAILED] if passed() else []
            self._record(batch, min(stopped, default=len(batch.points)))  # what the clock stopped is not known
            if self._stop.asked:
                return Termination.INTERRUPTED
            if until.passed or (until.left + grace < _ASKED * batch.seconds and self._archive.incumbent):
                return Termination.TIME_LIMIT
        return Termination.BUDGET

    def _fresh(self, count: int) -> list[Point]:
        """New points; none where the search has no more."""
        while self._idle <= _PATIENCE:
            asked = self._search.ask(count)
            if self._space.constrained:
                for point in asked:
                    _insist(self._space, self._search, point)
            points = [point for point in dict.fromkeys(asked) if point not in self._archive]
            if points or not asked:
                self._idle = 0
                return points
            self._idle += len(asked)
        return []

    def _record(self, batch: Batch, count: int) -> None:
        """Enter the first so many of a batch."""
        if count == len(batch.points) and self._observer.takes_batches:
            self._archive.take(batch)
            self._observer.evaluated(self._archive)
            return
        for place in range(count):
            self._archive.add(batch.evaluation(place))
            self._observer.evaluated(self._archive)

    def _ask(self, budget: int) -> None:
        """Have as many points out as there may be after so many outcomes."""
        told = len(self._archive)
        while len(self._out) < min(self._study.window(told), budget - told):
            given = self._study.given(told + len(self._out), self._space, self._is_known)
            if given is not None:
                self._send(given)
                continue
            points = self._search.ask(1)
            if not points or self._idle > _PATIENCE:
                return
            for point in points:
                _insist(self._space, self._search, point)
                if self._is_known(point):
                    self._idle += 1
                else:
                    self._idle = 0
                    self._send(point)
            if self._idle and self._out:
                return  # it waits for an outcome

    def _is_known(self, point: Point) -> bool:
        return point in self._archive or point in self._out or self._study.waits(point)

    def _send(self, point: Point) -> None:
        index = len(self._archive) + len(self._out)
        self._out.append(point)
        terms = self._looks.terms(index, point)  # of a stored point too: who gives them counts whom he gave what
        stored = self._study.evaluations.get(index)
        if stored is None:
            self._crew.submit(point, index, self._anchors.start(point, index), terms)
        elif stored.point != point:
            raise StudyError(
                f"the study cannot be continued: point {index} is {self._space.values(stored.point)} there and"
                f" {self._space.values(point)} here; was it written by another version of this package or of numpy?"
            )

    def _oldest(self, budget: int, end: float) -> Evaluation | None:
        """The outcome of the oldest point that is out; None where the time is up first."""
        index = len(self._archive)
        if not self._overtakes or index in self._study.evaluations:
            return self._outcome(index, end)
        known = [evaluation.seconds for evaluation in self._archive.evaluations[-_RECENT:]]
        due = time.monotonic() + max(_SLOW, _SLOWER * statistics.median(known)) if known else math.inf
        evaluation = self._outcome(index, min(end, due))
        while evaluation is None and time.monotonic() < end:
            more = min(self._crew.count - self._crew.busy, budget - index - len(self._out))
            if more > 0 and len(self._out) >= self._study.window(index):
                _log.info("point %d takes long: %d more are sent out", index, more)
                self._study.widen(index, more)
                self._ask(budget)
            evaluation = self._outcome(index, min(end, time.monotonic() + _LOOK))
        return evaluation

    def _outcome(self, index: int, deadline: float) -> Evaluation | None:
        """Of the oldest point that is out: stored, or evaluated now."""
        stored = self._study.evaluations.get(index)
        if stored is None:
            return self._crew.take(deadline)
        self._replayed += 1
        return self._as_given(stored)

    def _as_given(self, stored: Evaluation) -> Evaluation:
        """A copy with the upper values as the user has them: JSON knows no tuples."""
        return replace(stored, upper=self._space.values(stored.point))

    def _insist_on_shape(self, evaluation: Evaluation) -> None:
        """An answer of a wrong shape before any right one is the function's fault, later that point's.

        Asked when outcomes are told, not when they arrive, so that it does not hang on who was faster.
        """
        if not evaluation.misshapen or evaluation.index in self._study.evaluations:
            return
        if not any(known.answered for known in self._archive):
            raise AnswerError(evaluation.message)
        self._study.add([evaluation])

    def _keep_what_is_finished(self) -> None:
        """What no search was told, at the end of the history.

        Outcomes that overtook an older point which has none, and what the study holds beyond this run's budget or time:
        the best of all is reported, however little more was asked for.
        """
        for evaluation in self._crew.finished():
            if evaluation.index >= 0:
                self._archive.extend([evaluation])
        for _, evaluation in sorted(self._study.evaluations.items()):
            if evaluation.point not in self._archive:
                self._archive.extend([self._as_given(evaluation)])
                self._replayed += 1
                self._beyond += 1


def _insist(space: Space, search: Search, point: Point) -> None:
    if not space.allows(point):
        raise BilevelError(
            f"the search {search.name} proposed {space.values(point)}, which breaks an upper constraint over x"
        )


def _empty(space: Space) -> str:
    return (
        "the upper constraints over x alone leave no point that the search could find among"
        f" {', '.join(space.names[:5])}; widen the bounds, or check the constraints and Allowed predicates"
    )
