"""What was asked again at the end: points of a noisy function, with both figures of each, and a whole schedule of x.

The best of many noisy values is better than it is: the point that was luckiest is on top (J. E. Smith and R. L. Winkler
2006, *The optimizer's curse*). What it comes to with new seeds has no such luck in it.
"""

from __future__ import annotations

import math

import numpy as np

from bilevel.contracts.finding import Finding
from bilevel.programs.answer import Status
from bilevel.response.response import Response
from bilevel.response.stages.schedule import trained_again
from bilevel.results.outcome import Outcome


def asked_again(response: Response, finding: Finding) -> None:
    """Let the answers with new seeds be the response's own at those points: each is a second look already."""
    names = response.problem.lower_names
    for _, new in finding.again:
        if new.answered:
            y = np.array([new.lower[name] for name in names])
            response.remember(response.vector(new.upper), y, new.standard_error)
    if finding.schedule:
        reply = trained_again(response, finding.schedule)
        if reply.status is Status.OPTIMAL and reply.y is not None:
            response.remember(response.vector(finding.schedule[-1]["upper"]), reply.y)
        else:
            finding.notes.append(f"trained once more by the same schedule there is no answer: {reply.message}")


def state_again(result: Outcome, finding: Finding) -> None:
    """Put both figures of every point that was asked again beside the answer, and the schedule that led to it."""
    if finding.schedule and result.upper == finding.schedule[-1]["upper"]:
        result.schedule = finding.schedule
    for known, new in finding.again:
        figures = {
            "upper": known.upper,
            "searched": known.upper_objective,
            "searched_error": known.standard_error,
            "again": new.upper_objective,
            "again_error": new.standard_error,
        }
        result.again.append(figures)
        if new.upper == result.upper:
            result.standard_error = None if math.isnan(new.standard_error) else new.standard_error
