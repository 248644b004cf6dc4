"""Columns as compiled functions: their values, and their exact derivatives, at values of the variables."""

from collections.abc import Sequence
from typing import Any

import casadi as ca
import numpy as np

from bilevel.expressions.translation import to_casadi


def compiled(column: Any, variables: Sequence[Any]) -> Any:
    """``f(x) -> (values, Jacobian)`` of a column's rows in some variables."""
    symbols = {id(var): ca.SX.sym(var.name) for var in variables}
    translate = to_casadi(lambda node: symbols.get(id(node)))
    rows = ca.vertcat(*[translate(member) for member in column.values()])
    x = ca.vertcat(*symbols.values())
    both = ca.Function("column", [x], [rows, ca.jacobian(rows, x)])

    def at(point: Sequence[float]) -> tuple[Any, Any]:
        values, slopes = both(list(point))
        return values.full()[:, 0], slopes.full()

    return at


def differences(function: Any, point: Sequence[float], step: float = 1e-6) -> Any:
    """Central differences of a function of numbers, shape (rows, variables)."""
    base = np.array(point, dtype=float)
    columns = []
    for k in range(len(base)):
        moved = np.zeros(len(base))
        moved[k] = step * max(1.0, abs(base[k]))
        columns.append((function(*(base + moved)) - function(*(base - moved))) / (2 * moved[k]))
    return np.array(columns).T
