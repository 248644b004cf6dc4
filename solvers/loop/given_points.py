"""Upper points that somebody names, by values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bilevel.arrays import Point
from bilevel.errors import SpaceError, StudyError
from bilevel.upper.space import Space


def point_of(values: Mapping[str, Any], space: Space) -> Point:
    """The point that somebody named, whose inactive coordinates may be left out.

    Raises
    ------
    StudyError
        If it lacks a variable, has one too many, or is not in the space.
    """
    unknown = [name for name in values if name not in space.names]
    if unknown:
        raise StudyError(f"a given point has {unknown[0]}, which is no upper variable; there are {list(space.names)}")
    conditional = {c.place for c in space.conditions}
    missing = [n for k, n in enumerate(space.names) if n not in values and k not in conditional]
    if missing:
        raise StudyError(f"a given point has no value for {missing[0]}; it has {dict(values)}")
    coordinates = []
    for dimension in space.dimensions:
        if dimension.name not in values:
            coordinates.append(dimension.lower)
            continue
        value = _own(dimension.values, values[dimension.name])
        try:
            coordinates.append(dimension.coordinate(value))
        except (SpaceError, TypeError, ValueError):
            raise StudyError(f"a given point has {dimension.name} = {value!r}, which is not in its domain") from None
        if dimension.values is None and abs(float(value) - coordinates[-1]) > 1e-9 * max(1.0, abs(float(value))):
            raise StudyError(f"a given point has {dimension.name} = {value!r}, which is outside its bounds")
    point = space.canonical(tuple(coordinates))
    if not space.allows(point):
        raise StudyError(f"a given point breaks an upper constraint over x: {space.values(point)}")
    return point


def _own(members: tuple[Any, ...] | None, value: Any) -> Any:
    """A category's own value where only its text was stored."""
    if members is None or value in members:
        return value
    return next((member for member in members if str(member) == value), value)
