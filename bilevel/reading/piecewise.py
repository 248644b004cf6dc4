"""A follower whose convex piecewise-linear terms became variables and rows of his own.

What is compiled, put into optimality conditions or proved convex is the follower in this form; what is measured and
shown is the one that was written. Given y, the variables t are the least that their rows allow.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import pyomo.environ as pyo
from pyomo.repn import generate_standard_repn

from bilevel.expressions.terms import degree_of
from bilevel.graphs.intervals import ENTIRE, Interval
from bilevel.reading.criterion import Criterion
from bilevel.reading.epigraph import Ends, epigraph_of
from bilevel.reading.follower import Follower


def lifted(follower: Follower, priced: Collection[int], ends: Ends) -> Follower:
    """The follower with epigraphs in the place of his kinks; as he is where there is none, or one that is not convex.

    Parameters
    ----------
    follower : Follower
        As read.
    priced : collection of int
        Ids of constraints whose multipliers the upper level mentions: these stay as they are.
    ends : callable
        The range of a variable.
    """
    objective = follower.objective
    if objective is None:
        return follower
    asked = [(objective.expr, follower.sense)]
    asked += [(row.body, 0 if id(row) in priced else side_of(row)) for row in follower.constraints]
    found = epigraph_of(follower.block, asked, follower.variables, ends)
    if found is None:
        return follower
    stated, *bodies = found.expressions
    rows = pyo.Constraint(pyo.Any)
    tops = next(found.block.component_objects(pyo.Var))
    found.block.add_component(f"{tops.local_name}_bodies", rows)
    constraints = [
        row if body is given else rows.add(row.name, (row.lower, body, row.upper))
        for row, body, (given, _) in zip(follower.constraints, bodies, asked[1:], strict=True)
    ]
    kept = isinstance(objective, Criterion)
    return replace(
        follower,
        variables=(*follower.variables, *found.tops),
        constraints=(*constraints, *found.rows),
        objective=replace(objective, expr=stated) if kept else Criterion(objective, stated),
        epigraph=found,
        plain=follower,
    )


def settle(follower: Follower) -> None:
    """Make a lifted follower part of its model, in place: his rows stand for those that were written."""
    if follower.epigraph is None:
        return
    follower.epigraph.attach()
    kept = {id(row) for row in follower.constraints}
    for row in follower.written.constraints:
        if id(row) not in kept:
            row.deactivate()


def side_of(row: Any) -> int:
    """The sign with which a row's body has to be small; 0 where it has two sides."""
    return int(row.upper is not None) - int(row.lower is not None)


def ends_within(constraints: Iterable[Any]) -> Ends:
    """Ranges by what is declared of a variable and what rows over it alone say, looked at when first asked for."""
    known: dict[int, Interval] = {}
    waiting = list(constraints)

    def range_of(var: Any) -> Interval:
        while waiting:
            _narrow(waiting.pop(), known)
        try:
            declared = var.bounds
        except ValueError:  # a bound that is no number, which whoever compiles it will name
            return ENTIRE
        low, high = known.get(id(var), ENTIRE)
        low, high = max(low, _end(declared[0], -math.inf)), min(high, _end(declared[1], math.inf))
        return (low, high) if low <= high else ENTIRE

    return range_of


def _narrow(row: Any, known: dict[int, Interval]) -> None:
    form = generate_standard_repn(row.body, quadratic=False) if degree_of(row.body) == 1 else None
    if form is None or len(form.linear_vars) != 1 or form.linear_coefs[0] == 0.0:
        return
    slope, var = float(form.linear_coefs[0]), form.linear_vars[0]
    limits = _end(row.lb, -math.inf), _end(row.ub, math.inf)
    bottom, top = sorted((limit - float(form.constant)) / slope for limit in limits)
    low, high = known.get(id(var), ENTIRE)
    known[id(var)] = max(low, bottom), min(high, top)


def _end(bound: Any, missing: float) -> float:
    return missing if bound is None else float(bound)
