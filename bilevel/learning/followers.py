"""Estimators' training on one fold, written as a follower with one penalty.

An intercept that is not penalised is had by centring the training rows where errors are squares (Hastie, Tibshirani and
Friedman 2009, *The Elements of Statistical Learning*, section 3.4), else by a constant feature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyomo.environ as pyo
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.svm import SVR, LinearSVC, LinearSVR

from bilevel.arrays import Array
from bilevel.language.formulas import least_squares
from bilevel.learning.classifiers import SCORES, logistic, squared_hinge
from bilevel.learning.fold import Fold, beside, refuse

_MOST_ROWS = 400  # of a kernel's fold: as many coefficients, in dense matrices


_SQUARES = {"r2": 1.0, "neg_mean_squared_error": 0.0}


@dataclass(frozen=True)
class Known:
    """What is known of an estimator.

    Attributes
    ----------
    write : callable
        ``write(block, fold, penalty, estimator)`` declares the training and gives what is lost on the held rows: the
        sum of squares of a regression, one less the score or its negative of a classifier.
    path : str
        The exact path.
    penalty : str
        The parameter.
    scores : dict
        The scores, that of the estimator itself first, and the most that each can be.
    classifies : bool
        Whether the target is one of two classes.
    """

    write: Callable[[Any, Fold, Any, Any], Any]
    path: str
    penalty: str
    scores: dict[str, float] = field(default_factory=lambda: _SQUARES)
    classifies: bool = False


def known(estimator: Any) -> Known:
    """How an estimator's training is written, and the path exact for it; subclasses may train otherwise."""
    found = _KNOWN.get(type(estimator))
    if found is None:
        refuse(
            f"the training of {type(estimator).__name__} is not known as an optimization problem;"
            f" that of {', '.join(kind.__name__ for kind in _KNOWN)} is"
        )
    if getattr(estimator, "positive", False) and not isinstance(estimator, Lasso):
        refuse(f"positive=True is not known of {type(estimator).__name__}")
    return found


def _centred(fold: Fold, estimator: Any) -> Fold:
    """The fold about the means of its training rows, where there is an intercept."""
    if not estimator.fit_intercept:
        return fold
    mean, middle = fold.X.mean(axis=0), fold.y.mean()
    return Fold(fold.X - mean, fold.y - middle, fold.X_held - mean, fold.y_held - middle, fold.score)


