"""The adaptive lasso with every weight free: a penalty of its own on each absolute value.

    min_lambda  1/m ||Z_v w - y_v||^2              1e-3 <= lambda_j <= 1, searched in logarithms
    s.t.        w in argmin { 1/(2n) ||Z w - y||^2 + sum_j lambda_j |w_j| }

Zou's weights are powers of a first estimate, one number left to choose; here the leader chooses all of them by
gradients. scikit-learn's Lasso(alpha=1) answers it on columns divided by lambda_j. F has kinks where a coefficient
comes or goes, and is flat in the penalty of one that is zero: descents end in many places, many starts are worth it.

Diabetes data, split and units as in ``ridge.py``; the features are the first of the ten.

Source: Zou (2006), "The adaptive lasso and its oracle properties", JASA 101, 1418-1429; Bertrand et al. (2020),
    "Implicit differentiation of Lasso-type models" (the gradients); Efron et al. (2004), "Least angle regression"
    (data).
Best known: F = 0.4453716866, found by 300 evaluations of ``gradient`` (seed 0); no proof, other starts may do better.
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares, set_scale

KNOWN = {
    "upper_objective": 0.44537168659685894,
    "tolerance": 1e-4,
    "methods": ["gradient"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def create_model(features=10, training=265, validation=89, smallest=1e-3, largest=1.0):
    """The first ``features`` columns; ``training`` rows to fit on, the next ``validation`` to judge by."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    Z, y = rows[:, :features], rows[:, -1]
    Z_v, y_v = Z[training:][:validation], y[training:][:validation]

    model = pyo.ConcreteModel()
    model.features = pyo.RangeSet(0, features - 1)
    model.penalty = pyo.Var(model.features, bounds=(smallest, largest), initialize=0.03)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(model.features, initialize=0.0)
    w = model.lower.w
    model.lower.obj = pyo.Objective(
        expr=least_squares(Z[:training], y[:training], w) / (2 * training)
        + sum(model.penalty[j] * abs(w[j]) for j in model.features)
    )
    model.obj = pyo.Objective(expr=least_squares(Z_v, y_v, w) / len(y_v))
    return model
