"""A follower that copies its leader, the first example of hyperparameter tutorials.

    min_{theta, w}  theta^2 + w^2                  -5 <= theta <= 5
    s.t.            w in argmin { (theta - w)^2 : -5 <= w <= 5 }

Source: our own, after the introductory examples of bilevel hyperparameter optimization (Franceschi et al. 2018,
    "Bilevel programming for hyperparameter optimization and meta-learning", ICML).
Best known: F = 0 at theta = w = 0. Proof: the answer is w = theta, so that F = 2 theta^2.
"""

import pyomo.environ as pyo

from bilevel import LowerLevel

KNOWN = {
    "upper_objective": 0.0,
    "upper": {"theta": 0.0},
    "tolerance": 1e-5,
    "methods": ["kkt", "grid", "random"],
}


def create_model(largest=5.0):
    """Both variables lie in [-largest, largest]."""
    model = pyo.ConcreteModel()
    model.theta = pyo.Var(bounds=(-largest, largest), initialize=1.0)

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(bounds=(-largest, largest), initialize=0.0)
    model.lower.obj = pyo.Objective(expr=(model.theta - model.lower.w) ** 2)

    model.obj = pyo.Objective(expr=model.theta**2 + model.lower.w**2)
    return model
