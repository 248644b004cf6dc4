"""Losses over rows of data in boxes: no answer, no F, no Hessian outside of what was said, and proofs from arrays."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, rows_of
from bilevel.errors import RefusedError
from bilevel.expressions.row_terms import RowTerm
from bilevel.graphs.taylor import Taylor
from bilevel.language.losses import loss_named
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.boxes.answer_tubes import AnswerTubes
from bilevel.solvers.boxes.box_minimum import box_minimum
from bilevel.solvers.boxes.leader_models import LeaderModels
from bilevel.solvers.boxes.loss_rules import RULES
from bilevel.solvers.boxes.row_models import RowModels

LOSSES = ("logistic", "poisson", "squared_hinge")


def losses(loss="logistic", penalties=1, n=500, p=4, seed=0, weights=None, low=0.01):
    """``1/n sum_i loss(x_i'w, y_i) + sum_j x_j w_j^2``, judged by the same loss on other rows."""
    rng = np.random.default_rng(seed)
    X, w0 = rng.normal(size=(2 * n, p)), rng.normal(size=p)
    z = X @ w0 + rng.normal(size=2 * n)
    y = rng.poisson(np.exp(np.clip(0.3 * z, -3, 2))).astype(float) if loss == "poisson" else np.where(z > 0, 1.0, -1.0)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(penalties), bounds=(low, 1.0))
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(p))
    w = list(model.lower.w.values())
    ridge = sum(model.x[j % penalties] * w[j] ** 2 for j in range(p))
    model.lower.obj = pyo.Objective(expr=rows_of(loss, X[:n], w, y[:n], weights=weights) / n + ridge)
    model.obj = pyo.Objective(expr=rows_of(loss, X[n:], w, y[n:]) / n + 0.01 * model.x[0])
    return model


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("width", [0.3, 0.02])
def test_answers_and_values_stay_inside(loss, width):
    compilation = Compilation(Problem.read(losses(loss, penalties=2)))
    (program,) = compilation.programs.values()
    assert all(isinstance(term, RowTerm) for term in (*program.losses, *compilation.upper_squares))
    assert program.losses
    response, taylor, rng = Response(compilation.problem, compilation=compilation), Taylor(2), np.random.default_rng(1)
    middle = rng.uniform(0.01, 1.0, (2, 5))
    low, high = np.maximum(middle - width / 2, 0.01), np.minimum(middle + width / 2, 1.0)
    x = taylor.coordinates(low, high)
    y = np.array([response(point).y for point in x[0].T]).T
    tube = AnswerTubes(program, taylor)(x, y)
    leader = LeaderModels(compilation, taylor)(x, [tube])
    bounds, _ = box_minimum(taylor, leader[:, 0])
    assert np.isfinite(bounds).any()
    for k in range(len(bounds)):
        for _ in range(4):
            t = rng.uniform(-1, 1, 2)
            point = np.clip(x[0, :, k] + x[1:3, :, k].sum(axis=0) * t, low[:, k], high[:, k])
            reply = response(point)
            terms = np.array([1.0, *t, t[0] ** 2, t[0] * t[1], t[1] ** 2])
            assert (np.abs(reply.y - terms @ tube.model[:-1, :, k]) <= tube.reach[:, k] + 1e-7).all()
            assert bounds[k] <= reply.cost + 1e-7


@pytest.mark.parametrize("seed", [1, *(pytest.param(k, marks=pytest.mark.slow) for k in (0, 2, 3))])
@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_errors_of_a_classifier_are_bounded_where_they_jump(loss, seed):
    model = losses(loss, n=60, p=40, seed=seed)
    rng = np.random.default_rng(seed)
    w = list(model.lower.w.values())
    X, y = rng.normal(size=(12, 40)), rng.choice([-1.0, 1.0], size=12)  # few: their arrays are kept all the same
    X[0] = 0.0  # a prediction of zero is of class -1
    weights = rng.uniform(0.5, 2.0, size=12)
    model.obj.set_value(rows_of("zero_one", X, w, y, weights=weights) + 0.01 * model.x[0])
    result = bilevel.solve(model, "upper_boxes")
    response = Response(Problem.read(model))
    xs = np.linspace(0.01, 1.0, 300)
    replies = response.many(xs[:, None])
    wrong = np.where(replies.y @ X.T > 0.0, 1.0, -1.0) != y
    assert replies.cost == pytest.approx(wrong @ weights + 0.01 * xs)
    assert result.verdict == "certified_global"
    assert result.bound <= replies.cost.min() + 1e-9


