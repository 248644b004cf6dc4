"""Certified paths in one penalty: no bound above the truth, ties resolved or refused, the pieces what they say."""

import contextlib

import numpy as np
import piecewise_linear as build
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import lars_path
from sklearn.svm import SVC

import bilevel
from bilevel import LowerLevel
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.homotopy.leader_along import least_of_cubics
from bilevel.solvers.homotopy.penalty_axis import penalty_axis


def scan(model, count=40):
    """The least F, minimised, at points between the bounds, each answered by an engine."""
    response, problem = Response(model), Problem.read(model)
    (variable,) = problem.variables
    return min(response(np.array([x])).cost for x in np.linspace(*variable.bounds, count))


def hold(model, certified=True, count=40):
    """Solve, and hold the bound against a scan; the result."""
    result = bilevel.solve(model, "homotopy")
    sense = 1 if model.obj.sense == pyo.minimize else -1
    best = scan(model, count)
    assert sense * result.bound <= best + 1e-6 * max(1.0, abs(best))
    if certified:
        assert result.verdict == "certified_global"
        assert sense * result.upper_objective <= best + 1e-6 * max(1.0, abs(best))
    return result


@pytest.mark.parametrize("way", ["abs", "above", "positive"])
@pytest.mark.parametrize(("kind", "axis"), [("real", "ten"), ("integer", "exp"), ("duplicate", "inverse")])
def test_lassos_are_certified(way, kind, axis):
    hold(build.lasso(way=way, kind=kind, axis=axis, folds=2, ridge=0.1 if way == "above" else 0.0), count=12)


def test_a_split_lasso_is_certified():
    hold(build.lasso(way="split", p=2, n=4), count=8)


@pytest.mark.parametrize("kind", build.KINDS)
@pytest.mark.parametrize("make", [build.machine, build.dual_machine])
def test_support_vector_machines_are_certified(make, kind):
    hold(make(kind=kind), count=12)


@pytest.mark.parametrize("kind", ["real", "duplicate"])
def test_a_ridge_under_a_hinge_is_certified(kind):
    result = hold(build.machine(kind=kind, ridge=True), count=6)
    other = bilevel.solve(build.machine(kind=kind, low=0.2, high=20.0), "homotopy")  # C is one over the ridge
    assert result.upper_objective == pytest.approx(other.upper_objective, rel=1e-9)


@pytest.mark.parametrize(
    "axis", ["ten", pytest.param("plain", marks=pytest.mark.slow), pytest.param("inverse", marks=pytest.mark.slow)]
)
def test_a_ridge_under_a_quantile_is_certified(axis):
    hold(build.pinball(axis=axis, seed=3), count=8)


def test_a_machine_agrees_with_that_of_scikit_learn():
    model = build.machine(n=12, seed=4)
    X, y, held_out, truth = build.regression(2, 12, 4)
    result = bilevel.solve(model, "homotopy")
    assert result.verdict == "certified_global"
    signs, others = np.where(y > 0, 1.0, -1.0), np.where(truth > 0, 1.0, -1.0)
    for C in np.linspace(*model.C.bounds, 60):
        w = SVC(kernel="linear", C=C, tol=1e-9).fit(X, signs).coef_[0]
        assert result.bound <= ((others - held_out @ w) ** 2).sum() / 12 + 1e-6


@pytest.mark.parametrize("units", [1e6, 1e-6])
def test_columns_may_be_in_any_units(units):
    n, rng = 30, np.random.default_rng(5)
    X = rng.normal(size=(2 * n, 8)) * np.where(np.arange(8) % 2, units, 1.0)
    y = 1e5 * (X[:, 0] + X[:, 1] / units + rng.normal(size=2 * n))
    top = float(np.abs(X[:n].T @ y[:n]).max()) / n
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(1e-4 * top, top))
    model.f = LowerLevel()
    model.f.w = pyo.Var(range(8))
    w = list(model.f.w.values())
    model.f.obj = pyo.Objective(
        expr=bilevel.least_squares(X[:n], y[:n], w) / (2 * n) + model.x * sum(abs(entry) for entry in w)
    )
    model.obj = pyo.Objective(expr=bilevel.least_squares(X[n:], y[n:], w) / n)
    result = bilevel.solve(model, "homotopy")
    assert result.verdict == "certified_global"
    penalties, _, coefficients = lars_path(X[:n], y[:n], method="lasso")
    assert (penalties > 1e-4 * top).sum() > 3
    for turn in coefficients.T[penalties > 1e-4 * top]:
        assert result.bound <= float(((y[n:] - X[n:] @ turn) ** 2).sum()) / n * (1.0 + 1e-9)


