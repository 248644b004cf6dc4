"""Hessians that move along a line: one decomposition says what a factorization at each point says."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, Response
from bilevel.linear_algebra.pencil import SMALLEST, Line
from bilevel.programs.answer import Status
from bilevel.programs.numeric_form import numeric_form

P = SMALLEST + 5


def data(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    mix = np.eye(P) + 0.5 * rng.standard_normal((P, P)) / math.sqrt(P)
    X = rng.standard_normal((rows, P)) @ mix
    return X, X[:, :9].sum(axis=1) + rng.standard_normal(rows), X[: rows // 2] ** 2, rng.standard_normal(rows // 2)


def ridge(penalty=lambda x, w: x[0] * sum(v**2 for v in w), weight=lambda x: 1.0, coupled=False, seed=0):
    """A regression below with more coefficients than are written out, judged on other rows."""
    X, y, Xv, yv = data(seed=seed)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(-2, 1e6), initialize=1.0)
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(P))
    w = [model.lower.w[k] for k in range(P)]
    fit = bilevel.least_squares(X, y, w)
    model.lower.obj = pyo.Objective(expr=weight(model.x) * fit + penalty(model.x, w) + 3 * w[0] * model.x[1])
    model.obj = pyo.Objective(expr=bilevel.least_squares(Xv, yv, w) / len(yv) + model.x[0] * w[1])
    if coupled:
        model.cap = pyo.Constraint(expr=(-0.1, w[2] + model.x[1], 0.3))
    return model


def sum_of_squares(w):
    return sum(v**2 for v in w)


ON_A_LINE = {
    "a penalty": lambda x, w: x[0] * sum_of_squares(w),
    "its logarithm": lambda x, w: pyo.exp(x[0] / 1e5) * sum_of_squares(w),
    "unequal weights": lambda x, w: x[0] * sum((1 + k % 3) * v**2 for k, v in enumerate(w)),
    "beside a constant": lambda x, w: (x[0] + 0.5) * sum_of_squares(w[:7]) + 0.1 * sum_of_squares(w),
    "products": lambda x, w: x[0] * sum((a - b) ** 2 for a, b in itertools.pairwise(w)) + sum_of_squares(w),
}
LEVELS = (1e-6, 1e-2, 1.0, 50.0, 1e5)


def dense(model):
    """The response without the decomposition."""
    response = Response(model)
    form = numeric_form(response.programs["lower"])
    form.__dict__["pencil"] = None
    return response


@pytest.mark.parametrize("penalty", ON_A_LINE)
def test_the_same_answers_as_factorizing(penalty):
    model = ridge(ON_A_LINE[penalty])
    ours, theirs = Response(model), dense(model)
    assert numeric_form(ours.programs["lower"]).pencil is not None
    for level in LEVELS:
        one, other = (response(np.array([level, 0.5])) for response in (ours, theirs))
        assert one.status is Status.OPTIMAL
        assert one.proved
        np.testing.assert_allclose(one.y, other.y, atol=1e-11 * np.abs(other.y).max())
        assert one.cost == pytest.approx(other.cost, rel=1e-10)
        assert one.lower == pytest.approx(other.lower, rel=1e-10)


def test_a_weight_of_the_data_moves_along_a_line_too():
    model = ridge(lambda x, w: sum_of_squares(w), lambda x: x[0] + 0.1)
    ours, theirs = Response(model), dense(model)
    assert numeric_form(ours.programs["lower"]).pencil is not None
    for level in LEVELS:
        one, other = (response(np.array([level, 0.5])) for response in (ours, theirs))
        np.testing.assert_allclose(one.y, other.y, atol=1e-11 * np.abs(other.y).max())


@pytest.mark.parametrize(
    "penalty",
    [
        lambda x, w: x[0] * sum_of_squares(w[::2]) + x[1] * sum_of_squares(w[1::2]),
        lambda x, w: x[0] * sum_of_squares(w[::2]) + x[0] ** 2 * sum_of_squares(w[1::2]),
        lambda x, w: sum_of_squares(w),
    ],
)
def test_there_is_none_off_a_line(penalty):
    assert numeric_form(Response(ridge(penalty)).programs["lower"]).pencil is None


def test_a_hessian_that_leaves_the_line_is_factorized():
    """|x| is a line on one side of zero alone: what probing took for a line is looked at again at each point."""
    model = ridge(lambda x, w: (x[0] + 2) * sum_of_squares(w[::2]) + abs(x[0] + 1) * sum_of_squares(w[1::2]))
    ours, theirs = Response(model), dense(model)
    for level in (-1.5, -1.0, 0.0, 3.0):
        one, other = (response(np.array([level, 0.5])) for response in (ours, theirs))
        np.testing.assert_allclose(one.y, other.y, atol=1e-10)


def test_where_it_is_not_definite_the_engine_says_so():
    model = ridge(lambda x, w: 1e6 * x[0] * sum_of_squares(w))
    for response in (Response(model), dense(model)):
        assert response(np.array([-1.0, 0.0])).status is Status.UNBOUNDED


@pytest.mark.parametrize("penalty", ON_A_LINE)
def test_the_same_gradients(penalty, monkeypatch):
    model = ridge(ON_A_LINE[penalty])
    ours, theirs = Response(model), dense(model)
    monkeypatch.setattr("bilevel.sensitivity.answer_motion.dposv", None)
    found = [ours.gradient(np.array([level, 0.5])) for level in LEVELS]
    monkeypatch.undo()
    for level, one in zip(LEVELS, found, strict=True):
        other = theirs.gradient(np.array([level, 0.5]))
        assert one.smooth
        np.testing.assert_allclose(one.value, other.value, rtol=1e-8, atol=1e-10 * np.abs(other.value).max())


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_many_points_in_one_call(coupled, constant, monkeypatch):
    penalty = (lambda x, w: sum_of_squares(w)) if constant else ON_A_LINE["a penalty"]
    response = Response(ridge(penalty, coupled=coupled))
    X = np.column_stack([np.linspace(0.01, 40.0, 300), np.linspace(-1, 2, 300)])
    single = [response(x) for x in X[::7]]
    monkeypatch.setattr(response, "_asked", None)  # no point may need a call of its own
    many = response.many(X)
    assert not many.others
    assert not response.batches  # not to the last bit
    for one, other in zip(many[::7], single, strict=True):
        np.testing.assert_allclose(one.y, other.y, atol=1e-11)
        assert one.cost == pytest.approx(other.cost, rel=1e-10)
        assert one.violation == pytest.approx(other.violation, abs=1e-10)
        assert one.lower == pytest.approx(other.lower, rel=1e-10)


def test_points_without_a_number_are_asked_for_one_by_one():
    response = Response(ridge(lambda x, w: pyo.log(x[0]) * sum_of_squares(w)))
    replies = response.many([[3.0, 0.0], [-1.0, 0.0], [7.0, 0.0]])
    assert replies.status == [Status.OPTIMAL, Status.FAILED, Status.OPTIMAL]
    assert len(response.many(np.zeros((0, 2)))) == 0


def test_a_line_knows_its_points():
    line = Line(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    s, on_it = line.place(np.array([[1.0, 3.0], [1.0, -10.0], [1.1, 3.0], [math.nan, 3.0]]))
    np.testing.assert_allclose(s[:2], [0.5, -6.0])
    assert on_it.tolist() == [True, True, False, False]


def test_folds_that_share_a_penalty():
    """Several followers, each on a line of its own, and F over all of them."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(1e-3, 1e3), initialize=1.0)
    model.fold = LowerLevel([0, 1, 2])
    loss = 0.0
    for k in range(3):
        X, y, Xv, yv = data(seed=k)
        fold = model.fold[k]
        fold.w = pyo.Var(range(P))
        w = [fold.w[j] for j in range(P)]
        fold.obj = pyo.Objective(expr=bilevel.least_squares(X, y, w) + (k + 1) * model.x * sum_of_squares(w))
        loss += bilevel.least_squares(Xv, yv, w)
    model.obj = pyo.Objective(expr=loss)
    response, points = Response(model), np.geomspace(1e-3, 1e3, 9)[:, None]
    many = response.many(points)
    assert not many.others
    for reply, x in zip(many, points, strict=True):
        one = response(x)
        assert reply.cost == pytest.approx(one.cost, rel=1e-10)
        assert reply.lower == pytest.approx(one.lower, rel=1e-10)
        np.testing.assert_allclose(reply.y, one.y, atol=1e-11)
