"""What is evaluated for the answer alone: a test loss that no choice may depend on.

A number that is looked at while points are chosen is no test any more (Hastie, Tibshirani and Friedman 2009, section
7.10.2). So it stands in no objective and no history, and a follower whose variables nothing else mentions answers once,
at the end.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.common.numeric_types import native_types

from bilevel.errors import ModelError

_LOOKS = "_bilevel_looks"
_NOTE = "_bilevel_once"  # on the model, so that a clone or a pickle has it too


def report_once(what: Any, expression: Any = None) -> None:
    """Have an expression evaluated at the answer alone; ``result.reported`` holds it, and the report prints it.

    Parameters
    ----------
    what : Expression, Objective or str
        A component of the model (an Objective is deactivated by this), or a name for ``expression``.
    expression : Pyomo expression, optional
        Over variables of one model.

    Raises
    ------
    ModelError
        If it mentions no variable of a model, or a name comes without an expression.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> import bilevel
    >>> model = bilevel.load_model("toy")
    >>> bilevel.report_once("twice x", 2 * model.x)
    >>> bilevel.solve(model, "grid", budget=11).reported
    {'twice x': 0.0}
    """
    name, body = (what, expression) if isinstance(what, str) else (getattr(what, "name", None), what)
    if body is None or name is None:
        raise ModelError(f"report_once({what!r}): give a component of the model, or a name and an expression")
    first = _first_variable(getattr(body, "expr", body))
    if first is None:
        raise ModelError(f"report_once({name!r}): the expression mentions no variable, so it belongs to no model")
    if getattr(body, "ctype", None) is pyo.Objective:
        body.deactivate()
        body = body.expr
    first.model().__dict__.setdefault(_NOTE, {})[name] = body


def _first_variable(expression: Any) -> Any:
    """Some variable in it, each shared part looked at once; None where there is none."""
    seen, stack = set(), [expression]
    while stack:
        node = stack.pop()
        if type(node) in native_types or id(node) in seen:
            continue
        seen.add(id(node))
        if node.is_variable_type():
            return node
        if node.is_expression_type():
            stack.extend(node.args)
    return None


def looked_at(model: Any) -> int:
    """One look more at what is reported once; how many there were of this model."""
    notes = model.__dict__
    notes[_LOOKS] = notes.get(_LOOKS, 0) + 1
    return int(notes[_LOOKS])


def reported_of(model: Any) -> dict[str, Any]:
    """The expressions by name."""
    found: dict[str, Any] = getattr(model, "__dict__", {}).get(_NOTE, {})
    return found