def _ridge(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    fold = _centred(fold, estimator)
    w = block.w = pyo.Var(range(fold.X.shape[1]), initialize=0.0)
    block.loss = pyo.Objective(expr=least_squares(fold.X, fold.y, w) + penalty * sum(w[j] ** 2 for j in w))
    return least_squares(fold.X_held, fold.y_held, w)


def _lasso(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    """In units of the columns' and the target's spread, without which the path's steps are hard to tell apart."""
    fold = _centred(fold, estimator)
    spread, unit = _spread(fold.X), float(_spread(fold.y))
    columns = range(fold.X.shape[1])
    u = block.u = pyo.Var(columns, bounds=(0, None), initialize=0.0)
    v = block.v = pyo.Var(columns, bounds=(0, 0 if estimator.positive else None), initialize=0.0)
    w = [u[j] - v[j] for j in columns]
    error = least_squares(fold.X / spread, fold.y / unit, w) / (2 * len(fold.y))
    size = sum((u[j] + v[j]) / float(spread[j] * unit) for j in columns)
    block.loss = pyo.Objective(expr=error + penalty * size)
    return unit**2 * least_squares(fold.X_held / spread, fold.y_held / unit, w)


def _spread(rows: Array) -> Array:
    """The root mean square of each column; 1 of one that is zero."""
    found: Array = np.sqrt((rows**2).mean(axis=0))
    return np.where(found > 0.0, found, 1.0)


def _kernel_ridge(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    """In the kernel's own basis: ``K = V diag(s) V'``, ``c = V'a`` minimises ``c'(diag(s) + alpha)c / 2 - c'V'y``."""
    if len(fold.y) > _MOST_ROWS:
        refuse(f"{len(fold.y)} training rows of a fold; kernels of up to {_MOST_ROWS} are taken")
    if estimator.kernel == "precomputed":
        refuse("kernel='precomputed' is not known")
    kernel = estimator._get_kernel(fold.X)
    sizes, basis = np.linalg.eigh(kernel)
    if sizes[0] < -1e-9 * max(1.0, sizes[-1]):
        refuse(f"the kernel {estimator.kernel} is not positive semidefinite on these rows")
    sizes, slope = np.maximum(sizes, 0.0), basis.T @ fold.y
    c = block.c = pyo.Var(range(len(sizes)), initialize=0.0)
    curved = sum(0.5 * (float(s) + penalty) * c[j] ** 2 for j, s in enumerate(sizes))
    block.loss = pyo.Objective(expr=curved - sum(float(slope[j]) * c[j] for j in c))
    return least_squares(estimator._get_kernel(fold.X_held, fold.X) @ basis, fold.y_held, c)


def _elastic_net(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    fold = _centred(fold, estimator)
    spread, unit = _spread(fold.X), float(_spread(fold.y))
    w = block.w = pyo.Var(range(fold.X.shape[1]), initialize=0.0)
    error = least_squares(fold.X / spread, fold.y / unit, w) / (2 * len(fold.y))
    share = float(estimator.l1_ratio)
    size = share * sum(abs(w[j]) / float(spread[j] * unit) for j in w)
    squares = 0.5 * (1.0 - share) * sum((w[j] / float(spread[j])) ** 2 for j in w)
    block.loss = pyo.Objective(expr=error + penalty * (size + squares))
    return unit**2 * least_squares(fold.X_held / spread, fold.y_held / unit, w)


def _tube(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    """A tube with a slack for each row; what liblinear does to an intercept is to penalise it as a feature."""
    X, X_held, flat = fold.X, fold.X_held, 0
    if isinstance(estimator, LinearSVR):
        if estimator.loss != "epsilon_insensitive":
            refuse(f"loss={estimator.loss!r} is not known")
        if estimator.fit_intercept:
            X, X_held = (beside(rows, estimator.intercept_scaling) for rows in (X, X_held))
    else:
        if estimator.kernel != "linear":
            refuse(f"kernel={estimator.kernel!r} is not known; 'linear' is")
        X, X_held, flat = beside(X, 1.0), beside(X_held, 1.0), 1
    w = block.w = pyo.Var(range(X.shape[1]), initialize=0.0)
    short, over = (pyo.Var(range(len(X)), bounds=(0, None), initialize=0.0) for _ in range(2))
    block.short, block.over = short, over
    block.above, block.below = pyo.Constraint(range(len(X))), pyo.Constraint(range(len(X)))
    for i, (row, target) in enumerate(zip(X.tolist(), fold.y.tolist(), strict=True)):
        fitted = sum(a * w[j] for j, a in enumerate(row))
        block.above[i] = target - fitted <= float(estimator.epsilon) + short[i]
        block.below[i] = fitted - target <= float(estimator.epsilon) + over[i]
    size = 0.5 * sum(w[j] ** 2 for j in range(X.shape[1] - flat))
    block.loss = pyo.Objective(expr=size + penalty * sum(short[i] + over[i] for i in range(len(X))))
    return least_squares(X_held, fold.y_held, w)


_KNOWN: dict[type, Known] = {
    Ridge: Known(_ridge, "rational", "alpha"),
    Lasso: Known(_lasso, "homotopy", "alpha"),
    ElasticNet: Known(_elastic_net, "upper_boxes", "alpha"),
    LinearSVR: Known(_tube, "homotopy", "C"),
    SVR: Known(_tube, "homotopy", "C"),
    KernelRidge: Known(_kernel_ridge, "rational", "alpha"),
    LogisticRegression: Known(logistic, "upper_boxes", "C", {**SCORES, "neg_log_loss": 0.0}, classifies=True),
    LinearSVC: Known(squared_hinge, "upper_boxes", "C", SCORES, classifies=True),
}
