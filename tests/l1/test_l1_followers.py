"""Lasso, elastic net, adaptive weights, bounded coefficients: one engine, whichever way they are written."""

from __future__ import annotations

import lasso_models as lm
import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, least_squares
from bilevel.programs.compilation import Compilation
from bilevel.programs.l1.duality import lower_bound
from bilevel.programs.l1.recognition import l1_form
from bilevel.reading.problem import Problem


@pytest.mark.parametrize(
    ("way", "ridge"), [*((way, ridge) for way in lm.WAYS for ridge in (None, "w")), ("split", "uv")]
)
@pytest.mark.parametrize("p", [5, 30])
def test_every_way_of_writing_it_has_the_answer_of_coordinate_descent(p, way, ridge):
    data = lm.regression(p)
    response = bilevel.Response(lm.penalised(data, way, ridge))
    assert response.engines == {"lower": "l1"}
    for penalty in (0.01, 0.1, 0.9):
        x = np.array([penalty] if ridge is None else [penalty, 0.3])
        reply = response(x)
        wanted = lm.by_coordinates(*data[:2], penalty, 0.0 if ridge is None else 0.3)
        assert np.abs(lm.coefficients(reply, p, way) - wanted).max() < 1e-8
        assert reply.proved


@pytest.mark.parametrize(("sign", "ends"), [("positive", (0.0, np.inf)), ("box", (-0.3, 0.4))])
@pytest.mark.parametrize("way", ["abs", "above"])
def test_coefficients_with_bounds(sign, ends, way):
    data = lm.regression(30, seed=1)
    response = bilevel.Response(lm.penalised(data, way, "w", sign=sign))
    reply = response(np.array([0.05, 0.1]))
    wanted = lm.by_coordinates(*data[:2], 0.05, 0.1, *ends)
    assert response.engines == {"lower": "l1"}
    assert np.abs(reply.y[:30] - wanted).max() < 1e-8
    assert (wanted == ends[0]).any() or (wanted == ends[1]).any()


def test_non_negative_least_squares_without_a_penalty_from_arrays():
    X, y, X_v, y_v = lm.regression(30, rows=60, seed=2)
    model = pyo.ConcreteModel()
    model.ridge = pyo.Var(bounds=(0.0, 1.0))
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(30), bounds=(0, None))
    w = model.lower.w
    model.lower.obj = pyo.Objective(expr=least_squares(X, y, w) + model.ridge * sum(w[j] ** 2 for j in w))
    model.obj = pyo.Objective(expr=least_squares(X_v, y_v, w))
    response = bilevel.Response(model)
    reply = response(np.array([0.5]))
    assert response.engines == {"lower": "l1"}
    assert np.abs(reply.y - lm.by_coordinates(X, y, 0.0, 1.0 / 120, 0.0)).max() < 1e-8


@pytest.mark.parametrize("way", lm.WAYS)
def test_gradients_are_those_of_differences(way):
    data = lm.regression(30, seed=3)
    response = bilevel.Response(lm.penalised(data, way, "w", weighted=True))
    x = np.full(31, 0.07)
    gradient = response.gradient(x)
    assert gradient.smooth
    for k in (0, 5, 30):
        step = np.zeros(31)
        step[k] = 1e-6
        slope = (response(x + step).cost - response(x - step).cost) / 2e-6
        assert gradient.value[k] == pytest.approx(slope, abs=1e-6)


def test_where_a_coefficient_leaves_zero_there_is_a_kink_and_a_slope_to_the_inside():
    X, y, X_v, y_v = lm.regression(5, seed=4)
    largest = float(np.abs(X.T @ y).max() / len(y))  # from here on every coefficient is zero
    model = lm.penalised((X, y, X_v, y_v), "abs", None)
    model.penalty[0].setub(largest)
    gradient = bilevel.Response(model).gradient(np.array([largest]))
    step = 1e-6
    response = bilevel.Response(model)
    one_sided = (response(np.array([largest])).cost - response(np.array([largest - step])).cost) / step
    assert not gradient.smooth
    assert gradient.value[0] == pytest.approx(one_sided, rel=1e-4)
    assert abs(one_sided) > 1e-3


