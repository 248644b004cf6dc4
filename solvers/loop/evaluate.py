"""One upper point to one line of the history."""

from __future__ import annotations

import time

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.programs.answer import Status
from bilevel.response.missing_slopes import NO_GRADIENT
from bilevel.response.replies import Replies, Reply
from bilevel.response.response import Response
from bilevel.sensitivity.hypergradient import Gradient
from bilevel.solvers.loop.granted_gradients import Differentiate
from bilevel.upper.archive import Evaluation
from bilevel.upper.batch import Batch
from bilevel.upper.space import Space

_MOMENT = 0.02  # seconds for which points are answered before anybody hears of them


class Evaluate:
    """One upper point to one line of the history."""

    def __init__(self, space: Space, response: Response, gradient: Differentiate | None = None) -> None:
        self._space = space
        self._response = response
        self._gradient = gradient
        self._sense = response.problem.sense
        self._followers = response.problem.followers
        self._names = [var.name for var in response.problem.lower_variables]

    def many(self, points: list[Point], first: int) -> Batch:
        """Evaluate the first of several, as many as a moment allows, the very first at a place in the history.

        In one call where the response can, else one after the other; without starts, gradients, functions.
        """
        began = time.perf_counter()
        x = self._space.vectors(points)
        replies = self._response.many(x) if self._response.batches else self._in_turn(x, began)
        points, x = points[: len(replies)], x[: len(replies)]
        others = {
            k: self._recorded(Evaluation(first + k, points[k], self._space.values(points[k])), x[k], reply)
            for k, reply in replies.others.items()
        }
        stated = self._response.compilation.stated_at(x, replies.lower)
        seconds = (time.perf_counter() - began) / len(points)
        return Batch(
            first=first,
            points=points,
            dimensions=self._space.dimensions,
            names=self._names,
            sense=self._sense,
            costs=replies.cost,
            violations=replies.violation,
            lower=stated,
            y=replies.y,
            seconds=seconds,
            others=others,
        )

    def _in_turn(self, rows: Array, began: float) -> Replies:
        replies = []
        for x in rows:
            replies.append(self._response.tried(x))
            if time.perf_counter() - began > _MOMENT:
                break
        return Replies.of(replies, len(self._followers), len(self._names))

    def __call__(self, point: Point, index: int, start: Array | None = None) -> Evaluation:
        """Evaluate, from a start below if given; whatever goes wrong there is data."""
        began = time.perf_counter()
        upper = self._space.values(point)
        x = self._space.vector(point)
        evaluation = self._recorded(Evaluation(index, point, upper), x, self._response.tried(x, upper, start))
        evaluation.seconds = time.perf_counter() - began
        return evaluation

    def _recorded(self, evaluation: Evaluation, x: Array, reply: Reply) -> Evaluation:
        """Write down what was answered there."""
        evaluation.status, evaluation.message, evaluation.proved = reply.status, reply.message, reply.proved
        evaluation.misshapen = reply.misshapen
        if reply.status is Status.OPTIMAL and reply.y is not None:
            evaluation.lower = self._response.lower_values(reply.y)
            evaluation.cost = reply.cost
            evaluation.upper_objective = self._sense * reply.cost
            evaluation.lower_objective = self._response.compilation.stated(x, reply.lower)
            evaluation.upper_violation = reply.violation
            if self._gradient is not None:
                _differentiate(evaluation, self._gradient(x, reply.y))
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
