"""Tasks that are with workers: fetched as they end, tried again where a worker died.

A point whose worker dies (killed for its memory, a fault in a library) is tried once more alone; if that worker dies as
well the point is a failed one, and the search goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from functools import cache
from typing import Any

from bilevel.contracts.pool import Pool, TaskLost
from bilevel.programs.answer import Status
from bilevel.response.response import Response
from bilevel.response.shared import cause_of_death
from bilevel.solvers.loop.crews.crew import Task
from bilevel.solvers.loop.evaluate import Evaluate
from bilevel.solvers.loop.granted_gradients import Gradients, differentiator
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

_log = logging.getLogger(__name__)


class SentTasks:
    """What some workers are at.

    Parameters
    ----------
    pool : Pool
        The workers.
    count : int
        How many they are.
    space : Space
        Gives a point's values where no worker lived to do so.
    keep : callable
        Called with outcomes as soon as they are there.
    """

    def __init__(self, pool: Pool, count: int, space: Space, keep: Callable[..., None]) -> None:
        self._pool, self._count, self._space, self._keep = pool, count, space, keep
        self._running: dict[Any, list[Task]] = {}
        self._died: set[int] = set()

    def send(self, tasks: list[Task]) -> None:
        """Have some points evaluated by one worker, one after the other."""
        self._running[self._pool.submit(_work, tasks)] = tasks

    @property
    def busy(self) -> int:
        """How many workers are at it."""
        return min(self._count, sum(not future.done() for future in self._running))

    def fetch(self, deadline: float) -> bool:
        """Wait for an outcome; False where the deadline comes first."""
        left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        ready, _ = wait(self._running, timeout=left, return_when=FIRST_COMPLETED)
        for future in sorted(ready, key=lambda future: self._running[future][0][1]):
            try:
                evaluations = future.result()
            except BrokenExecutor as error:
                if self._pool.together:
                    self._one_by_one()
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
            self.send([task])
        else:
            self._keep(_dead(self._space, task, error))

    def _one_by_one(self) -> None:
        """After a worker's death nobody knows whose point it was: what has no outcome is tried one by one."""
        self.fetch_finished()
        left = sorted((task for tasks in self._running.values() for task in tasks), key=lambda task: task[1])
        self._pool.close()
        self._running.clear()
        alone = self._pool.anew(1)
        for task in left:
            evaluation, alone = tried_alone(alone, self._space, task)
            self._keep(evaluation)
        alone.close()
        self._pool = alone.anew(self._count)

    def finish(self, deadline: float) -> None:
        """Give up what nobody has begun, and wait for the rest."""
        for future in list(self._running):
            if future.cancel():
                del self._running[future]
        while self._running and self.fetch(deadline):
            pass

    def fetch_finished(self) -> None:
        """What is there by now, without a wait."""
        for future in list(self._running):
            if future.done() and not future.cancelled() and future.exception() is None:
                del self._running[future]
                self._keep(*future.result())

    def close(self) -> None:
        """Let the workers go; what still runs is stopped."""
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
