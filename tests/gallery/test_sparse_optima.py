"""The gallery's followers with an l1 term, hinges or weighted rows, answered by scikit-learn instead."""

import numpy as np
import pytest
from model_files import diabetes, load
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, QuantileRegressor
from sklearn.svm import SVC

import bilevel


def test_elastic_net_is_that_of_scikit_learn():
    Z, y, _, _ = diabetes()
    response = bilevel.Response(load("elastic_net").create_model())
    for sparsity, shrinkage in ((0.02, 0.3), (0.3, 0.01), (0.0326, 0.268)):
        total = sparsity + shrinkage
        wanted = ElasticNet(alpha=total, l1_ratio=sparsity / total, fit_intercept=False, tol=1e-14, max_iter=10**6)
        reply = response({"sparsity": sparsity, "shrinkage": shrinkage})
        assert reply.y[:10] == pytest.approx(wanted.fit(Z, y).coef_, abs=1e-6)


def test_elastic_net_optimum():
    module = load("elastic_net")
    result = bilevel.solve(module.create_model(), method="gradient", budget=300, seed=0)
    assert result.upper_objective == pytest.approx(module.KNOWN["upper_objective"], rel=1e-8)


@pytest.mark.parametrize("features", [10, 100])
def test_lasso_of_any_size_is_that_of_scikit_learn(features):
    model = load("lasso").create_model(features=features)
    response = bilevel.Response(model)
    assert response.engines == {"lower": "l1"}
    Z, y = load("lasso").training_data(features, 265)
    for penalty in (0.3, 0.05, 0.01):
        wanted = Lasso(alpha=penalty, fit_intercept=False, tol=1e-12, max_iter=10**6).fit(Z, y).coef_
        reply = response({"penalty": penalty})
        assert reply.y[:features] - reply.y[features:] == pytest.approx(wanted, abs=1e-6)


def test_adaptive_lasso_is_that_of_scikit_learn_on_scaled_columns():
    module = load("adaptive_lasso")
    response = bilevel.Response(module.create_model())
    Z, y, _, _ = diabetes()
    penalty = np.geomspace(0.005, 0.5, 10)
    wanted = Lasso(alpha=1.0, fit_intercept=False, tol=1e-14, max_iter=10**6).fit(Z / penalty, y).coef_ / penalty
    assert response(penalty).y[:10] == pytest.approx(wanted, abs=1e-6)
    gradient = response.gradient(penalty)
    for j in range(10):
        step = np.zeros(10)
        step[j] = 1e-7
        slope = (response(penalty + step).cost - response(penalty - step).cost) / 2e-7
        assert gradient.value[j] == pytest.approx(slope, abs=1e-5)


def test_hyper_cleaning_finds_rows_with_a_wrong_label():
    module = load("hyper_cleaning")
    X, y, _, _, turned = module.mislabelled(100, 142, 0.2)
    model = module.create_model()
    result = bilevel.solve(model, method="gradient", budget=40, seed=0)
    weights = np.array([result.upper[f"weight[{i}]"] for i in range(100)])
    assert weights[turned].mean() < 0.5 * weights[~turned].mean()
    used = weights > 0.0
    wanted = LogisticRegression(C=1.0 / (100 * 0.01), fit_intercept=False, tol=1e-10, max_iter=10**5)
    wanted.fit(X[used], y[used], sample_weight=weights[used])
    assert list(result.lower.values()) == pytest.approx(wanted.coef_[0], abs=1e-4)


def test_a_support_vector_machine_is_that_of_scikit_learn():
    module = load("svm")
    response = bilevel.Response(module.create_model())
    assert set(response.engines.values()) == {"hinges"}
    X, y = module.breast_cancer(285)
    apart = np.arange(285) % 3 == 0
    for malignant, benign in ((0.05, 0.05), (1.0, 0.2)):
        wanted = SVC(kernel="linear", class_weight={-1: malignant, 1: benign}, tol=1e-11).fit(X[~apart], y[~apart])
        reply = response(np.array([malignant, benign]))
        assert reply.y[:30] == pytest.approx(wanted.coef_[0], abs=1e-6)
        assert reply.y[30] == pytest.approx(wanted.intercept_[0], abs=1e-6)
    best = response(np.array([0.033566286570782804, 0.030161824579357524]))
    assert best.cost == pytest.approx(module.KNOWN["upper_objective"], rel=1e-7)


def test_quantile_regression_is_that_of_scikit_learn():
    module = load("quantile")
    X, y, _, _ = module.diabetes(265, 89)
    response = bilevel.Response(module.create_model())
    for penalty in (0.01, 0.1):
        wanted = QuantileRegressor(quantile=0.9, alpha=penalty, fit_intercept=True, solver="highs").fit(X, y)
        reply = response({"penalty": penalty})
        assert reply.y[:10] == pytest.approx(wanted.coef_, abs=1e-6)
        assert reply.y[10] == pytest.approx(wanted.intercept_, abs=1e-6)
