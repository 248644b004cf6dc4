"""The elastic net: two penalties, one that sets coefficients to zero and one that keeps correlated ones together.

    min_(lambda, mu)  1/m ||Z_v w - y_v||^2        1e-3 <= lambda, mu <= 1, searched in logarithms
    s.t.              w in argmin { 1/(2n) ||Z w - y||^2 + lambda sum_j |w_j| + mu/2 ||w||^2 }

scikit-learn's ElasticNet(alpha, l1_ratio) is lambda = alpha l1_ratio and mu = alpha (1 - l1_ratio). Written with
``abs``: the toolkit makes of it what it makes of u - v.

Diabetes data, split and units as in ``ridge.py``.

Source: Zou and Hastie (2005), "Regularization and variable selection via the elastic net", JRSS B 67, 301-320; Efron
    et al. (2004), "Least angle regression" (data).
Best known: F = 0.4945028502962 at lambda = 0.0325896, mu = 0.267601 (exact answers on a grid of 61 x 61 penalties,
    the best point refined).
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares, set_scale

KNOWN = {
    "upper_objective": 0.4945028502961647,
    "tolerance": 1e-4,
    "methods": ["gradient"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def create_model(training=265, validation=89, smallest=1e-3, largest=1.0):
    """``training`` rows to fit on, the next ``validation`` to judge by; ``smallest`` and ``largest`` penalty."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    Z, y = rows[:, :-1], rows[:, -1]
    Z_v, y_v = Z[training:][:validation], y[training:][:validation]

    model = pyo.ConcreteModel()
    model.sparsity = pyo.Var(bounds=(smallest, largest), initialize=0.1)
    model.shrinkage = pyo.Var(bounds=(smallest, largest), initialize=0.1)
    set_scale(model.sparsity, "log")
    set_scale(model.shrinkage, "log")

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(Z.shape[1]), initialize=0.0)
    w = model.lower.w
    model.lower.obj = pyo.Objective(
        expr=least_squares(Z[:training], y[:training], w) / (2 * training)
        + model.sparsity * sum(abs(w[j]) for j in w)
        + model.shrinkage / 2 * sum(w[j] ** 2 for j in w)
    )
    model.obj = pyo.Objective(expr=least_squares(Z_v, y_v, w) / len(y_v))
    return model
