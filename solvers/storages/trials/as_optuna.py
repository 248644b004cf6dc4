"""Trials and studies in Optuna's words, and what goes wrong at its storages in ours."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bilevel.contracts.storage import State, Trial
from bilevel.errors import StudyError, first_line
from bilevel.solvers.storages.trials.distributions import stored_value

ENTERED = "bilevel:under_way"
"""Under which a study's system attributes hold the place that was entered last."""

OWN = "bilevel"
"""Under which a study's and a trial's system attributes hold what is this package's."""

CONSTRAINTS = "constraints"
"""Under which Optuna looks for a trial's constraints."""


def study_of(storage: Any, name: str) -> Any:
    """A study as ``optimize`` hands it to callbacks."""
    import optuna

    with quietly():
        study: Any = optuna.load_study(study_name=name, storage=storage)
    study._thread_local.in_optimize_loop = True  # else stop() is an error
    study._stop_flag = False
    return study


def made(storage: Any, maximise: Sequence[bool], name: str) -> int:
    """The id of a new study; of the one that another driver made at the same moment."""
    from optuna.exceptions import DuplicatedStudyError

    try:
        found: int = storage.create_new_study(directions(maximise), name)
    except DuplicatedStudyError:
        found = storage.get_study_id_from_name(name)
    return found


def waiting(parameters: Mapping[str, Any]) -> Any:
    """A trial of Optuna's that waits, as ``study.enqueue_trial`` makes it."""
    from optuna.trial import TrialState, create_trial

    fixed = {name: stored_value(value) for name, value in parameters.items()}
    return create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": fixed})


def finish(storage: Any, study: int | None, trial: Trial, distributions: Mapping[str, Any]) -> None:
    """Write into a trial that waits or runs in the study what became of its point."""
    from optuna.trial import TrialState

    frozen = frozen_of(trial, distributions)
    own = storage.get_trial_id_from_study_id_trial_number(study, trial.number)
    storage.set_trial_state_values(own, TrialState.RUNNING)
    there = storage.get_trial(own).params
    for name, distribution in frozen.distributions.items():
        if name in there:
            continue
        storage.set_trial_param(own, name, distribution.to_internal_repr(frozen.params[name]), distribution)
    for key, value in frozen.user_attrs.items():
        storage.set_trial_user_attr(own, key, value)
    for key, value in frozen.system_attrs.items():
        storage.set_trial_system_attr(own, key, value)
    for step, value in frozen.intermediate_values.items():
        storage.set_trial_intermediate_value(own, step, value)
    storage.set_trial_state_values(own, frozen.state, frozen.values)


def another(shown: str) -> StudyError:
    """Two runs are at one study."""
    return StudyError(f"{shown}: another run is writing to this study; give each run its own")


def directions(maximise: Sequence[bool]) -> list[Any]:
    """As Optuna calls them."""
    from optuna.study import StudyDirection

    return [StudyDirection.MAXIMIZE if up else StudyDirection.MINIMIZE for up in maximise]


def trial_of(frozen: Any) -> Trial:
    """A trial of Optuna's."""
    complete = frozen.state.is_finished() and frozen.values is not None
    began, ended = frozen.datetime_start, frozen.datetime_complete
    return Trial(
        dict(frozen.params) or dict(frozen.system_attrs.get("fixed_params", {})),
        State(frozen.state.name.lower()),
        tuple(frozen.values) if complete else (),
        tuple(frozen.system_attrs.get(CONSTRAINTS, ())),
        ended=0.0 if ended is None else ended.timestamp(),
        seconds=0.0 if ended is None or began is None else (ended - began).total_seconds(),
        notes=dict(frozen.user_attrs),
        record=frozen.system_attrs.get(OWN),
        reports=dict(frozen.intermediate_values),
        number=frozen.number,
    )


def frozen_of(trial: Trial, distributions: Mapping[str, Any]) -> Any:
    """The same as Optuna's."""
    from optuna.trial import FrozenTrial, TrialState

    own = {CONSTRAINTS: list(trial.constraints)} if trial.constraints else {}
    ended = datetime.datetime.fromtimestamp(trial.ended)
    values = {name: stored_value(value) for name, value in trial.parameters.items()}
    known = {name: distributions[name] for name in values}
    return FrozenTrial(
        number=-1 if trial.number is None else trial.number,  # a storage counts itself
        trial_id=-1,
        state=TrialState[trial.state.name],
        value=None,
        values=list(trial.values) or None,
        datetime_start=ended - datetime.timedelta(seconds=trial.seconds),
        datetime_complete=ended,
        # What Optuna stores of a number between two steps is the step.
        params={name: d.to_external_repr(d.to_internal_repr(values[name])) for name, d in known.items()},
        distributions=known,
        user_attrs=dict(trial.notes),
        system_attrs={**own, **({} if trial.record is None else {OWN: trial.record})},
        intermediate_values=dict(trial.reports),
    )


@contextmanager
def quietly() -> Iterator[None]:
    """Without Optuna's lines in the log, and its warnings of what is new in it."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


@contextmanager
def clearly(shown: str) -> Iterator[None]:
    """What goes wrong at a storage, as an error that names the place."""
    try:
        yield
    except StudyError:
        raise
    except ImportError as error:
        raise StudyError(f"study {shown}: {first_line(error)}; install the package it names") from error
    except Exception as error:  # each storage has errors of its own
        raise StudyError(f"study {shown}: {first_line(error)}; name a place that can be read and written") from error
