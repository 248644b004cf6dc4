"""A point at which the process of an earlier run died: tried once more, by a process of its own.

A response function may end its process (``os.abort()`` in a library, the system's answer to too much memory). Without
workers that is the run itself, and a study that went on at the same point would never get past it. So the point under
way is written down before it is evaluated; where the run that comes back finds one without an outcome, another process
evaluates it, as one does whose worker died: an accident leaves no trace in the history, a crasher is a failed point.
After a crasher the rest of the run is left to such a process, too: where one is there are others.
Programs are not written down: no engine is expected to end its process, and the note would cost more than they do.
"""

from __future__ import annotations

from collections.abc import Callable

from bilevel import registry
from bilevel.arrays import Array, Point
from bilevel.contracts.pool import Pool
from bilevel.errors import OptionError
from bilevel.language.trials.trial import Terms
from bilevel.programs.answer import Status
from bilevel.reading.problem import Problem
from bilevel.solvers.loop.crews.crew import Task
from bilevel.solvers.loop.crews.pool_kinds import POOL
from bilevel.solvers.loop.crews.sent_tasks import tried_alone
from bilevel.solvers.loop.evaluate import Evaluate
from bilevel.solvers.loop.granted_gradients import Gradients
from bilevel.solvers.loop.study import NoStudy
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space


class SecondTry:
    """Evaluates in this process, except for the point that a process before it did not survive.

    Parameters
    ----------
    evaluate : Evaluate
        What evaluates here.
    problem : Problem
        Handed to the other process, if there is need for one.
    space : Space
        Gives a point's values.
    gradients : Gradients
        Which evaluations carry dF/dx.
    study : NoStudy
        Knows that point, and is told of the next.
    """

    def __init__(
        self, evaluate: Evaluate, problem: Problem, space: Space, gradients: Gradients, study: NoStudy
    ) -> None:
        self._evaluate, self._study, self._space = evaluate, study, space
        self._open: Callable[[], Pool] = lambda: registry.get(Pool, POOL)(problem, gradients, 1)
        self._pool: Pool | None = None

    def __call__(self, point: Point, index: int, start: Array | None = None, terms: Terms | None = None) -> Evaluation:
        """Evaluate one point."""
        if index == self._study.under_way or self._pool is not None:
            return self._elsewhere((point, index, start, terms))
        self._study.enter(index)
        evaluation = None
        try:
            evaluation = self._evaluate(point, index, start, terms)
        finally:
            if evaluation is None or evaluation.misshapen:  # the process lives, and there is no outcome to store
                self._study.enter(None)
        return evaluation

    def _elsewhere(self, task: Task) -> Evaluation:
        """By another process, which is kept for the points after it where there is cause to: one that died."""
        try:
            pool = self._pool or self._open()
        except OptionError as error:
            point, index = task[:2]
            message = f"the process died at this point in an earlier run, and no other can try it: {error}"
            return Evaluation(index, point, self._space.values(point), status=Status.FAILED, message=message)
        self._pool = pool
        evaluation, self._pool = tried_alone(pool, self._space, task)
        if self._pool is pool and task[1] == self._study.under_way:
            self.close()
        return evaluation

    def close(self) -> None:
        """End the other process."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