@pytest.mark.parametrize("loss", LOSSES)
def test_the_matrix_below_is_below_every_hessian(loss):
    compilation = Compilation(Problem.read(losses(loss)))
    (program,) = compilation.programs.values()
    (term,) = program.losses
    taylor, rng = Taylor(1), np.random.default_rng(3)
    y = taylor.constant(rng.normal(size=(4, 3)))
    y[1], y[-1] = 0.2 * rng.normal(size=(4, 3)), 0.1 * rng.random((4, 3))
    least, most = np.array([0.5, 1.0, 0.0]), np.array([1.0, 2.0, 0.5])
    _, below = RowModels(taylor, term).hessians(y, least, most)
    known = np.flatnonzero(np.isfinite(below).all(axis=(1, 2)))
    assert len(known) == 3
    for k in known:
        for _ in range(20):
            point = y[0, :, k] + y[1, :, k] * rng.uniform(-1, 1) + y[-1, :, k] * rng.uniform(-1, 1, 4)
            bends = term.numbers * term.derivatives(point)[2]
            true = rng.uniform(least[k], most[k]) * (term.rows.matrix.T * bends) @ term.rows.matrix
            assert np.linalg.eigvalsh(true - below[k])[0] >= -1e-9 * np.abs(true).max()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("order", range(3))
def test_rules_hold_what_they_say(name, order):
    rng, n = np.random.default_rng(order), 400
    low = rng.normal(scale=4, size=n)
    high = low + rng.exponential(size=n) * 10.0 ** rng.integers(-3, 1, size=n)
    c = 0.5 * (low + high)
    value, slope, bend, third, bottom, top = RULES[name][order](c, low, high)
    for share in np.linspace(0.0, 1.0, 21):
        u = low + share * (high - low)
        true = loss_named(name, 1.0).derivatives(u, np.ones(n))[order]
        assert (true >= bottom - 1e-12).all()
        assert (true <= top + 1e-12).all()
        with np.errstate(invalid="ignore"):
            miss = np.abs(true - value - slope * (u - c) - 0.5 * bend * (u - c) ** 2)
            allowed = third * np.abs(u - c) ** 3 / 6.0 + 1e-14 * (1.0 + np.abs(true))
        assert (miss <= np.where(np.isnan(allowed), np.inf, allowed)).all()


@pytest.mark.parametrize("loss", LOSSES[:2])
def test_one_penalty_is_certified(loss):
    model = losses(loss)
    result, response = bilevel.solve(model, "upper_boxes", time_limit=60), Response(model)
    best = min(response(np.array([x])).cost for x in np.geomspace(0.01, 1.0, 40))
    assert result.verdict == "certified_global"
    assert result.bound <= result.upper_objective <= best + 1e-9


def test_logistic_regression_of_the_gallery_is_certified():
    result = bilevel.solve(bilevel.load_model("logistic_ridge"), "upper_boxes", time_limit=120)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0.0825242070612585, rel=1e-5)


def test_weights_that_move_are_refused():
    model = pyo.ConcreteModel()
    model.c = pyo.Var(bounds=(0.5, 1.0))
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 5)), np.where(rng.random(500) > 0.5, 1.0, -1.0)
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(5))
    w = list(model.lower.w.values())
    model.lower.obj = pyo.Objective(expr=rows_of("logistic", X, w, y, weights=[model.c] * 500) + sum(v**2 for v in w))
    model.obj = pyo.Objective(expr=sum((v - 1) ** 2 for v in w))
    with pytest.raises(RefusedError, match="weights of the rows"):
        bilevel.solve(model, "upper_boxes")
