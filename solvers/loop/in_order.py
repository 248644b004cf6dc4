"""Where points are evaluated: here, or by worker processes that hold the model compiled.

An evaluation depends on its point and on the start that goes with it, so who does it cannot be seen in a history.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from functools import cache
from typing import Any, Protocol

from bilevel import registry
from bilevel.arrays import Array, Point
from bilevel.contracts.pool import Pool
from bilevel.deadline import passed
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

Arrived = Callable[[Evaluation], None]
Many = Callable[[list[Point], int], Batch]
Task = tuple[Point, int, Array | None, Terms | None]
POOL = "processes"


class Crew(Protocol):
    """Evaluates points; outcomes come out in the order in which the points went in."""

    def submit(self, point: Point, index: int, start: Array | None, terms: Terms | None = None) -> None:
        """Take one more point, what its followers start from, and the terms on which it is evaluated."""

    def take(self, deadline: float) -> Evaluation | None:
        """The outcome of the oldest point; None where the deadline, on the monotonic clock, comes first."""

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
        Called with every outcome as soon as it is there.
    many : callable, optional
        Evaluates the first of several points, as many as there is time for before somebody should look up, the very
        first at a place in the history; None where each outcome has to be seen before the next.
    """

    def __init__(self, evaluate: Evaluating, arrived: Arrived, many: Many | None = None) -> None:
        self._evaluate, self._arrived, self.many = evaluate, arrived, many
        self._waiting: deque[Task] = deque()

    def submit(self, point: Point, index: int, start: Array | None, terms: Terms | None = None) -> None:
        self._waiting.append((point, index, start, terms))

    def take(self, deadline: float) -> Evaluation | None:
        evaluation = self._evaluate(*self._waiting.popleft())
        if evaluation.status is Status.FAILED and passed():
            return None  # the engine was stopped by the clock: what it would have said is not known
        self._arrived(evaluation)
        return evaluation

    def finished(self) -> list[Evaluation]:
        return []

    def close(self) -> None:
        self._evaluate.close()


class Workers:
    """Evaluates in worker processes.

    A point whose worker dies (killed for its memory, a fault in a library) is tried once more alone; if that worker
    dies as well the point is a failed one, and the search goes on.

    Parameters
    ----------
    problem : Problem
        Handed to each worker.
    space : Space
        Gives a point's values where no worker lived to do so.
    count : int
        How many processes.
    gradients : Gradients
        Which evaluations carry dF/dx.
    arrived : callable
        Called with every outcome as soon as it is there, in this process.

    Raises
    ------
    OptionError
        If the model cannot be handed to another process.
    """

    def __init__(self, problem: Problem, space: Space, count: int, gradients: Gradients, arrived: Arrived) -> None:
        self._space, self._count, self._arrived = space, count, arrived
        self._waiting: deque[Task] = deque()
        self._running: dict[Any, int] = {}
        self._done: dict[int, Evaluation] = {}
        self._pool = registry.get(Pool, POOL)(problem, gradients, count)

    def submit(self, point: Point, index: int, start: Array | None, terms: Terms | None = None) -> None:
        self._waiting.append((point, index, start, terms))
        self._running[self._pool.submit(_work, point, index, start, terms)] = index

    def take(self, deadline: float) -> Evaluation | None:
        index = self._waiting[0][1]
        while index not in self._done:
            if not self._collect(deadline):
                return None
        self._waiting.popleft()
        return self._done.pop(index)

    def _collect(self, deadline: float) -> bool:
        """Wait for an outcome; False where the deadline comes first."""
        left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        ready, _ = wait(self._running, timeout=left, return_when=FIRST_COMPLETED)
        try:
            for future in sorted(ready, key=lambda future: self._running[future]):
                self._keep(future.result())
                del self._running[future]
        except BrokenExecutor:
            self._recover()
            return True
        return bool(ready)

    def _keep(self, evaluation: Evaluation) -> None:
        self._done[evaluation.index] = evaluation
        self._arrived(evaluation)

    def _recover(self) -> None:
        """After a worker's death nobody knows whose point it was: what is out is tried one by one."""
        self._pool.close()
        self._running.clear()
        alone = self._pool.anew(1)
        for task in self._waiting:
            if task[1] in self._done:
                continue
            evaluation, alone = tried_alone(alone, self._space, task)
            self._keep(evaluation)
        alone.close()
        self._pool = alone.anew(self._count)

    def finished(self) -> list[Evaluation]:
        for future, _ in list(self._running.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                del self._running[future]
                self._keep(future.result())
        return [self._done[index] for index in sorted(self._done)]

    def close(self) -> None:
        self._pool.close(wait=True)


def tried_alone(pool: Pool, space: Space, task: Task) -> tuple[Evaluation, Pool]:
    """One point by a pool of one worker; its outcome, failed where the worker died, and the pool to go on with."""
    point, index = task[:2]
    try:
        evaluation: Evaluation = pool.submit(_work, *task).result()
        return evaluation, pool
    except BrokenExecutor as error:
        message = f"the worker process died at this point: {cause_of_death(error)}"
        pool.close()
        failed = Evaluation(index, point, space.values(point), status=Status.FAILED, message=message)
        return failed, pool.anew(1)


@cache
def _evaluate(response: Response, gradients: Gradients) -> Evaluate:
    """In a worker: what evaluates there, made once."""
    return Evaluate(Space(response.compilation), response, differentiator(response.compilation, gradients))


def _work(
    response: Response, gradients: Gradients, point: Point, index: int, start: Array | None, terms: Terms | None
) -> Evaluation:
    """Evaluate one point in a worker."""
    return _evaluate(response, gradients)(point, index, start, terms)
