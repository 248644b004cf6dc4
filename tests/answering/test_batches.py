"""Many points at once, and answers by formula: the same as the engines give one by one."""

import os

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, Response, registry
from bilevel.contracts.engine import Engine
from bilevel.contracts.search import Search
from bilevel.errors import ModelError
from bilevel.programs.answer import Status


def base(**bounds):
    model = pyo.ConcreteModel()
    model.x = pyo.Var([1, 2], bounds=(-1.0, 2.0), initialize=0.5)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2, 3], **bounds)
    y, x = model.lower.y, model.x
    model.obj = pyo.Objective(expr=(y[1] - 0.3) ** 2 + x[1] * y[2] + pyo.sin(y[3]) + x[2] ** 2 * y[1])
    quadratic = (y[1] - x[1]) ** 2 + (2 + x[2]) * y[2] ** 2 + (y[3] - x[1] * x[2]) ** 2 + 0.3 * y[1] * y[3] - y[2]
    return model, quadratic


def unconstrained():
    model, quadratic = base()
    model.lower.obj = pyo.Objective(expr=quadratic)
    return model


def constant_hessian():
    model, _ = base()
    x, y = model.x, model.lower.y
    model.lower.obj = pyo.Objective(
        expr=y[1] ** 2 + y[2] ** 2 + (y[3] - y[1]) ** 2 - pyo.exp(x[1]) * y[1] + x[2] * y[3], sense=pyo.minimize
    )
    return model


def maximising():
    model, quadratic = base()
    model.lower.obj = pyo.Objective(expr=-quadratic, sense=pyo.maximize)
    model.obj.sense = pyo.maximize
    return model


def coupled():
    model, quadratic = base()
    model.lower.obj = pyo.Objective(expr=quadratic)
    model.cap = pyo.Constraint(expr=(-0.2, model.lower.y[1] + model.x[2], 0.4))
    return model


def sometimes_singular():
    """At x[1] = 0 tied, below that unbounded, at x[2] = 0 no number in F."""
    model, _ = base()
    x, y = model.x, model.lower.y
    model.lower.obj = pyo.Objective(expr=x[1] * (y[1] - 1) ** 2 + (y[2] - 1) ** 2 + (y[3] - x[2]) ** 2)
    model.obj.expr = y[1] ** 2 + y[2] + pyo.log(x[2])
    return model


def two_followers():
    model, quadratic = base()
    model.lower.obj = pyo.Objective(expr=quadratic)
    model.other = LowerLevel()
    model.other.z = pyo.Var()
    model.other.obj = pyo.Objective(expr=(model.other.z - model.x[1]) ** 2)
    model.obj.expr = model.obj.expr + model.other.z**2 * model.lower.y[2]
    return model


def bounded():
    model, quadratic = base(bounds=(-0.5, 0.4))
    model.lower.obj = pyo.Objective(expr=quadratic)
    return model


def equality():
    model, quadratic = base()
    model.lower.obj = pyo.Objective(expr=quadratic)
    model.lower.sum = pyo.Constraint(expr=model.lower.y[1] + model.x[1] * model.lower.y[2] == model.x[2])
    return model


def linear():
    model, _ = base(bounds=(0, 3))
    x, y = model.x, model.lower.y
    model.lower.obj = pyo.Objective(expr=-y[1] - 2 * y[2] - y[3] + x[1] * y[1])
    model.lower.cap = pyo.Constraint(expr=y[1] + y[2] + y[3] <= x[2])
    return model


def nonlinear():
    model, quadratic = base(bounds=(-2, 2))
    model.lower.obj = pyo.Objective(expr=quadratic + pyo.exp(model.lower.y[1]))
    return model


def function(response=lambda x: {"y": 1 / x["x[1]"] + x["x[2]"]}):
    model = pyo.ConcreteModel()
    model.x = pyo.Var([1, 2], bounds=(-1.0, 2.0))
    model.lower = LowerLevel(response=response)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y**2)
    return model


FORMULA = [unconstrained, constant_hessian, maximising, coupled, sometimes_singular, two_followers]
ALL = [*FORMULA, bounded, equality, linear, nonlinear, function]


def points(n=40):
    drawn = np.random.default_rng(5).uniform(-1.0, 2.0, (n, 2)).round(2)
    drawn[:3] = [[0.0, 1.0], [-0.5, 0.5], [1.0, 0.0]]
    return drawn


