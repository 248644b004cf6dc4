"""Kernel ridge regression whose kernel is a category: the follower is a training run, not a mathematical program.

    min_{kernel, gamma, lambda}  1/m sum_validation (prediction_i - y_i)^2
    s.t.  prediction = k(X_v, X) a,   a in argmin { 1/n ||K a - y||^2 + lambda a' K a },   so (K + n lambda I) a = y

    rbf      k(s, t) = exp(-gamma ||s - t||^2 / p)         p = 10 features
    laplace  k(s, t) = exp(-gamma ||s - t||_1 / p)
    poly     k(s, t) = (1 + gamma s't / p)^3

The kernel is one of three words, gamma and lambda are integer sequences: 3 x 7 x 9 points. The KKT path refuses the
follower, which is a Python function that trains on the leader's choice and answers with its predictions. Diabetes
data, split and units as in ``ridge.py``.

Source: Saunders, Gammerman and Vovk (1998), "Ridge regression learning algorithm in dual variables", ICML; Efron et
    al. (2004), "Least angle regression" (data).
Best known: F = 0.483920539952 at kernel rbf, gamma = 10^-0.5, lambda = 0.01. Proof: all 189 points were evaluated.
    The best with laplace is 0.489828, with poly 0.495011.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, discretize

KNOWN = {
    "upper_objective": 0.4839205399522873,
    "upper": {"kernel": "rbf", "gamma": 0.31622776601683794, "penalty": 0.01},
    "tolerance": 1e-9,
    "methods": ["grid", "random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def rbf(S, T, gamma):
    """A Gaussian of the Euclidean distance."""
    squared = (S**2).sum(axis=1)[:, None] + (T**2).sum(axis=1) - 2 * S @ T.T
    return np.exp(-gamma * squared / S.shape[1])


def laplace(S, T, gamma):
    """An exponential of the city-block distance."""
    return np.exp(-gamma * sum(np.abs(s[:, None] - t) for s, t in zip(S.T, T.T, strict=True)) / S.shape[1])


def poly(S, T, gamma):
    """All products of up to three features."""
    return (1 + gamma * S @ T.T / S.shape[1]) ** 3


KERNELS = {"rbf": rbf, "laplace": laplace, "poly": poly}


def train_and_predict(x, X, y, X_v):
    """The follower's answer to the leader's choice ``x``."""
    kernel = partial(KERNELS[x["kernel"]], gamma=x["gamma"])
    weights = np.linalg.solve(kernel(X, X) + len(y) * x["penalty"] * np.eye(len(y)), y)
    return {"prediction": kernel(X_v, X) @ weights}


def create_model(training=265, validation=89, gammas=7, penalties=9):
    """``training`` rows to fit on, the next ``validation`` to judge by; lengths of the two sequences."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    X, y = rows[:training, :-1], rows[:training, -1]
    X_v, y_v = rows[training:, :-1][:validation], rows[training:, -1][:validation].tolist()

    model = pyo.ConcreteModel()
    model.kernel = pyo.Var(within=pyo.Set(initialize=list(KERNELS)), initialize="rbf")
    model.gamma = pyo.Var(bounds=(1e-2, 10.0))
    model.penalty = pyo.Var(bounds=(1e-4, 1.0))
    discretize(model.gamma, levels=gammas, scale="log")
    discretize(model.penalty, levels=penalties, scale="log")

    model.lower = LowerLevel(response=partial(train_and_predict, X=X, y=y, X_v=X_v))
    model.lower.prediction = pyo.Var(range(len(y_v)), initialize=0.0)
    prediction = model.lower.prediction
    model.obj = pyo.Objective(expr=sum((prediction[i] - y_v[i]) ** 2 for i in range(len(y_v))) / len(y_v))
    return model
