"""Bard's linear example, whose follower's answer has a kink that traps local methods.

    min_{x, y}  x - 4y                             x >= 0
    s.t.        y in argmin { y : x + y >= 3,  y <= 2x,  2x + y <= 12,  3x - 2y <= 4,  y >= 0 }

Source: Bard (1998), "Practical Bilevel Optimization", Kluwer, example 5.1.1. Beware of copies in which the last row
    has lost or changed its sign.
Best known: F = -12 at x = 4, y = 4 (Bard 1998). Proof: for 1 <= x <= 4 the answer is y = max(3 - x, (3x - 4)/2),
    elsewhere the follower has none. F is 5x - 12 up to x = 2 and 8 - 5x from there on, hence its minima are the
    ends of [1, 4]: the local one F = -7 at x = 1, y = 2, and F = -12.
"""

import pyomo.environ as pyo

from bilevel import LowerLevel

KNOWN = {
    "upper_objective": -12.0,
    "upper": {"x": 4.0},
    "tolerance": 1e-4,
    "methods": ["kkt", "grid", "random"],
}


def create_model(largest=10.0):
    """``largest`` bounds both variables; from 4 on it changes nothing."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, largest), initialize=2.0)

    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, largest), initialize=1.0)
    x, y = model.x, model.lower.y
    model.lower.least = pyo.Constraint(expr=x + y >= 3)
    model.lower.slope = pyo.Constraint(expr=y <= 2 * x)
    model.lower.most = pyo.Constraint(expr=2 * x + y <= 12)
    model.lower.climb = pyo.Constraint(expr=3 * x - 2 * y <= 4)
    model.lower.obj = pyo.Objective(expr=y)

    model.obj = pyo.Objective(expr=x - 4 * y)
    return model
