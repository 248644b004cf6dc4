"""A training done once more, leg by leg, with the x that each leg had."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from bilevel.language.trials.leg import Leg
from bilevel.language.trials.trial import Trial, terms_now, under
from bilevel.programs.answer import Status
from bilevel.response.replies import Reply


class Asked(Protocol):
    """What answers at one upper point."""

    def __call__(self, x: Mapping[str, Any]) -> Reply:
        """By name."""


def trained_again(response: Asked, schedule: Sequence[Mapping[str, Any]]) -> Reply:
    """The answer at the end of a schedule; the first that is none where there is one.

    Parameters
    ----------
    response : callable
        Answers at x, by name.
    schedule : sequence of dict
        ``upper`` and ``steps`` of each leg.
    """
    reply = Reply(Status.FAILED, message="there is no leg to train")
    with tempfile.TemporaryDirectory(prefix="bilevel-states-") as folder:
        for place, leg in enumerate(schedule):
            goes_on = Leg(folder, place, place - 1 if place else None, leg["steps"])
            with under(Trial(replace(terms_now(), leg=goes_on))):
                reply = response(leg["upper"])
            if reply.status is not Status.OPTIMAL:
                return reply
    return reply
