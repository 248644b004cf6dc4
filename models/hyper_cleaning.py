"""Data hyper-cleaning: a weight for every training row, so that rows with a wrong label lose theirs.

    min_s  1/m sum_validation l(x_i'w + b, y_i)                 0 <= s_i <= 1, one for each training row
    s.t.   w, b in argmin { 1/n sum_training s_i l(x_i'w + b, y_i) + lambda/2 ||w||^2 },   l(z, y) = log(1 + exp(-y z))

Some of the training labels were turned round; no one says which. The held-out rows are clean, and the gradient of their
loss in the weights tells. The intercept is the last entry of w and has the penalty too, so that there is one answer
where all weights are zero. scikit-learn's LogisticRegression takes the weights as sample_weight.

Breast cancer data in units as in ``logistic_ridge.py``: the first ``training`` rows train, the next ``validation``
validate; of the training labels a ``wrong`` share, drawn with seed 0, is turned round.

Source: Franceschi, Donini, Frasconi and Pontil (2017), "Forward and reverse gradient-based hyperparameter
    optimization", section 5.1 (the problem); Street, Wolberg and Mangasarian (1993), "Nuclear feature extraction for
    breast tumor diagnosis" (data).
Best known: F = 0.0836402527, found by 60 evaluations of ``gradient`` (seed 0); no proof, more of them do better.
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, rows_of

KNOWN = {
    "upper_objective": 0.08364025271345152,
    "tolerance": 1e-2,
    "methods": ["gradient"],
}

DATA = Path(__file__).parent / "data" / "breast_cancer.csv"


def create_model(training=100, validation=142, wrong=0.2, penalty=0.01):
    """``training`` rows to fit on, a ``wrong`` share of them mislabelled, the next ``validation`` to judge by."""
    X, y, X_v, y_v, _ = mislabelled(training, validation, wrong)

    model = pyo.ConcreteModel()
    model.weight = pyo.Var(range(training), bounds=(0.0, 1.0), initialize=0.5)

    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(X.shape[1]), initialize=0.0)
    w = model.lower.w
    weights = [model.weight[i] for i in range(training)]
    model.lower.obj = pyo.Objective(
        expr=rows_of("logistic", X, w, y, weights=weights) / training + penalty / 2 * sum(w[j] ** 2 for j in w)
    )
    model.obj = pyo.Objective(expr=rows_of("logistic", X_v, w, y_v) / len(y_v))
    return model


def mislabelled(training, validation, wrong):
    """Features with a column of ones and classes -1 and 1 of both parts, and which training rows are mislabelled."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)[: training + validation]
    X, y = rows[:, :-1], 2.0 * rows[:, -1] - 1.0
    X = (X - X[:training].mean(axis=0)) / X[:training].std(axis=0)
    X = np.column_stack([X, np.ones(len(X))])
    turned = np.random.default_rng(0).random(training) < wrong
    y[:training][turned] *= -1.0
    return X[:training], y[:training], X[training:], y[training:], turned
