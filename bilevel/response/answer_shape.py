"""What a response function's answer has to look like, and what it looks like instead."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.errors import AnswerError, with_its_kind
from bilevel.reading.follower import Follower

_SHOWN = 8  # names in a message
_LONGEST = 60  # characters of a value in a message


class AnswerShape:
    """The names and counts of numbers that one follower's function has to give.

    Parameters
    ----------
    follower : Follower
        Its variables are what is expected. A key may be a full or a relative name, of one variable or of a container.
    """

    def __init__(self, follower: Follower) -> None:
        self._name, self._variables = follower.name, follower.variables
        self._prefix = follower.block.name + "."
        self._places: dict[str, list[int]] = {}
        self._sizes: dict[str, tuple[int, ...]] = {}
        for k, var in enumerate(self._variables):
            container = var.parent_component()
            for spelled in dict.fromkeys(self._spelled(var.name) + self._spelled(container.name)):
                self._places.setdefault(spelled, []).append(k)
        for var in self._variables:
            container = var.parent_component()
            sizes = _sizes(container)
            for spelled in self._spelled(container.name):
                if math.prod(sizes) == len(self._places[spelled]):
                    self._sizes[spelled] = sizes

    def _spelled(self, name: str) -> list[str]:
        return [name, name.removeprefix(self._prefix)]

    def vector(self, reply: Any) -> Array:
        """The follower's variables, in their order; not every number need be finite.

        Raises
        ------
        AnswerError
            If the answer does not have this shape.
        """
        if not isinstance(reply, Mapping):
            raise self._error(f"must return a dict, not {shown(reply)}")
        y, given = np.full(len(self._variables), math.nan), np.zeros(len(self._variables), dtype=bool)
        try:
            items = [(str(key), value) for key, value in reply.items()]
        except Exception as error:  # an object of the user's own
            raise self._error(f"returned a dict that cannot be read ({with_its_kind(error)})") from None
        for key, value in items:
            self._place(y, given, key, value)
        if not given.all():
            missing = self._variables[int(np.argmin(given))].name
            raise self._error(f"gave no number for {missing}: it returned {shown(dict(reply))}")
        return y

    def _place(self, y: Array, given: Any, key: str, value: Any) -> None:
        if key not in self._places:
            known = list(self._places)
            rest = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
            raise self._error(f"returned {key!r}; its variables are {', '.join(known[:_SHOWN])}{rest}")
        if isinstance(value, Mapping):
            for index, item in value.items():
                inner = ",".join(map(str, index)) if isinstance(index, tuple) else index
                self._place(y, given, f"{key}[{inner}]", item)
            return
        places = self._places[key]
        numbers = _numbers(value)
        if numbers is None:
            raise self._error(f"gave {shown(value)} for {key}, which is no number")
        if numbers.size != len(places):
            raise self._error(f"gave {numbers.size} numbers for {key}, not {len(places)}")
        expected = tuple(n for n in self._sizes.get(key, numbers.shape) if n != 1)
        got = tuple(n for n in numbers.shape if n != 1)
        if got != expected and len(got) > 1:
            raise self._error(f"gave an array of shape {numbers.shape} for {key}, not {self._sizes[key]}")
        y[places], given[places] = numbers.reshape(-1), True

    def _error(self, what: str) -> AnswerError:
        return AnswerError(f"the response function of {self._name} {what}; expected is {self}")

    def __str__(self) -> str:
        """``{'loss': a number, 'w': 3 numbers}``."""
        counts: dict[str, list[int]] = {}
        for var in self._variables:
            container = var.parent_component()
            short = container.name.removeprefix(self._prefix)
            counts.setdefault(short, list(_sizes(container)) if short in self._sizes else [len(self._places[short])])
        told = [f"{name!r}: {_counted(sizes)}" for name, sizes in counts.items()]
        return f"{{{', '.join([*told[:_SHOWN], *(['...'] if len(told) > _SHOWN else [])])}}}"


def _counted(sizes: Sequence[int]) -> str:
    if list(sizes) in ([], [1]):
        return "a number"
    return f"{' x '.join(map(str, sizes))} numbers"


def _sizes(container: Any) -> tuple[int, ...]:
    """How many entries in each direction; one number where its index is no product of sets."""
    if not container.is_indexed():
        return ()
    sets = list(container.index_set().subsets())
    if not all(s.isfinite() for s in sets):
        return (len(container),)
    sizes = tuple(len(s) for s in sets)
    return sizes if math.prod(sizes) == len(container) else (len(container),)


def _numbers(value: Any) -> Array | None:
    """As real numbers in their shape; None where it is anything else."""
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and any(item is None or isinstance(item, (str, bytes)) for item in array.flat):
            return None
        return array.astype(float) if array.dtype.kind in "biufO" else None
    except Exception:  # ragged lists, overflow, what an object of the user's own raises
        return None


def shown(value: Any) -> str:
    """A value in a message: its type where that says more, and the beginning of its text."""
    if value is None:
        return "None"
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = "..."
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    kind = type(value).__name__
    return text if kind == "dict" or text.startswith((f"<{kind}", kind)) else f"the {kind} {text}"
