"""A constraint of the leader that only the follower can break: the feasible x fall into two separate pieces.

    min_{x, y}  -x - 2y                            0 <= x <= 10
    s.t.        2x - 3y >= -12,  x + y <= 14       (the leader's constraints, though they involve y)
                y in argmin { -y : y <= 3x - 3,  y <= 30 - 3x,  y >= 0 }

A coupling constraint rules out an x because of how the follower *will* answer. Handed to the follower it would
steer the answer instead, which is another problem: then F = -22 at x = 6, y = 8.

Source: Mersha and Dempe (2006), "Linear bilevel programming with upper level constraints depending on the lower
    level solution", Applied Mathematics and Computation 180, 247-254, doi 10.1016/j.amc.2005.11.134.
Best known: F = -20 at x = 8, y = 6 (Mersha and Dempe 2006). Proof: the answer is y = min(3x - 3, 30 - 3x), for x in
    [1, 10]. On its rising branch 2x - 3y >= -12 says x <= 3, where F = 6 - 7x >= -15. On its falling branch
    x + y <= 14 says x >= 8, where F = 5x - 60 >= -20. Nothing between 3 and 8 is feasible.
"""

import pyomo.environ as pyo

from bilevel import LowerLevel

KNOWN = {
    "upper_objective": -20.0,
    "upper": {"x": 8.0},
    "tolerance": 1e-4,
    "methods": ["kkt", "grid", "random"],
}


def create_model(limit=14.0):
    """``limit`` bounds x + y in the leader's constraint."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10), initialize=2.0)

    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None), initialize=3.0)
    x, y = model.x, model.lower.y
    model.lower.rising = pyo.Constraint(expr=y <= 3 * x - 3)
    model.lower.falling = pyo.Constraint(expr=y <= 30 - 3 * x)
    model.lower.obj = pyo.Objective(expr=-y)

    model.slope = pyo.Constraint(expr=2 * x - 3 * y >= -12)
    model.total = pyo.Constraint(expr=x + y <= limit)
    model.obj = pyo.Objective(expr=-x - 2 * y)
    return model
