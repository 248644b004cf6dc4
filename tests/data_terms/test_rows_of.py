"""Losses over rows that stay arrays: the answers of scikit-learn, the derivatives of differences, the words of proofs."""

import pickle
import warnings

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, Response, rows_of
from bilevel.convexity.examination import convexity_of
from bilevel.convexity.uniqueness import not_unique
from bilevel.errors import ModelError, RefusedError
from bilevel.language.losses import loss_named
from bilevel.language.row_losses import RowLosses
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.sensitivity.hypergradient import Hypergradient
from bilevel.verify.residual import Residual

N, P = 60, 5
NAMED = ["logistic", "poisson", "huber", "squared_hinge", "smooth_hinge"]


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch):
    monkeypatch.setattr("bilevel.programs.compilation.FEWEST_NUMBERS", 100)


def data(loss, seed=0, n=N):
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((n, P)), 0.4 * rng.standard_normal(P)
    z = X @ w
    if loss == "poisson":
        return X, rng.poisson(np.exp(z)).astype(float)
    if loss == "huber":
        return X, z + rng.standard_t(2, n)
    return X, np.where(rng.random(n) < 1 / (1 + np.exp(-2 * z)), 1.0, -1.0)


def create(loss="logistic", weights=False, bounds=(None, None), name=None, ridge=0.5):
    """A penalty and, if asked for, three weights that groups of rows share, chosen on held-out rows."""
    (X, y), (V, t) = data(name or loss), data(name or loss, seed=1)
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(bounds=(1e-3, 10), initialize=0.3)
    m.r = pyo.Var(range(3 if weights else 0), bounds=(0, 1), initialize=0.5)
    m.lower = LowerLevel()
    m.lower.w = pyo.Var(range(P), initialize=0.0, bounds=bounds)
    w = m.lower.w
    of_rows = [m.r[i % 3] for i in range(N)] if weights else None
    fit = rows_of(loss, X, w, y, weights=of_rows) / N
    m.lower.obj = pyo.Objective(expr=fit + ridge * m.penalty * sum(w[j] ** 2 for j in w))
    m.obj = pyo.Objective(expr=rows_of(loss, V, w, t) / N + 0.01 * m.penalty)
    return m


def written(monkeypatch, *args, **settings):
    """The same with every row in symbols."""
    with monkeypatch.context() as patch:
        patch.setattr("bilevel.programs.compilation.FEWEST_NUMBERS", 10**9)
        response = Response(create(*args, **settings))
    assert not response.compilation.squares
    return response


def soft(z, t):
    """A user's own: the pseudo-Huber loss."""
    return pyo.sqrt(1 + (z - t) ** 2)


def wavy(z, t):
    return pyo.cos(z - t)


@pytest.mark.parametrize("name", NAMED)
def test_derivatives_are_those_of_differences_and_values_those_of_the_formula(name):
    loss, h = loss_named(name, 0.7), 1e-5
    z = np.random.default_rng(2).uniform(-3, 3, 200)
    t = data(name, n=200)[1]
    value, slope, bend = loss.derivatives(z, t)
    above, below = loss.derivatives(z + h, t), loss.derivatives(z - h, t)
    np.testing.assert_allclose(slope, (above[0] - below[0]) / (2 * h), atol=2e-5)
    clear = np.abs(above[2] - below[2]) < 1e-3  # no kink of the slope in between
    assert clear.sum() > 190
    np.testing.assert_allclose(bend[clear], ((above[1] - below[1]) / (2 * h))[clear], atol=2e-5)
    np.testing.assert_allclose(value, [pyo.value(loss.formula(a, b)) for a, b in zip(z, t, strict=True)], atol=1e-12)
    assert (bend >= 0).all()
    assert loss.convex


def test_extreme_margins_overflow_nowhere():
    z = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
    with np.errstate(all="raise", under="ignore"):
        value, slope, bend = loss_named("logistic", 1.0).derivatives(z, np.ones(5))
    np.testing.assert_allclose(value, [1e4, 800.0, np.log(2), 0.0, 0.0])
    np.testing.assert_allclose(slope, [-1.0, -1.0, -0.5, 0.0, 0.0])
    assert bend[2] == 0.25


@pytest.mark.parametrize(
    "settings", [*({"loss": n} for n in NAMED), {"weights": True}, {"loss": soft, "name": "huber"}]
)
def test_answers_and_gradients_are_those_of_the_symbols(settings, monkeypatch):
    ours, theirs = Response(create(**settings)), written(monkeypatch, **settings)
    assert len(ours.programs["lower"].losses) == 1
    assert ours.engines == {"lower": "newton"}
    x = np.array([0.3, 0.9, 0.5, 0.2] if settings.get("weights") else [0.3])
    one, two = ours(x), theirs(x)
    np.testing.assert_allclose(one.y, two.y, atol=1e-6)
    assert one.cost == pytest.approx(two.cost, rel=1e-7)
    assert one.lower[0] == pytest.approx(two.lower[0], rel=1e-10)
    gradient = ours.gradient(x)
    assert gradient.smooth
    np.testing.assert_allclose(gradient.value, differences(ours, x), rtol=2e-5, atol=1e-8)


