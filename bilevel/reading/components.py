"""What a bilevel model may hold, and where: other components and nested levels are refused."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.block import BlockData

from bilevel.errors import ModelError
from bilevel.language.active_when import ActiveWhen
from bilevel.language.domains import Allowed
from bilevel.language.duals import Duals
from bilevel.language.lower_level import LowerLevel

_UNDERSTOOD = (
    pyo.Var,
    pyo.Constraint,
    pyo.Objective,
    pyo.Block,
    pyo.Param,
    pyo.Set,
    pyo.Expression,
    pyo.Suffix,
    pyo.BuildAction,
)


_SILENT = {"RangeSet", "SetOf", "BooleanVar", "BuildCheck", "ExternalFunction", "Any", "Reference", "Port"}


def refuse_unknown_components(model: BlockData) -> None:
    """Refuse what has no meaning in a bilevel model, or not where it stands."""
    for block in model.block_data_objects(active=True, descend_into=(pyo.Block, LowerLevel)):
        for component in block.component_objects(active=True, descend_into=False):
            ctype = component.ctype
            if ctype in (Allowed, ActiveWhen) and _inside(block, LowerLevel):
                raise ModelError(
                    f"{component.name} is an {ctype.__name__} inside a LowerLevel: it speaks of upper points;"
                    " declare it on the model"
                )
            if ctype in _UNDERSTOOD or ctype in (LowerLevel, Allowed, ActiveWhen, Duals) or ctype.__name__ in _SILENT:
                continue
            way = "deactivate it" if hasattr(component, "deactivate") else "delete it (del_component)"
            raise ModelError(
                f"{component.name} is a {ctype.__name__}, which a bilevel model cannot hold; {way}, and write what it"
                " says as constraints"
            )


def _inside(block: Any, ctype: type) -> bool:
    while block is not None and block.ctype is not ctype:
        block = block.parent_block()
    return block is not None


def within(component: Any, home: Any) -> bool:
    """Whether a component is declared on a block or on one inside it; a ``Reference`` there is no declaration."""
    block = component.parent_block()
    while block is not None and block is not home:
        block = block.parent_block()
    return block is home


def refuse_nested(block: Any) -> None:
    """Refuse a lower level inside a lower level."""
    parent = block.parent_block()
    while parent is not None:
        if parent.ctype is LowerLevel:
            raise ModelError(
                f"{block.name} is a LowerLevel inside the LowerLevel {parent.name}: three levels are not solved;"
                " put both directly on the model if they are two followers of the same leader"
            )
        parent = parent.parent_block()
    inner = next(iter(block.component_data_objects(LowerLevel, active=True, descend_into=True)), None)
    if inner is not None:
        raise ModelError(
            f"{inner.name} is a LowerLevel inside the LowerLevel {block.name}: three levels are not solved;"
            " put both directly on the model if they are two followers of the same leader"
        )


def called(model: Any) -> str:
    """The model's name, where it was given one: Pyomo calls the others "unknown"."""
    return "the model" if model.name == "unknown" else str(model.name)


def objectives_above(model: BlockData) -> list[Any]:
    """The active objectives of the upper level."""
    return list(model.component_data_objects(pyo.Objective, active=True, descend_into=True))
