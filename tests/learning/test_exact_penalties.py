"""The best penalty with a proof: beside a fine scan with scikit-learn's own fits."""

from __future__ import annotations

import numpy as np
import pytest

from bilevel.errors import RefusedError

pytest.importorskip("sklearn")

from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import BayesianRidge, ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVC, LinearSVR

from bilevel.learning import BilevelSearchCV

X, y = load_diabetes(return_X_y=True)
X, y = X[:120], y[:120]
SPACE = (1e-3, 10.0, "log")


@pytest.mark.parametrize(
    ("estimator", "name", "scoring"),
    [
        (Ridge(), "alpha", None),
        (Ridge(fit_intercept=False), "alpha", "neg_mean_squared_error"),
        (make_pipeline(StandardScaler(), Ridge()), "ridge__alpha", "r2"),
        (Lasso(tol=1e-12, max_iter=100_000), "alpha", "neg_mean_squared_error"),
        (Lasso(tol=1e-12, max_iter=100_000, positive=True), "alpha", None),
        (KernelRidge(kernel="rbf", gamma=5.0), "alpha", None),
    ],
    ids=["ridge", "no intercept", "pipeline", "lasso", "not negative", "kernel"],
)
def test_no_penalty_of_a_scan_is_better(estimator, name, scoring):
    rows = slice(0, 60 if isinstance(estimator, KernelRidge) else 120)
    X_, y_ = X[rows], y[rows]
    cv = KFold(3, shuffle=True, random_state=0)
    search = BilevelSearchCV(estimator, {name: SPACE}, method="exact", cv=cv, scoring=scoring).fit(X_, y_)
    assert search.verdict_ == "certified_global"
    scan = [
        cross_val_score(estimator.set_params(**{name: a}), X_, y_, cv=cv, scoring=scoring).mean()
        for a in np.geomspace(*SPACE[:2], 21)
    ]
    assert search.best_score_ >= max(scan) - 1e-6 * abs(max(scan))
    assert search.bound_ == pytest.approx(search.best_score_, rel=1e-5)
    assert search.bound_ >= search.best_score_ - 1e-6 * abs(search.best_score_)
    again = cross_val_score(estimator.set_params(**search.best_params_), X_, y_, cv=cv, scoring=scoring).mean()
    assert again == pytest.approx(search.best_score_, rel=1e-9)  # both are scikit-learn's
    most = 0.0 if scoring == "neg_mean_squared_error" else 1.0
    assert most - search.result_.upper_objective == pytest.approx(again, rel=1e-6)  # ours is not
    values, scores = search.validation_curve_[name], search.validation_curve_["mean_test_score"]
    for k in (0, 30, -1):
        known = cross_val_score(estimator.set_params(**{name: values[k]}), X_, y_, cv=cv, scoring=scoring).mean()
        assert scores[k] == pytest.approx(known, rel=1e-6)
    assert scores.max() <= search.bound_ + 1e-9


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (ElasticNet(tol=1e-12, max_iter=100_000), "alpha"),
        (LinearSVR(epsilon=0.2, tol=1e-10, max_iter=1_000_000, random_state=0), "C"),
    ],
    ids=["elastic net", "tube"],
)
def test_in_units_of_the_columns_as_well(estimator, name):
    rng = np.random.default_rng(0)
    X_ = rng.normal(size=(60, 4))
    y_ = X_[:, 0] - X_[:, 1] + 0.5 * rng.normal(size=60)
    cv, space = KFold(3), (1e-2, 1.0, "log")
    search = BilevelSearchCV(estimator, {name: space}, method="exact", cv=cv).fit(X_, y_)
    assert search.verdict_ == "certified_global"
    scan = [
        cross_val_score(estimator.set_params(**{name: a}), X_, y_, cv=cv).mean() for a in np.geomspace(*space[:2], 9)
    ]
    assert search.best_score_ >= max(scan) - 1e-6
    assert search.bound_ == pytest.approx(search.best_score_, rel=1e-5)
    assert 1.0 - search.result_.upper_objective == pytest.approx(search.best_score_, rel=1e-6)


def test_an_inexact_fit_of_scikit_learn_is_said():
    with pytest.warns(UserWarning, match="smaller tol"):
        BilevelSearchCV(Lasso(tol=0.1), {"alpha": SPACE}, method="exact", cv=3).fit(X, y)


