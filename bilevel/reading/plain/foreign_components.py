"""Components that are no rows yet: disjunctions, logic, special ordered sets, complementarities, arcs.

Pyomo's own transformations make rows and binaries of them. These stop at a ``LowerLevel``, which is no ``Block`` to
them; so the followers are made blocks while they work, and what they add stands on the level of what it came from: the
binaries of a follower's disjunction are the follower's decisions.

Big-M constants and the sizes of ordered sets come from the variables' bounds by interval arithmetic, hence are proved;
a ``BigM`` suffix is somebody's guess and not looked at. (Vielma 2015, doi 10.1137/130915303, for all of these forms.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name
from pyomo.core.base.block import BlockData
from pyomo.core.base.piecewise import PiecewiseData

from bilevel.errors import BilevelError, ModelError, first_line
from bilevel.language.lower_level import LowerLevel
from bilevel.reading.pieces import numeric_bounds

KINDS = ("Arc", "Complementarity", "LogicalConstraint", "Disjunction", "Disjunct", "SOSConstraint")
"""By name: importing their modules costs more than most models."""

_BIG_M = "BIGM_constraint1"


def foreign(model: BlockData) -> Iterator[Any]:
    """The active components of these kinds."""
    for block in model.block_data_objects(active=True, descend_into=(pyo.Block, LowerLevel)):
        for component in block.component_objects(active=True, descend_into=False):
            if component.ctype.__name__ in KINDS or _is_wrong(component):
                yield component


def _is_wrong(component: Any) -> bool:
    """Whether it is a row of Pyomo's piecewise functions by big M, which are none where they are not convex."""
    return component.local_name == _BIG_M and isinstance(component.parent_block(), PiecewiseData)


def truth_values(model: BlockData) -> Iterator[Any]:
    """Every BooleanVar, those of disjuncts included."""
    from pyomo.gdp import Disjunct

    yield from model.component_data_objects(pyo.BooleanVar, descend_into=(pyo.Block, LowerLevel, Disjunct))


def transform(model: BlockData) -> None:
    """Put rows and binaries in their place, in the model itself.

    Raises
    ------
    ModelError
        If a transformation cannot, for want of bounds, say; names the components.
    """
    kinds = {component.ctype.__name__ for component in foreign(model)}
    if not kinds:
        return
    with _followers_as_blocks(model):
        if "Arc" in kinds:
            _apply(model, "network.expand_arcs", "Arc", "mend it")
        if "Complementarity" in kinds:
            _apply(model, "mpec.simple_disjunction", "Complementarity", "write it as a Disjunction")
        if kinds & {"Complementarity", "LogicalConstraint", "Disjunction", "Disjunct"}:
            _disjunctions(model)
        for row in [component for component in foreign(model) if _is_wrong(component)]:
            _piecewise_anew(row.parent_block())
        for ordered in list(model.component_data_objects(pyo.SOSConstraint, active=True, descend_into=True)):
            _Ordered(ordered).impose()


def _disjunctions(model: BlockData) -> None:
    from pyomo.gdp import Disjunct

    for block in model.block_data_objects(descend_into=(pyo.Block, Disjunct)):
        _binaries(block)
        for suffix in list(block.component_objects(pyo.Suffix, descend_into=False)):
            if suffix.local_name == "BigM":
                block.del_component(suffix)
    _apply(model, "contrib.logical_to_disjunctive", "LogicalConstraint", "write it with binary variables")
    _apply(model, "gdp.bigm", "Disjunction", "give every variable in it finite bounds")
    for disjunct in list(model.component_objects(Disjunct, descend_into=(pyo.Block, Disjunct))):
        disjunct.parent_block().reclassify_component_type(disjunct, pyo.Block)


def _binaries(block: Any) -> None:
    """A binary beside every truth value, on the level where that stands; else it would stand where it is first used."""
    for boolean in list(block.component_objects(pyo.BooleanVar, descend_into=False)):
        members = [data for data in boolean.values() if data.get_associated_binary() is None]
        if not members or boolean.is_reference():
            continue
        name = unique_component_name(block, f"{boolean.local_name}_binary")
        indexed = boolean.is_indexed()
        made = pyo.Var(pyo.Any, dense=False, domain=pyo.Binary) if indexed else pyo.Var(domain=pyo.Binary)
        block.add_component(name, made)
        for data in members:
            binary = made.add(data.index()) if indexed else made
            binary.set_value(None if data.value is None else int(data.value))
            if data.fixed:
                binary.fix()
            data.associate_binary_var(binary)


