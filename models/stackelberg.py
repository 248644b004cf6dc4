"""Quantity leadership: one firm commits to its output, the other answers, and the market sets the price.

    max_{q1}  (price - c1) q1                      price = a - b (q1 + q2)
    s.t.      q2 in argmax { (price - c2) q2 : q2 >= 0 }

Both levels maximise.

Source: von Stackelberg (1934), "Marktform und Gleichgewicht"; the linear case as in any textbook of industrial
    economics.
Best known: for a = 100, b = 1, c1 = c2 = 10 the profit is 1012.5 at q1 = 45, q2 = 22.5. Proof: where it sells at
    all the follower answers q2 = (a - c2 - b q1) / (2b), which makes the leader's profit the concave parabola
    (a - 2 c1 + c2 - b q1) q1 / 2 with its top at q1 = (a - 2 c1 + c2) / (2b) and the value
    (a - 2 c1 + c2)^2 / (8b); where it is driven out (q1 >= 90 here) the leader earns nothing.
"""

import pyomo.environ as pyo

from bilevel import LowerLevel

KNOWN = {
    "upper_objective": 1012.5,
    "upper": {"leader": 45.0},
    "tolerance": 1e-3,
    "methods": ["kkt", "grid", "random"],
}


def create_model(a=100.0, b=1.0, c1=10.0, c2=10.0):
    """Inverse demand ``a - b * quantity``; unit costs ``c1`` of the leader and ``c2`` of the follower."""
    model = pyo.ConcreteModel()
    model.leader = pyo.Var(bounds=(0, a / b), initialize=1.0)

    model.lower = LowerLevel()
    model.lower.follower = pyo.Var(bounds=(0, a / b), initialize=1.0)
    model.price = pyo.Expression(expr=a - b * (model.leader + model.lower.follower))
    model.lower.obj = pyo.Objective(expr=(model.price - c2) * model.lower.follower, sense=pyo.maximize)

    model.obj = pyo.Objective(expr=(model.price - c1) * model.leader, sense=pyo.maximize)
    return model
