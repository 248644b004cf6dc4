"""Ridge regression by five-fold cross-validation: five followers, one penalty.

    min_lambda  1/5 sum_k 1/m_k ||Z_k w_k - y_k||^2          1e-4 <= lambda <= 100, searched in logarithms
    s.t.        w_k in argmin { 1/(2n_k) ||Z_-k w - y_-k||^2 + lambda/2 ||w||^2 }      for k = 0, ..., 4

Fold k holds the rows k, k + 5, k + 10, ... of the diabetes data; Z_-k and y_-k are all other rows. Each follower
has all to itself: its columns and target are in units of its own training rows' mean and population standard
deviation.

Source: Stone (1974), "Cross-validatory choice and assessment of statistical predictions"; Bennett et al. (2006),
    "Model selection via bilevel optimization" (folds as followers); Efron et al. (2004), "Least angle regression"
    (data).
Best known: F = 0.501194099221 at lambda = 0.00472254 (numpy's normal equations and scipy's bounded scalar minimiser
    to 1e-13; the only local minimum in a scan of 4,001 values of lambda).
"""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares, set_scale

KNOWN = {
    "upper_objective": 0.5011940992212465,
    "upper": {"penalty": 0.00472254457},
    "tolerance": 1e-5,
    "methods": ["kkt", "grid", "random"],
}

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def create_model(folds=5, smallest=1e-4, largest=100.0):
    """``folds`` followers; ``smallest`` and ``largest`` penalty."""
    rows = np.loadtxt(DATA, delimiter=",", skiprows=1)
    fold_of = np.arange(len(rows)) % folds

    model = pyo.ConcreteModel()
    model.folds = pyo.RangeSet(0, folds - 1)
    model.penalty = pyo.Var(bounds=(smallest, largest), initialize=0.1)
    set_scale(model.penalty, "log")

    model.lower = LowerLevel(model.folds)
    model.loss = pyo.Expression(model.folds)
    for k in model.folds:
        model.loss[k] = fit(model.lower[k], rows[fold_of != k], rows[fold_of == k], model.penalty)
    model.obj = pyo.Objective(expr=sum(model.loss[k] for k in model.folds) / folds)
    return model


def fit(follower, training, validation, penalty):
    """Let one follower fit the training rows; returns its loss on the validation rows."""
    mean, spread = training.mean(axis=0), training.std(axis=0)
    training, validation = (training - mean) / spread, (validation - mean) / spread

    follower.w = pyo.Var(range(training.shape[1] - 1), initialize=0.0)
    w = follower.w
    shrinkage = penalty / 2 * sum(w[j] ** 2 for j in w)
    error = least_squares(training[:, :-1], training[:, -1], w)
    follower.obj = pyo.Objective(expr=error / (2 * len(training)) + shrinkage)
    return least_squares(validation[:, :-1], validation[:, -1], w) / len(validation)