def same(ours, theirs, tolerance=1e-9):
    assert ours.status is theirs.status
    assert ours.proved == theirs.proved
    assert ours.message == theirs.message
    np.testing.assert_allclose(ours.cost, theirs.cost, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(ours.violation, theirs.violation, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(ours.lower, theirs.lower, rtol=tolerance, atol=tolerance)
    assert (ours.y is None) == (theirs.y is None)
    if ours.y is not None:
        np.testing.assert_allclose(ours.y, theirs.y, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("build", ALL)
def test_many_is_one_by_one(build):
    X = points()
    many, single = Response(build()).many(X), Response(build())
    assert len(many) == len(X)
    for k, x in enumerate(X):
        one = single(x)
        same(many[k], one, 1e-7)
        assert many.status[k] is one.status
        np.testing.assert_array_equal(many.cost[k], many[k].cost)
        if one.y is not None:
            np.testing.assert_array_equal(many.y[k], many[k].y)


@pytest.mark.parametrize("build", FORMULA)
def test_formulas_answer_as_the_engines_do(build, monkeypatch):
    by_formula = Response(build())
    assert by_formula.batches
    with monkeypatch.context() as patch:
        patch.setattr(registry.get(Engine, "linear_system"), "closed_form", lambda self, program: None)
        by_engine = Response(build())
    assert not by_engine.batches
    for x in points():
        same(by_formula(x), by_engine(x))


def test_where_a_formula_does_not_hold_the_engines_speak():
    replies = Response(sometimes_singular()).many([[1.0, 1.0], [0.0, 1.0], [-1.0, 1.0], [1.0, -0.5], [2.0, 1.0]])
    assert replies.status == ["optimal", "optimal", "unbounded", "failed", "optimal"]
    assert replies.cost[1] == pytest.approx(1.0, abs=1e-6)  # y[1] is free there: the leader's choice, 0
    assert np.isnan(replies.y[2]).all()


@pytest.mark.parametrize("build", [bounded, function])
def test_workers_answer_the_same_to_the_last_bit(build):
    X = points(20)
    alone, shared = Response(build(), warm=False).many(X), Response(build()).many(X, workers=2)
    assert alone.status == shared.status
    np.testing.assert_array_equal(alone.cost, shared.cost)
    np.testing.assert_array_equal(alone.y, shared.y)


def dies(x):
    """A simulator that takes its process with it, once in a while."""
    if x["x[1]"] > 1.9:
        os._exit(1)
    return {"y": x["x[1]"]}


def test_a_worker_that_dies_loses_only_its_own_points():
    replies = Response(function(dies)).many([[k / 10, 0.0] for k in range(21)], workers=2)
    assert {Status.OPTIMAL, Status.FAILED} == set(replies.status)
    assert replies.status[0] is Status.OPTIMAL
    assert "died" in replies[20].message


def test_dicts_and_nothing_and_wrong_shapes():
    response = Response(unconstrained())
    X = points(5)
    by_name = response.many([{"x[1]": a, "x[2]": b} for a, b in X])
    np.testing.assert_array_equal(by_name.cost, response.many(X).cost)
    assert len(response.many(np.zeros((0, 2)))) == 0
    assert [reply.cost for reply in by_name[1:3]] == by_name.cost[1:3].tolist()
    with pytest.raises(ModelError, match="shape"):
        response.many(np.zeros((4, 3)))


def test_more_points_than_go_at_once():
    response = Response(unconstrained())
    X = np.random.default_rng(0).uniform(0.0, 1.0, (600, 2))
    replies = response.many(X)
    for k in (0, 255, 256, 511, 512, 599):
        same(replies[k], response(X[k]), 1e-12)


@pytest.mark.parametrize("method", ["grid", "random"])
@pytest.mark.parametrize("build", [unconstrained, coupled, sometimes_singular])
def test_a_search_has_the_same_history_either_way(method, build, monkeypatch):
    together = bilevel.solve(build(), method=method, budget=300, seed=3)
    monkeypatch.setattr(registry.get(Search, method), "learns", True)
    apart = bilevel.solve(build(), method=method, budget=300, seed=3)
    assert [e.point for e in together.history] == [e.point for e in apart.history]
    assert [e.status for e in together.history] == [e.status for e in apart.history]
    np.testing.assert_allclose([e.cost for e in together.history], [e.cost for e in apart.history], rtol=1e-12)
    assert together.upper == apart.upper


def test_a_search_asks_for_batches(monkeypatch):
    sizes = []
    many = Response.many
    monkeypatch.setattr(Response, "many", lambda self, X: sizes.append(len(X)) or many(self, X))
    bilevel.solve(unconstrained(), method="random", budget=300)
    assert sizes == [256, 44]


def test_answers_are_their_own_copies():
    response = Response(unconstrained())
    first = response(np.array([0.5, 0.5]))
    kept = first.y.copy()
    response(np.array([1.5, -0.5]))
    np.testing.assert_array_equal(first.y, kept)
    assert first.status is Status.OPTIMAL
