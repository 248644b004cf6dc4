"""A training run with a known best point: loss(step) = (a - 0.3)^2 + (b - 0.6)^2 + 1/step after 27 steps."""

import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel

STEPS = 27


def train(x, trial):
    for step in range(1, STEPS + 1):
        loss = (x["a"] - 0.3) ** 2 + (x["b"] - 0.6) ** 2 + 1 / step
        trial.report(loss, step)
        if trial.should_prune():
            raise bilevel.TrialPruned
    return {"loss": loss}


def trained(function=train, sense=pyo.minimize):
    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(0, 1))
    model.b = pyo.Var(bounds=(0, 1))
    model.net = LowerLevel(response=function)
    model.net.loss = pyo.Var()
    model.obj = pyo.Objective(expr=model.net.loss, sense=sense)
    return model
