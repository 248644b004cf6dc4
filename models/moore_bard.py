"""Moore and Bard's integer example: relaxed, the follower leads to a point that is neither optimal nor a bound.

    min_{x, y}  -x - 10y                           x in {0, ..., 10}
    s.t.        y in argmin { y : -25x + 20y <= 30,  x + 2y <= 10,  2x - y <= 15,  2x + 10y >= 15,  y in {0, 1, ...} }

With x and y real the best is F = -18 at x = 8, y = 1. An integer follower has no optimality conditions, so the KKT
path refuses it. For x = 0, 9 and 10 it has no answer at all.

Source: Moore and Bard (1990), "The mixed integer linear bilevel programming problem", Operations Research 38,
    911-921, doi 10.1287/opre.38.5.911.
Best known: F = -22 at x = 2, y = 2 (Moore and Bard 1990). Proof by listing: x = 1, ..., 8 are answered by y = 2, 2,
    1, 1, 1, 1, 1, 1. The leader's favourite of all feasible pairs, (2, 4) with F = -42, is no answer.
"""

import pyomo.environ as pyo

from bilevel import LowerLevel

KNOWN = {
    "upper_objective": -22.0,
    "upper": {"x": 2.0},
    "tolerance": 1e-9,
    "methods": ["grid", "random"],
}


def create_model(largest=10):
    """``largest`` bounds both variables; from 8 on it changes nothing."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.Integers, bounds=(0, largest), initialize=1)

    model.lower = LowerLevel()
    model.lower.y = pyo.Var(within=pyo.Integers, bounds=(0, largest), initialize=2)
    x, y = model.x, model.lower.y
    model.lower.steep = pyo.Constraint(expr=-25 * x + 20 * y <= 30)
    model.lower.budget = pyo.Constraint(expr=x + 2 * y <= 10)
    model.lower.right = pyo.Constraint(expr=2 * x - y <= 15)
    model.lower.least = pyo.Constraint(expr=2 * x + 10 * y >= 15)
    model.lower.obj = pyo.Objective(expr=y)

    model.obj = pyo.Objective(expr=-x - 10 * y)
    return model
