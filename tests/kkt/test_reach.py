"""Bounds on answers that nobody declared: they hold at every x, and are there where the follower is strongly convex."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bilevel
from bilevel import LowerLevel
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.single_level.reach import answer_bounds


def ridge(rng, n=3, low=1e-2, high=10.0, nonnegative=False):
    Z, t = rng.normal(size=(6, n)), rng.normal(size=6)
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(bounds=(low, high))
    m.shift = pyo.Var(bounds=(-1, 2))
    m.lower = LowerLevel()
    m.lower.w = pyo.Var(range(n), bounds=(0 if nonnegative else None, None))
    w = m.lower.w
    residuals = [sum(Z[i, j] * w[j] for j in w) - t[i] - m.shift * Z[i, 0] for i in range(6)]
    m.lower.obj = pyo.Objective(expr=sum(r**2 for r in residuals) + m.penalty * sum(w[j] ** 2 for j in w))
    m.obj = pyo.Objective(expr=sum(w[j] for j in w))
    return m


@given(st.integers(0, 10_000), st.booleans())
def test_no_answer_lies_outside(seed, nonnegative):
    rng = np.random.default_rng(seed)
    problem = Problem.read(ridge(rng, nonnegative=nonnegative))
    compilation = Compilation(problem)
    response = Response(problem, compilation=compilation)
    anchor = response(np.array([1.0, 0.0])).y
    found = answer_bounds(compilation, ["lower"], [anchor])
    assert len(found) == 3
    low, high = np.array(list(found.values())).T
    for penalty in (1e-2, 0.3, 10.0):
        for shift in (-1.0, 0.5, 2.0):
            y = response(np.array([penalty, shift])).y
            assert (low <= y).all()
            assert (y <= high).all()


def bounds(m, convex=("lower",)):
    return answer_bounds(Compilation(Problem.read(m)), convex, [])


def test_a_single_variable_has_the_bounds_one_would_work_out():
    """min (y - 5)^2, anchor 0: d'H d + g'd = 2 d^2 - 10 d <= 0, so 0 <= y <= 5."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var()
    m.lower.obj = pyo.Objective(expr=(m.lower.y - 5) ** 2 + m.x)
    m.obj = pyo.Objective(expr=m.x + m.lower.y)
    assert bounds(m)["lower.y"] == pytest.approx((0.0, 5.0), abs=1e-4)


def test_nothing_where_nothing_is_proved():
    rng = np.random.default_rng(0)
    assert bounds(ridge(rng), convex=()) == {}
    assert bounds(ridge(rng, low=None)) == {}  # the penalty may be as negative as it likes
    m = ridge(rng)
    m.shift.setub(None)  # the gradient at zero has no range
    assert bounds(m) == {}


def test_nothing_where_no_anchor_is_feasible_for_every_x():
    m = ridge(np.random.default_rng(0))
    m.lower.row = pyo.Constraint(expr=m.lower.w[0] >= m.shift + 1)
    assert bounds(m) == {}
    m.lower.row.set_value(m.lower.w[0] >= m.shift - 2)
    assert len(bounds(m)) == 3


def test_nothing_for_a_linear_follower_whose_cost_may_vanish():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=(0, None))
    m.lower.obj = pyo.Objective(expr=m.lower.y * m.x)
    m.obj = pyo.Objective(expr=m.x + m.lower.y)
    assert bounds(m)["lower.y"] == (0.0, np.inf)


def network(rng, free=False, flip=False):
    """Least-cost flow from node 0 to node 4 over arcs without capacities, some of them tolled."""
    arcs = [(i, j) for i in range(5) for j in range(5) if i != j and abs(i - j) <= 2]
    m = pyo.ConcreteModel()
    m.toll = pyo.Var(arcs[:4], bounds=(0, 7))
    m.lower = LowerLevel()
    sign = -1 if flip else 1
    m.lower.flow = pyo.Var(arcs, bounds=(None, 0) if flip else (0, None))
    flow = {a: sign * m.lower.flow[a] for a in arcs}
    m.lower.balance = pyo.Constraint(
        range(5),
        rule=lambda _, v: (
            sum(flow[a] for a in arcs if a[0] == v) - sum(flow[a] for a in arcs if a[1] == v) == {0: 1, 4: -1}.get(v, 0)
        ),
    )
    cost = {a: 0 if free else int(rng.integers(1, 9)) for a in arcs}
    m.lower.obj = pyo.Objective(expr=sum(cost[a] * flow[a] for a in arcs) + sum(m.toll[a] * flow[a] for a in m.toll))
    m.obj = pyo.Objective(expr=sum(m.toll[a] * flow[a] for a in m.toll), sense=pyo.maximize)
    return m


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_flows_that_cost_something_have_bounds_and_no_answer_lies_outside(seed, flip):
    rng = np.random.default_rng(seed)
    problem = Problem.read(network(rng, flip=flip))
    compilation = Compilation(problem)
    response = Response(problem, compilation=compilation)
    found = answer_bounds(compilation, ["lower"], [response(np.zeros(4)).y])
    low, high = np.array(list(found.values())).T
    assert np.isfinite([low, high]).all()
    assert np.abs([low, high]).max() < 200
    for _ in range(20):
        y = response(rng.uniform(0, 7, 4)).y
        assert (low <= y).all()
        assert (y <= high).all()


def test_flows_that_may_go_round_for_nothing_have_none():
    m = network(np.random.default_rng(0), free=True)
    problem = Problem.read(m)
    compilation = Compilation(problem)
    anchor = Response(problem, compilation=compilation)(np.zeros(4)).y
    found = answer_bounds(compilation, ["lower"], [anchor])
    assert not np.isfinite([high for _, high in found.values()]).any()


def test_tolls_on_arcs_without_capacities_are_certified():
    result = bilevel.solve(network(np.random.default_rng(1)), "kkt", time_limit=60)
    assert result.verdict == "certified_global", result.notes
    again = bilevel.solve(network(np.random.default_rng(1), flip=True), "kkt", time_limit=60)
    assert again.upper_objective == pytest.approx(result.upper_objective, abs=1e-4)
