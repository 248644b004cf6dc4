"""Poisson regression with a logarithmic link: the ridge penalty that predicts held-out rows best.

    min_lambda  1/m sum_validation exp(z_i) - y_i z_i            1e-4 <= lambda <= 10, searched in logarithms
    s.t.        w, b in argmin { 1/n sum_training exp(z_i) - y_i z_i + lambda/2 ||w||^2 },   z_i = x_i'w + b

Convention: 1/n and lambda/2, so scikit-learn's PoissonRegressor(alpha) has alpha = lambda; the intercept b, the last
entry of w in the model, is not penalised there either. F is half the mean deviance but for a constant.

The diabetes data: the measure of disease progression, 25 to 346, positive and skewed, in units of its mean over the
training rows, is modelled by its logarithm. Split and columns as in ``ridge.py``. The follower has no closed form; its
rows stay arrays (``rows_of``).

Source: McCullagh and Nelder (1989), "Generalized Linear Models", section 9.2 (quasi-likelihood); Efron et al. (2004),
    "Least angle regression" (data).
Best known: F = 0.950616401925 at lambda = 0.564613. Proof: ``upper_boxes`` closes in seconds; scikit-learn's
    PoissonRegressor has the same F there.
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, rows_of, set_scale

KNOWN = {
    "upper_objective": 0.950616401925261,
    "upper": {"penalty": 0.56461341},
    "tolerance": 1e-5,
    "methods": ["grid", "random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def create_model(training=265, validation=89, smallest=1e-4, largest=10.0):
    """``training`` rows to fit on, the next ``validation`` to judge by; ``smallest`` and ``largest`` penalty."""
    X, y, X_v, y_v = progression(training, validation)

    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(smallest, largest), initialize=0.1)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(X.shape[1]), initialize=0.0)
    w = model.lower.w
    model.lower.obj = pyo.Objective(
        expr=rows_of("poisson", X, w, y) / len(y) + model.penalty / 2 * sum(w[j] ** 2 for j in range(X.shape[1] - 1))
    )
    model.obj = pyo.Objective(expr=rows_of("poisson", X_v, w, y_v) / len(y_v))
    return model


def progression(training, validation):
    """Features with a column of ones, and the target in units of its mean, of both parts."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)[: training + validation]
    X, y = rows[:, :-1], rows[:, -1] / rows[:training, -1].mean()
    X = (X - X[:training].mean(axis=0)) / X[:training].std(axis=0)
    X = np.column_stack([X, np.ones(len(X))])
    return X[:training], y[:training], X[training:], y[training:]
