"""The study of a run: that at an address, by the address's scheme, in an object, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bilevel import registry
from bilevel.contracts.storage import Storage
from bilevel.errors import StudyError
from bilevel.solvers.loop.study import NoStudy, Study

_DATABASES = (".db", ".sqlite", ".sqlite3")
_NAME = "bilevel"  # of a study that nobody named


def study_at(address: Any, first: Iterable[Mapping[str, Any]] = ()) -> NoStudy:
    """The study at an address, ``sqlite:///study.db#name`` for one; what keeps nothing where there is no address.

    Parameters
    ----------
    address : str, storage, pair of storage and name, or None
        A path without a scheme is a journal file, or an SQLite file where its name ends so.
    first : iterable of dict
        Points to try before all others, by name.

    Raises
    ------
    StudyError
        If no storage is called by the address's scheme, or it cannot open the place.
    """
    if address is None:
        return NoStudy(first)
    if not isinstance(address, str):
        held, name = address if isinstance(address, tuple) else (address, _NAME)
        return Study(registry.get(Storage, "optuna")().open(held, name), f"{type(held).__name__} {name}", first)
    place, _, name = address.partition("#")
    scheme, colon, _ = place.partition("://")
    plain = "sqlite" if place.endswith(_DATABASES) else "journal"
    part = registry.find(Storage, scheme.partition("+")[0] if colon else plain)
    if part is None:
        known = ", ".join(f"{name}:" for name in registry.catalogue(Storage))
        raise StudyError(f"study {address}: no storage is called {scheme}:; there are {known} (study.log)")
    return Study(part().open(place, name or _NAME), address, first)
