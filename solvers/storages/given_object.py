"""Studies in an Optuna storage that a program holds."""

from __future__ import annotations

from typing import Any

from bilevel.contracts.storage import Kept, Storage
from bilevel.errors import StudyError
from bilevel.registry import register
from bilevel.solvers.storages.trials.tables import Tables
from bilevel.solvers.storages.trials.through_optuna import ThroughOptuna


@register("optuna")
class GivenObject(Storage):
    """An object: any ``optuna.storages.BaseStorage``, an ``optuna.Study``, or a pair of storage and name.

    ``None`` in place of a storage is one in memory.

    Take it when your program holds the storage already, or wants a kind that has no address here; else an address, as
    of ``journal``.
    """

    def open(self, address: Any, name: str) -> Kept:
        from optuna import Study
        from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
        from optuna.storages._cached_storage import _CachedStorage

        if address is None:
            address = InMemoryStorage()
        if isinstance(address, Study):
            address, name = address._storage, address.study_name
        if isinstance(address, _CachedStorage):
            address = address._backend
        shown = type(address).__name__
        if not isinstance(address, BaseStorage):
            raise StudyError(f"study={address!r}: an address, an optuna storage or an optuna study is wanted")
        return _Open(address, name, shown) if isinstance(address, RDBStorage) else ThroughOptuna(address, name, shown)


class _Open(Tables):
    """The caller's own, and his to close."""

    def close(self) -> None:
        """Leave it open."""
