"""Logistic regression on the breast cancer data: the ridge penalty that tells held-out tumours apart best.

    min_lambda  1/m sum_validation l(x_i'w + b, y_i)            1e-5 <= lambda <= 10, searched in logarithms
    s.t.        w, b in argmin { 1/n sum_training l(x_i'w + b, y_i) + lambda/2 ||w||^2 },   l(z, y) = log(1 + exp(-y z))

Convention: 1/n and lambda/2, so scikit-learn's LogisticRegression(C) is C = 1/(n lambda); the intercept b, the last
entry of w in the model, is not penalised there either. The classes are 1 (benign) and -1 (malignant). The 30 columns
are in units of the training rows' mean and population standard deviation.
Split: the first 285 of 569 rows train, the next 142 validate, the others are not used. The rows come in no order.

The follower has no closed form; its rows stay arrays (``rows_of``), so that 20,000 of them compile in a tenth of a
second. ``data=(X, y, X_v, y_v)`` takes other arrays in place of these, as they are.

Source: Street, Wolberg and Mangasarian (1993), "Nuclear feature extraction for breast tumor diagnosis" (data); le
    Cessie and van Houwelingen (1992), "Ridge estimators in logistic regression", Applied Statistics 41, 191-201;
    Pedregosa (2016), "Hyperparameter optimization with approximate gradient" (the problem).
Best known: F = 0.0825242070613 at lambda = 0.00732266 (scikit-learn's LogisticRegression and scipy's bounded scalar
    minimiser; the only local minimum in a scan of 61 values of lambda).
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, rows_of, set_scale

KNOWN = {
    "upper_objective": 0.0825242070612585,
    "upper": {"penalty": 0.0073226572},
    "tolerance": 1e-5,
    "methods": ["grid", "random"],
}

DATA = Path(__file__).parent / "data" / "breast_cancer.csv"


def create_model(training=285, validation=142, smallest=1e-5, largest=10.0, data=None):
    """``training`` rows to fit on, the next ``validation`` to judge by; ``smallest`` and ``largest`` penalty."""
    X, y, X_v, y_v = breast_cancer(training, validation) if data is None else data

    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(smallest, largest), initialize=0.1)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(X.shape[1] + 1), initialize=0.0)
    w = model.lower.w
    model.lower.obj = pyo.Objective(
        expr=rows_of("logistic", with_intercept(X), w, y) / len(y)
        + model.penalty / 2 * sum(w[j] ** 2 for j in range(X.shape[1]))
    )
    model.obj = pyo.Objective(expr=rows_of("logistic", with_intercept(X_v), w, y_v) / len(y_v))
    return model


def breast_cancer(training, validation):
    """Features in units of the training rows, and classes -1 and 1, of both parts."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    X, y = rows[:, :-1], 2.0 * rows[:, -1] - 1.0
    X = (X - X[:training].mean(axis=0)) / X[:training].std(axis=0)
    held = slice(training, training + validation)
    return X[:training], y[:training], X[held], y[held]


def with_intercept(X):
    """The features and a column of ones."""
    return np.column_stack([X, np.ones(len(X))])
