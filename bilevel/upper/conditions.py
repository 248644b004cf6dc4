"""Conditional upper variables: those that matter only where another one takes certain values.

A polynomial kernel's degree says nothing about a radial one. Without a word about it a search would try the same model
once for every degree. An inactive variable rests in the middle of its domain, so that such points are one point: no
search evaluates two that differ in inactive variables alone, and to a surrogate all of them are equally far from the
active ones. (Hutter and Osborne 2013, arXiv 1310.5738, for kernels that know more; the constant is what SMAC does.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from bilevel.arrays import Point
from bilevel.errors import SpaceError
from bilevel.language.active_when import ActiveWhen

if TYPE_CHECKING:
    from bilevel.upper.dimension import Dimension


@dataclass(frozen=True)
class Condition:
    """A dimension that is active where another one is and takes one of some coordinates; else it rests.

    Attributes
    ----------
    place, on : int
        The dimension, and that on which it depends.
    when : frozenset
        Coordinates of ``on``; empty where that is a fixed variable of another value.
    rest : float
        The coordinate of the inactive dimension.
    """

    place: int
    on: int
    when: frozenset[float]
    rest: float


def read_conditions(declared: Sequence[ActiveWhen], dimensions: Sequence[Dimension]) -> tuple[Condition, ...]:
    """The declarations in the coordinates of a space, those a condition depends on before it.

    Raises
    ------
    SpaceError
        If a variable depends on itself, or on one that is continuous, below, or never takes such a value.
    """
    places = {d.name: k for k, d in enumerate(dimensions)}
    found: list[Condition] = []
    for declaration in declared:
        on = declaration.on
        for var in declaration.variables:
            if var.name not in places:
                raise SpaceError(f"{declaration.name}: {var.name} is not a free upper variable")
            place = places[var.name]
            rest = dimensions[place].from_unit(0.5)
            if on.fixed:
                if on.value not in declaration.taken:
                    found.append(Condition(place, place, frozenset(), rest))
                continue
            if on.name not in places:
                raise SpaceError(f"{declaration.name}: {on.name} is not an upper variable")
            found.append(
                Condition(place, places[on.name], _coordinates(declaration, dimensions[places[on.name]]), rest)
            )
    return _ordered(found, dimensions)


def _coordinates(declaration: ActiveWhen, on: Dimension) -> frozenset[float]:
    if not on.integer:
        raise SpaceError(f"{declaration.name}: {on.name} is continuous; a condition needs a finite domain (discretize)")
    coordinates = {c for c in range(int(on.lower), int(on.upper) + 1) if on.value(c) in declaration.taken}
    if not coordinates:
        raise SpaceError(f"{declaration.name}: {on.name} never takes any of {declaration.taken}")
    return frozenset(coordinates)


def _ordered(found: list[Condition], dimensions: Sequence[Dimension]) -> tuple[Condition, ...]:
    graph: dict[int, set[int]] = {}
    for condition in found:
        graph.setdefault(condition.place, set()).update({condition.on} if condition.when else ())
    try:
        order = {place: rank for rank, place in enumerate(TopologicalSorter(graph).static_order())}
    except CycleError as error:
        names = ", ".join(dict.fromkeys(dimensions[k].name for k in error.args[1]))
        raise SpaceError(
            f"ActiveWhen: {names} depend on each other in a circle; leave one of the conditions out"
        ) from None
    return tuple(sorted(found, key=lambda condition: order[condition.place]))


def at_rest(point: Point, conditions: Sequence[Condition]) -> Point:
    """The point with every inactive coordinate where it rests."""
    moved, inactive = list(point), set()
    for condition in conditions:
        if condition.on in inactive or moved[condition.on] not in condition.when:
            inactive.add(condition.place)
            moved[condition.place] = condition.rest
    return tuple(moved)
