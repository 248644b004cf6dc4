"""The mean of noisy numbers by steps of a given rate: the best schedule is 1/t, which no single rate comes near."""

import numpy as np
import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel

STEPS, RUNS = 40, 200


def train(x, state, steps):
    rng, w, done = state or (np.random.default_rng(0), np.zeros(RUNS), 0)
    for _ in range(steps):
        w = w - x["rate"] * (w - 1.0 - rng.normal(size=RUNS))
    return {"loss": float(np.mean((w - 1.0) ** 2))}, (rng, w, done + steps)


def averaging(function=train, steps=STEPS, sense=pyo.minimize):
    """The model; its rate in [1/100, 1] on a logarithmic scale."""
    model = pyo.ConcreteModel()
    model.rate = pyo.Var(bounds=(0.01, 1.0))
    bilevel.set_scale(model.rate, "log")
    model.net = LowerLevel(response=function, steps=steps)
    model.net.loss = pyo.Var()
    model.obj = pyo.Objective(expr=int(sense) * model.net.loss, sense=sense)
    return model
