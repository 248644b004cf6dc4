"""Studies in an SQLite file, in Optuna's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bilevel.contracts.storage import Kept, Storage
from bilevel.errors import StudyError
from bilevel.registry import register
from bilevel.solvers.storages.trials.journal_file import insist_on_folder
from bilevel.solvers.storages.trials.tables import Tables, opened

_PREFIX = "sqlite:///"
_HEADER = b"SQLite format 3\x00"
_PATIENCE = 10.0  # seconds that another program may lock the file


@register("sqlite")
class Sqlite(Storage):
    """An SQLite file on this machine: ``sqlite:///study.db``, ``study.db``.

    Take it when other programs are to query the study as tables, on one machine; ``journal`` is a plain file, and
    faster to write.
    """

    def open(self, address: Any, name: str) -> Kept:
        path = insist_on_folder(str(address).removeprefix(_PREFIX))
        if "://" in path:
            raise StudyError(f"study {address}: write sqlite:///study.db")
        shown = str(address)
        _insist_on_database(path, shown)
        storage = opened(_PREFIX + path, shown, connect_args={"timeout": _PATIENCE})
        _settle(storage)
        return Tables(storage, name, shown)


def _insist_on_database(path: str, shown: str) -> None:
    file = Path(path)
    if file.is_file() and file.stat().st_size:
        with file.open("rb") as stream:
            if stream.read(len(_HEADER)) != _HEADER:
                raise StudyError(f"study {shown}: it is no database; name another file, or a new one")


def _settle(storage: Any) -> None:
    """Let a writer wait for the system and not for the disk: what is committed survives ``kill -9`` all the same."""
    from sqlalchemy import event

    @event.listens_for(storage.engine, "connect")
    def relax(connection: Any, _: Any) -> None:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")

    storage.remove_session()
    storage.engine.dispose()
