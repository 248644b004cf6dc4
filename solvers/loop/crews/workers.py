"""Workers whose outcomes come out in the order in which the points went in.

Several points are one task where they are quick and many are out, and where each worker has others to go on with.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from bilevel.arrays import Array, Point
from bilevel.language.trials.trial import Terms
from bilevel.reading.problem import Problem
from bilevel.solvers.loop.crews.crew import Arrived, Task
from bilevel.solvers.loop.crews.pool_kinds import pool_of
from bilevel.solvers.loop.crews.sent_tasks import SentTasks
from bilevel.solvers.loop.granted_gradients import Gradients
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

_WORTH = 0.05  # seconds of work from which a task is worth its way to a worker and back
_HELD = 2  # tasks for each worker that the points which are out have to be enough for
_NEW = 0.2  # weight of the last evaluation in what is thought of the next one's seconds


class Workers:
    """Evaluates in worker processes.

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
        self.count, self._arrived = kind.workers(where), arrived
        self._waiting: deque[Task] = deque()
        self._unsent: list[Task] = []
        self._done: dict[int, Evaluation] = {}
        self._ended_alone = any(f.response is not None and f.limits.isolated for f in problem.followers)
        self._seconds = _WORTH
        self._sent = SentTasks(kind(problem, gradients, where), self.count, space, self._keep)

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
        self._sent.send(tasks)

    def _employ(self) -> None:
        """Share what waits here among workers that have nothing to do."""
        while self._unsent and (idle := self.count - self.busy) > 0:
            self._send(-(-len(self._unsent) // idle))

    def take(self, deadline: float) -> Evaluation | None:
        self._employ()
        index = self._waiting[0][1]
        while index not in self._done:
            if not self._sent.fetch(deadline):
                return None
            self._employ()
        self._waiting.popleft()
        return self._done.pop(index)

    @property
    def busy(self) -> int:
        return self._sent.busy

    def finish(self, deadline: float) -> None:
        self._unsent.clear()
        self._sent.finish(deadline)

    def _keep(self, *evaluations: Evaluation) -> None:
        for evaluation in evaluations:
            self._done[evaluation.index] = evaluation
            self._seconds += _NEW * (evaluation.seconds - self._seconds)
        self._arrived(*evaluations)

    def finished(self) -> list[Evaluation]:
        self._sent.fetch_finished()
        return [self._done[index] for index in sorted(self._done)]

    def close(self) -> None:
        self._sent.close()