def _apply(model: BlockData, name: str, kind: str, cure: str) -> None:
    try:
        pyo.TransformationFactory(name).apply_to(model)
    except BilevelError:
        raise
    except Exception as error:  # Pyomo's own, of several kinds
        raise ModelError(f"a {kind} cannot be made rows: {first_line(error)}; {cure}") from None


def _piecewise_anew(block: Any) -> None:
    """A piecewise linear function by its points' weights, no more than two neighbours of them positive."""
    for component in list(block.component_objects(active=True)):
        if component.ctype is not pyo.Var:
            component.deactivate()
    x, y = block.referenced_variables()
    points = list(zip(block._domain_pts, block._range_pts, strict=True))
    block.weight = weight = pyo.Var(range(len(points)), bounds=(0, 1))
    block.whole = pyo.Constraint(expr=sum(weight.values()) == 1)
    block.place = pyo.Constraint(expr=sum(w * point[0] for w, point in zip(weight.values(), points, strict=True)) == x)
    f = sum(w * point[1] for w, point in zip(weight.values(), points, strict=True))
    relations = {"Equal": y == f, "Upper": y <= f, "Lower": y >= f}
    block.value_row = pyo.Constraint(expr=relations[block._bound_type.name])
    block.neighbours = pyo.SOSConstraint(var=weight, sos=2)


@contextmanager
def _followers_as_blocks(model: BlockData) -> Iterator[None]:
    followers = list(model.component_objects(LowerLevel, descend_into=(pyo.Block, LowerLevel)))
    for component in followers:
        component.parent_block().reclassify_component_type(component, pyo.Block)
    try:
        yield
    finally:
        for component in followers:
            component.parent_block().reclassify_component_type(component, LowerLevel)


class _Ordered:
    """At most ``level`` variables in a row are not zero: one binary for each place where they may begin."""

    def __init__(self, ordered: Any) -> None:
        self._set = ordered
        self._home = ordered.parent_block()
        self._variables = [var for var, _ in sorted(ordered.get_items(), key=lambda pair: pair[1])]

    def impose(self) -> None:
        """Replace the set by rows."""
        variables, level = self._variables, self._set.level
        self._set.deactivate()
        if len(variables) <= level:
            return
        ends = self._ends()
        name = unique_component_name(self._home, f"{_word(self._set)}_rows")
        self._home.add_component(name, pyo.Block())
        block = self._home.component(name)
        block.begins = pyo.Var(pyo.RangeSet(len(variables) - level + 1), domain=pyo.Binary)
        block.one = pyo.Constraint(expr=sum(block.begins.values()) == 1)
        block.row = pyo.Constraint(pyo.Any)
        for k, (var, (low, high)) in enumerate(zip(variables, ends, strict=True), 1):
            near = sum(z for first, z in block.begins.items() if first <= k < first + level)
            block.row.add((k, "upper"), var <= max(high, 0.0) * near)
            block.row.add((k, "lower"), var >= min(low, 0.0) * near)

    def _ends(self) -> list[tuple[float, float]]:
        """Bounds that hold wherever the level's own rows do."""
        found = [self._bounds(var) for var in self._variables]
        if any(None in pair for pair in found):
            found = self._by_rows()
        for var, pair in zip(self._variables, found, strict=True):
            if None in pair:
                raise ModelError(
                    f"{self._set.name}: a member of an ordered set needs finite bounds; give {var.name} both"
                )
        return [(float(low), float(high)) for low, high in found]

    @staticmethod
    def _bounds(var: Any) -> tuple[Any, Any]:
        return (var.value, var.value) if var.fixed else numeric_bounds(var)

    def _by_rows(self) -> list[tuple[Any, Any]]:
        from pyomo.common.errors import InfeasibleConstraintException
        from pyomo.contrib.fbbt.fbbt import fbbt

        block = self._home
        declared = [(v, v.lower, v.upper) for v in block.model().component_data_objects(pyo.Var, descend_into=True)]
        try:
            with suppress(InfeasibleConstraintException, NotImplementedError, ArithmeticError, ValueError):
                fbbt(block)
            return [self._bounds(var) for var in self._variables]
        finally:
            for var, low, high in declared:
                var.setlb(low)
                var.setub(high)


def _word(component: Any) -> str:
    return "".join(c if c.isalnum() else "_" for c in component.local_name)