@pytest.mark.parametrize(
    ("estimator", "space", "options", "message"),
    [
        (BayesianRidge(), {"alpha_1": SPACE}, {}, "BayesianRidge is not known .* Ridge, Lasso, ElasticNet"),
        (SVR(), {"C": SPACE}, {}, "kernel='rbf' is not known"),
        (LinearSVR(loss="squared_epsilon_insensitive"), {"C": SPACE}, {}, "loss='squared_epsilon"),
        (Ridge(), {"alpha": [1, 2]}, {}, "must be a range of reals"),
        (Ridge(), {"alpha": SPACE, "tol": SPACE}, {}, "one penalty is proved at a time"),
        (Ridge(), {"tol": SPACE}, {}, "tol is no penalty"),
        (Ridge(positive=True), {"alpha": SPACE}, {}, "positive=True"),
        (Ridge(), {"alpha": SPACE}, {"scoring": "neg_mean_absolute_error"}, "not known as a formula"),
    ],
)
def test_what_is_not_known_is_refused(estimator, space, options, message):
    with pytest.raises(RefusedError, match=message):
        BilevelSearchCV(estimator, space, method="exact", **options).fit(X, y)


def test_weights_are_refused():
    with pytest.raises(RefusedError, match="sample_weight"):
        BilevelSearchCV(Ridge(), {"alpha": SPACE}, method="exact").fit(X, y, sample_weight=np.ones(len(y)))


@pytest.mark.parametrize(
    ("estimator", "scoring"),
    [
        (LogisticRegression(tol=1e-12, max_iter=10_000), None),
        (LogisticRegression(tol=1e-12, max_iter=10_000, fit_intercept=False), "neg_log_loss"),
        (
            LogisticRegression(tol=1e-12, max_iter=10_000, solver="liblinear", intercept_scaling=2.0),
            "balanced_accuracy",
        ),
        (LinearSVC(tol=1e-12, max_iter=1_000_000, random_state=0), None),
    ],
    ids=["logistic", "log loss", "liblinear", "machine"],
)
def test_classifiers_and_their_errors(estimator, scoring):
    X_, y_ = load_breast_cancer(return_X_y=True)
    X_, y_ = StandardScaler().fit_transform(X_[:90, :5]), np.array(["no", "yes"])[y_[:90]]
    cv, space = KFold(3), (1e-2, 10.0, "log")
    search = BilevelSearchCV(estimator, {"C": space}, method="exact", cv=cv, scoring=scoring).fit(X_, y_)
    scan = [
        cross_val_score(estimator.set_params(C=c), X_, y_, cv=cv, scoring=scoring).mean()
        for c in np.geomspace(*space[:2], 41)
    ]
    assert search.verdict_ == "certified_global"
    assert search.bound_ >= max(scan) - 1e-9
    assert search.best_score_ >= max(scan) - 1e-6
    values, scores = search.validation_curve_["C"], search.validation_curve_["mean_test_score"]
    assert scores.max() <= search.bound_ + 1e-9
    for k in (0, 33, -1):
        known = cross_val_score(estimator.set_params(C=values[k]), X_, y_, cv=cv, scoring=scoring).mean()
        assert scores[k] == pytest.approx(known, rel=1e-6)


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (LogisticRegression(l1_ratio=1.0, solver="liblinear"), {}, "the l2 penalty is known"),
        (LogisticRegression(class_weight="balanced"), {}, "class_weight='balanced' is not known"),
        (LogisticRegression(), {"scoring": "roc_auc"}, "'roc_auc' is not known .* accuracy and balanced_accuracy and"),
        (LinearSVC(loss="hinge"), {}, "loss='hinge'"),
        (LinearSVC(), {"scoring": "neg_log_loss"}, "not known as a formula"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of scikit-learn, where a version spells penalties otherwise
def test_what_is_not_known_of_classifiers_is_refused(estimator, options, message):
    with pytest.raises(RefusedError, match=message):
        BilevelSearchCV(estimator, {"C": SPACE}, method="exact", **options).fit(X, y > 140)


@pytest.mark.filterwarnings("ignore")
def test_a_fold_without_one_of_the_classes_is_refused():
    with pytest.raises(RefusedError, match="could not fit or score every fold"):
        BilevelSearchCV(LogisticRegression(), {"C": SPACE}, method="exact", cv=KFold(3)).fit(X, np.arange(120) < 80)


def test_three_classes_are_refused():
    with pytest.raises(RefusedError, match="y holds 3 classes"):
        BilevelSearchCV(LogisticRegression(), {"C": SPACE}, method="exact", cv=KFold(3)).fit(
            X, np.digitize(y, [100, 200])
        )
