"""The support vector machine with a cost for each class, by cross-validation on the breast cancer data.

    min_(C_0, C_1)  1/K sum_k 1/m_k sum_(i in fold k) l(y_i (x_i'w_k + b_k))       1e-3 <= C <= 10, in logarithms
    s.t.  w_k, b_k in argmin { 1/2 ||w||^2 + sum_(i not in fold k) C_(y_i) max(0, 1 - y_i (x_i'w + b)) }

What is held out is judged by the smooth hinge l, a hinge whose kink is rounded: 1/2 - z below zero, (1 - z)^2 / 2 up to
one. The classes are 1 (benign) and -1 (malignant); scikit-learn's SVC(kernel="linear", C=1, class_weight={-1: C_0,
1: C_1}) trains the same. The 30 columns are in units of the rows' mean and population standard deviation; fold k holds
every K-th row.

Written with a slack for each row, as texts write it; the toolkit makes of it what it is, a sum of hinges.

Source: Cortes and Vapnik (1995), "Support-vector networks", Machine Learning 20, 273-297; Kunapuli, Bennett, Hu and
    Pang (2008), "Classification model selection via bilevel programming", Optimization Methods and Software 23,
    475-489 (the bilevel problem, there in the costs and the box of w); Street, Wolberg and Mangasarian (1993),
    "Nuclear feature extraction for breast tumor diagnosis" (data).
Best known: F = 0.0509807123 at C_0 = 0.03356629, C_1 = 0.03016182 (exact answers on a grid of 45 x 45 costs, the best
    twelve points refined). F has kinks and several local minima, most of them 4 to 7 % above.
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, rows_of, set_scale

KNOWN = {
    "upper_objective": 0.0509807122992021,
    "tolerance": 0.1,
    "methods": ["random", "gradient"],
}

DATA = Path(__file__).parent / "data" / "breast_cancer.csv"


def create_model(rows=285, folds=3, smallest=1e-3, largest=10.0):
    """``rows`` of the data in so many ``folds``; ``smallest`` and ``largest`` cost."""
    X, y = breast_cancer(rows)

    model = pyo.ConcreteModel()
    model.cost = pyo.Var([-1, 1], bounds=(smallest, largest), initialize=0.1)
    for c in model.cost.values():
        set_scale(c, "log")

    losses = []
    model.lower = LowerLevel(range(folds))
    for k in range(folds):
        held = np.arange(rows) % folds == k
        losses.append(_machine(model.lower[k], model.cost, X[~held], y[~held], X[held], y[held]))
    model.obj = pyo.Objective(expr=sum(losses) / folds)
    return model


def _machine(lower, cost, X, y, X_held, y_held):
    """Declare one fold's training; what it loses on the rows held out."""
    count = range(len(y))
    lower.w = pyo.Var(range(X.shape[1]), initialize=0.0)
    lower.b = pyo.Var(initialize=0.0)
    lower.slack = pyo.Var(count, bounds=(0, None), initialize=0.0)
    w, slack = lower.w, lower.slack

    lower.margin = pyo.Constraint(count)
    for i in count:
        lower.margin[i] = float(y[i]) * (sum(a * w[j] for j, a in enumerate(X[i].tolist())) + lower.b) >= 1 - slack[i]
    lower.obj = pyo.Objective(
        expr=0.5 * sum(w[j] ** 2 for j in w) + sum(cost[int(y[i])] * slack[i] for i in count),
    )
    X_held = np.column_stack([X_held, np.ones(len(X_held))])
    return rows_of("smooth_hinge", X_held, [*w.values(), lower.b], y_held) / len(y_held)


def breast_cancer(count):
    """Features in units of these rows, and classes -1 and 1."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)[:count]
    X, y = rows[:, :-1], 2.0 * rows[:, -1] - 1.0
    return (X - X.mean(axis=0)) / X.std(axis=0), y
