"""Studies in an SQLite file.

Each outcome is committed before the search learns it, in an SQLite file (the journal survives ``kill -9``); Optuna's
storage on the same file was measured at 44 ms a point, two thousand times what a compiled lower level takes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bilevel.arrays import Point
from bilevel.contracts.storage import Storage
from bilevel.errors import StudyError
from bilevel.programs.answer import Status
from bilevel.registry import register
from bilevel.upper.archive import Evaluation

_PREFIX = "sqlite:///"
_TABLES = """
create table if not exists bilevel_studies
    (name text primary key, identity text not null, start text not null, windows text not null);
create table if not exists bilevel_evaluations
    (study text not null, place integer not null, record text not null, primary key (study, place));
create table if not exists bilevel_under_way (study text primary key, place integer);
"""


@register("sqlite")
class Study(Storage):
    """An SQLite file on this machine: ``sqlite:///study.db``.

    Parameters
    ----------
    address : str
        ``sqlite:///study.db``, ``sqlite:////an/absolute/study.db`` or a plain path; ``#name`` behind it names one of
        several studies in a file.

    Raises
    ------
    StudyError
        If the file cannot be read or written, or is no database.

    Notes
    -----
    Take it when what was evaluated must outlast the run, on one machine and with one run at a time; without a study
    nothing is kept.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        path, self._name = _read(address)
        with self._clearly():
            self._database = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            self._database.execute("pragma journal_mode = wal")
            self._database.execute("pragma synchronous = normal")
            self._database.executescript(_TABLES)
            found = self._database.execute(
                "select identity, start, windows from bilevel_studies where name = ?", (self._name,)
            ).fetchone()
            rows = self._database.execute(
                "select place, record from bilevel_evaluations where study = ? order by place", (self._name,)
            ).fetchall()
            entered = self._database.execute(
                "select place from bilevel_under_way where study = ?", (self._name,)
            ).fetchone()
        self.identity: dict[str, str] = {} if found is None else json.loads(found[0])
        self._start: list[float] | None = None if found is None else json.loads(found[1])
        self._windows: list[tuple[int, int]] = [] if found is None else [(s, w) for s, w in json.loads(found[2])]
        self.evaluations: dict[int, Evaluation] = {place: _evaluation(record) for place, record in rows}
        if entered is not None and entered[0] not in self.evaluations:
            self.under_way = entered[0]

    def start(self, given: Point | None) -> Point | None:
        if not self.identity:
            self._start = None if given is None else list(given)
        return None if self._start is None else tuple(self._start)

    def begin(self, identity: Mapping[str, str], window: int) -> None:
        if self.identity:
            self._insist_on(identity)
        self.identity = dict(identity)
        start = self._known_until()
        if not self._windows or self._windows[-1][1] != window:
            self._windows = [*(w for w in self._windows if w[0] < start), (start, window)]
        with self._clearly():
            self._database.execute(
                "insert or replace into bilevel_studies values (?, ?, ?, ?)",
                (self._name, json.dumps(self.identity), json.dumps(self._start), json.dumps(self._windows)),
            )

    def _insist_on(self, identity: Mapping[str, str]) -> None:
        for part in [*identity, *self.identity]:
            there, here = self.identity.get(part, "none"), identity.get(part, "none")
            if there != here:
                raise StudyError(
                    f"{self.address} holds the study of another run: {part} {_short(there)} there, {_short(here)} here;"
                    f" give this run a study of its own, or name it: {self.address.partition('#')[0]}#another"
                )

    def _known_until(self) -> int:
        """After how many told points the stored run is used up: from there on another window may hold.

        Point i was asked for once i - w + 1 were told. Points evaluated ahead of a slower one are stored as well.
        """
        told: int = next(place for place in range(len(self.evaluations) + 1) if place not in self.evaluations)
        if not self.evaluations or not self._windows:
            return told
        return max(told, max(self.evaluations) - self._windows[-1][1] + 2)

    def window(self, told: int) -> int:
        found: int = next(window for start, window in reversed(self._windows) if start <= told)
        return found

    def add(self, evaluation: Evaluation) -> None:
        try:
            with self._clearly():
                self._database.execute(
                    "insert into bilevel_evaluations values (?, ?, ?)",
                    (self._name, evaluation.index, _record(evaluation)),
                )
        except sqlite3.IntegrityError:
            raise StudyError(f"{self.address}: another run is writing to this study; give each run its own") from None

    def enter(self, place: int | None) -> None:
        with self._clearly():
            self._database.execute("insert or replace into bilevel_under_way values (?, ?)", (self._name, place))

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _clearly(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise StudyError(f"study {self.address}: {error}; name a file that can be written") from error


def _read(address: str) -> tuple[str, str]:
    """File and name of a study."""
    place, _, name = address.partition("#")
    if "://" in place and not place.startswith(_PREFIX):
        raise StudyError(f"study {address}: only SQLite files are known; write sqlite:///study.db")
    path = place.removeprefix(_PREFIX)
    if not path:
        raise StudyError(f"study {address!r} names no file; write sqlite:///study.db")
    if not Path(path).absolute().parent.is_dir():
        raise StudyError(f"study {address}: there is no folder {Path(path).parent}; create it first")
    return path, name or "bilevel"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _record(evaluation: Evaluation) -> str:
    """Every field as JSON; floats in it have all their digits."""
    return json.dumps(asdict(evaluation), default=lambda value: value.item() if hasattr(value, "item") else str(value))


def _evaluation(record: str) -> Evaluation:
    fields = json.loads(record)
    for name in ("point", "lower_objective", "gradient", "coupling", "jacobian"):
        fields[name] = _frozen(fields.get(name))
    for name in ("reports", "spared"):  # not there in studies of older versions
        fields[name] = _frozen(fields.get(name, []))
    return Evaluation(**{**fields, "status": Status(fields["status"])})


def _frozen(value: Any) -> Any:
    """Lists as tuples, those within as well."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
