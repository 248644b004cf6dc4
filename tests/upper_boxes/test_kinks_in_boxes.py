"""Absolute values in boxes: no answer outside its tube, no F below its bound, and the elastic nets of the field."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from sklearn.linear_model import ElasticNet

import bilevel
from bilevel import LowerLevel, least_squares, rows_of
from bilevel.graphs.taylor import Taylor
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.boxes.box_minimum import box_minimum
from bilevel.solvers.boxes.kinked_tubes import KinkedTubes, tubes_of
from bilevel.solvers.boxes.leader_models import LeaderModels


def drawn(n, p, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2 * n, p))
    X[:, -1] = X[:, 0] + 0.1 * X[:, -1]  # signs that turn twice
    y = X[:, :2] @ np.array([1.0, -0.7]) + rng.normal(size=2 * n)
    return X[:n], y[:n], X[n:], y[n:]


def elastic_net(p=4, n=12, seed=0, way="two", loss="squares", low=0.01):
    """Penalties on ``|w|_1`` and ``||w||^2``: two of them, one on both, or one on the ridge beside a fixed l1 term."""
    X, y, held_out, truth = drawn(n, p, seed)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2 if way == "two" else 1), bounds=(low, 1.0))
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(p))
    w = list(model.lower.w.values())
    l1, ridge = sum(abs(entry) for entry in w), sum(entry**2 for entry in w) / 2
    shrunk = {
        "two": model.x[0] * l1 + model.x[len(model.x) - 1] * ridge,
        "both": model.x[0] * (0.5 * l1 + 0.5 * ridge),
        "ridge": 0.1 * l1 + model.x[0] * ridge,
    }[way]
    if loss == "squares":
        fit, judged = least_squares(X, y, w) / (2 * n), least_squares(held_out, truth, w) / n
    else:
        fit, judged = (
            rows_of(loss, matrix, w, np.where(target > 0, 1.0, -1.0)) / n
            for matrix, target in ((X, y), (held_out, truth))
        )
    model.lower.obj = pyo.Objective(expr=fit + shrunk)
    model.obj = pyo.Objective(expr=judged)
    return model


@pytest.mark.parametrize("loss", ["squares", pytest.param("logistic", marks=pytest.mark.slow)])
@pytest.mark.parametrize("width", [0.5, 0.05])
def test_answers_and_values_stay_inside(loss, width):
    n = 12 if loss == "squares" else 400  # fewer are written out
    compilation = Compilation(Problem.read(elastic_net(loss=loss, n=n)))
    response, taylor, rng = Response(compilation.problem, compilation=compilation), Taylor(2), np.random.default_rng(1)
    (tubes,) = tubes_of(compilation, [(0.01, 1.0)] * 2, taylor)
    assert isinstance(tubes, KinkedTubes)
    middle = np.exp(rng.uniform(np.log(0.01), 0.0, (2, 12)))
    low, high = np.maximum(middle * (1 - width), 0.01), np.minimum(middle * (1 + width), 1.0)
    x = taylor.coordinates(low, high)
    tube = tubes(x, np.array([response(point).y for point in x[0].T]).T)
    bounds, _ = box_minimum(taylor, LeaderModels(compilation, taylor)(x, [tube])[:, 0])
    assert np.isfinite(bounds).sum() > 1
    for k in np.flatnonzero(np.isfinite(bounds)):
        for _ in range(6):
            t = rng.uniform(-1, 1, 2)
            point = np.clip(x[0, :, k] + x[1:3, :, k].sum(axis=0) * t, low[:, k], high[:, k])
            reply = response(point)
            model = np.array([1.0, *t, t[0] ** 2, t[0] * t[1], t[1] ** 2]) @ tube.model[:-1, :4, k]
            assert (np.abs(reply.y[:4] - model) <= tube.reach[:4, k] + 1e-7).all()
            assert bounds[k] <= reply.cost + 1e-7


def test_a_wrong_answer_at_the_centre_gives_a_wide_tube():
    compilation = Compilation(Problem.read(elastic_net()))
    response, taylor, rng = Response(compilation.problem, compilation=compilation), Taylor(2), np.random.default_rng(2)
    (tubes,) = tubes_of(compilation, [(0.01, 1.0)] * 2, taylor)
    low = np.full((2, 1), 0.1)
    x = taylor.coordinates(low, 1.2 * low)
    true = response(x[0, :, 0]).y
    for _ in range(20):
        wrong = true + rng.normal(size=8) * rng.choice([0.0, 0.3, 2.0], size=8)
        tube = tubes(x, wrong[:, None])
        assert (
            np.abs(true[:4] - tube.model[0, :4, 0]) <= tube.reach[:4, 0] + taylor.reach(tube.model)[:4, 0] + 1e-9
        ).all()


@pytest.mark.parametrize("way", ["both", "ridge"])
def test_an_elastic_net_whose_hessian_moves_is_certified(way):
    n = 12
    result = bilevel.solve(elastic_net(way=way), "upper_boxes")
    assert result.verdict == "certified_global"
    X, y, held_out, truth = drawn(n, 4, 0)
    for x in np.geomspace(0.01, 1.0, 60):
        alpha, ratio = (x, 0.5) if way == "both" else (0.1 + x, 0.1 / (0.1 + x))
        learner = ElasticNet(alpha=alpha, l1_ratio=ratio, fit_intercept=False, tol=1e-10, max_iter=100_000).fit(X, y)
        assert result.bound <= ((truth - held_out @ learner.coef_) ** 2).sum() / n + 1e-7


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_two_penalties_are_certified(seed):
    result = bilevel.solve(elastic_net(p=3, seed=seed, low=0.03), "upper_boxes")
    assert result.verdict == "certified_global"
    response = Response(elastic_net(p=3, seed=seed, low=0.03))
    grid = np.geomspace(0.03, 1.0, 12)
    assert result.bound <= min(response(np.array([a, b])).cost for a in grid for b in grid) + 1e-9


def test_a_leader_who_looks_at_an_epigraph_keeps_its_rows():
    model = elastic_net(p=2)
    model.size = pyo.Constraint(expr=sum(abs(w) for w in model.lower.w.values()) <= 3.0)
    compilation = Compilation(Problem.read(model))
    assert len(tubes_of(compilation, [(0.01, 1.0)] * 2, Taylor(2))) == 1
