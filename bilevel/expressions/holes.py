"""Where an expression holds a number that is not finite: the Param, the fixed variable, or the term."""

from __future__ import annotations

import math
from typing import Any

import pyomo.environ as pyo

from bilevel.language.lower_level import LowerLevel

_SHOWN = 3
_LONGEST = 60


def holes_in(expression: Any) -> str:
    """Names of what is not finite, the first few; empty where nothing is found.

    An immutable Param is a plain number in an expression, so the model's Params are looked through as well.
    """
    model, places = None, []
    stack: list[tuple[Any, Any, str]] = [(expression, None, "")]
    seen: set[int] = set()
    while stack:
        node, parent, term = stack.pop()
        if not hasattr(node, "is_expression_type"):
            if _is_hole(node):
                places.append(_told(parent, term))
        elif node.is_expression_type():
            if node.is_named_expression_type():
                if id(node) in seen:
                    continue
                seen.add(id(node))
            count = len(node.args)
            long = not term and count > 2
            children = [(arg, node, f"term {k + 1} of {count}" if long else term) for k, arg in enumerate(node.args)]
            stack += reversed(children)
        else:
            model = model or node.model()
            if not (node.is_variable_type() and not node.fixed) and _is_hole(node.value):
                places.append(f"{node.name} is {node.value}")
    names = list(dict.fromkeys([*_params(model), *places]))
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _told(parent: Any, term: str) -> str:
    """A plain number by the term it stands in."""
    if parent is None or len(parent.args) > 2:  # a whole sum says nothing
        return term or "a constant"
    text = str(parent)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return f"{text}{f' ({term})' if term else ''}"


def _params(model: Any) -> list[str]:
    """Every Param of the model with such a value, the first index of each."""
    if model is None:
        return []
    found = []
    for param in model.component_objects(pyo.Param, descend_into=(pyo.Block, LowerLevel)):
        for index in param.sparse_keys():
            value = param[index].value if param.mutable else param[index]
            if _is_hole(value):
                at = "" if index is None else f" at {index}"
                found.append(f"the Param {param.name} is {float(value)}{at}")
                break
    return found


def _is_hole(value: Any) -> bool:
    try:
        return value is not None and not math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return False
