"""The lasso: a penalty that sets coefficients to zero, as a quadratic program with bounds.

    min_lambda  1/m ||Z_v w - y_v||^2              w = u - v,  0.001 <= lambda <= 1, searched in logarithms
    s.t.        u, v in argmin { 1/(2n) ||Z (u - v) - y||^2 + lambda sum_j (u_j + v_j) : u, v >= 0 }

In the split variables |w_j| is u_j + v_j, because the penalty leaves at most one of the two positive. The
follower's Hessian is singular (u and v may grow together), its optimum still unique. The coefficients are piecewise
linear in lambda, so that F is piecewise quadratic, with kinks where a coefficient comes or goes. ``abs(w)`` says the
same (``elastic_net.py``).

Diabetes data, split and units as in ``ridge.py``.

Source: Tibshirani (1996), "Regression shrinkage and selection via the lasso", JRSS B 58, 267-288; Efron et al.
    (2004), "Least angle regression" (data; the path in lambda).
Best known: F = 0.501459775723 at lambda = 0.0427534266, with seven coefficients. Proof: the whole path in lambda
    has 13 pieces (homotopy of Osborne, Presnell and Turlach 2000, in numpy), and the parabola on each is minimised
    in closed form. The optimum is a kink: there the eighth coefficient leaves zero.
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares, set_scale

KNOWN = {
    "upper_objective": 0.5014597757233388,
    "upper": {"penalty": 0.042753426591959},
    "tolerance": 1e-5,
    "methods": ["kkt", "grid", "random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def create_model(features=10, training=265, validation=89, smallest=1e-3, largest=1.0):
    """``training`` rows to fit on, the next ``validation`` to judge by; ``smallest`` and ``largest`` penalty.

    The first ten of the ``features`` are the measured ones, the next 55 their squares and products, the rest noise.
    """
    Z, y = _data(features, training)
    Z_v, y_v = Z[training:][:validation], y[training:][:validation]

    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(smallest, largest), initialize=0.1)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel()
    model.lower.features = pyo.RangeSet(0, Z.shape[1] - 1)
    model.lower.u = pyo.Var(model.lower.features, bounds=(0, None), initialize=0.0)
    model.lower.v = pyo.Var(model.lower.features, bounds=(0, None), initialize=0.0)
    u, v = model.lower.u, model.lower.v
    w = [u[j] - v[j] for j in model.lower.features]
    model.lower.obj = pyo.Objective(
        expr=least_squares(Z[:training], y[:training], w) / (2 * training)
        + model.penalty * sum(u[j] + v[j] for j in model.lower.features)
    )
    model.obj = pyo.Objective(expr=least_squares(Z_v, y_v, w) / len(y_v))
    return model


def training_data(features, training):
    """The rows to fit on."""
    Z, y = _data(features, training)
    return Z[:training], y[:training]


def _data(features, training):
    """All rows, in units of the training rows."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    rows = np.column_stack([_widened(rows[:, :-1], features), rows[:, -1]])
    rows = (rows - rows[:training].mean(axis=0)) / rows[:training].std(axis=0)
    return rows[:, :-1], rows[:, -1]


def _widened(measured, features):
    """So many columns."""
    count = measured.shape[1]
    centred = measured - measured.mean(axis=0)
    products = [centred[:, i] * centred[:, j] for i in range(count) for j in range(i, count)]
    products = [column for column in products if len(np.unique(column)) > 2]  # the square of sex is sex
    wide = np.column_stack([measured, *products])[:, :features]
    noise = np.random.default_rng(0).standard_normal((len(measured), max(0, features - wide.shape[1])))
    return np.hstack([wide, noise])