def test_the_leader_may_maximise():
    hold(build.lasso(sense=-1), count=12)


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_that_jumps_is_bounded_by_the_best_of_its_optima(seed):
    hold(build.quantile(seed=seed), certified=False, count=12)


@given(seed=st.integers(0, 10_000), rank=st.integers(0, 4), integers=st.booleans())
@settings(max_examples=8, deadline=None)
def test_programs_with_ties_are_bounded_or_refused(seed, rank, integers):
    _bounded_or_refused(build.program(seed=seed, rank=rank, integers=integers), 12)


def _bounded_or_refused(model, count):
    with contextlib.suppress(RefusedError):
        hold(model, certified=False, count=count)


@pytest.mark.slow
@given(seed=st.integers(0, 100_000), rank=st.integers(0, 4), integers=st.booleans(), n=st.integers(2, 6))
@settings(max_examples=150, deadline=None)
def test_many_programs_with_ties_are_bounded_or_refused(seed, rank, integers, n):
    _bounded_or_refused(build.program(n, n, seed=seed, rank=rank, integers=integers), 60)


@pytest.mark.slow
@given(seed=st.integers(0, 100_000), kind=st.sampled_from(build.KINDS), which=st.integers(0, 4))
@settings(max_examples=80, deadline=None)
def test_many_regressions_and_machines_are_bounded_or_refused(seed, kind, which):
    make = (build.lasso, build.machine, build.dual_machine, build.quantile, build.pinball)[which]
    _bounded_or_refused(make(seed=seed, kind=kind), 60)


def test_the_lasso_of_the_gallery_is_certified_at_its_kink():
    result = bilevel.solve(bilevel.load_model("lasso"), "homotopy")
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0.5014597757233388, rel=1e-12)
    assert result.upper["penalty"] == pytest.approx(0.042753426591959, rel=1e-10)
    assert any("13 turns" in note for note in result.notes)


def test_a_hundred_coefficients_agree_with_coordinate_descent():
    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(80, 100)), rng.normal(size=80)
    y = X[:, :5].sum(axis=1) + noise
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0.05, 1.0))
    model.f = LowerLevel()
    model.f.w = pyo.Var(range(100))
    w = list(model.f.w.values())
    model.f.obj = pyo.Objective(
        expr=bilevel.least_squares(X[:40], y[:40], w) / 80 + model.x * sum(abs(entry) for entry in w)
    )
    model.obj = pyo.Objective(expr=bilevel.least_squares(X[40:], y[40:], w) / 40)
    along = _along(model)
    for s in (0.0, 0.3, 0.77):
        mine = along.answers(np.array([s]), np.array([s]))[0][:100]
        assert mine == pytest.approx(_by_coordinates(X[:40], y[:40], 1.0 + s * (0.05 - 1.0)), abs=1e-8)


def _along(model):
    """The paths of a problem that begins at the upper end of its penalty."""
    from bilevel.solvers.homotopy.leader_along import AnswerPath, LeaderAlong
    from bilevel.solvers.homotopy.path_following import PathFollowing
    from bilevel.solvers.paths.homotopy import _followed, _read

    compilation = Compilation.of(Problem.read(model))
    axis, numbers = _read(compilation)
    ways = _followed(compilation, axis, numbers)
    paths = [AnswerPath.of(PathFollowing(w.program.between(*axis.range[::-1])).pieces(), w.back) for w in ways]
    return LeaderAlong(compilation, paths, lambda s: s)


