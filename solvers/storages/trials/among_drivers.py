"""A study that several drivers share, through Optuna's own interface, so that any of its storages will do.

A trial is there while it runs, and a thread says every now and then that it does: by Optuna's heartbeat where the
storage has one (tables), else by a note of the time in the trial. What is not heard of for two such intervals is freed,
as Optuna frees it: it ends as failed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from bilevel.contracts.storage import Shared, Trial
from bilevel.solvers.storages.trials.as_optuna import clearly, finish, frozen_of, quietly, trial_of
from bilevel.solvers.storages.trials.distributions import stored_value

BEAT = 30
"""Seconds between two signs of life."""

_ALIVE = "bilevel:alive"
_ENDED = RuntimeError  # what Optuna raises, from 4.1 on of a kind of its own, where a trial is no longer to be changed


class AmongDrivers(Shared):
    """Trials one by one, as Optuna's ``optimize`` does.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        Where.
    study : int
        Its id there.
    name, shown : str
        Of the study, and of the place in messages.
    distributions : dict
        Of every parameter.
    """

    def __init__(self, storage: Any, study: int, name: str, shown: str, distributions: Mapping[str, Any]) -> None:
        from optuna.storages import BaseStorage, RDBStorage, get_storage

        self._beats = isinstance(storage, RDBStorage)
        if self._beats and storage.heartbeat_interval is None:
            storage.heartbeat_interval = BEAT
        self._every = storage.heartbeat_interval if self._beats else BEAT
        self._storage: BaseStorage = get_storage(storage)
        self._study, self._name, self._shown, self._distributions = study, name, shown, distributions
        self._mine: dict[int, int] = {}  # ids by number
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="bilevel-heartbeat")
        self._thread.start()

    def trials(self) -> list[Trial]:
        with clearly(self._shown):
            return [trial_of(one) for one in self._storage.get_all_trials(self._study, deepcopy=False)]

    def begin(self, parameters: Mapping[str, Any]) -> int:
        from optuna.trial import TrialState, create_trial

        values = {name: stored_value(value) for name, value in parameters.items()}
        known = {name: self._distributions[name] for name in values}
        with clearly(self._shown), quietly():
            template = create_trial(state=TrialState.RUNNING, params=values, distributions=known)
            own = self._storage.create_new_trial(self._study, template)
            return self._entered(own)

    def claim(self, number: int) -> bool:
        from optuna.trial import TrialState

        with clearly(self._shown), suppress(_ENDED):
            own = self._storage.get_trial_id_from_study_id_trial_number(self._study, number)
            if self._storage.set_trial_state_values(own, TrialState.RUNNING):
                self._entered(own)
                return True
        return False

    def _entered(self, own: int) -> int:
        number: int = self._storage.get_trial_number_from_id(own)
        self._alive(own)
        self._mine[number] = own
        return number

    def end(self, trial: Trial) -> None:
        assert trial.number is not None
        self._mine.pop(trial.number, None)
        with clearly(self._shown), quietly():
            try:
                finish(self._storage, self._study, trial, self._distributions)
            except _ENDED:  # it was given up by somebody: an outcome all the same
                self._storage.create_new_trial(self._study, frozen_of(trial, self._distributions))

    def drop(self, number: int, reason: str) -> None:
        self._mine.pop(number, None)
        self._fail(self._storage.get_trial_id_from_study_id_trial_number(self._study, number), reason)

    def _fail(self, own: int, reason: str) -> None:
        from optuna.trial import TrialState

        with clearly(self._shown), suppress(_ENDED):
            self._storage.set_trial_user_attr(own, "reason", reason)
            self._storage.set_trial_state_values(own, TrialState.FAIL)

    def free(self) -> None:
        import optuna

        with clearly(self._shown), quietly():
            if self._beats:
                optuna.storages.fail_stale_trials(optuna.load_study(study_name=self._name, storage=self._storage))
                return
            for one in self._storage.get_all_trials(self._study, deepcopy=False):
                alive = one.system_attrs.get(_ALIVE)
                if one.state.name == "RUNNING" and alive is not None and time.time() - alive > 2 * self._every:
                    self._fail(one._trial_id, "its driver was not heard of any more")

    def _beat(self) -> None:
        while not self._ended.wait(self._every / 2.0):
            for own in list(self._mine.values()):
                with suppress(Exception):  # ended meanwhile, or the place cannot be reached for a moment
                    self._alive(own)

    def _alive(self, own: int) -> None:
        if self._beats:
            self._storage.record_heartbeat(own)  # type: ignore[attr-defined]
        else:
            self._storage.set_trial_system_attr(own, _ALIVE, time.time())

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for number in list(self._mine):
            self.drop(number, "its driver ended")
        self._storage.remove_session()
