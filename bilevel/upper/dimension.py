"""One coordinate of the upper level: real, integer, sequence or category."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.errors import SpaceError
from bilevel.language.domains import is_number, scale_of
from bilevel.language.trials.fidelity import full, is_fidelity
from bilevel.programs.compilation import Compilation
from bilevel.reading.pieces import is_category, list_values, numeric_bounds

_SHOWN = 6  # members of a list in a description
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


def spelled(value: Any) -> str:
    """A member of a list as text, the same in every process: where it lies in memory is no part of it."""
    return _ADDRESS.sub("", str(value))


@dataclass(frozen=True)
class Dimension:
    """One upper variable as the search sees it.

    Attributes
    ----------
    name : str
        Of the component.
    lower, upper : float
        Bounds of the coordinate; 0 and K - 1 for a sequence.
    scale : str
        ``linear`` or ``log``; only reals.
    values : tuple or None
        The sequence, in order.
    integer : bool
        Whether the coordinate is an integer (sequences included).
    categorical : bool
        Whether neighbours in the sequence mean nothing: it holds more than numbers.
    """

    name: str
    lower: float
    upper: float
    scale: str = "linear"
    values: tuple[Any, ...] | None = None
    integer: bool = False
    categorical: bool = False

    @property
    def size(self) -> float:
        """Number of different coordinates; infinite for a real."""
        if self.integer:
            return self.upper - self.lower + 1
        return 1.0 if self.upper == self.lower else math.inf

    def describe(self) -> str:
        """The domain in words."""
        if self.values is None:
            kind = (
                "integers" if self.integer else "reals" if self.scale == "linear" else "reals, searched in logarithms"
            )
            return f"{kind} in [{self.lower:g}, {self.upper:g}]"
        shown = ", ".join(map(str, self.values[:_SHOWN])) + (", ..." if len(self.values) > _SHOWN else "")
        return f"{len(self.values)} {'categories' if self.categorical else 'values'}: {shown}"

    def value(self, coordinate: float) -> Any:
        """What the variable takes at a coordinate."""
        if self.values is not None:
            return self.values[int(coordinate)]
        return int(coordinate) if self.integer else float(coordinate)

    def coordinate(self, value: Any) -> float:
        """The coordinate of a value: the nearest one where a number is not exactly in the space."""
        if self.values is not None:
            if value in self.values:
                return self.values.index(value)
            if self.categorical or not is_number(value):
                raise SpaceError(f"{self.name}: {value!r} is not in its list")
            return int(np.argmin([abs(float(v) - float(value)) for v in self.values]))
        clipped = min(max(float(value), self.lower), self.upper)
        return round(clipped) if self.integer else clipped

    def to_unit(self, coordinate: float) -> float:
        """The coordinate's place on [0, 1]."""
        if self.upper == self.lower:
            return 0.0
        if self.scale == "log":
            return math.log(coordinate / self.lower) / math.log(self.upper / self.lower)
        return (coordinate - self.lower) / (self.upper - self.lower)

    def from_unit(self, unit: float) -> float:
        """The coordinate nearest to a place on [0, 1]."""
        unit = min(max(float(unit), 0.0), 1.0)
        if self.integer:
            return int(self.lower + math.floor(unit * (self.upper - self.lower) + 0.5))
        if unit in (0.0, 1.0):
            return float(self.upper if unit else self.lower)
        if self.scale == "log":
            return min(max(float(self.lower * (self.upper / self.lower) ** unit), self.lower), self.upper)
        return min(max(self.lower + unit * (self.upper - self.lower), self.lower), self.upper)

    def from_units(self, units: Array) -> list[float]:
        """The coordinates nearest to several places, the same to the last bit."""
        units = np.clip(units, 0.0, 1.0)
        lower, width = self.lower, self.upper - self.lower
        if self.integer:
            return (lower + np.floor(units * width + 0.5)).astype(int).tolist()  # type: ignore[no-any-return]
        if self.scale == "log":  # NumPy's power is another function than Python's in the last bit
            ratio = self.upper / lower
            found = np.array([lower * ratio**unit for unit in units.tolist()])
        else:
            found = lower + units * width
        found = np.where(units == 1.0, self.upper, np.where(units == 0.0, lower, np.clip(found, lower, self.upper)))
        return found.tolist()  # type: ignore[no-any-return]


def dimension_of(var: Any, compilation: Compilation) -> Dimension:
    """The coordinate that a variable is."""
    if is_fidelity(var):
        value = full(var)
        return Dimension(var.name, value, value, integer=isinstance(value, int))
    values = list_values(var)
    if values is not None:
        categorical = is_category(var)
        return Dimension(var.name, 0, len(values) - 1, values=values, integer=True, categorical=categorical)
    lower, upper = numeric_bounds(var)
    if lower is None or upper is None:  # rows may bound it: x_1 + x_2 <= 3
        lower, upper = compilation.ranges[var.name]
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise SpaceError(
            f"{var.name} has the bounds ({lower}, {upper}): a search needs both; write Var(bounds=(lower, upper))"
        )
    if var.is_continuous():
        return Dimension(var.name, float(lower), float(upper), scale=scale_of(var))
    return Dimension(var.name, math.ceil(lower - 1e-9), math.floor(upper + 1e-9), integer=True)
