"""The study of a run: that at an address, by the address's scheme, or none."""

from __future__ import annotations

from collections.abc import Mapping

from bilevel import registry
from bilevel.arrays import Point
from bilevel.contracts.storage import Storage
from bilevel.errors import StudyError
from bilevel.upper.archive import Evaluation

_PLAIN = "sqlite"  # what a path without a scheme is


def study_at(address: str | None) -> Storage:
    """The study at an address, ``sqlite:///study.db#name`` for one; what keeps nothing where there is no address.

    Raises
    ------
    StudyError
        If no storage is called by the address's scheme, or it cannot open the place.
    """
    if address is None:
        return NoStudy()
    scheme, colon, _ = address.partition("://")
    part = registry.find(Storage, scheme if colon else _PLAIN)
    if part is None:
        known = ", ".join(f"{name}:" for name in registry.catalogue(Storage))
        raise StudyError(f"study {address}: no storage is called {scheme}:; there are {known} (sqlite:///study.db)")
    return part(address)  # type: ignore[call-arg]


class NoStudy(Storage):
    """Stands where nothing is stored."""

    identity: Mapping[str, str] = {}
    evaluations: Mapping[int, Evaluation] = {}

    def start(self, given: Point | None) -> Point | None:
        return given

    def begin(self, identity: Mapping[str, str], window: int) -> None:
        self._window = window

    def window(self, told: int) -> int:
        return self._window

    def add(self, evaluation: Evaluation) -> None:
        pass

    def enter(self, place: int | None) -> None:
        pass

    def close(self) -> None:
        pass
