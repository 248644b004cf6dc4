"""Maxima in a single-level model as variables and complementarity pairs, so that Pyomo's writers take it.

``t = max_i e_i`` holds exactly where ``t >= e_i`` for all i and there are weights ``w_i >= 0``, ``sum_i w_i = 1``,
``w_i (t - e_i) = 0``: some weight is positive and its piece attains t, whatever the signs with which t is used. A
minimum is the negative of a maximum. (The weights are the convex multipliers of the subdifferential; Clarke 1983,
prop. 2.3.12.) Where a maximum only ever has to be small, its epigraph is enough, and there are no weights.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr import numeric_expr as ne

from bilevel.reading.epigraph import epigraph_of
from bilevel.reading.piecewise import ends_within, side_of
from bilevel.reading.problem import Problem


def lift_above(problem: Problem, home: Any) -> None:
    """Lift convex kinks of F and G, in place: in a single-level model y is a variable as x is, and so is t.

    Parameters
    ----------
    problem : Problem
        Its model is changed.
    home : Block
        Takes the variables and rows.
    """
    variables = (*problem.variables, *problem.lower_variables)
    ends = ends_within(problem.constraints)
    found = epigraph_of(home, [(problem.objective.expr, problem.sense)], variables, ends)
    if found is not None:
        problem.objective.set_value(found.expressions[0])
        found.attach()
    for row in problem.constraints:
        found = epigraph_of(home, [(row.body, side_of(row))], variables, ends)
        if found is not None:
            row.set_value((row.lower, found.expressions[0], row.upper))
            found.attach()


def lift_maxima(model: Any, block: Any) -> None:
    """Replace every maximum and minimum in active objectives and constraints, and in the pairs' slacks.

    Parameters
    ----------
    model : ConcreteModel
        Single-level; changed in place, its named Expressions included.
    block : OptimalityConditions
        Takes the new variables, rows and pairs.
    """
    lifter = _Lifter(block)
    for slack in [pair.slack for pair in block.pairs]:
        lifter(slack)
    for component in list(
        model.component_data_objects((pyo.Objective, pyo.Constraint), active=True, descend_into=True)
    ):
        lifted = lifter(component.expr)
        if lifted is not component.expr:
            component.set_value(lifted)


class _Lifter:
    """Rewrites expressions, each node once, with an explicit stack: recursions in models go deep."""

    def __init__(self, block: Any) -> None:
        self._block = block
        self._done: dict[int, Any] = {}
        self._kept: list[Any] = []  # keeps the ids above from being reused
        self._count = 0

    def __call__(self, expression: Any) -> Any:
        if not _is_tree(expression):
            return expression
        stack = [(expression, False)]
        while stack:
            node, left = stack.pop()
            if id(node) in self._done:
                continue
            if left:
                self._done[id(node)] = self._rewrite(node)
                self._kept.append(node)
            else:
                stack.append((node, True))
                stack.extend((arg, False) for arg in node.args if _is_tree(arg))
        return self._done[id(expression)]

    def _rewrite(self, node: Any) -> Any:
        args = tuple(node.args)
        lifted = tuple(self._done.get(id(arg), arg) if _is_tree(arg) else arg for arg in args)
        if isinstance(node, (ne.MaxExpression, ne.MinExpression)) and node.is_potentially_variable():
            sign = 1 if isinstance(node, ne.MaxExpression) else -1
            return sign * self._maximum([sign * arg for arg in lifted])
        if all(a is b for a, b in zip(args, lifted, strict=True)):
            return node
        if node.is_named_expression_type():
            node.set_value(lifted[0])
            return node
        return node.create_node_with_local_data(lifted)

    def _maximum(self, pieces: list[Any]) -> Any:
        block, k = self._block, self._count
        if k == 0:
            block.maximum, block.share = pyo.Var(pyo.Any, dense=False), pyo.Var(pyo.Any, dense=False, bounds=(0, 1))
            block.above, block.attained = pyo.Constraint(pyo.Any), pyo.Constraint(pyo.Any)
        self._count += 1
        top = block.maximum.add(k)
        weights = [block.share.add((k, i)) for i in range(len(pieces))]
        for i, piece in enumerate(pieces):
            slack = block.pair(f"maximum[{k}]", f"piece {i}", weights[i], top - piece)
            block.above.add((k, i), slack >= 0)
        block.attained.add(k, sum(weights) == 1)
        return top


def _is_tree(expression: Any) -> bool:
    return hasattr(expression, "is_expression_type") and expression.is_expression_type()
