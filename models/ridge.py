"""Ridge regression on the diabetes data: the penalty that predicts held-out patients best.

    min_lambda  1/m ||Z_v w - y_v||^2              1e-4 <= lambda <= 100, searched in logarithms
    s.t.        w in argmin { 1/(2n) ||Z w - y||^2 + lambda/2 ||w||^2 }

Convention: 1/(2n) and lambda/2, so scikit-learn's Ridge(alpha) is alpha = n lambda. All columns and the target are
in units of the training rows' mean and population standard deviation, which makes the intercept vanish.
Split: the first 265 of 442 rows train, the next 89 validate, the last 88 are not used. The rows come in no order.

Source: Efron, Hastie, Johnstone and Tibshirani (2004), "Least angle regression", Annals of Statistics 32, 407-499
    (data); Hoerl and Kennard (1970) (ridge); Bennett et al. (2006), "Model selection via bilevel optimization" (the
    problem).
Best known: F = 0.499552200972 at lambda = 0.490959 (numpy's normal equations and scipy's bounded scalar minimiser
    to 1e-13; the only local minimum in a scan of 4,001 values of lambda).
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares, set_scale

KNOWN = {
    "upper_objective": 0.49955220097226116,
    "upper": {"penalty": 0.4909586582},
    "tolerance": 1e-5,
    "methods": ["kkt", "grid", "random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def create_model(training=265, validation=89, smallest=1e-4, largest=100.0):
    """``training`` rows to fit on, the next ``validation`` to judge by; ``smallest`` and ``largest`` penalty."""
    Z, y = standardised_diabetes(training)
    Z_v, y_v = Z[training:][:validation], y[training:][:validation]

    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(smallest, largest), initialize=0.1)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(Z.shape[1]), initialize=0.0)
    w = model.lower.w
    model.lower.obj = pyo.Objective(
        expr=least_squares(Z[:training], y[:training], w) / (2 * training)
        + model.penalty / 2 * sum(w[j] ** 2 for j in w)
    )
    model.obj = pyo.Objective(expr=least_squares(Z_v, y_v, w) / len(y_v))
    return model


def standardised_diabetes(training):
    """Features and target in units of the training rows' mean and standard deviation."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    return rows[:, :-1], rows[:, -1]
