"""One driver of a study that several share: each has a search of its own, which hears of what the others evaluate.

Before every point a driver reads what became of the others' and tells its search, in the order of the trials; points
that run elsewhere are pending to it, neither proposed again nor forgotten by a model. Nobody is in charge, and a driver
may come and go. Who is faster decides what is known when, so that such a run has no history that another repeats.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import getpid
from typing import Any

import numpy as np

from bilevel.arrays import Point
from bilevel.contracts.finding import Finding, Termination
from bilevel.contracts.observer import Observer
from bilevel.contracts.search import Search
from bilevel.contracts.storage import Kept, Shared, State, Trial
from bilevel.deadline import OutOfTime, current, heard
from bilevel.errors import AnswerError, StudyError
from bilevel.reading.problem import Problem
from bilevel.solvers.loop.crews.crew import Crew
from bilevel.solvers.loop.finding import finding_of
from bilevel.solvers.loop.given_points import point_of
from bilevel.solvers.loop.identity import insist_on_the_same
from bilevel.solvers.loop.looks import Looks
from bilevel.solvers.loop.records import active_values, evaluation_of, told_by_others, trial_of
from bilevel.solvers.pools.interrupts import Stop, deaf, stopping, undisturbed
from bilevel.upper.archive import Archive, Evaluation
from bilevel.upper.space import Space

_log = logging.getLogger(__name__)
_OWN = ("method", "seed", "options")  # of each driver
_LOOK = 0.1  # seconds between looks at what the others do, where there is nothing else to do
_FREE = 5.0  # seconds between looks for what somebody left behind
_PATIENCE = 1000  # proposals in a row that bring nothing new before a search counts as stalled


def join(kept: Kept, shown: str, identity: Mapping[str, str], space: Space, senses: Sequence[int]) -> Shared:
    """Enter a study that is shared, or make it.

    Raises
    ------
    StudyError
        If it is that of another problem, or of a run that has it for itself.
    """
    if kept.attributes.get("identity"):
        raise StudyError(f"{shown} holds the study of one run; name another to be shared: {shown}#shared")
    problem = {part: text for part, text in identity.items() if part not in _OWN}
    insist_on_the_same(kept.attributes.get("shared") or problem, problem, shown)
    with undisturbed():
        kept.create([sense < 0 for sense in senses], space.dimensions)
        kept.note({"shared": problem}, {})
    return kept.shared()


def seed_of_driver(seed: int) -> np.random.Generator:
    """Numbers of this driver's own: two with the same would propose the same points."""
    who = f"{socket.gethostname()}:{getpid()}:{time.time_ns()}"
    return np.random.default_rng([seed, *who.encode()])