def test_more_coefficients_than_rows_from_any_start():
    data = lm.regression(60, rows=20, seed=5)
    model = lm.penalised(data, "abs", None)
    fresh, warm = bilevel.Response(model, warm=False), bilevel.Response(model)
    for penalty in np.geomspace(3.0, 1e-4, 15):
        x = np.array([penalty])
        assert fresh(x).y == pytest.approx(warm(x).y, abs=1e-9)
    w = fresh(np.array([1e-3])).y[:60]
    X, y = data[:2]
    slope = X.T @ (X @ w - y) / len(y)
    assert np.abs(slope).max() <= 1e-3 * (1 + 1e-7)
    assert slope[w != 0.0] == pytest.approx(-1e-3 * np.sign(w[w != 0.0]), abs=1e-11)


def test_twins_have_no_only_answer_and_the_leader_chooses():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(30, 3))
    X = np.column_stack([X, X[:, 0]])  # the first and the last feature are the same
    y = 2.0 * X[:, 0] + 0.1 * rng.normal(size=30)
    model = lm.penalised((X, y, X, y), "abs", None)
    model.obj.set_value(model.lower.w[3] ** 2 + (model.lower.w[0] - 1.0) ** 2)
    response = bilevel.Response(model)
    reply = response(np.array([0.1]))
    alone = lm.by_coordinates(X[:, :3], y, 0.1)[0]
    assert reply.y[0] + reply.y[3] == pytest.approx(alone, abs=1e-5)
    middle = (alone + 1.0) / 2.0  # of w_0^2 in the leader's terms, given the sum
    assert reply.y[0] == pytest.approx(middle, abs=1e-4)


def test_the_dual_bound_meets_f_at_the_answer_and_is_below_it_everywhere():
    data = lm.regression(30, seed=7)
    model = lm.penalised(data, "abs", "w", sign="box")
    compilation = Compilation.of(Problem.read(model))
    form = l1_form(compilation.programs["lower"])
    x = np.array([0.05, 0.0])
    weights = form.at(x)
    best = bilevel.Response(model)(x)
    w, rng = best.y[:30], np.random.default_rng(0)
    assert lower_bound(form, weights, w) == pytest.approx(form.objective(weights, w), abs=1e-12)
    assert form.objective(weights, w) == pytest.approx(best.lower[0], abs=1e-12)
    for size in (1e-6, 1e-3, 0.1, 1.0):
        other = np.clip(w + size * rng.normal(size=30), -0.3, 0.4)
        assert lower_bound(form, weights, other) <= form.objective(weights, w) + 1e-12


def test_what_only_looks_like_it_is_left_to_others():
    data = lm.regression(5)
    coupled = lm.penalised(data, "abs", None)
    coupled.lower.sum = pyo.Constraint(expr=sum(coupled.lower.w.values()) <= 0.1)
    cross = lm.penalised(data, "abs", None)
    cross.lower.obj.set_value(cross.lower.obj.expr + cross.penalty[0] * cross.lower.w[0] * cross.lower.w[1] / 10)
    shifted = lm.penalised(data, "above", None)
    shifted.lower.more = pyo.Constraint(expr=shifted.lower.t[0] >= shifted.lower.w[0] + 0.1)
    for model in (coupled, cross, shifted):
        assert l1_form(Compilation.of(Problem.read(model)).programs["lower"]) is None


def test_a_gradient_run_is_verified_without_another_engine():
    data = lm.regression(40, rows=60, seed=8)
    result = bilevel.solve(lm.penalised(data, "split", "w"), method="gradient", budget=30, seed=1)
    assert result.verdict in ("best_found", "verified_local")
    assert abs(result.bilevel_gap) < 1e-9
