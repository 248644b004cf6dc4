"""Rows in the forms that every reader of a Pyomo model reads rightly, for a model that is handed on.

Of Pyomo's three relational forms the range ``l <= body <= u`` is the one that interfaces differ on: ``scip_direct`` and
``scip_persistent`` (Pyomo 6.10.1) shift only one of its limits by a constant in the body, so that ``0 <= x + 4 <= 0``
is infeasible and ``-1 <= x + 4 <= 5`` cuts points off without a word. And a row without variables is, to them, no row
but an error. Hence

    l <= body <= l            body == l
    l <= body <= u            body <= u  and, on the generated block, ``at_least[name]``: body >= l
    a number that fits        deactivated
    a number that does not    number + never == limit, with a variable ``never`` whose bounds are 0 and 0
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr.relational_expr import RangedExpression
from pyomo.core.expr.visitor import identify_variables

from bilevel import tolerances
from bilevel.expressions.translation import mentioned


def state_plainly(model: Any, block: Any) -> None:
    """Restate every active constraint that is a range or has no variable.

    Parameters
    ----------
    model : ConcreteModel
        Single-level and treated; changed in place.
    block : OptimalityConditions
        Takes the further rows.
    """
    for row in list(model.component_data_objects(pyo.Constraint, active=True, descend_into=True)):
        if not mentioned([row.body]) and next(identify_variables(row.body, include_fixed=True), None) is None:
            _state_number(row, block)
        elif isinstance(row.expr, RangedExpression):
            low, high = row.lb, row.ub
            if low is not None and low == high:
                row.set_value(row.body == row.upper)
                continue
            if low is not None and high is not None:
                _rows_of(block).add(row.name, row.body >= row.lower)
            row.set_value(row.body <= row.upper if high is not None else row.body >= row.lower)


def _state_number(row: Any, block: Any) -> None:
    """A row that is true or false whatever the variables are."""
    number, low, high = float(pyo.value(row.body)), row.lb, row.ub
    slack = tolerances.ENGINE * tolerances.scale(number)
    if (low is None or number >= low - slack) and (high is None or number <= high + slack):
        row.deactivate()
        return
    if block.component("never") is None:
        block.never = pyo.Var(bounds=(0, 0), initialize=0.0)
    row.set_value(block.never + number == (low if low is not None else high))


def _rows_of(block: Any) -> Any:
    if block.component("at_least") is None:
        block.at_least = pyo.Constraint(pyo.Any)
    return block.at_least
