"""Quantile regression with a penalty that sets coefficients to zero: how high is nine in ten.

    min_lambda  1/m sum_validation r(y_i - x_i'w - b)              0.001 <= lambda <= 1, searched in logarithms
    s.t.        w, b in argmin { 1/n sum_training r(y_i - x_i'w - b) + lambda sum_j |w_j| }
                r(e) = q max(e, 0) + (1 - q) max(-e, 0)            the pinball loss, q = 0.9

scikit-learn's QuantileRegressor(quantile=q, alpha=lambda) trains the same. The follower is a linear program, and F
piecewise constant in lambda but for jumps: at most penalties the answer stays at its vertex. No gradient says
anything here; a grid, a random or a surrogate search does.

Diabetes data, split and units as in ``ridge.py``.

Source: Koenker and Bassett (1978), "Regression quantiles", Econometrica 46, 33-50; Belloni and Chernozhukov (2011),
    "l1-penalized quantile regression in high-dimensional sparse models", Annals of Statistics 39, 82-130; Efron et al.
    (2004), "Least angle regression" (data).
Best known: F = 0.12796203038 for every lambda from 0.0417 to 0.0426, the best of 4,001 penalties at which the answer is
    the only one. At the single penalties between two vertices all answers on an edge are optimal, and the leader's
    choice among them can be better: 0.12637 at lambda = 0.0244906.
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, rows_of, set_scale

KNOWN = {
    "upper_objective": 0.12796203038086768,
    "tolerance": 1e-2,
    "methods": ["random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def create_model(training=265, validation=89, quantile=0.9, smallest=1e-3, largest=1.0):
    """``training`` rows to fit on, the next ``validation`` to judge by; ``smallest`` and ``largest`` penalty."""
    X, y, X_v, y_v = diabetes(training, validation)

    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(smallest, largest), initialize=0.1)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(X.shape[1]), initialize=0.0)
    model.lower.b = pyo.Var(initialize=0.0)
    w = [*model.lower.w.values(), model.lower.b]
    model.lower.obj = pyo.Objective(
        expr=rows_of("pinball", with_intercept(X), w, y, quantile=quantile) / len(y)
        + model.penalty * sum(abs(v) for v in w[:-1])
    )
    model.obj = pyo.Objective(expr=rows_of("pinball", with_intercept(X_v), w, y_v, quantile=quantile) / len(y_v))
    return model


def diabetes(training, validation):
    """Features and targets of both parts, in units of the training rows."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    held = slice(training, training + validation)
    return rows[:training, :-1], rows[:training, -1], rows[held, :-1], rows[held, -1]


def with_intercept(X):
    """The features and a column of ones."""
    return np.column_stack([X, np.ones(len(X))])