def differences(response, x, h=1e-5):
    steps = h * np.eye(len(x))
    return [(response(x + step).cost - response(x - step).cost) / (2 * h) for step in steps]


def test_with_bounds_below_and_rows_above():
    model = create(weights=True, bounds=(-0.1, 0.2))
    w = model.lower.w
    model.some = pyo.Constraint(expr=sum(w[j] for j in w) >= -5)
    model.other = pyo.Constraint(expr=w[0] * model.r[0] <= 5)
    response = Response(model)
    x = np.array([0.05, 0.9, 0.5, 0.2])
    reply = response(x)
    assert (reply.y == 0.2).any() or (reply.y == -0.1).any() or np.isclose(np.abs(reply.y), [0.2]).any()
    found = Hypergradient(response.compilation)(x, reply.y)
    np.testing.assert_allclose(found.value, differences(response, x), rtol=1e-4, atol=1e-7)
    assert found.jacobian.shape == (2, 4)
    steps = 1e-5 * np.eye(4)
    moved = [(response(x + s).y.sum() - response(x - s).y.sum()) / 2e-5 for s in steps]
    np.testing.assert_allclose(found.jacobian[0], moved, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 3.0])
def test_answers_are_those_of_scikit_learn(penalty):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x = np.array([penalty])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X, y = data("logistic")
        theirs = linear_model.LogisticRegression(C=1 / (N * penalty), fit_intercept=False, tol=1e-12, max_iter=10_000)
        np.testing.assert_allclose(Response(create("logistic"))(x).y, theirs.fit(X, y).coef_[0], atol=1e-6)
        X, y = data("poisson")
        theirs = linear_model.PoissonRegressor(
            alpha=penalty, fit_intercept=False, tol=1e-12, max_iter=10_000, solver="newton-cholesky"
        )
        np.testing.assert_allclose(Response(create("poisson"))(x).y, theirs.fit(X, y).coef_, atol=1e-6)


def examined(model):
    problem = Problem.read(model)
    compilation = Compilation.of(problem)
    return convexity_of(problem, compilation)["lower"], not_unique(compilation)


@pytest.mark.parametrize("loss", [*NAMED, soft])
def test_convexity_is_proved_by_the_loss_and_uniqueness_by_the_ridge(loss):
    found, ties = examined(create(loss, name="huber" if loss is soft else None))
    assert found.verdict == "proved"
    assert not ties
    assert found.smooth == (loss in ("logistic", "poisson", soft))
    found, ties = examined(create(loss, name="huber" if loss is soft else None, ridge=0.0))
    assert found.verdict == "proved"
    assert ties


def test_nothing_is_proved_of_what_is_not_convex():
    assert examined(create(wavy, name="huber"))[0].verdict == "unknown"
    negative = create(weights=True)
    negative.r[1].setlb(-0.5)
    found, _ = examined(negative)
    assert found.verdict == "unknown"
    assert "negative" in found.reason
    bent = create(ridge=-0.5)
    assert examined(bent)[0].verdict == "unknown"  # the losses may make up for it


def test_a_residual_bounds_what_f_may_be_off():
    response = Response(create())
    program, x = response.programs["lower"], np.array([0.3])
    y = response(x).y
    assert Residual.takes(program)
    residual, best = Residual(program), float(program.evaluate(x, y)[0][0])
    assert residual(x, y, best) < 1e-20
    for size in (1e-3, 0.1, 2.0):
        off = y + size * np.random.default_rng(3).standard_normal(P)
        f = float(program.evaluate(x, off)[0][0])
        assert residual(x, off, f) >= f - best > 0


def test_a_wrong_answer_is_found_out(monkeypatch):
    from bilevel.solvers.engines.newton import _FreeSolver

    answer = _FreeSolver.__call__

    def off(self, *args, **kwargs):
        found = answer(self, *args, **kwargs)
        found.y[0] += 0.05
        return found

    monkeypatch.setattr(_FreeSolver, "__call__", off)
    result = bilevel.solve(create(), method="random", budget=3, seed=0)
    assert result.verdict.value == "failed"
    assert any("misses" in note for note in result.notes)


