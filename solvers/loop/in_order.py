"""Where points are evaluated: here, or by worker processes that hold the model compiled.

An evaluation depends on its point and on the start that goes with it, so who does it cannot be seen in a history.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from functools import cache
from typing import Any, Protocol

from bilevel import registry
from bilevel.arrays import Array, Point
from bilevel.contracts.pool import Pool, TaskLost
from bilevel.deadline import passed
from bilevel.errors import OptionError
from bilevel.language.trials.trial import Terms
from bilevel.programs.answer import Status
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.response.shared import cause_of_death
from bilevel.solvers.loop.evaluate import Evaluate
from bilevel.solvers.loop.granted_gradients import Gradients, differentiator
from bilevel.upper.archive import Evaluation
from bilevel.upper.batch import Batch
from bilevel.upper.space import Space

Arrived = Callable[..., None]
Many = Callable[[list[Point], int], Batch]
Task = tuple[Point, int, Array | None, Terms | None]
POOL = "processes"
_log = logging.getLogger(__name__)
_SHARE, _APART = 8, 0.05  # of what is known, and seconds: how many outcomes are handed on together
_WORTH = 0.05  # seconds of work from which a task is worth its way to a worker and back
_HELD = 2  # tasks for each worker that the points which are out have to be enough for
_NEW = 0.2  # weight of the last evaluation in what is thought of the next one's seconds


class Crew(Protocol):
    """Evaluates points; outcomes come out in the order in which the points went in.

    Attributes
    ----------
    count : int
        How many evaluate at once.
    """

    count: int

    def submit(self, point: Point, index: int, start: Array | None, terms: Terms | None = None) -> None:
        """Take one more point, what its followers start from, and the terms on which it is evaluated."""

    def take(self, deadline: float) -> Evaluation | None:
        """The outcome of the oldest point; None where the deadline, on the monotonic clock, comes first."""

    @property
    def busy(self) -> int:
        """How many of those who evaluate are at it."""

    def finish(self, deadline: float) -> None:
        """Give up what nobody has begun, and wait for the rest."""

    def finished(self) -> list[Evaluation]:
        """Outcomes that are there and were not taken, in the order of their points."""

    def close(self) -> None:
        """Let go of everything; what still runs is stopped."""


class Evaluating(Protocol):
    """What evaluates one point."""

    def __call__(self, point: Point, index: int, start: Array | None = None, terms: Terms | None = None) -> Evaluation:
        """Evaluate one."""

    def close(self) -> None:
        """Let go of everything."""


class Alone:
    """Evaluates in this process.

    Parameters
    ----------
    evaluate : Evaluating
        What evaluates.
    arrived : callable
        Called with outcomes as soon as they are there.
    many : callable, optional
        Evaluates the first of several points, as many as there is time for before somebody should look up, the very
        first at a place in the history; None where each outcome has to be seen before the next.
    together : bool
        Whether outcomes may be handed on several at a time: an eighth of what is known already, and no longer apart
        than a twentieth of a second. To store one costs about as much as to store a hundred.
    """

    count = 1

    def __init__(
        self, evaluate: Evaluating, arrived: Arrived, many: Many | None = None, together: bool = False
    ) -> None:
        self._evaluate, self._arrived, self.many, self._together = evaluate, arrived, many, together
        self._waiting: deque[Task] = deque()
        self._done: deque[Evaluation] = deque()
        self._known = 0

    def submit(self, point: Point, index: int, start: Array | None, terms: Terms | None = None) -> None:
        self._waiting.append((point, index, start, terms))

    def take(self, deadline: float) -> Evaluation | None:
        if not self._done:
            self._work()
        return self._done.popleft() if self._done else None

    def _work(self) -> None:
        most = max(1, self._known // _SHARE) if self._together else 1
        until = time.monotonic() + _APART
        found: list[Evaluation] = []
        try:
            while self._waiting and len(found) < most and (not found or time.monotonic() < until):
                evaluation = self._evaluate(*self._waiting.popleft())
                if evaluation.status is Status.FAILED and passed():
                    return  # the engine was stopped by the clock: what it would have said is not known
                found.append(evaluation)
        finally:
            self._arrived(*found)
            self._done.extend(found)
            self._known += len(found)

    @property
    def busy(self) -> int:
        return 1

    def finish(self, deadline: float) -> None:
        """Nothing is begun."""

    def finished(self) -> list[Evaluation]:
        return list(self._done)

    def close(self) -> None:
        self._evaluate.close()


def pool_of(where: Any) -> type[Pool]:
    """The kind of pool: processes for a number, by the scheme of an address, else an executor's.

    Raises
    ------
    OptionError
        If no pool is called by the scheme.
    """
    if isinstance(where, int):
        return registry.get(Pool, POOL)
    if not isinstance(where, str):
        return registry.get(Pool, "executor")
    kind = registry.find(Pool, where.partition("://")[0])
    if kind is None or "://" not in where:
        raise OptionError(f"workers={where!r}: a number of processes, or dask://host:port")
    return kind


class Workers:
    """Evaluates in worker processes.

    Several points are one task where they are quick and many are out, and where each worker has others to go on with.
    A point whose worker dies (killed for its memory, a fault in a library) is tried once more alone; if that worker
    dies as well the point is a failed one, and the search goes on.

    Parameters
    ----------
    problem : Problem
        Handed to each worker.
    space : Space
        Gives a point's values where no worker lived to do so.
    where : int, str or executor
        How many processes, or where other workers are (:func:`pool_of`).
    gradients : Gradients
        Which evaluations carry dF/dx.
    arrived : callable
        Called with every outcome as soon as it is there, in this process.

    Raises
    ------
    OptionError
        If the model cannot be handed to another process.
    """

    def __init__(self, problem: Problem, space: Space, where: Any, gradients: Gradients, arrived: Arrived) -> None:
        kind = pool_of(where)
        self._space, self.count, self._arrived = space, kind.workers(where), arrived
        self._waiting: deque[Task] = deque()
        self._unsent: list[Task] = []
        self._running: dict[Any, list[Task]] = {}
        self._done: dict[int, Evaluation] = {}
        self._died: set[int] = set()
        self._ended_alone = any(f.response is not None and f.limits.isolated for f in problem.followers)
        self._seconds = _WORTH
        self._pool = kind(problem, gradients, where)

    def submit(self, point: Point, index: int, start: Array | None, terms: Terms | None = None) -> None:
        self._waiting.append((point, index, start, terms))
        self._unsent.append(self._waiting[-1])
        if len(self._unsent) >= self._in_one():
            self._send(len(self._unsent))

    def _in_one(self) -> int:
        """How many points are sent in one task; one where an evaluation may hang, and others would wait behind it."""
        most = 1 if self._ended_alone else len(self._waiting) // (_HELD * self.count)
        return max(1, min(most, int(_WORTH / max(self._seconds, 1e-9))))

    def _send(self, count: int) -> None:
        """Have the first so many of those that wait here evaluated by one worker."""
        tasks, self._unsent = self._unsent[:count], self._unsent[count:]
        self._running[self._pool.submit(_work, tasks)] = tasks

    def _employ(self) -> None:
        """Share what waits here among workers that have nothing to do."""
        while self._unsent and (idle := self.count - self.busy) > 0:
            self._send(-(-len(self._unsent) // idle))

    def take(self, deadline: float) -> Evaluation | None:
        self._employ()
        index = self._waiting[0][1]
        while index not in self._done:
            if not self._collect(deadline):
                return None
            self._employ()
        self._waiting.popleft()
        return self._done.pop(index)

    @property
    def busy(self) -> int:
        return min(self.count, sum(not future.done() for future in self._running))

    def finish(self, deadline: float) -> None:
        self._unsent.clear()
        for future in list(self._running):
            if future.cancel():
                del self._running[future]
        while self._running and self._collect(deadline):
            pass

    def _collect(self, deadline: float) -> bool:
        """Wait for an outcome; False where the deadline comes first."""
        left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        ready, _ = wait(self._running, timeout=left, return_when=FIRST_COMPLETED)
        for future in sorted(ready, key=lambda future: self._running[future][0][1]):
            try:
                evaluations = future.result()
            except BrokenExecutor as error:
                if self._pool.together:
                    self._recover()
                    return True
                for task in self._running.pop(future):
                    self._again(task, error)
            else:
                del self._running[future]
                self._keep(*evaluations)
        return bool(ready)

    def _again(self, task: Task, error: BrokenExecutor) -> None:
        """A point whose worker died, alone by another one; failed if that is the second."""
        index = task[1]
        if index not in self._died or isinstance(error, TaskLost):
            self._died |= set() if isinstance(error, TaskLost) else {index}
            self._running[self._pool.submit(_work, [task])] = [task]
        else:
            self._keep(_dead(self._space, task, error))

    def _keep(self, *evaluations: Evaluation) -> None:
        for evaluation in evaluations:
            self._done[evaluation.index] = evaluation
            self._seconds += _NEW * (evaluation.seconds - self._seconds)
        self._arrived(*evaluations)

    def _recover(self) -> None:
        """After a worker's death nobody knows whose point it was: what is out is tried one by one."""
        self._pool.close()
        self._running.clear()
        self._unsent.clear()
        alone = self._pool.anew(1)
        for task in self._waiting:
            if task[1] in self._done:
                continue
            evaluation, alone = tried_alone(alone, self._space, task)
            self._keep(evaluation)
        alone.close()
        self._pool = alone.anew(self.count)

    def finished(self) -> list[Evaluation]:
        for future, _ in list(self._running.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                del self._running[future]
                self._keep(*future.result())
        return [self._done[index] for index in sorted(self._done)]

    def close(self) -> None:
        self._pool.close(wait=True)


def tried_alone(pool: Pool, space: Space, task: Task) -> tuple[Evaluation, Pool]:
    """One point by a pool of one worker; its outcome, failed where the worker died, and the pool to go on with."""
    try:
        evaluations: list[Evaluation] = pool.submit(_work, [task]).result()
        return evaluations[0], pool
    except BrokenExecutor as error:
        pool.close()
        return _dead(space, task, error), pool.anew(1)


def _dead(space: Space, task: Task, error: BrokenExecutor) -> Evaluation:
    point, index = task[:2]
    _log.info("point %d: its worker died twice", index)
    message = f"the worker process died at this point: {cause_of_death(error)}"
    return Evaluation(index, point, space.values(point), status=Status.FAILED, message=message)


@cache
def _evaluate(response: Response, gradients: Gradients) -> Evaluate:
    """In a worker: what evaluates there, made once."""
    return Evaluate(Space(response.compilation), response, differentiator(response.compilation, gradients))


def _work(response: Response, gradients: Gradients, tasks: list[Task]) -> list[Evaluation]:
    """Evaluate some points in a worker, one after the other."""
    evaluate = _evaluate(response, gradients)
    return [evaluate(*task) for task in tasks]
