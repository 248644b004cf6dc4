"""A study at any storage of Optuna's, through its own interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bilevel.contracts.storage import Kept, Shared, Trial
from bilevel.solvers.storages.trials.among_drivers import AmongDrivers
from bilevel.solvers.storages.trials.as_optuna import (
    ENTERED,
    OWN,
    another,
    clearly,
    finish,
    frozen_of,
    made,
    quietly,
    study_of,
    trial_of,
    waiting,
)
from bilevel.solvers.storages.trials.distributions import distribution_of, told_by
from bilevel.upper.dimension import Dimension


class ThroughOptuna(Kept):
    """Takes trials one by one, as the interface does.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        Where.
    name : str
        Of the study.
    shown : str
        The place in messages.
    """

    def __init__(self, storage: Any, name: str, shown: str) -> None:
        self._storage, self.name, self._shown = storage, name, shown
        self._written = 0
        with clearly(shown):
            found = {study.study_name: study for study in storage.get_all_studies()}.get(name)
            self._id: int | None = None if found is None else found._study_id
            noted = {} if found is None else found.system_attrs
            self.attributes, self.under_way = dict(noted.get(OWN, {})), noted.get(ENTERED)

    def trials(self) -> Iterable[Trial]:
        if self._id is None:
            return []
        with clearly(self._shown):
            frozen = self._storage.get_all_trials(self._id, deepcopy=False)
        self._written = len(frozen)
        return [trial_of(one) for one in frozen]

    def create(self, maximise: Sequence[bool], dimensions: Sequence[Dimension]) -> None:
        self._distributions = {d.name: distribution_of(d) for d in dimensions}
        if self._id is None:
            with clearly(self._shown), quietly():
                self._id = made(self._storage, maximise, self.name)

    def note(self, attributes: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        with clearly(self._shown):
            self._storage.set_study_system_attr(self._id, OWN, dict(attributes))
            for key, value in shown.items():
                self._storage.set_study_user_attr(self._id, key, value)
        self.attributes = dict(attributes)

    def enter(self, place: int | None) -> None:
        with clearly(self._shown):
            self._storage.set_study_system_attr(self._id, ENTERED, place)

    def write(self, trials: Sequence[Trial]) -> None:
        with clearly(self._shown):
            for trial in trials:
                if trial.number is not None:
                    finish(self._storage, self._id, trial, self._distributions)
                    continue
                made = self._storage.create_new_trial(self._id, frozen_of(trial, self._distributions))
                number = self._storage.get_trial_number_from_id(made)
                if number != self._written:
                    self._insist_on_being_alone(self._written, number)
                self._written = number + 1

    def _insist_on_being_alone(self, first: int, number: int) -> None:
        others = self._storage.get_all_trials(self._id, deepcopy=False)[first:number]
        if any(OWN in other.system_attrs for other in others):
            raise another(self._shown)

    def take(self, trials: Sequence[Trial]) -> None:
        known = told_by([trial.parameters for trial in trials])
        with clearly(self._shown):
            for trial in trials:
                self._storage.create_new_trial(self._id, frozen_of(trial, known))

    def enqueue(self, parameters: Mapping[str, Any]) -> None:
        with clearly(self._shown):
            self._storage.create_new_trial(self._id, waiting(parameters))

    def shared(self) -> Shared:
        assert self._id is not None
        return AmongDrivers(self._storage, self._id, self.name, self._shown, self._distributions)

    def frozen(self, trial: Trial) -> Any:
        return frozen_of(trial, self._distributions)

    def optuna(self) -> Any:
        return self._storage

    def study(self) -> Any:
        return study_of(self._storage, self.name)

    def close(self) -> None:
        """Leave it open: it is somebody else's."""
