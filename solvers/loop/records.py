"""Outcomes as records that a search goes on from, and back: every digit, nothing twice."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any

from bilevel.arrays import as_python
from bilevel.contracts.storage import State, Trial
from bilevel.programs.answer import Status
from bilevel.upper.archive import Evaluation

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
