"""Bounds, integrality and categories of Pyomo variables."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from pyomo.core.base.component_namer import index_repr

from bilevel.arrays import Array
from bilevel.errors import ModelError
from bilevel.reading.pieces import is_category, numeric_bounds


def names_of(members: Iterable[Any]) -> list[str]:
    """Full names, as Pyomo has them: that of an indexed component is put together once for all of its members."""
    known: dict[int, str] = {}
    found = []
    for member in members:
        component = member.parent_component()
        if component is None or component is member:
            found.append(member.name)
            continue
        name = known.get(id(component))
        if name is None:
            name = known[id(component)] = component.name
        found.append(name + index_repr(member.index()))
    return found


def ends_of(variables: Iterable[Any]) -> tuple[Array, Array]:
    """Bounds of Pyomo variables, infinite where there is none; zeros for a category.

    Raises
    ------
    ModelError
        If a bound is no number.
    """
    ends = [(0.0, 0.0) if is_category(var) else numeric_bounds(var) for var in variables]
    low = [-math.inf if end is None else float(end) for end, _ in ends]
    return np.array(low), np.array([math.inf if end is None else float(end) for _, end in ends])


def bounds_of(variables: Iterable[Any]) -> tuple[Array, Array, Any]:
    """Bounds, infinite where there is none, and integrality of Pyomo variables."""
    variables, integer = list(variables), []
    for var in variables:
        if not (var.is_continuous() or var.is_integer() or var.is_binary()):
            raise ModelError(
                f"{var.name} has the domain {var.domain}: a follower's variable is real, integer or binary;"
                " write the choice with binaries (only an upper variable may take values from a list)"
            )
        integer.append(not var.is_continuous())
    return *ends_of(variables), np.array(integer, dtype=bool)
