"""The stated optima of the hyperparameter models, by numpy and scipy instead of our solvers."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from model_files import GALLERY, diabetes, evaluate, load, set_values, standardised
from scipy.linalg import solveh_banded
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits

import bilevel
from bilevel.language.lower_level import response_of


def fitted(Z: Any, y: Any, penalty: Any) -> Any:
    """Ridge by the augmented least-squares problem, a second way beside the normal equations."""
    n, p = Z.shape
    root = np.sqrt(np.broadcast_to(penalty, p) * n)
    return np.linalg.lstsq(np.vstack([Z, np.diag(root)]), np.concatenate([y, np.zeros(p)]), rcond=None)[0]


def validation_loss(penalty: Any, Z: Any, y: Any, Z_v: Any, y_v: Any) -> float:
    return float(np.mean((Z_v @ fitted(Z, y, penalty) - y_v) ** 2))


def minimise_in_logarithms(loss: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    grid = np.linspace(np.log(low), np.log(high), 201)
    values = [loss(float(np.exp(t))) for t in grid]
    best = int(np.argmin(values))
    bracket = grid[max(best - 1, 0)], grid[min(best + 1, 200)]
    answer = minimize_scalar(
        lambda t: loss(float(np.exp(t))), bounds=bracket, method="bounded", options={"xatol": 1e-12}
    )
    return float(answer.fun), float(np.exp(answer.x))


def test_ridge_optimum() -> None:
    module = load("ridge")
    data = diabetes()
    objective, penalty = minimise_in_logarithms(lambda p: validation_loss(p, *data), 1e-4, 100)
    assert objective == pytest.approx(module.KNOWN["upper_objective"], abs=1e-8)
    assert penalty == pytest.approx(module.KNOWN["upper"]["penalty"], rel=1e-4)

    model = module.create_model()
    w = fitted(data[0], data[1], penalty)
    set_values(model, {"penalty": penalty, **{f"lower.w[{j}]": value for j, value in enumerate(w)}})
    assert evaluate(model.obj.expr) == pytest.approx(objective, abs=1e-12)
    training = np.mean((data[0] @ w - data[1]) ** 2) / 2 + penalty / 2 * w @ w
    assert evaluate(model.lower.obj.expr) == pytest.approx(training, abs=1e-12)


def logistic_ridge(X: Any, y: Any, penalty: float) -> Any:
    """Newton's method with the intercept last and not penalised, a second way beside scikit-learn's."""
    ridge = penalty * np.append(np.ones(X.shape[1] - 1), 0.0)
    w = np.zeros(X.shape[1])
    for _ in range(30):
        share = 1.0 / (1.0 + np.exp(y * (X @ w)))
        slope = -X.T @ (y * share) / len(y) + ridge * w
        w -= np.linalg.solve((X.T * (share * (1.0 - share))) @ X / len(y) + np.diag(ridge), slope)
    return w


def test_logistic_ridge_optimum() -> None:
    module = load("logistic_ridge")
    X, y, X_v, y_v = module.breast_cancer(285, 142)
    X, X_v = module.with_intercept(X), module.with_intercept(X_v)

    def loss(penalty: float) -> float:
        return float(np.mean(np.log1p(np.exp(-y_v * (X_v @ logistic_ridge(X, y, penalty))))))

    objective, penalty = minimise_in_logarithms(loss, 1e-4, 10)
    assert objective == pytest.approx(module.KNOWN["upper_objective"], abs=1e-10)
    assert penalty == pytest.approx(module.KNOWN["upper"]["penalty"], rel=1e-4)

    model = module.create_model()
    w = logistic_ridge(X, y, penalty)
    set_values(model, {"penalty": penalty, **{f"lower.w[{j}]": value for j, value in enumerate(w)}})
    assert evaluate(model.obj.expr) == pytest.approx(objective, abs=1e-12)
    result = bilevel.solve(model, method="gradient", budget=40, seed=0)
    assert result.upper_objective == pytest.approx(objective, abs=1e-9)
    np.testing.assert_allclose(list(result.lower.values()), logistic_ridge(X, y, result.upper["penalty"]), atol=1e-6)


def test_ridge_folds_optimum() -> None:
    module = load("ridge_folds")
    rows = np.loadtxt(GALLERY / "data" / "diabetes.csv", delimiter=",", skiprows=1)
    fold = np.arange(len(rows)) % 5
    folds = [standardised(rows[fold != k], rows[fold == k]) for k in range(5)]
    objective, penalty = minimise_in_logarithms(
        lambda p: float(np.mean([validation_loss(p, *data) for data in folds])), 1e-4, 100
    )
    assert objective == pytest.approx(module.KNOWN["upper_objective"], abs=1e-8)
    assert penalty == pytest.approx(module.KNOWN["upper"]["penalty"], rel=1e-4)

    model = module.create_model()
    for k, (Z, y, _, _) in enumerate(folds):
        for j, value in enumerate(fitted(Z, y, penalty)):
            model.lower[k].w[j].set_value(value)
    assert evaluate(model.obj.expr) == pytest.approx(objective, abs=1e-12)


def test_ridge_line_rises_from_zero() -> None:
    module = load("ridge_line")
    model = module.create_model()
    rng = np.random.default_rng(42)
    x = rng.uniform(0, 1, 100)
    y = 2 * x + 1 + rng.normal(0, 0.1, 100)
    covariance = np.mean((x[:80] - x[:80].mean()) * (y[:80] - y[:80].mean()))

    def at(penalty: float) -> float:
        slope = covariance / (x[:80].var() + penalty)
        intercept = y[:80].mean() - slope * x[:80].mean()
        set_values(model, {"penalty": penalty, "lower.slope": slope, "lower.intercept": intercept})
        residual = y[80:] - slope * x[80:] - intercept
        return float(np.mean(residual**2) + penalty * slope**2)

    losses = [at(penalty) for penalty in np.linspace(1, 0, 1001)]
    assert np.all(np.diff(losses) < 0)
    assert losses[-1] == pytest.approx(module.KNOWN["upper_objective"], abs=1e-12)
    assert evaluate(model.obj.expr) == pytest.approx(losses[-1], abs=1e-12)
    assert model.lower.slope.value == pytest.approx(1.99, abs=0.01)
    assert model.lower.intercept.value == pytest.approx(1.0, abs=0.01)


def test_smooth_trend_optimum() -> None:
    module = load("smooth_trend")
    points, t = 500, np.linspace(0, 1, 500)
    series = np.sin(9 * t) + 4 * np.abs(t - 0.6) + np.random.default_rng(7).normal(0, 0.25, points)
    seen = np.arange(points) % 4 > 0
    second = np.diff(np.eye(points), 2, axis=0)
    bends, fit = np.zeros((3, points)), np.zeros((3, points))
    fit[2] = seen
    for k in range(3):
        bends[2 - k, k:] = np.diag(second.T @ second, k)

    def answer(penalty: float) -> Any:
        return solveh_banded(fit + penalty * bends, series * seen)

    def loss(penalty: float) -> float:
        return float(np.mean((answer(penalty) - series)[~seen] ** 2))

    objective, penalty = minimise_in_logarithms(loss, 1e-2, 1e6)
    assert objective == pytest.approx(module.KNOWN["upper_objective"], abs=1e-10)
    assert penalty == pytest.approx(module.KNOWN["upper"]["penalty"], rel=1e-4)
    model = module.create_model()
    set_values(model, {"penalty": penalty, **{f"lower.y[{k}]": v for k, v in enumerate(answer(penalty))}})
    assert evaluate(model.obj.expr) == pytest.approx(objective, abs=1e-12)


def test_penalty_per_feature_is_stationary_at_the_best_known_point() -> None:
    module = load("penalty_per_feature")
    data = diabetes()
    best = np.log([module.KNOWN["upper"][f"penalty[{j}]"] for j in range(10)])
    value = validation_loss(np.exp(best), *data)
    assert value == pytest.approx(module.KNOWN["upper_objective"], abs=1e-8)
    for j in range(10):
        for step in (-1e-3, 1e-3):
            moved = best.copy()
            moved[j] = np.clip(moved[j] + step, np.log(1e-3), np.log(100))
            assert validation_loss(np.exp(moved), *data) >= value - 1e-12


def lasso_path(Z: Any, y: Any, lowest: float) -> list[tuple[float, float, Any, Any]]:
    """Pieces ``(high, low, p, q)`` with coefficients ``p - penalty * q`` between two kinks (Osborne et al., 2000)."""
    gram, covariance = Z.T @ Z / len(y), Z.T @ y / len(y)
    active, sign = [int(np.argmax(np.abs(covariance)))], np.sign(covariance)
    high, pieces = float(np.abs(covariance).max()), []
    while high > lowest:
        p, q = np.zeros(len(covariance)), np.zeros(len(covariance))
        block = gram[np.ix_(active, active)]
        p[active], q[active] = np.linalg.solve(block, covariance[active]), np.linalg.solve(block, sign[active])
        events = [(p[j] / q[j], j, 0) for j in active]
        for j in set(range(len(covariance))) - set(active):
            events += [((covariance[j] - gram[j] @ p) / (s - gram[j] @ q), j, s) for s in (1, -1)]
        low, j, entering = max((e for e in events if lowest < e[0] < high - 1e-12), default=(lowest, -1, 0))
        pieces.append((high, low, p, q))
        high = low
        if entering:
            active.append(j)
            sign[j] = entering
        elif j >= 0:
            active.remove(j)
    return pieces


def test_lasso_optimum_is_a_kink_of_the_path() -> None:
    module = load("lasso")
    Z, y, Z_v, y_v = diabetes()
    best = (np.inf, np.nan)
    for high, low, p, q in lasso_path(Z, y, 1e-3):
        middle = np.sign(p - (high + low) / 2 * q)
        for penalty in (high, low):  # optimal at both ends of a piece, hence on all of it: the conditions are affine
            w = p - penalty * q
            gradient = Z.T @ (Z @ w - y) / len(y)
            assert np.abs(gradient).max() <= penalty + 1e-12
            assert gradient[middle != 0] == pytest.approx(-penalty * middle[middle != 0], abs=1e-12)
            assert np.all(w * middle >= -1e-12)
        residual, slope = Z_v @ p - y_v, Z_v @ q
        penalty = np.clip(residual @ slope / (slope @ slope), low, high)
        best = min(best, (np.mean((residual - penalty * slope) ** 2), penalty))
    assert best[0] == pytest.approx(module.KNOWN["upper_objective"], abs=1e-12)
    assert best[1] == pytest.approx(module.KNOWN["upper"]["penalty"], rel=1e-9)
    assert any(best[1] == pytest.approx(low, rel=1e-12) for _, low, _, _ in lasso_path(Z, y, 1e-3))


def test_kernel_ridge_by_enumeration() -> None:
    """One spectral decomposition per kernel and gamma gives the predictions for all penalties."""
    module = load("kernel_ridge")
    model = module.create_model()
    Z, y, Z_v, y_v = diabetes()
    losses = {}
    for kernel, gamma in itertools.product(model.kernel.domain, model.gamma.domain):
        with threadpool_limits(1):  # one thread is faster on matrices this small
            values, vectors = np.linalg.eigh(module.KERNELS[kernel](Z, Z, gamma))
        rotated, target = module.KERNELS[kernel](Z_v, Z, gamma) @ vectors, vectors.T @ y
        for penalty in model.penalty.domain:
            losses[kernel, gamma, penalty] = np.mean((rotated @ (target / (values + len(y) * penalty)) - y_v) ** 2)
    best = min(losses, key=lambda point: losses[point])
    assert len(losses) == 189
    assert best == tuple(module.KNOWN["upper"].values())
    answer = response_of(model.lower)(module.KNOWN["upper"])
    for i, value in enumerate(answer["prediction"]):
        model.lower.prediction[i].set_value(value)
    assert evaluate(model.obj.expr) == pytest.approx(module.KNOWN["upper_objective"], abs=1e-10)
    assert losses[best] == pytest.approx(module.KNOWN["upper_objective"], abs=1e-10)


def test_poisson_optimum() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    module = load("poisson")
    X, y, X_v, y_v = module.progression(265, 89)

    def fit(penalty: float) -> Any:
        fitted = linear_model.PoissonRegressor(alpha=penalty, tol=1e-10, max_iter=1000).fit(X[:, :-1], y)
        return np.append(fitted.coef_, fitted.intercept_)

    def loss(penalty: float) -> float:
        z = X_v @ fit(penalty)
        return float(np.mean(np.exp(z) - y_v * z))

    known, best = module.KNOWN["upper_objective"], module.KNOWN["upper"]["penalty"]
    assert loss(best) == pytest.approx(known, abs=1e-8)
    assert all(loss(best * factor) > known for factor in (0.5, 0.9, 1.1, 2.0))
    result = bilevel.solve(module.create_model(), method="gradient", budget=30, seed=0)
    assert result.upper_objective == pytest.approx(known, abs=1e-9)
    np.testing.assert_allclose(list(result.lower.values()), fit(result.upper["penalty"]), atol=1e-6)


@pytest.mark.slow
def test_poisson_is_proved() -> None:
    result = bilevel.solve(load("poisson").create_model(), time_limit=60)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(load("poisson").KNOWN["upper_objective"], abs=1e-6)


def test_boosting_is_scikit_learns() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    module = load("boosting")
    known = module.KNOWN
    Z, y, V, y_v = diabetes()
    trees = ensemble.GradientBoostingRegressor(
        loss="huber", alpha=0.7, learning_rate=0.22360679774997896, n_estimators=20, max_depth=4, min_samples_leaf=5
    )
    error = float(np.mean((trees.set_params(random_state=0).fit(Z, y).predict(V) - y_v) ** 2))
    assert error == pytest.approx(known["upper_objective"], abs=known["tolerance"])
    result = bilevel.solve(module.create_model(), "random", budget=4, enqueue=[known["upper"]])
    assert result.upper_objective == pytest.approx(error, abs=1e-12)
    resting = [e for e in result.history if e.upper["loss"] != "huber"]
    assert len({e.upper["quantile"] for e in resting}) == 1  # which makes no difference to them


def test_schedule_optimum() -> None:
    module = load("schedule")
    learn = response_of(module.create_model().lower)
    known, rate = module.KNOWN["upper_objective"], module.KNOWN["upper"]["rate"]
    assert learn({"rate": rate}, None, module.STEPS)[0]["error"] == pytest.approx(known, abs=1e-10)
    assert all(learn({"rate": rate * factor}, None, module.STEPS)[0]["error"] > known for factor in (0.5, 0.9, 1.1, 2))
    state = None
    for step in range(1, module.STEPS + 1):
        values, state = learn({"rate": 1 / step}, state, 1)
    result = bilevel.solve(module.create_model(), "pbt", budget=20, seed=0)
    assert values["error"] < result.upper_objective < 0.8 * known


def test_early_stopping_trains_by_the_gradient() -> None:
    module = load("early_stopping")
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4), rng.normal(size=1)]
    X, y = rng.normal(size=(6, 3)), np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])

    def loss() -> float:
        return float(np.mean(np.logaddexp(0.0, -y * module.output(weights, X)[1])))

    for w, slope in zip(weights, module.slopes(weights, X, y), strict=True):
        for place in np.ndindex(w.shape):
            w[place] += 1e-6
            above = loss()
            w[place] -= 2e-6
            assert (above - loss()) / 2e-6 == pytest.approx(slope[place], abs=1e-7)
            w[place] += 1e-6
    result = bilevel.solve(module.create_model(), "random", budget=12, seed=0, pruner="halving")
    assert result.upper["epochs"] == 27
    assert result.saved["pruned"] > 0


def test_transformer_space_is_searched() -> None:
    module = load("transformer_space")
    result = bilevel.solve(module.create_model(), "random", budget=6, seed=0)
    assert result.upper_objective < np.log(2.0)  # better than a coin
    assert all(e.upper["d_model"] % e.upper["heads"] == 0 and e.answered for e in result.history)
