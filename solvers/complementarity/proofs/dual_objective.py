"""What a linear follower pays, as his dual objective: the leader's products of x and y made linear.

The revenue of tolls is ``t'y``, a product; but at the follower's optimum what he pays, ``c'y + t'y``, is his dual
objective D(mu), linear in the multipliers where his rows do not move with x. So ``t'y = D(mu) - c'y``, and the
single-level model has a linear objective (Labbe, Marcotte and Savard 1998, doi 10.1287/mnsc.44.12.1608, section 3).
In general the duality gap of :mod:`bilevel.solvers.complementarity.proofs.duality_rows` is zero wherever the conditions
hold, and a multiple of it may be taken off F; it is, where that leaves fewer products.

With that goes what replaces the products' relaxation: he pays no more than he would for any answer ``a`` that his rows
allow, ``D(mu) <= c(x)'a``, linear in x and mu. Two a's are taken, the cheapest at the highest prices, where a price
without limit is paid for nothing, and the cheapest at the lowest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import scipy
from pyomo.repn import generate_standard_repn

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.expressions.terms import degree_of
from bilevel.graphs.intervals import Graph
from bilevel.solvers.complementarity.proofs.compiled_conditions import CompiledConditions, Part
from bilevel.solvers.complementarity.proofs.duality_rows import gap, rest, rest_symbol, slope


@dataclass
class _Polynomial:
    """A quadratic polynomial by its terms: what cancels in it is gone, not written twice with two signs."""

    constant: float = 0.0
    linear: dict[int, float] = field(default_factory=dict)
    products: dict[tuple[int, int], float] = field(default_factory=dict)
    variables: dict[int, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, expression: Any) -> _Polynomial | None:
        """The polynomial an expression is, None if it is not one of degree two."""
        if degree_of(expression) not in (0, 1, 2):  # of others Pyomo complains on the screen
            return None
        form = generate_standard_repn(expression, quadratic=True, compute_values=True)
        if form.nonlinear_expr is not None:
            return None
        found = cls(float(form.constant))
        for coefficient, var in zip(form.linear_coefs, form.linear_vars, strict=True):
            found.variables[id(var)] = var
            found.linear[id(var)] = float(coefficient)
        for coefficient, pair in zip(form.quadratic_coefs, form.quadratic_vars, strict=True):
            found.variables |= {id(var): var for var in pair}
            a, b = sorted(map(id, pair))
            found.products[a, b] = float(coefficient)
        return found

    def less(self, factor: float, other: _Polynomial) -> _Polynomial:
        """``self - factor other``."""
        return _Polynomial(
            self.constant - factor * other.constant,
            _without(self.linear, factor, other.linear),
            _without(self.products, factor, other.products),
            self.variables | other.variables,
        )

    def expression(self) -> Any:
        """As Pyomo has it."""
        at = self.variables
        products = sum(c * at[a] * at[b] for (a, b), c in self.products.items())
        return self.constant + sum(c * at[k] for k, c in self.linear.items()) + products


def _without(terms: dict[Any, float], factor: float, others: dict[Any, float]) -> dict[Any, float]:
    left = dict(terms)
    for key, value in others.items():
        old = left.pop(key, 0.0)
        new = old - factor * value
        if abs(new) > 1e-13 * max(abs(old), abs(factor * value)):
            left[key] = new
    return left


def state_by_duals(model: Any, compiled: CompiledConditions) -> None:
    """Restate the active objective on ``model.complementarity``, where that leaves fewer products, and bound D.

    Parameters
    ----------
    model : ConcreteModel
        With optimality conditions and the block ``complementarity``, its cuts imposed.
    compiled : CompiledConditions
        Of the model, made before the treatment was applied.
    """
    (objective,) = model.component_data_objects(pyo.Objective, active=True, descend_into=True)
    block, stated = model.complementarity, _Polynomial.of(objective.expr)
    if stated is None:
        return
    block.paid = pyo.Constraint(pyo.Any)
    before = len(stated.products)
    for part in compiled.parts:
        fewer = _by_duals(stated, compiled, part) if stated.products else None
        if fewer is None:
            continue
        stated, name = fewer, compiled.answers[part.rows[0]].name
        for kind, row in _most_paid(compiled, part).items():
            block.paid.add((name, kind), row <= 0.0)
        if name in block.cut:  # the same products again
            del block.cut[name]
    if len(stated.products) < before:
        objective.deactivate()
        block.objective = pyo.Objective(expr=stated.expression(), sense=objective.sense)


def _by_duals(stated: _Polynomial, compiled: CompiledConditions, part: Part) -> _Polynomial | None:
    """The polynomial less a multiple of the part's duality gap that leaves fewer products; None where there is none."""
    zero = _Polynomial.of(gap(compiled, part)) if _rows_stand_still(compiled, part) else None
    for key in stated.products.keys() & zero.products.keys() if zero is not None else ():
        assert zero is not None
        left = stated.less(stated.products[key] / zero.products[key], zero)
        if len(left.products) < len(stated.products):
            return left
    return None


