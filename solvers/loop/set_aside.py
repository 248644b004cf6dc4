"""Outcomes that somebody set aside: a storage keeps what was written, a study counts it no more.

One that is left out stays in the history as a failed point; one that is to be done again has its place, and no outcome.
Either way the search was told what does not hold any more, and what it asked since hangs on that: all that is stored
becomes given, so that a search which learns hears of it anew and goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bilevel.arrays import Point
from bilevel.contracts.storage import Aside, Trial
from bilevel.programs.answer import Status
from bilevel.solvers.loop.records import evaluation_of
from bilevel.upper.archive import Evaluation


def outcomes(trials: Sequence[Trial], aside: Mapping[int, Aside]) -> tuple[dict[int, Evaluation], list[Evaluation]]:
    """What own trials say, by place in the history; and the points that have a place and no outcome any more."""
    known: dict[int, Evaluation] = {}
    again: dict[int, Evaluation] = {}
    for trial in trials:
        evaluation = evaluation_of(trial)
        said = None if trial.number is None else aside.get(trial.number)
        if said is Aside.REDO:
            again[evaluation.index] = evaluation
            continue
        if said is Aside.SKIP:
            evaluation = left_out(evaluation.index, evaluation.point)
        known[evaluation.index] = evaluation
    return known, [evaluation for index, evaluation in again.items() if index not in known]


def left_out(place: int, point: Point) -> Evaluation:
    """What a history holds of a point that is left out."""
    return Evaluation(place, point, {}, status=Status.FAILED, message="left out by who keeps the study")
