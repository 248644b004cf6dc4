"""Two parabolas: the follower would like y = 5 but may only go as far as the leader's x.

    min_{x, y}  x^2 + y^2                          0 <= x <= 10
    s.t.        y in argmin { (y - 5)^2 : 0 <= y <= x }

Source: our own, for first steps.
Best known: F = 0 at x = 0, y = 0. Proof: F >= 0, and at x = 0 the follower has no choice but y = 0.
"""

import pyomo.environ as pyo

from bilevel import LowerLevel

KNOWN = {
    "upper_objective": 0.0,
    "upper": {"x": 0.0},
    "tolerance": 1e-5,
    "methods": ["kkt", "grid", "random"],
}


def create_model(target=5.0, largest=10.0):
    """``target`` is where the follower would like to be, ``largest`` the leader's upper bound."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, largest), initialize=1.0)

    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None), initialize=0.0)
    model.lower.reach = pyo.Constraint(expr=model.lower.y <= model.x)
    model.lower.obj = pyo.Objective(expr=(model.lower.y - target) ** 2)

    model.obj = pyo.Objective(expr=model.x**2 + model.lower.y**2)
    return model