class SharedRun:
    """A run of one of several drivers.

    Parameters
    ----------
    search, space, crew, observer, looks
        As a run by itself has them (:class:`bilevel.solvers.loop.run.Run`).
    shared : Shared
        The study.
    first : iterable of dict
        Points to try before those of the search.
    senses : sequence of int
        Of the objectives above.
    """

    def __init__(
        self,
        search: Search,
        space: Space,
        crew: Crew,
        observer: Observer,
        looks: Looks,
        shared: Shared,
        first: Sequence[Mapping[str, Any]],
        senses: Sequence[int],
    ) -> None:
        self._search, self._space, self._crew, self._observer = search, space, crew, observer
        self._looks, self._shared, self._senses = looks, shared, tuple(senses)
        self._first = deque(point_of(values, space) for values in first)
        self._archive = Archive()
        self._out: deque[tuple[int, Point]] = deque()
        self._heard: set[int] = set()  # trials that are in the archive, or never will be
        self._elsewhere: dict[int, Point] = {}
        self._waiting: dict[int, Point] = {}
        self._theirs = 0
        self._freed = 0.0
        self._stop = Stop()

    def until(self, problem: Problem, budget: int) -> Finding:
        """Run until so many points were evaluated by all together, or the time is up."""
        try:
            with stopping(self._observer.said) as self._stop:
                termination = self._loop(budget)
        except KeyboardInterrupt:
            termination = Termination.INTERRUPTED
        except OutOfTime:
            heard()
            termination = Termination.TIME_LIMIT
        finally:
            with deaf():
                for evaluation in self._crew.finished():
                    self._arrived(evaluation)
                self._crew.close()
                self._search.close()
                self._shared.close()
        finding = finding_of(problem, self._space, self._archive, termination)
        finding.notes.append(f"{self._theirs} of {len(self._archive)} evaluations are of other drivers of the study")
        return finding

    def _loop(self, budget: int) -> Termination:
        until = current()
        while True:
            self._hear()
            if len(self._archive) >= budget:
                return Termination.BUDGET
            more = not self._stop.asked and self._send(budget)
            if self._stop.asked:
                self._crew.finish(until.end)
                return Termination.INTERRUPTED
            if until.passed:
                return Termination.TIME_LIMIT
            if self._out:
                evaluation = self._crew.take(until.end)
                if evaluation is not None:
                    self._arrived(evaluation)
            elif self._elsewhere or self._waiting:
                time.sleep(min(_LOOK, max(0.0, until.left)))
            elif not more:
                return Termination.STALLED

    def _send(self, budget: int) -> bool:
        """Send points out while there are hands for them; whether there may be more."""
        while len(self._out) < self._crew.count:
            if len(self._archive) + len(self._out) + len(self._elsewhere) >= budget:
                return True
            found = self._next()
            if found is None:
                return False
            number, point = found
            self._out.append(found)
            self._crew.submit(point, number, None, self._looks.terms(number))
        return True

    def _next(self) -> tuple[int, Point] | None:
        """A trial that is this driver's now: one that waited, else a new one."""
        while self._waiting:
            number, point = self._waiting.popitem()
            if not self._is_known(point) and self._shared.claim(number):
                return number, point
        for _ in range(_PATIENCE):
            points = [self._first.popleft()] if self._first else self._search.ask(1)
            if not points:
                return None
            if not self._is_known(points[0]):
                with undisturbed():
                    return self._shared.begin(active_values(points[0], self._space)), points[0]
        return None

    def _is_known(self, point: Point) -> bool:
        out = (mine for _, mine in self._out)
        return point in self._archive or point in self._elsewhere.values() or point in out

    def _arrived(self, evaluation: Evaluation) -> None:
        """Store an outcome of this driver's, and learn it."""
        number = evaluation.index
        self._out = deque(pair for pair in self._out if pair[0] != number)
        if evaluation.misshapen and not any(known.answered for known in self._archive):
            raise AnswerError(evaluation.message)
        trial = trial_of(evaluation, self._space, time.time(), {})
        with undisturbed():
            self._shared.end(replace(trial, number=number))
        self._learn(number, evaluation)

    def _learn(self, number: int, evaluation: Evaluation) -> None:
        self._heard.add(number)
        self._archive.add(replace(evaluation, index=len(self._archive)))
        self._looks.add(evaluation)
        self._search.tell(evaluation)
        self._observer.at_work(self._crew.busy, self._crew.count)
        self._observer.evaluated(self._archive)

    def _hear(self) -> None:
        """Learn what the others did, and what they are at."""
        if time.monotonic() - self._freed > _FREE:
            self._shared.free()
            self._freed = time.monotonic()
        mine = {number for number, _ in self._out}
        running: dict[int, Point] = {}
        for trial in self._shared.trials():
            number = trial.number
            if number is None or number in self._heard or number in mine:
                continue
            if trial.state is State.WAITING:
                self._waiting.setdefault(number, point_of(trial.parameters, self._space))
            elif trial.state is State.RUNNING:
                self._waiting.pop(number, None)
                running[number] = point_of(trial.parameters, self._space) if trial.parameters else ()
            else:
                self._waiting.pop(number, None)
                self._outcome(number, trial)
        for number, point in self._elsewhere.items() - running.items():
            if number not in self._heard or point not in self._archive:
                self._search.elsewhere(point, ended=True)
        for _, point in running.items() - self._elsewhere.items():
            if point:
                self._search.elsewhere(point)
        self._elsewhere = running

    def _outcome(self, number: int, trial: Trial) -> None:
        """What another driver's trial came to; one that was given up has none."""
        self._heard.add(number)
        if trial.record is not None:
            evaluation = evaluation_of(trial)
            evaluation = replace(evaluation, upper=self._space.values(evaluation.point))
        elif trial.state is State.COMPLETE and len(trial.values) == 1:
            evaluation = told_by_others(trial, number, self._space, self._senses)
        else:
            return
        self._theirs += 1
        self._learn(number, evaluation)
