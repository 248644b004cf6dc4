"""A crew of one: points are evaluated in this process, their outcomes handed on a few at a time."""

from __future__ import annotations

import time
from collections import deque

from bilevel.arrays import Array, Point
from bilevel.deadline import passed
from bilevel.language.trials.trial import Terms
from bilevel.programs.answer import Status
from bilevel.solvers.loop.crews.crew import Arrived, Evaluating, Many, Task
from bilevel.upper.archive import Evaluation

_SHARE, _APART = 8, 0.05  # of what is known, and seconds: how many outcomes are handed on together


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
