"""A trend through a noisy series, as smooth as predicts the points held back best.

    min_lambda  1/|V| sum_(t in V) (y_t - d_t)^2                              0.01 <= lambda <= 1e6, in logarithms
    s.t.        y in argmin { sum_(t not in V) (y_t - d_t)^2 + lambda sum_t (y_(t-1) - 2 y_t + y_(t+1))^2 }

The follower has one variable for every one of 500 points, and a Hessian with five diagonals: its answer is one sparse
system. V is every fourth point. The same criterion is called Whittaker's graduation, the Hodrick-Prescott filter, and
in the limit of close points the smoothing spline. The series is a wave, a kink and noise of standard deviation 0.25.

Source: Whittaker (1922), "On a new method of graduation", Proc. Edinburgh Math. Soc. 41, 63-75; Hodrick and Prescott
    (1997), "Postwar U.S. business cycles", J. Money Credit Bank. 29, 1-16; our own data.
Best known: F = 0.051655078974 at lambda = 3344.7215, for the default settings. Two ways: F over 201 values and then by
    Brent's method with scipy's banded solver; and a certificate of `rational`, which diagonalizes the follower.
"""

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, set_scale

KNOWN = {
    "upper_objective": 0.051655078974419996,
    "upper": {"penalty": 3344.7215206732576},
    "tolerance": 1e-5,
    "methods": ["grid", "random"],
}


def create_model(points=500, noise=0.25, every=4, seed=7):
    """``points`` of the series, of which each ``every``-th is held back; ``noise`` and its ``seed``."""
    t = np.linspace(0, 1, points)
    series = np.sin(9 * t) + 4 * np.abs(t - 0.6) + np.random.default_rng(seed).normal(0, noise, points)
    held = range(0, points, every)

    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(1e-2, 1e6), initialize=1.0)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(range(points), initialize=0.0)
    misfit = sum((y[k] - series[k]) ** 2 for k in range(points) if k % every)
    bends = sum((y[k - 1] - 2 * y[k] + y[k + 1]) ** 2 for k in range(1, points - 1))
    model.lower.obj = pyo.Objective(expr=misfit + model.penalty * bends)
    model.obj = pyo.Objective(expr=sum((y[k] - series[k]) ** 2 for k in held) / len(held))
    return model
