"""One problem of the shelf by BLVPY, in its own environment.

``python blvpy_runner.py NAME`` prints ``ANSWER [verdict, F, bound]``.

The Pyomo expressions are rewritten for CVXPY term by term, a quadratic follower's objective as a definite form, as its
grammar asks. What the grammar does not take is "refused". BLVPY is a local method, so that its "optimal"
counts as ``verified_local``.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "models" / "literature")]

import blvpy
import cvxpy as cp
import numpy as np
import pyomo.environ as pyo
import shelf
from pyomo.core.expr.visitor import StreamBasedExpressionVisitor, identify_variables
from pyomo.repn import generate_standard_repn

from bilevel import LowerLevel


class Refused(Exception):
    """Outside the grammar."""


def main(name: str) -> Any:
    model = shelf.every_problem()[name].create()
    blocks = list(model.component_data_objects(LowerLevel, active=True))
    if len(blocks) > 1:
        raise Refused("several followers")
    below = list(blocks[0].component_data_objects(pyo.Var))
    above = list(model.component_data_objects(pyo.Var, descend_into=False))
    if any(v.is_integer() or v.is_binary() for v in [*above, *below]):
        raise Refused("integer variables")
    variables = {id(v): cp.Variable(name=v.name) for v in [*above, *below]}
    own = {id(v) for v in below}
    upper_rows, lower_rows = rows(model, above, variables), rows(blocks[0], below, variables)
    try:
        lower = blvpy.LowerProblem(
            sense(blocks[0].obj)(lower_objective(blocks[0].obj.expr, variables, own)),
            lower_rows,
            parameters=[variables[id(v)] for v in above],
        )
        problem = blvpy.BilevelProblem(sense(model.obj)(translated(model.obj.expr, variables)), lower, upper_rows)
        problem.validate()
    except Exception as error:
        raise Refused(f"{type(error).__name__}: {error}") from error
    try:
        result = problem.solve(verbose=False)
    except blvpy.InitializationError:  # which asks for a start: the middle of the bounds
        for var in above:
            low, high = (-10.0 if var.lb is None else var.lb), (10.0 if var.ub is None else var.ub)
            variables[id(var)].value = 0.5 * (low + high)
        result = problem.solve(verbose=False)
    done = str(result.status) in ("optimal", "optimal_inaccurate")
    return ["verified_local" if done else "failed", result.objective if done else None, None]


def sense(objective: Any) -> Any:
    return cp.Maximize if objective.sense == pyo.maximize else cp.Minimize


def rows(block: Any, own: list[Any], variables: dict[int, Any]) -> list[Any]:
    found = []
    for var in own:
        low, high = var.bounds
        found += [variables[id(var)] >= low] if low is not None else []
        found += [variables[id(var)] <= high] if high is not None else []
    for row in block.component_data_objects(pyo.Constraint, active=True, descend_into=False):
        low, body, high = row.to_bounded_expression()
        expression = translated(body, variables)
        if row.equality:
            found.append(expression == pyo.value(high))
            continue
        found += [expression >= pyo.value(low)] if low is not None else []
        found += [expression <= pyo.value(high)] if high is not None else []
    return found


def lower_objective(expression: Any, variables: dict[int, Any], own: set[int]) -> Any:
    """A quadratic in y as one form plus products with x; terms of x alone are left out."""
    repn = generate_standard_repn(expression, quadratic=True)
    if repn.nonlinear_expr is not None:
        free = any(v.lb is None or v.lb < 0 for v in identify_variables(expression) if id(v) in own)
        if free and any(power % 2 == 1 for power in powers(expression)):
            raise Refused("an odd power of y, which CVXPY would take for y >= 0")
        return translated(expression, variables)
    y = [variables[key] for key in variables if key in own]
    place = {key: k for k, key in enumerate(key for key in variables if key in own)}
    matrix, terms = np.zeros((len(y), len(y))), []
    for (a, b), coefficient in zip(repn.quadratic_vars, repn.quadratic_coefs, strict=True):
        if id(a) in own and id(b) in own:
            matrix[place[id(a)], place[id(b)]] += coefficient / 2
            matrix[place[id(b)], place[id(a)]] += coefficient / 2
        elif id(a) in own or id(b) in own:
            terms.append(coefficient * variables[id(a)] * variables[id(b)])
    terms += [c * variables[id(v)] for v, c in zip(repn.linear_vars, repn.linear_coefs, strict=True) if id(v) in own]
    if matrix.any():
        terms.append(cp.quad_form(cp.hstack(y), matrix))
    return sum(terms)


def powers(expression: Any) -> list[float]:
    """The constant exponents in an expression."""
    found: list[float] = []

    def leave(node: Any, data: list[Any]) -> Any:
        if getattr(node, "is_expression_type", lambda: False)() and node.getname() == "pow":
            found.append(float(pyo.value(node.arg(1))))
        return node

    StreamBasedExpressionVisitor(exitNode=leave).walk_expression(expression)
    return found


def translated(expression: Any, variables: dict[int, Any]) -> Any:
    """A Pyomo expression as a CVXPY one."""
    return StreamBasedExpressionVisitor(exitNode=lambda node, data: _exit(node, data, variables)).walk_expression(
        expression
    )


def _exit(node: Any, data: list[Any], variables: dict[int, Any]) -> Any:
    if not getattr(node, "is_expression_type", lambda: False)():
        if getattr(node, "is_variable_type", lambda: False)():
            return variables[id(node)]
        return float(pyo.value(node))
    kind = node.getname()
    if kind in ("sum", "linear"):
        return sum(data)
    if kind in ("prod", "mon"):
        return math.prod(data[1:], start=data[0])
    if kind == "neg":
        return -data[0]
    if kind == "div":
        return data[0] / data[1]
    if kind == "pow":
        return cp.square(data[0]) if data[1] == 2 else cp.power(data[0], data[1])
    if kind in ("exp", "log"):
        return getattr(cp, kind)(data[0])
    raise Refused(f"no translation of {kind}")


if __name__ == "__main__":
    try:
        answer = main(sys.argv[1])
    except Refused as refusal:
        answer = "refused: " + " ".join(str(refusal).split())[:100]
    except Exception as error:
        answer = f"crash {type(error).__name__}: " + " ".join(str(error).split())[:100]
    print("ANSWER", json.dumps(answer, default=float))
