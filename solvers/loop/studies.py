"""The study of a run: that at an address, in an object, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bilevel import registry
from bilevel.solvers.loop.study import NoStudy, Study


def study_at(address: Any, first: Iterable[Mapping[str, Any]] = ()) -> NoStudy:
    """The study at an address; what keeps nothing where there is no address.

    Parameters
    ----------
    address : str, storage, pair of storage and name, or None
        As :func:`bilevel.registry.study_at` takes it.
    first : iterable of dict
        Points to try before all others, by name.

    Raises
    ------
    StudyError
        If it cannot be opened.
    """
    if address is None:
        return NoStudy(first)
    kept = registry.study_at(address)
    return Study(kept, address if isinstance(address, str) else f"the study {kept.name}", first)