def _rows_stand_still(compiled: CompiledConditions, part: Part) -> bool:
    """Whether the part is a linear program in y whose rows do not depend on x."""
    rows = compiled.matrix[part.rows, :][:, part.columns]
    rest = ca.vertcat(*(rest_symbol(compiled, k) for k in part.columns))
    slopes = compiled.gradient[part.rows]
    moving = ca.depends_on(ca.vertcat(ca.vec(rows), rest), compiled.symbols)
    return not moving and not ca.depends_on(slopes, compiled.y)


def _most_paid(compiled: CompiledConditions, part: Part) -> dict[str, Any]:
    """``D(mu) - c(x)'a`` for some a, at most zero."""
    signs = {k: 1.0 if compiled.sides[k][1] == "equality" else -1.0 for k in part.columns}
    dual = sum(signs[k] * float(pyo.value(rest(compiled, k))) * compiled.multipliers[k] for k in part.columns)
    lower, upper = compiled.box()
    graph = Graph(ca.SX(0, 1), compiled.symbols, compiled.gradient[part.rows])
    nodes = graph.enclose([], list(zip(lower.tolist(), upper.tolist(), strict=True)))
    prices = np.array([nodes[node] for node in graph.outputs], dtype=float).reshape(-1, 2).T
    found = {}
    for kind, price in (("highest prices", prices[1]), ("lowest prices", prices[0])):
        answer = _cheapest(compiled, part, price)
        if answer is not None:
            bill = sum(float(a) * slope(compiled, k) for a, k in zip(answer, part.rows, strict=True) if a != 0.0)
            slack = tolerances.GLOBAL_FEASIBILITY * tolerances.scale(float(np.abs(answer).max()))
            found[kind] = dual - bill - slack
    return found


def _cheapest(compiled: CompiledConditions, part: Part, price: Array) -> Array | None:
    """A cheapest answer that the part's rows allow, nothing of what has no finite price; None where there is none."""
    rows = np.array(ca.DM(ca.densify(compiled.matrix[part.rows, :][:, part.columns]))).T
    rest = np.array([float(ca.DM(ca.substitute(rest_symbol(compiled, k), compiled.symbols, 0))) for k in part.columns])
    equal = np.array([compiled.sides[k][1] == "equality" for k in part.columns])
    bounds = [(None, None) if np.isfinite(p) else (0.0, 0.0) for p in price]
    # A slack is rest - a'y for the multiplier of a'y in stationarity, an equality's residual a'y + rest.
    solved = scipy.optimize.linprog(
        np.where(np.isfinite(price), price, 0.0),
        A_ub=rows[~equal] if (~equal).any() else None,
        b_ub=rest[~equal] if (~equal).any() else None,
        A_eq=rows[equal] if equal.any() else None,
        b_eq=-rest[equal] if equal.any() else None,
        bounds=bounds,
        method="highs",
    )
    return np.asarray(solved.x) if solved.status == 0 else None
