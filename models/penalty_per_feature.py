"""Ridge regression with a penalty of its own for every feature: as many upper variables as features.

    min_lambda  1/m ||Z_v w - y_v||^2              1e-3 <= lambda_j <= 100, searched in logarithms
    s.t.        w in argmin { 1/(2n) ||Z w - y||^2 + 1/2 sum_j lambda_j w_j^2 }

A large lambda_j drops feature j: feature selection by continuous means. The lower level is strongly convex, F is
smooth, neither convex nor unimodal. Diabetes data, split and units as in ``ridge.py``; the features are the first
of the ten.

Source: MacKay (1992), "Bayesian interpolation" (one scale per feature); Bennett et al. (2006), "Model selection via
    bilevel optimization" (the problem); Efron et al. (2004), "Least angle regression" (data).
Best known: F = 0.440348848651 with all ten features. L-BFGS-B on the exact hypergradient reaches it from 292 of 300
    random starts and F = 0.469143 from the other 8; no proof. Four penalties end at the upper bound (features
    dropped), three at the lower one.
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares, set_scale

BEST = [100.0, 0.001, 0.481277436, 0.001, 100.0, 100.0, 0.343175479, 0.001, 0.818374246, 100.0]
KNOWN = {
    "upper_objective": 0.4403488486505294,
    "upper": {f"penalty[{j}]": value for j, value in enumerate(BEST)},
    "tolerance": 1e-5,
    "methods": ["kkt", "grid", "random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def create_model(features=10, training=265, validation=89, smallest=1e-3, largest=100.0):
    """The first ``features`` columns; ``training`` rows to fit on, the next ``validation`` to judge by."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    Z, y = rows[:, :features], rows[:, -1]
    Z_v, y_v = Z[training:][:validation], y[training:][:validation]

    model = pyo.ConcreteModel()
    model.features = pyo.RangeSet(0, features - 1)
    model.penalty = pyo.Var(model.features, bounds=(smallest, largest), initialize=0.1)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(model.features, initialize=0.0)
    w = model.lower.w
    model.lower.obj = pyo.Objective(
        expr=least_squares(Z[:training], y[:training], w) / (2 * training)
        + sum(model.penalty[j] * w[j] ** 2 for j in model.features) / 2
    )
    model.obj = pyo.Objective(expr=least_squares(Z_v, y_v, w) / len(y_v))
    return model
