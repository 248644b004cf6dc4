"""One upper point to one line of the history."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.language.trials.trial import Terms, Trial, under
from bilevel.programs.answer import Status
from bilevel.response.missing_slopes import NO_GRADIENT
from bilevel.response.replies import Replies, Reply
from bilevel.response.response import Response
from bilevel.sensitivity.hypergradient import Gradient
from bilevel.solvers.loop.granted_gradients import Differentiate
from bilevel.upper.archive import Evaluation
from bilevel.upper.batch import Batch
from bilevel.upper.objectives import Objectives
from bilevel.upper.space import Space

_MOMENT = 0.02  # seconds for which points are answered before anybody hears of them


class Evaluate:
    """One upper point to one line of the history."""

    def __init__(self, space: Space, response: Response, gradient: Differentiate | None = None) -> None:
        self._space = space
        self._response = response
        self._gradient = gradient
        self._sense = response.problem.sense
        self._objectives = Objectives(response.compilation) if response.problem.objectives else None
        self._followers = response.problem.followers
        self._names = list(response.problem.lower_names)

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
            for k, reply in (replies.others.items() if self._objectives is None else enumerate(replies))
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

    def __call__(self, point: Point, index: int, start: Array | None = None, terms: Terms | None = None) -> Evaluation:
        """Evaluate, from a start below if given and under its terms; whatever goes wrong there is data."""
        if terms is None:
            return self._evaluated(point, index, start)
        with under(Trial(terms)) as trial:
            evaluation = self._from_below(point, index, start, trial)
        evaluation.reports, evaluation.repeats = trial.reports, len(terms.seeds)
        if terms.followers:  # what a race notes on its way is minimised
            evaluation.reports = tuple((step, self._sense * value) for step, value in trial.reports)
        if evaluation.pruned:
            evaluation.estimate = trial.expected()
        return evaluation

    def _from_below(self, point: Point, index: int, start: Array | None, trial: Trial) -> Evaluation:
        """Evaluate at each value of the fidelity in turn, until it is full or the point not worth the next."""
        began, work = time.perf_counter(), 0.0
        for value in trial.terms.rungs:
            upper, x = self._space.at_fidelity(point, value)
            evaluation = self._evaluated(point, index, start, upper, x)
            work += value
            if not evaluation.answered:
                return evaluation
            trial.report_look(evaluation.upper_objective, value)
            if trial.should_prune():
                message = f"not worth a closer look than {value:g}"
                seconds = time.perf_counter() - began
                pruned = Evaluation(index, point, upper, status=Status.PRUNED, message=message, seconds=seconds)
                pruned.spared = self._spared(point, work, done=False)
                return pruned
        evaluation = self._evaluated(point, index, start)
        evaluation.seconds = time.perf_counter() - began
        if trial.terms.rungs and evaluation.answered:
            place, _ = self._space.fidelity or (0, ())
            trial.report_look(evaluation.upper_objective, float(self._space.vector(point)[place]))
            evaluation.spared = self._spared(point, work, done=True)
        return evaluation

    def _spared(self, point: Point, work: float, done: bool) -> tuple[float, float]:
        """What the looks from below left out of a full one, or took beside it."""
        assert self._space.fidelity is not None
        whole = float(self._space.vector(point)[self._space.fidelity[0]])
        return (-work if done else whole - work), whole

    def _evaluated(
        self,
        point: Point,
        index: int,
        start: Array | None,
        upper: dict[str, Any] | None = None,
        x: Array | None = None,
    ) -> Evaluation:
        began = time.perf_counter()
        upper = self._space.values(point) if upper is None else upper
        x = self._space.vector(point) if x is None else x
        evaluation = self._recorded(Evaluation(index, point, upper), x, self._response.tried(x, upper, start))
        evaluation.seconds = time.perf_counter() - began
        return evaluation

    def _recorded(self, evaluation: Evaluation, x: Array, reply: Reply) -> Evaluation:
        """Write down what was answered there."""
        evaluation.status, evaluation.message, evaluation.proved = reply.status, reply.message, reply.proved
        evaluation.misshapen, evaluation.spared = reply.misshapen, reply.spared
        evaluation.bound = self._sense * reply.bound
        if reply.status is Status.OPTIMAL and reply.y is not None:
            evaluation.lower = self._response.lower_values(reply.y)
            evaluation.cost = reply.cost
            evaluation.upper_objective = self._sense * reply.cost
            evaluation.lower_objective = self._response.compilation.stated(x, reply.lower)
            evaluation.upper_violation = reply.violation
            if self._objectives is not None:
                self._objectives.write(evaluation, self._objectives(x, reply.y))
            evaluation.standard_error = reply.error
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
