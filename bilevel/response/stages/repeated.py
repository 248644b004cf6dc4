"""A noisy function asked several times, each with another seed: the answer is the mean of its answers.

F and G are taken at the mean, so that what is reported is what the model says at the values that are reported; where F
is linear in the answers, as a loss or a mean of losses is, that is the mean of F as well. Its standard error is that of
F at the single answers.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.language.trials.trial import current, under
from bilevel.programs.answer import Status
from bilevel.response.leader import Leader
from bilevel.response.replies import Reply


class Asked(Protocol):
    """What answers once."""

    def __call__(self, x: Array, upper: dict[str, Any] | None = None, start: Array | None = None) -> Reply:
        """At one upper point."""


def repeated(
    response: Asked, leader: Leader, x: Array, upper: dict[str, Any] | None, start: Array | None = None
) -> Reply:
    """The mean of as many answers as the trial under way has seeds; the first that is none where there is one.

    Only the first is judged by its reports: what it takes to get so far is spent then.
    """
    trial = current()
    replies, answers = [], []
    for place in range(len(trial.terms.seeds)):
        with under(trial if place == 0 else trial.again(place)):
            reply = response(x, upper, start)
        if reply.status is not Status.OPTIMAL or reply.y is None:
            return reply
        replies.append(reply)
        answers.append(reply.y)
    y = np.mean(np.array(answers), axis=0)
    cost, violation = leader(x, y)
    if not abs(cost) < tolerances.INFINITE:
        message = f"the upper objective is {cost} there"
        return Reply(Status.FAILED, y, cost, replies[0].lower, violation, message=message)
    costs = np.array([reply.cost for reply in replies])
    error = float(costs.std(ddof=1)) / math.sqrt(len(costs))
    return Reply(Status.OPTIMAL, y, cost, replies[0].lower, violation, error=error)
