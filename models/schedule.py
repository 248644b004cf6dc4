"""A rate that falls while something is learnt: population-based training finds its schedule.

    min_rate  1/200 sum_k (w_k - mean)^2                        0.01 <= rate <= 1, searched in logarithms
    s.t.      w_k = where 40 steps of stochastic approximation lead,  w <- w - rate (w - y_i)

The mean of the diabetes data's target (in its own units of deviation, about 0) is learnt from rows i drawn one by one
with replacement, 200 times side by side, from w = 1. One rate that has to hold from the first step to the last is a
compromise: a large one forgets the start soon and then follows every row, a small one would settle and never arrives.
The best schedule is known, rate 1/t at step t, which makes w the mean of the rows drawn: F is 1/40 but for chance.
The function goes on from the state that it left (``steps=40``), so that ``pbt`` can change the rate on the way:

    python -m bilevel.solve schedule --method pbt --budget 20

Rows are drawn with one seed, whose generator is part of the state.

Source: Robbins and Monro (1951), "A stochastic approximation method", Annals of Mathematical Statistics 22 (rates must
    fall); Jaderberg et al. (2017), "Population based training of neural networks", arXiv:1711.09846; Efron et al.
    (2004), "Least angle regression" (data).
Best known: F = 0.0313086988 at rate = 0.0598776 for one rate throughout (scipy's bounded scalar minimiser about the
    best of 200 rates in equal ratios). With the schedule 1/t it is 0.0209652, with that of ``pbt`` (budget 20, seed 0)
    0.0231574.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, set_scale

KNOWN = {
    "upper_objective": 0.03130869882302807,
    "upper": {"rate": 0.05987763},
    "tolerance": 1e-5,
    "methods": ["grid", "random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"
STEPS, RUNS = 40, 200


def learn(x, state, steps, y):
    """Go on from ``state`` for so many ``steps``; the values and the state that this leads to."""
    rng, w = (np.random.default_rng(0), np.ones(RUNS)) if state is None else state
    for _ in range(steps):
        w = w - x["rate"] * (w - rng.choice(y, size=RUNS))
    return {"error": float(np.mean(w**2))}, (rng, w)


def create_model(steps=STEPS):
    """``steps`` of a whole training."""
    y = np.loadtxt(DATA, delimiter=",", skiprows=1)[:, -1]
    y = (y - y.mean()) / y.std()

    model = pyo.ConcreteModel()
    model.rate = pyo.Var(bounds=(0.01, 1.0))
    set_scale(model.rate, "log")

    model.lower = LowerLevel(response=partial(learn, y=y), steps=steps)
    model.lower.error = pyo.Var(bounds=(0, None), initialize=1.0)
    model.obj = pyo.Objective(expr=model.lower.error)
    return model