def test_nobody_writes_the_rows_out_on_the_way(monkeypatch):
    def fail(self):
        raise AssertionError("written out")

    monkeypatch.setattr(RowLosses, "written_out", fail)
    monkeypatch.setattr("bilevel.reading.criterion._LONGEST", 100)
    for method in ("gradient", "random", "auto"):
        result = bilevel.solve(create(), method=method, budget=25, seed=0)
        assert result.verdict.value == ("certified_global" if method == "auto" else "best_found")
        assert result.bilevel_gap <= 1e-9
    assert "none is made" in bilevel.explain(create())
    with pytest.raises(RefusedError, match=r"kkt takes no losses .*method='gradient'"):
        bilevel.solve(create(), method="kkt")


def test_small_ones_are_written_out_for_the_exact_paths():
    X, y = np.array([[1.0], [2.0], [-1.0]]), np.array([1.0, -1.0, -1.0])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0.1, 2))
    m.lower = LowerLevel()
    m.lower.w = pyo.Var([0], bounds=(-5, 5))
    m.lower.obj = pyo.Objective(expr=rows_of("logistic", X, m.lower.w, y) + m.x * m.lower.w[0] ** 2)
    m.obj = pyo.Objective(expr=(m.lower.w[0] - 0.01) ** 2 + m.x)
    assert bilevel.solve(m).verdict.value == "certified_global"


def test_weights_that_are_numbers_clones_and_pickles():
    X, y = data("logistic")
    r = np.random.default_rng(1).uniform(size=N)
    m = pyo.ConcreteModel()
    m.w = pyo.Var(range(P), initialize=0.2)
    m.loss = pyo.Expression(expr=rows_of("logistic", X, m.w, y, weights=r))
    expected = r @ np.log1p(np.exp(-y * (X @ np.full(P, 0.2))))
    for model in (m, m.clone(), pickle.loads(pickle.dumps(m))):
        assert pyo.value(model.loss) == pytest.approx(expected, rel=1e-12)


BAD = [
    (("sharp", data("logistic")[0], data("logistic")[1]), "the losses are epsilon_insensitive, hinge, huber"),
    (("logistic", data("logistic")[0], (data("logistic")[1] + 1) / 2), r"2 \* y - 1"),
    (("poisson", data("poisson")[0], -1 - data("poisson")[1]), "must not be negative"),
    (("huber", data("huber")[0], data("huber")[1][:-1]), "they must be"),
    (("huber", data("huber")[0] * np.nan, data("huber")[1]), "not finite"),
]


@pytest.mark.parametrize(("given", "said"), BAD)
def test_bad_input_is_named(given, said):
    m = pyo.ConcreteModel()
    m.w = pyo.Var(range(P))
    loss, X, y = given
    with pytest.raises(ModelError, match=said):
        rows_of(loss, X, m.w, y)
    with pytest.raises(ModelError, match="row 3"):
        rows_of("huber", *(data("huber")[0], m.w, data("huber")[1]), weights=np.where(np.arange(N) == 3, -1.0, 1.0))
    with pytest.raises(ModelError, match="delta"):
        rows_of("huber", data("huber")[0], m.w, data("huber")[1], delta=0.0)


def test_one_that_is_not_convex_and_too_large_to_write_out_is_refused(monkeypatch):
    monkeypatch.setattr("bilevel.language.row_losses.LARGEST", 100)
    monkeypatch.setattr("bilevel.reading.criterion._LONGEST", 100)
    with pytest.raises(RefusedError, match="proved convex"):
        Response(create(wavy, name="huber"))


def test_what_cannot_stay_arrays_is_refused_where_it_is_too_large(monkeypatch):
    monkeypatch.setattr("bilevel.language.row_losses.LARGEST", 100)
    monkeypatch.setattr("bilevel.reading.criterion._LONGEST", 100)
    m = create()
    m.lower.obj.set_value(pyo.exp(m.lower.obj.expr))
    with pytest.raises(RefusedError, match="row by row"):
        Response(m)


def test_beside_a_large_square_and_in_senses_turned_around():
    rng = np.random.default_rng(5)
    X, A, V = (rng.standard_normal((n, 30)) for n in (80, 50, 40))
    y, t = np.sign(rng.standard_normal(80)), np.sign(rng.standard_normal(40))
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(0.1, 2), initialize=0.5)
    m.lower = LowerLevel()
    m.lower.w = pyo.Var(range(30), initialize=0.0)
    w = m.lower.w
    fit = m.x[0] * rows_of("logistic", X, w, y) + m.x[1] * bilevel.least_squares(A, np.ones(50), w)
    m.lower.obj = pyo.Objective(expr=-fit, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=m.x[0] - rows_of("logistic", V, w, t) ** 2, sense=pyo.maximize)
    response = Response(m)
    program, x = response.programs["lower"], np.array([0.4, 1.1])
    assert len(program.losses) == len(program.squares) == 1
    np.testing.assert_allclose(response.gradient(x).value, differences(response, x), rtol=1e-5)
    result = bilevel.solve(m, method="gradient", budget=20, seed=0)
    assert result.verdict.value == "best_found"
    assert result.bilevel_gap <= 1e-9
