"""A study at an address, to be looked at or filled."""

from __future__ import annotations

from pathlib import Path

from bilevel import registry
from bilevel.contracts.storage import Kept
from bilevel.errors import StudyError

_FILES = ("", "sqlite", "journal")  # schemes


def open_study(address: str, new: bool, any_name: bool = False) -> Kept:
    """The study at an address.

    Parameters
    ----------
    address : str
        As ``study=`` takes it.
    new : bool
        Whether there need not be one.
    any_name : bool
        Whether one of another name will do.

    Raises
    ------
    StudyError
        If it cannot be opened, or is not there.
    """
    place = address.partition("#")[0]
    if not new:
        _insist_on_file(place)
    kept = registry.study_at(address)
    if new:
        return kept
    there = [study.study_name for study in kept.optuna().get_all_studies()]
    if not (there if any_name else kept.name in there):
        kept.close()
        raise StudyError(f"there is no study {kept.name} at {place}; there are {', '.join(there) or 'none'}")
    return kept


def _insist_on_file(place: str) -> None:
    """To look at a study that is not there must not make one."""
    scheme, colon, rest = place.partition("://")
    path = place if not colon else rest.removeprefix("/") if scheme == "sqlite" else rest
    if (scheme if colon else "") in _FILES and not Path(path).is_file():
        raise StudyError(f"there is no study at {place}: no such file")
