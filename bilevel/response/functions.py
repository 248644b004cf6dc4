"""Followers that are functions: a training run, a simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.errors import ModelError
from bilevel.programs.answer import Answer, Status
from bilevel.reading.follower import Follower


class FunctionAnswering:
    """A follower whose answer is a Python function of the upper values by name."""

    def __init__(self, follower: Follower) -> None:
        if follower.response is None:
            raise ModelError(f"{follower.name} has no response function")
        self._follower = follower
        self._function = follower.response
        self._index = follower.block.index() if follower.block.parent_component().is_indexed() else None
        self._places = _places(follower)

    def __call__(self, upper: dict[str, Any]) -> Answer:
        """Call the function; what it raises is a failure of that point, not of the run."""
        try:
            reply = self._function(upper) if self._index is None else self._function(upper, self._index)
        except Exception as error:
            return Answer(Status.FAILED, message=f"{type(error).__name__}: {error}")
        if not isinstance(reply, Mapping):
            raise ModelError(
                f"the response function of {self._follower.name} must return a dict, not {type(reply).__name__}"
            )
        y = np.full(len(self._follower.variables), np.nan)
        for key, value in reply.items():
            self._place(y, str(key), value)
        if not np.isfinite(y).all():
            missing = self._follower.variables[int(np.argmin(np.isfinite(y)))].name
            return Answer(
                Status.FAILED, y, message=f"the response function of {self._follower.name} gave no number for {missing}"
            )
        return Answer(Status.OPTIMAL, y, np.nan, np.nan, True)

    def _place(self, y: Array, key: str, value: Any) -> None:
        if key not in self._places:
            known = ", ".join(list(self._places)[:8])
            raise ModelError(
                f"the response function of {self._follower.name} returned {key!r}; its variables are {known}"
            )
        places = self._places[key]
        if isinstance(value, Mapping):
            for index, item in value.items():
                self._place(y, f"{key}[{','.join(map(str, index)) if isinstance(index, tuple) else index}]", item)
            return
        try:
            numbers = np.atleast_1d(np.asarray(value, dtype=float)).reshape(-1)
        except (TypeError, ValueError):
            raise ModelError(
                f"the response function of {self._follower.name} gave {value!r} for {key}, which is no number"
            ) from None
        if len(numbers) != len(places):
            raise ModelError(
                f"the response function of {self._follower.name} gave {len(numbers)} numbers for {key},"
                f" not {len(places)}"
            )
        y[places] = numbers


def _places(follower: Follower) -> dict[str, list[int]]:
    """Where each name an answer may use stands in y: full and relative names, single entries and whole containers."""
    places: dict[str, list[int]] = {}
    prefix = follower.block.name + "."
    for k, var in enumerate(follower.variables):
        for name in dict.fromkeys((var.name, var.parent_component().name)):
            for spelled in (name, name.removeprefix(prefix)):
                places.setdefault(spelled, []).append(k)
    return places
