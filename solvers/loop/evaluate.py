"""One upper point to one line of the history."""

from __future__ import annotations

import time

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.programs.answer import Status
from bilevel.response.missing_slopes import NO_GRADIENT
from bilevel.response.replies import Reply
from bilevel.response.response import Response
from bilevel.sensitivity.hypergradient import Gradient
from bilevel.solvers.loop.granted_gradients import Differentiate
from bilevel.upper.archive import Evaluation
from bilevel.upper.objectives import Objectives
from bilevel.upper.space import Space


class Evaluate:
    """One upper point to one line of the history."""

    def __init__(self, space: Space, response: Response, gradient: Differentiate | None = None) -> None:
        self._space = space
        self._response = response
        self._gradient = gradient
        self._sense = response.problem.sense
        self._objectives = Objectives(response.compilation) if response.problem.objectives else None
        self._followers = response.problem.followers
        self._ready: dict[Point, Reply] = {}

    def ahead(self, points: list[Point]) -> None:
        """Answer at several points in one call, where the response can, for when they are evaluated."""
        if len(points) > 1 and self._response.batches and points[0] not in self._ready:
            replies = self._response.many(np.array([self._space.vector(point) for point in points]))
            self._ready = dict(zip(points, replies, strict=True))

    def __call__(self, point: Point, index: int, start: Array | None = None) -> Evaluation:
        """Evaluate, from a start below if given; whatever goes wrong there is data."""
        began = time.perf_counter()
        upper = self._space.values(point)
        x = self._space.vector(point)
        reply = self._ready.pop(point, None) or self._response.tried(x, upper, start)
        evaluation = Evaluation(index, point, upper, status=reply.status, message=reply.message, proved=reply.proved)
        evaluation.misshapen = reply.misshapen
        if reply.status is Status.OPTIMAL and reply.y is not None:
            evaluation.lower = self._response.lower_values(reply.y)
            evaluation.cost = reply.cost
            evaluation.upper_objective = self._sense * reply.cost
            evaluation.lower_objective = self._response.compilation.stated(x, reply.lower)
            evaluation.upper_violation = reply.violation
            if self._objectives is not None:
                self._objectives.write(evaluation, self._objectives(x, reply.y))
            if self._gradient is not None:
                _differentiate(evaluation, self._gradient(x, reply.y))
        evaluation.seconds = time.perf_counter() - began
        return evaluation

    def close(self) -> None:
        """Nothing is open."""


def _differentiate(evaluation: Evaluation, gradient: Gradient | None) -> None:
    """Write the derivatives down, where there are any."""
    if gradient is None:
        return
    if not np.isfinite(gradient.value).all():
        evaluation.message = evaluation.message or NO_GRADIENT
        return
    evaluation.gradient = tuple(gradient.value.tolist())
    if len(gradient.coupling):
        evaluation.coupling = tuple(gradient.coupling.tolist())
        evaluation.jacobian = tuple(map(tuple, gradient.jacobian.tolist()))