def _by_coordinates(X, y, penalty):
    """Cyclic coordinate descent (Friedman, Hastie and Tibshirani 2010)."""
    n, p = X.shape
    gram, slope, w = X.T @ X / n, -X.T @ y / n, np.zeros(p)
    for _ in range(5_000):
        moved = 0.0
        for j in range(p):
            pull = gram[j, j] * w[j] - slope[j]
            step = np.sign(pull) * max(abs(pull) - penalty, 0.0) / gram[j, j] - w[j]
            if step:
                slope += gram[j] * step
                w[j] += step
                moved = max(moved, abs(step))
        if moved < 1e-12:
            break
    return w


def test_optima_that_differ_in_f_are_refused():
    with pytest.raises(RefusedError, match="many optima"):
        bilevel.solve(build.lasso(p=6, n=3, low=0.0), "homotopy")  # at 0 every interpolation is an answer


def test_a_follower_that_is_not_convex_is_refused():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.f = LowerLevel()
    model.f.y = pyo.Var(bounds=(-1, 1))
    model.f.obj = pyo.Objective(expr=-(model.f.y**2) + model.x * model.f.y)
    model.obj = pyo.Objective(expr=model.f.y)
    with pytest.raises(RefusedError, match="f is not proved convex"):
        bilevel.solve(model, "homotopy")


def _ridge(model, y):
    return model.x * y**2


def _elastic(model, y):
    return y**2 + (y - model.f.z) ** 2 + model.x * (y**2 + model.f.z**2)


def _two_functions(model, y):
    return y**2 + pyo.exp(model.x) * y + model.x * y


def _turning(model, y):
    return y**2 + model.x**2 * y


@pytest.mark.parametrize(
    ("f", "word"),
    [
        (_ridge, "Hessians vanish"),
        (_elastic, "more than one factor"),
        (_two_functions, "not affine"),
        (_turning, "monotone"),
    ],
)
def test_what_is_not_piecewise_linear_is_refused(f, word):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.f = LowerLevel()
    model.f.y, model.f.z = pyo.Var(bounds=(-1, 1)), pyo.Var(bounds=(-1, 1))
    model.f.obj = pyo.Objective(expr=f(model, model.f.y))
    model.obj = pyo.Objective(expr=model.f.y)
    with pytest.raises(RefusedError, match=word):
        bilevel.solve(model, "homotopy")


@given(a=st.floats(-3, 3), b=st.floats(0.1, 3), low=st.floats(0.1, 1.0), length=st.floats(0.1, 2.0))
@settings(max_examples=25, deadline=None)
def test_an_axis_gives_the_entries_and_the_way_back(a, b, low, length):
    import casadi as ca

    x, high = ca.SX.sym("x"), low + length
    for s in (x, 10**x, ca.exp(-b * x), 1 / x, ca.log(x), ca.sqrt(x + b), (b + x) ** 2, ca.log(1 / x + b)):
        entries = ca.vertcat(a + b * s, 3.0, s / b - a)
        axis = penalty_axis(entries, x, low, high)
        assert axis is not None
        for share in (0.0, 0.3, 1.0):
            first, last = axis.range
            middle = axis.back(first + share * (last - first))
            assert low <= middle <= high
            values = ca.Function("entries", [x], [entries])(middle).full()[:, 0]
            assert axis.constants + axis.slopes * axis.of(middle) == pytest.approx(values, rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_the_least_of_a_cubic_is_below_all_its_values(c):
    nodes, dense = np.arange(4) / 3.0, np.linspace(0.0, 1.0, 401)
    value, place = least_of_cubics(np.polyval(c, nodes)[None])
    assert value[0] <= np.polyval(c, dense).min() + 1e-9
    assert value[0] == pytest.approx(np.polyval(c, place[0]), abs=1e-9)


def test_auto_takes_it_where_a_penalty_moves_a_kink():
    result = bilevel.solve(build.lasso())
    assert (result.method, result.verdict) == ("homotopy", "certified_global")


def test_a_path_too_long_for_its_time_leaves_a_point(monkeypatch):
    from bilevel.deadline import OutOfTime
    from bilevel.solvers.homotopy.path_following import PathFollowing

    def never(self):
        raise OutOfTime

    monkeypatch.setattr(PathFollowing, "pieces", never)
    result = bilevel.solve(build.lasso(), "homotopy", time_limit=60)
    assert (result.verdict, result.termination) == ("best_found", "time_limit")
    assert 0.05 < result.upper["x"] < 3.0
