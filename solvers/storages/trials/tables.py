"""A study in Optuna's tables, written to in one transaction a batch.

Optuna's storage asks the database some forty times for a trial of sixteen parameters; here a batch is one insertion per
table. What others wrote is read through Optuna, what this package wrote by two queries.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any

from bilevel.contracts.storage import Trial
from bilevel.errors import StudyError
from bilevel.solvers.storages.trials.as_optuna import CONSTRAINTS, OWN, another, clearly, quietly, trial_of
from bilevel.solvers.storages.trials.distributions import distribution_of, internal
from bilevel.solvers.storages.trials.through_optuna import ThroughOptuna
from bilevel.upper.dimension import Dimension

NEEDED = "lower"
"""The one note that is read again: the followers' answer."""


class Tables(ThroughOptuna):
    """Takes many trials in one transaction.

    Parameters
    ----------
    storage : optuna.storages.RDBStorage
        Where.
    name, shown : str
        Of the study, and of the place in messages.
    """

    def __init__(self, storage: Any, name: str, shown: str) -> None:
        super().__init__(storage, name, shown)
        self._last = 0

    def trials(self) -> Iterable[Trial]:
        if self._id is None:
            return []
        from optuna.storages._rdb import models
        from sqlalchemy import select

        trial = models.TrialModel
        own, noted = models.TrialSystemAttributeModel, models.TrialUserAttributeModel
        with clearly(self._shown), self._storage.engine.connect() as connection:
            every = select(trial.trial_id).where(trial.study_id == self._id).order_by(trial.trial_id)
            numbers = {row[0]: number for number, row in enumerate(connection.execute(every))}
            records = self._texts(connection, own, OWN)
            answers = self._texts(connection, noted, NEEDED)
        self._written, self._last = len(numbers), max(numbers, default=0)
        return [
            Trial({}, record=json.loads(records[i]), notes=_noted(answers.get(i)), number=number)
            if i in records
            else self._foreign(i)
            for i, number in numbers.items()
        ]

    def _texts(self, connection: Any, table: Any, key: str) -> dict[int, str]:
        from optuna.storages._rdb import models
        from sqlalchemy import select

        trial = models.TrialModel
        rows = select(table.trial_id, table.value_json).join(trial, trial.trial_id == table.trial_id)
        wanted = rows.where(trial.study_id == self._id, table.key == key)
        return {row[0]: row[1] for row in connection.execute(wanted)}

    def _foreign(self, number: int) -> Trial:
        with quietly():
            return trial_of(self._storage.get_trial(number))

    def create(self, maximise: Sequence[bool], dimensions: Sequence[Dimension]) -> None:
        from optuna.distributions import distribution_to_json

        super().create(maximise, dimensions)
        self._known = {d.name: distribution_of(d) for d in dimensions}
        self._described = {name: distribution_to_json(d) for name, d in self._known.items()}

    def write(self, trials: Sequence[Trial]) -> None:
        from optuna.storages._rdb import models

        tables: tuple[Any, ...] = (
            models.TrialParamModel,
            models.TrialValueModel,
            models.TrialSystemAttributeModel,
            models.TrialUserAttributeModel,
            models.TrialIntermediateValueModel,
        )
        new = [trial for trial in trials if trial.number is None]
        super().write([trial for trial in trials if trial.number is not None])
        with clearly(self._shown), self._storage.engine.begin() as connection:
            rows: list[list[dict[str, Any]]] = [[] for _ in tables]
            for trial in new:
                made = self._row(connection, trial)
                for found, more in zip(rows, self._parts(made, trial), strict=True):
                    found += more
            for table, found in zip(tables, rows, strict=True):
                if found:
                    connection.execute(table.__table__.insert(), found)

    def _row(self, connection: Any, trial: Trial) -> int:
        """The trial itself, with its number in the study; its key in the database."""
        from optuna.storages._rdb import models
        from optuna.trial import TrialState
        from sqlalchemy import func, select

        study, table = models.StudyModel, models.TrialModel.__table__
        connection.execute(select(study.study_id).where(study.study_id == self._id).with_for_update())
        row: dict[str, Any] = {"study_id": self._id, "state": TrialState[trial.state.name], "number": self._written}
        row |= {"datetime_start": _moment(trial.ended - trial.seconds), "datetime_complete": _moment(trial.ended)}
        made: int = connection.execute(table.insert(), row).inserted_primary_key[0]
        mine, before = table.c.study_id == self._id, table.c.trial_id < made
        last = connection.execute(select(func.max(table.c.trial_id)).where(mine, before)).scalar() or 0
        if last != self._last:
            self._insist(connection, last)
            self._written = connection.execute(select(func.count()).select_from(table).where(mine, before)).scalar()
            connection.execute(table.update().where(table.c.trial_id == made).values(number=self._written))
        self._written, self._last = self._written + 1, made
        return made

    def _insist(self, connection: Any, last: int) -> None:
        """That nobody wrote who takes part in this run's history."""
        from optuna.storages._rdb import models
        from sqlalchemy import select

        own, trial = models.TrialSystemAttributeModel, models.TrialModel
        rows = select(own.trial_id).join(trial, trial.trial_id == own.trial_id)
        meanwhile = rows.where(trial.study_id == self._id, own.key == OWN, own.trial_id > self._last)
        if connection.execute(meanwhile.where(own.trial_id <= last)).first() is not None:
            raise another(self._shown)

    def _parts(self, made: int, trial: Trial) -> tuple[list[dict[str, Any]], ...]:
        from optuna.storages._rdb.models import TrialIntermediateValueModel as Reported
        from optuna.storages._rdb.models import TrialValueModel as Value

        system: dict[str, Any] = {} if trial.record is None else {OWN: trial.record}
        system |= {CONSTRAINTS: list(trial.constraints)} if trial.constraints else {}
        described, known = self._described, self._known
        values = [(k, *Value.value_to_stored_repr(v)) for k, v in enumerate(trial.values)]
        reports = [(k, *Reported.intermediate_value_to_stored_repr(v)) for k, v in trial.reports.items()]
        return (
            [
                {
                    "trial_id": made,
                    "param_name": n,
                    "param_value": internal(known[n], v),
                    "distribution_json": described[n],
                }
                for n, v in trial.parameters.items()
            ],
            [{"trial_id": made, "objective": k, "value": v, "value_type": kind} for k, v, kind in values],
            [{"trial_id": made, "key": key, "value_json": json.dumps(value)} for key, value in system.items()],
            [{"trial_id": made, "key": key, "value_json": json.dumps(value)} for key, value in trial.notes.items()],
            [
                {"trial_id": made, "step": k, "intermediate_value": v, "intermediate_value_type": kind}
                for k, v, kind in reports
            ],
        )

    def close(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()


def _noted(text: str | None) -> dict[str, Any]:
    return {} if text is None else {NEEDED: json.loads(text)}


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)


def with_driver(address: str, drivers: Sequence[str]) -> str:
    """An address that names the package which speaks to the database; the first of some that is there.

    Raises
    ------
    StudyError
        If none is, and the address names none.
    """
    scheme, _, rest = address.partition("://")
    if "+" in scheme:
        return address
    there = next((driver for driver in drivers if find_spec(driver)), None)
    if there is None:
        shown = f"{scheme}://{rest.rpartition('@')[2]}"
        raise StudyError(f"study {shown} needs a driver, {' or '.join(drivers)}: pip install {drivers[0]}")
    return f"{scheme}+{there.lower()}://{rest}"


def opened(url: str, shown: str, **engine: Any) -> Any:
    """Optuna's storage at a database, made where it is not.

    Raises
    ------
    StudyError
        If the database cannot be reached, or the package that speaks to it is missing.
    """
    from optuna.storages import RDBStorage

    with clearly(shown), quietly():
        return RDBStorage(url, engine_kwargs=engine)
