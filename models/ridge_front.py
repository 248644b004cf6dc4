"""Ridge regression with two objectives: how well held-out patients are predicted, and how large the weights are.

    min_lambda  ( 1/m ||Z_v w - y_v||^2,  ||w||^2 )        1e-4 <= lambda <= 100, searched in logarithms
    s.t.        w in argmin { 1/(2n) ||Z w - y||^2 + lambda/2 ||w||^2 }

Data, units and split are those of the model ``ridge``: the diabetes data, 265 rows to train on and 89 to validate.
Every lambda between the best one for prediction and the largest lies on the front, since ||w|| falls with lambda.

Source: Efron, Hastie, Johnstone and Tibshirani (2004), "Least angle regression", Annals of Statistics 32, 407-499
    (data); Hansen (1992), "Analysis of discrete ill-posed problems by means of the L-curve", SIAM Review 34, 561-580
    (the trade-off between misfit and norm that ridge regression draws).
Best known: the ends of the front are a loss of 0.499552200972 at lambda = 0.490959, where ||w||^2 = 0.16099, and
    ||w||^2 = 0.00013346 at lambda = 100, where the loss is 0.864922 (numpy's normal equations).
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares, set_scale

KNOWN = {
    "front": {"loss": 0.49955220097226116, "size": 0.0001334602068815079},
    "tolerance": 1e-5,
    "methods": ["grid", "random"],
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
    size = sum(w[j] ** 2 for j in w)
    model.lower.obj = pyo.Objective(
        expr=least_squares(Z[:training], y[:training], w) / (2 * training) + model.penalty / 2 * size
    )
    model.loss = pyo.Objective(expr=least_squares(Z_v, y_v, w) / len(y_v))
    model.size = pyo.Objective(expr=size)
    return model


def standardised_diabetes(training):
    """Features and target in units of the training rows' mean and standard deviation."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    return rows[:, :-1], rows[:, -1]
