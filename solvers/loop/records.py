"""Outcomes as records that a search goes on from, and back: every digit, nothing twice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from bilevel.arrays import Point, as_python
from bilevel.contracts.storage import State, Trial
from bilevel.programs.answer import Status
from bilevel.solvers.loop.given_points import point_of
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

_APART = ("upper", "lower")  # fields that stand elsewhere in a trial
_DEFAULTS: dict[str, Any] = {
    field.name: field.default_factory() if field.default_factory is not MISSING else field.default
    for field in fields(Evaluation)
    if field.name not in _APART
}


def record_of(evaluation: Evaluation) -> dict[str, Any]:
    """What differs from the defaults; floats have all their digits in JSON, and NaN is None."""
    told = {name: getattr(evaluation, name) for name in _DEFAULTS}
    return {name: plain(value) for name, value in told.items() if not _same(value, _DEFAULTS[name])}


def _same(value: Any, default: Any) -> bool:
    both_none = isinstance(value, float) and isinstance(default, float) and math.isnan(value) and math.isnan(default)
    return both_none or bool(value == default)


def values_of(evaluation: Evaluation) -> tuple[float, ...]:
    """F, or each of several objectives; nothing where there is no answer."""
    if not evaluation.answered:
        return ()
    return tuple(evaluation.upper_objectives.values()) or (evaluation.upper_objective,)


def state_of(evaluation: Evaluation) -> State:
    """What became of it in Optuna's words."""
    if evaluation.answered:
        return State.COMPLETE
    return State.PRUNED if evaluation.status is Status.PRUNED else State.FAIL


def plain(value: Any) -> Any:
    """As JSON takes it."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return as_python(value)


def evaluation_of(trial: Trial) -> Evaluation:
    """An outcome that was stored; who knows the space gives it its upper values."""
    assert trial.record is not None
    known = {name: value for name, value in trial.record.items() if name in _DEFAULTS}
    found: dict[str, Any] = {name: _frozen(value) for name, value in known.items()}
    found["status"] = Status(found.get("status", Status.FAILED))
    return Evaluation(**found, upper={}, lower=dict(trial.notes.get("lower", {})))


def _frozen(value: Any) -> Any:
    """Lists as tuples, those within as well; what is no number in them as NaN."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return math.nan if value is None else value


def told_by_others(trial: Trial, place: int, space: Space, senses: Sequence[int]) -> Evaluation:
    """An outcome that somebody else stored, with F as it stands there."""
    point = point_of(trial.parameters, space)
    evaluation = Evaluation(place, point, space.values(point), status=Status.OPTIMAL)
    evaluation.upper_objective, evaluation.cost = trial.values[0], senses[0] * trial.values[0]
    evaluation.upper_violation = max([0.0, *trial.constraints])
    evaluation.seconds, evaluation.message = trial.seconds, "evaluated by others"
    return evaluation


def active_values(point: Point, space: Space, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Values of a point by name, without those that its conditions let rest."""
    values = values or space.values(point)
    resting = {c.place for c in space.conditions if point[c.on] not in c.when}
    return {name: values[name] for k, name in enumerate(space.names) if k not in resting}


def trial_of(evaluation: Evaluation, space: Space, now: float, noted: Mapping[str, Any]) -> Trial:
    """An outcome as it is stored, with notes for people."""
    notes = {"status": str(evaluation.status), "seconds": evaluation.seconds, **noted}
    notes |= {"lower": evaluation.lower, "lower_objective": plain(evaluation.lower_objective)}
    notes |= {"reason": evaluation.message} if evaluation.message else {}
    return Trial(
        active_values(evaluation.point, space, evaluation.upper),
        state_of(evaluation),
        values_of(evaluation),
        (evaluation.upper_violation,) if evaluation.answered else (),
        ended=now,
        seconds=evaluation.seconds,
        notes=notes,
        record=record_of(evaluation),
        reports={int(step): value for step, value in evaluation.reports},
    )
