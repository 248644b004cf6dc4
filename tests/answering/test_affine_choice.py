"""Ties of lassos and machines are broken in the set of optima itself, as the general way breaks them."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, least_squares
from bilevel.programs.answer import Status
from bilevel.response.faces.affine_choice import AffineChoice


def lasso(p, rows=40, way="abs", seed=0):
    """The first two columns are the same, so that only the sum of their coefficients is known."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, p))
    X[:, 1] = X[:, 0]
    y = X[:, 0] + X[:, 2] + 0.1 * rng.normal(size=rows)
    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(bounds=(1e-3, 1.0), initialize=0.1)
    model.lower = lower = LowerLevel()
    if way == "abs":
        lower.w = pyo.Var(range(p), initialize=0.0)
        w, bent = [lower.w[j] for j in range(p)], sum(abs(lower.w[j]) for j in range(p))
    else:
        lower.u, lower.v = (pyo.Var(range(p), bounds=(0, None), initialize=0.0) for _ in range(2))
        w = [lower.u[j] - lower.v[j] for j in range(p)]
        bent = sum(lower.u[j] + lower.v[j] for j in range(p))
    lower.obj = pyo.Objective(expr=least_squares(X, y, w) / (2 * rows) + model.penalty * bent)
    model.obj = pyo.Objective(expr=(w[0] - 0.3) ** 2 + sum(v**2 for v in w[2:]))
    return model, w


@pytest.mark.parametrize("way", ["abs", "split"])
@pytest.mark.parametrize("p", [4, 60])
def test_of_two_features_that_are_the_same_the_leader_shares_out(p, way, monkeypatch):
    asked = []
    inner = AffineChoice.__call__
    monkeypatch.setattr(AffineChoice, "__call__", lambda *a: asked.append(inner(*a)) or asked[-1])
    model, w = lasso(p, way=way)
    response = bilevel.Response(model)
    reply = response(np.array([0.1]))
    assert reply.status is Status.OPTIMAL
    assert reply.proved
    assert [answer is None for answer in asked] == [False]
    places = {id(var): k for k, var in enumerate(response.problem.lower_variables)}
    value = reply.y[[places[id(v)] for v in ([w[0]] if way == "abs" else w[0].args[:1])]]
    assert value == pytest.approx([0.3], abs=1e-8)
    unique = bilevel.Response(lasso(p, way=way)[0]).gradient(np.array([0.1]))
    assert not unique.smooth


def test_as_the_general_way_breaks_it(monkeypatch):
    found = []
    for known in (True, False):
        with monkeypatch.context() as patched:
            if not known:
                patched.setattr(AffineChoice, "__call__", lambda *_: None)
            found.append(bilevel.Response(lasso(4)[0])(np.array([0.05])).cost)
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def machine(target):
    """So small a cost that all rows pull with all they have: the intercept is free between two of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    y = np.repeat([1.0, -1.0], 15)
    model = pyo.ConcreteModel()
    model.cost = pyo.Var(bounds=(1e-6, 1.0), initialize=1e-4)
    model.lower = lower = LowerLevel()
    lower.w = pyo.Var([0, 1], initialize=0.0)
    lower.b = pyo.Var(initialize=0.0)
    lower.s = pyo.Var(range(30), bounds=(0, None), initialize=0.0)
    lower.rows = pyo.Constraint(
        range(30),
        rule=lambda m, i: float(y[i]) * (sum(float(X[i, j]) * m.w[j] for j in (0, 1)) + m.b) >= 1 - m.s[i],
    )
    lower.obj = pyo.Objective(
        expr=0.5 * (lower.w[0] ** 2 + lower.w[1] ** 2) + model.cost * sum(lower.s[i] for i in range(30))
    )
    model.obj = pyo.Objective(expr=(lower.b - target) ** 2)
    return model


@pytest.mark.parametrize(("target", "chosen"), [(0.2, 0.2), (-0.5, -0.5), (0.0, 0.0)])
def test_a_free_intercept_is_the_leaders_choice(target, chosen):
    response = bilevel.Response(machine(target))
    reply = response(np.array([1e-4]))
    assert reply.status is Status.OPTIMAL
    assert reply.y[2] == pytest.approx(chosen, abs=1e-7)


def test_the_choice_ends_where_a_row_gets_to_its_kink():
    response = bilevel.Response(machine(5.0))
    reply = response(np.array([1e-4]))
    w, b, slacks = reply.y[:2], reply.y[2], reply.y[3:]
    assert 0.9 < b < 1.1
    assert slacks.min() == pytest.approx(0.0, abs=1e-9)
    assert np.abs(w).max() < 0.01
