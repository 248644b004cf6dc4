"""Training of linear classifiers on one fold, written as a follower, and what they are judged by on the held rows.

Accuracy jumps in the penalty. ``upper_boxes`` bounds it by the rows whose class is the same for every answer within a
tube, and closes its bound exactly where the rows that change class do so one after the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyomo.environ as pyo

from bilevel.arrays import Array
from bilevel.language.row_losses import RowLosses, rows_of
from bilevel.learning.fold import Fold, beside, refuse

SCORES = {"accuracy": 1.0, "balanced_accuracy": 1.0}
"""The scores that are known of every classifier, and the most that each can be; all of them jump in the penalty."""


def logistic(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    """Logistic regression with a ridge: ``sum of losses + |w|^2 / (2 C)``, the intercept free but for liblinear's."""
    ratio, kind = estimator.l1_ratio or 0.0, getattr(estimator, "penalty", "deprecated")
    if ratio > 0.0 or kind not in ("deprecated", "l2"):
        refuse("of LogisticRegression the l2 penalty is known, and no other")
    if getattr(estimator, "multi_class", "") == "multinomial":
        refuse("multi_class='multinomial' is not known")
    within = estimator.fit_intercept and estimator.solver == "liblinear"
    return _trained(block, fold, penalty, estimator, "logistic", penalised=within)


def squared_hinge(block: Any, fold: Fold, penalty: Any, estimator: Any) -> Any:
    """The support vector machine of liblinear, which penalises its intercept as a feature."""
    if estimator.loss != "squared_hinge" or estimator.penalty != "l2":
        refuse(f"loss={estimator.loss!r} with penalty={estimator.penalty!r} is not known; 'squared_hinge' with 'l2' is")
    if estimator.multi_class != "ovr":
        refuse(f"multi_class={estimator.multi_class!r} is not known")
    return _trained(block, fold, penalty, estimator, "squared_hinge", penalised=True)


def _trained(block: Any, fold: Fold, penalty: Any, estimator: Any, loss: str, *, penalised: bool) -> Any:
    if estimator.class_weight is not None:
        refuse(f"class_weight={estimator.class_weight!r} is not known")
    X, X_held = fold.X, fold.X_held
    if estimator.fit_intercept:
        constant = float(estimator.intercept_scaling) if penalised else 1.0
        X, X_held = beside(X, constant), beside(X_held, constant)
    w = block.w = pyo.Var(range(X.shape[1]), initialize=0.0)
    free = 1 if estimator.fit_intercept and not penalised else 0
    size = sum(w[j] ** 2 for j in range(X.shape[1] - free))
    block.loss = pyo.Objective(expr=_rows(loss, X, w, fold.y) + 0.5 * size / penalty)
    count = len(fold.y_held)
    if fold.score == "neg_log_loss":
        return _rows("logistic", X_held, w, fold.y_held) / count
    weights = _by_class(fold.y_held) if fold.score == "balanced_accuracy" else np.full(count, 1.0 / count)
    return rows_of("zero_one", X_held, w, fold.y_held, weights=weights)


def _rows(loss: str, X: Array, w: Any, y: Array) -> RowLosses:
    """Losses over rows that stay arrays: tubes know more of them than of sums written out."""
    written = rows_of(loss, X, w, y)
    assert isinstance(written, RowLosses)
    return RowLosses(replace(written.rows, kept=True), written.coefficients)


def _by_class(y: Array) -> Array:
    """What a row counts where all classes that are there count the same."""
    present, places, counts = np.unique(y, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (len(present) * counts[places]))
