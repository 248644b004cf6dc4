"""A study in Optuna's journal file, read and written as lines.

A line is an operation; a trial is one line, appended in one call to the system under Optuna's lock, so that whoever
reads sees it whole or not at all. Optuna's own reader builds every trial as an object and compares its distributions;
of what this package wrote only the record is needed, and a hundred thousand lines are read in seconds.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bilevel.contracts.storage import Kept, Shared, State, Trial
from bilevel.errors import StudyError
from bilevel.solvers.storages.trials.among_drivers import AmongDrivers
from bilevel.solvers.storages.trials.as_optuna import (
    CONSTRAINTS,
    ENTERED,
    OWN,
    another,
    clearly,
    directions,
    finish,
    frozen_of,
    quietly,
    study_of,
    trial_of,
    waiting,
)
from bilevel.solvers.storages.trials.distributions import distribution_of, internal, told_by
from bilevel.upper.dimension import Dimension

_CREATE_STUDY, _DELETE_STUDY, _NOTE_SHOWN, _NOTE, _CREATE_TRIAL = 0, 1, 2, 3, 4  # operations of the format
_STALE = 2.0  # seconds: whoever held the lock longer than that was killed
_SYNC = 1.0  # seconds between calls that have the disk keep what the system has


class JournalFile(Kept):
    """Takes many trials in one call to the system.

    Parameters
    ----------
    path : str
        Of the file.
    name : str
        Of the study.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path, self.name = path, name
        self._worker = f"bilevel-{uuid.uuid4()}"
        self.attributes: dict[str, Any] = {}
        self._studies: list[str | None] = []
        self._id: int | None = None
        self._trials: list[Trial | None] = []  # None where somebody else wrote it
        self._position = 0
        self._synced = time.monotonic()
        if os.path.exists(path):
            with clearly(path):
                self._mend()
                self._read()

    def trials(self) -> Iterable[Trial]:
        if all(trial is not None for trial in self._trials):
            return [trial for trial in self._trials if trial is not None]
        with clearly(self._path), quietly():
            return [trial_of(one) for one in self.optuna().get_all_trials(self._id, deepcopy=False)]

    def create(self, maximise: Sequence[bool], dimensions: Sequence[Dimension]) -> None:
        from optuna.distributions import distribution_to_json

        self._distributions = {d.name: distribution_of(d) for d in dimensions}
        self._described = {name: distribution_to_json(d) for name, d in self._distributions.items()}
        if self._id is None:
            told = {"study_name": self.name, "directions": [int(d) for d in directions(maximise)]}
            line = {"op_code": _CREATE_STUDY, **told}
            self._append([line])
            self._apply(line)

    def note(self, attributes: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        study = {"study_id": self._id}
        lines = [{"op_code": _NOTE, **study, "system_attr": {OWN: dict(attributes)}}]
        lines += [{"op_code": _NOTE_SHOWN, **study, "user_attr": {key: value}} for key, value in shown.items()]
        self._append(lines)
        self.attributes = dict(attributes)

    def enter(self, place: int | None) -> None:
        self._append([{"op_code": _NOTE, "study_id": self._id, "system_attr": {ENTERED: place}}])

    def write(self, trials: Sequence[Trial]) -> None:
        new = [trial for trial in trials if trial.number is None]
        if new:
            self._append([self._line(trial) for trial in new])
            self._trials += new
        with clearly(self._path), quietly():
            for trial in trials:
                if trial.number is not None:
                    finish(self.optuna(), self._id, trial, self._distributions)

    def _line(self, trial: Trial) -> dict[str, Any]:
        from optuna.trial import TrialState

        known = self._distributions
        one = trial.values[0] if len(trial.values) == 1 else None
        own = {CONSTRAINTS: list(trial.constraints)} if trial.constraints else {}
        return {
            "op_code": _CREATE_TRIAL,
            "study_id": self._id,
            "state": int(TrialState[trial.state.name]),
            "value": one,
            "values": list(trial.values) if len(trial.values) > 1 else None,
            "datetime_start": _moment(trial.ended - trial.seconds),
            "datetime_complete": _moment(trial.ended),
            "distributions": {name: self._described[name] for name in trial.parameters},
            "params": {name: internal(known[name], value) for name, value in trial.parameters.items()},
            "user_attrs": trial.notes,
            "system_attrs": {**own, OWN: trial.record},
            "intermediate_values": trial.reports,
        }

    def _append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps({"worker_id": self._worker, **line}, separators=(",", ":")) + "\n" for line in lines)
        with clearly(self._path), self._locked():
            before = len(self._trials)
            if os.path.exists(self._path) and os.stat(self._path).st_size != self._position:
                self._read()
                if any(trial is not None for trial in self._trials[before:]):
                    raise another(self._path)
            self._write(text.encode())

    def _write(self, data: bytes) -> None:
        """Whole lines or none: what a full disk takes of one is taken back."""
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(file, rest) :]
            except OSError:
                os.ftruncate(file, self._position)
                raise
            if time.monotonic() - self._synced > _SYNC:
                os.fsync(file)
                self._synced = time.monotonic()
        finally:
            os.close(file)
        self._position += len(data)

    def _mend(self) -> None:
        """Take away the beginning of a line whose writer was killed, and the lock of one that was."""
        lock = f"{self._path}.lock"
        with contextlib.suppress(OSError):
            if time.time() - os.lstat(lock).st_mtime > _STALE:
                os.unlink(lock)
        with open(self._path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if size == 0 or file.read(1) == b"\n":
                return
        with self._locked(), open(self._path, "rb+") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)

    def _read(self) -> None:
        """Take note of what was appended since."""
        with open(self._path, "rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                self._apply(json.loads(line))

    def _apply(self, line: Mapping[str, Any]) -> None:
        operation = line["op_code"]
        if operation == _CREATE_STUDY:
            if line["study_name"] not in self._studies:
                self._studies.append(line["study_name"])
                if line["study_name"] == self.name:
                    self._id = len(self._studies) - 1
        elif self._id is None or line.get("study_id") != self._id:
            return
        elif operation == _DELETE_STUDY:
            self._studies[self._id] = None
            self._id, self.attributes, self._trials = None, {}, []
        elif operation == _NOTE and OWN in line["system_attr"]:
            self.attributes = line["system_attr"][OWN]
        elif operation == _NOTE and ENTERED in line["system_attr"]:
            self.under_way = line["system_attr"][ENTERED]
        elif operation == _CREATE_TRIAL:
            self._trials.append(_trial(line, len(self._trials)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from optuna.storages.journal import JournalFileOpenLock, JournalFileSymlinkLock

        lock = JournalFileOpenLock(self._path) if os.name == "nt" else JournalFileSymlinkLock(self._path)
        lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def take(self, trials: Sequence[Trial]) -> None:
        known = told_by([trial.parameters for trial in trials])
        with clearly(self._path), quietly():
            storage = self.optuna()
            for trial in trials:
                storage.create_new_trial(self._id, frozen_of(trial, known))

    def enqueue(self, parameters: Mapping[str, Any]) -> None:
        with clearly(self._path), quietly():
            self.optuna().create_new_trial(self._id, waiting(parameters))

    def shared(self) -> Shared:
        assert self._id is not None
        with clearly(self._path):
            return AmongDrivers(self.optuna(), self._id, self.name, self._path, self._distributions)

    def frozen(self, trial: Trial) -> Any:
        return frozen_of(trial, self._distributions)

    def optuna(self) -> Any:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        lock = JournalFileOpenLock(self._path) if os.name == "nt" else None
        with quietly():
            return JournalStorage(JournalFileBackend(self._path, lock_obj=lock))

    def study(self) -> Any:
        return study_of(self.optuna(), self.name)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            file = os.open(self._path, os.O_WRONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)


def _trial(line: Mapping[str, Any], number: int) -> Trial | None:
    """Of this package's own what it needs; None of another's."""
    record = line.get("system_attrs", {}).get(OWN)
    if record is None:
        return None
    return Trial({}, State.COMPLETE, notes=line["user_attrs"], record=record, number=number)


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="microseconds")


def insist_on_folder(path: str) -> str:
    """The path of a file in a folder that is there.

    Raises
    ------
    StudyError
        If it names no file, or there is no such folder.
    """
    if not path:
        raise StudyError("the study names no file; write study.log, or sqlite:///study.db")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise StudyError(f"study {path}: there is no folder {os.path.dirname(path)}; create it first")
    return path
