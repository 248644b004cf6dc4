"""Floors by neighbouring answers: never above the truth, and on a fine grid they spare most solves."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, Response, discretize, least_squares

FOLDS = 4


def cross_validated(kind, levels, rows=40, p=4, low=1e-3, high=10.0, seed=0):
    """Folds of regressions whose penalty is one of ``levels`` values."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, p)) @ rng.normal(size=(p, p))
    y = X @ rng.normal(size=p) + 2.0 * rng.normal(size=rows)
    X, y, fold_of = X / X.std(axis=0), y / y.std(), np.arange(rows) % FOLDS
    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(low, high))
    discretize(model.penalty, levels=levels, scale="log")
    model.fit = LowerLevel(range(FOLDS))
    parts = []
    for k in range(FOLDS):
        fit, held = fold_of != k, fold_of == k
        w = FOLLOWERS[kind](model.fit[k], X[fit], y[fit], model.penalty)
        parts.append(least_squares(X[held], y[held], w) / held.sum())
    model.obj = pyo.Objective(expr=sum(parts) / FOLDS)
    return model


def ridge(block, X, y, penalty):
    block.w = pyo.Var(range(X.shape[1]), bounds=(-1, 1), initialize=0.0)
    size = sum(block.w[j] ** 2 for j in block.w)
    block.obj = pyo.Objective(expr=least_squares(X, y, block.w) / len(y) + penalty * size)
    return block.w


def lasso(block, X, y, penalty):
    block.w = pyo.Var(range(X.shape[1]), initialize=0.0)
    size = sum(abs(block.w[j]) for j in block.w)
    block.obj = pyo.Objective(expr=least_squares(X, y, block.w) / (2 * len(y)) + penalty * size)
    return block.w


def halves(block, X, y, penalty):
    """The lasso by positive and negative parts: its Hessian is singular."""
    block.u, block.v = (pyo.Var(range(X.shape[1]), bounds=(0, None), initialize=0.0) for _ in range(2))
    w = [block.u[j] - block.v[j] for j in block.u]
    size = sum(block.u[j] + block.v[j] for j in block.u)
    block.obj = pyo.Objective(expr=least_squares(X, y, w) / (2 * len(y)) + penalty * size)
    return w


def machine(block, X, y, penalty):
    """A support vector machine without an intercept, its slacks without curvature."""
    block.w = pyo.Var(range(X.shape[1]), initialize=0.0)
    block.short = pyo.Var(range(len(y)), bounds=(0, None), initialize=1.0)
    signs = np.sign(y)

    def margin(b, i):
        return float(signs[i]) * sum(float(v) * b.w[j] for j, v in enumerate(X[i])) >= 1 - b.short[i]

    block.margin = pyo.Constraint(range(len(y)), rule=margin)
    curved = sum(block.w[j] ** 2 for j in block.w) / 2
    block.obj = pyo.Objective(expr=curved + penalty * sum(block.short[i] for i in block.short))
    return block.w


FOLLOWERS = {"ridge": ridge, "lasso": lasso, "halves": halves, "machine": machine}


@pytest.mark.parametrize("kind", FOLLOWERS)
def test_no_floor_is_above_the_truth(kind):
    response = Response(cross_validated(kind, 30, rows=24, p=3))
    values = np.geomspace(1e-3, 10.0, 30)
    answers = [response(np.array([t])).y for t in values]
    floors, parts = response.nearby_floors, response.parts_of_f
    assert floors.place == 0
    rng, told = np.random.default_rng(1), 0
    for _ in range(60):
        left, here, right = np.sort(rng.choice(30, 3, replace=False))
        near = [((values[k],), tuple(answers[k])) for k in (left, right)]
        for name, floor in floors.at(np.array([values[here]]), near).items():
            truth = parts.value(name, np.array([values[here]]), answers[here])
            assert floor <= truth
            told += here - left == 1 == right - here and floor > 0.8 * truth
    assert floors.at(np.array([20.0]), near) == {}  # nobody answered beyond


@pytest.mark.parametrize("kind", ["ridge", "halves"])
def test_most_solves_of_a_fine_grid_are_spared(kind):
    whole = bilevel.solve(cross_validated(kind, 200), "grid", budget=200)
    raced = bilevel.solve(cross_validated(kind, 200), "grid", budget=200, pruner="race")
    assert raced.verdict == whole.verdict == "certified_global"
    assert raced.upper == whole.upper
    assert raced.upper_objective == pytest.approx(whole.upper_objective, rel=1e-12)
    assert raced.saved["spared"] > 0.45 * raced.saved["whole"]
    at_once = [e for e in raced.history if e.pruned and len(e.reports) == 1]
    assert len(at_once) > 60
    full = {e.point: e.cost for e in whole.history}
    assert all(e.bound <= full[e.point] for e in raced.history if e.pruned)


def test_where_the_penalty_moves_rows_or_is_not_affine_there_are_no_such_floors():
    model = cross_validated("ridge", 5)
    for k in range(FOLDS):
        model.fit[k].cap = pyo.Constraint(expr=model.fit[k].w[0] <= model.penalty)
    assert Response(model).nearby_floors.place is None
    model = cross_validated("ridge", 5)
    for k in range(FOLDS):
        model.fit[k].obj.set_value(model.fit[k].obj.expr + model.penalty**2 * model.fit[k].w[0])
    assert Response(model).nearby_floors.place is None
