"""Problems that fall apart: each part by itself, bounds added, never a better word than the weakest part's."""

import random

import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, solve
from bilevel.reading.independent_parts import independent_parts
from bilevel.reading.problem import Problem


def market(hours, seed=0):
    """A producer's price against two others' rising costs in each hour; hours have nothing to do with each other."""
    rng = random.Random(seed)
    model = pyo.ConcreteModel()
    model.T = pyo.RangeSet(hours)
    model.p = pyo.Var(model.T, bounds=(0, 20))
    model.hour = LowerLevel(model.T)
    for t in model.T:
        hour = model.hour[t]
        hour.q = q = pyo.Var([0, 1, 2], bounds=(0, 10))
        hour.balance = pyo.Constraint(expr=sum(q.values()) == rng.uniform(6, 15))
        cost = sum(rng.uniform(2, 12) * q[i] + rng.uniform(0.2, 1) * q[i] ** 2 for i in (1, 2))
        hour.obj = pyo.Objective(expr=model.p[t] * q[0] + cost)
    profit = [(model.p[t] - 3) * model.hour[t].q[0] for t in model.T]
    model.obj = pyo.Objective(expr=1.0 + 2 * (profit[0] + sum(profit[1:])) / 2, sense=pyo.maximize)
    return model


def parts_of(model):
    return independent_parts(Problem.read(model))


def test_six_hours_are_certified():
    result = solve(market(6), "kkt", time_limit=60)
    alone = sum(part_value(market(6), t) for t in (2, 5))
    assert result.verdict == "certified_global"
    assert "6 independent parts" in result.notes[0]
    two = sum((result.upper[f"p[{t}]"] - 3) * result.lower[f"hour[{t}].q[0]"] for t in (2, 5))
    assert two == pytest.approx(alone, rel=1e-4)
    assert result.bound == pytest.approx(result.upper_objective, rel=1e-5)


def part_value(model, t):
    """The best of one hour, all others deactivated by hand."""
    for other in model.T:
        if other != t:
            model.hour[other].deactivate()
    model.obj.set_value((model.p[t] - 3) * model.hour[t].q[0])
    return solve(model, "kkt", time_limit=20).upper_objective


def test_what_is_joined_stays_whole():
    for joined in (
        lambda m: pyo.Constraint(expr=m.p[1] + m.p[2] <= 12),
        lambda m: pyo.Constraint(expr=m.hour[1].q[0] + m.hour[2].q[1] <= 12),
    ):
        model = market(2)
        model.joined = joined(model)
        assert parts_of(model) == []
    model = market(2)
    model.obj.set_value(model.obj.expr + model.p[1] * model.p[2])
    assert parts_of(model) == []


def test_the_leader_of_two_followers_is_one_part():
    model = market(3)
    model.hour[2].obj.set_value(model.hour[2].obj.expr + 0 * model.hour[2].q[0] + model.p[1] * model.hour[2].q[1])
    assert [sorted(f.name for f in part.followers) for part in parts_of(model)] == [["hour[1]", "hour[2]"], ["hour[3]"]]


def test_constants_and_lonely_variables_count_once():
    model = market(2)
    model.z = pyo.Var(bounds=(0, 1))
    model.obj.set_value(model.obj.expr - 100 * model.z + 7)
    parts = parts_of(model)
    assert len(parts) == 2
    whole = solve(model, "kkt", time_limit=30)
    assert whole.verdict == "certified_global"
    assert whole.upper["z"] == pytest.approx(0.0, abs=1e-6)
    assert whole.upper_objective - 7 == pytest.approx(solve(market(2), "kkt", time_limit=30).upper_objective, rel=1e-5)


def test_one_infeasible_part_is_the_whole():
    model = market(2)
    model.asked = pyo.Constraint(expr=model.hour[2].q[0] >= 11)
    assert solve(model, "kkt", time_limit=20).verdict == "infeasible"


def test_the_verdict_is_the_weakest_parts():
    """One follower is not convex, and kkt is told to go on: no certificate of the sum."""
    model = market(2)
    model.hour[2].y = pyo.Var(bounds=(-2, 2))
    y = model.hour[2].y
    model.hour[2].obj.set_value(model.hour[2].obj.expr + (y**2 - 1) ** 2 + 0.05 * model.p[2] * y)
    result = solve(model, "kkt", allow_nonconvex=True, time_limit=20)
    assert result.verdict == "best_found"
    assert result.bound is None


def test_the_model_stays_as_it_is():
    model = market(2)
    before = [c.name for c in model.component_data_objects(active=True, descend_into=(pyo.Block, LowerLevel))]
    parts_of(model)
    assert [c.name for c in model.component_data_objects(active=True, descend_into=(pyo.Block, LowerLevel))] == before


def one_follower(hours, seed=0):
    """The same market as one follower over all hours, with a cost that x alone moves and a variable without a row."""
    rng = random.Random(seed)
    model = pyo.ConcreteModel()
    model.T = pyo.RangeSet(hours)
    model.p = pyo.Var(model.T, bounds=(0, 20))
    model.low = LowerLevel()
    model.low.q = q = pyo.Var(model.T, [0, 1, 2], bounds=(0, 10))
    need = {t: rng.uniform(6, 15) for t in model.T}
    model.low.balance = pyo.Constraint(model.T, rule=lambda b, t: sum(b.q[t, i] for i in range(3)) == need[t])
    costs = [
        rng.uniform(2, 12) * q[t, i] + rng.uniform(0.2, 1) * q[t, i] ** 2 + model.p[t] * q[t, 0] / 2
        for t in model.T
        for i in (1, 2)
    ]
    model.low.obj = pyo.Objective(expr=-(sum(costs) + model.p[1] * model.p[2]), sense=pyo.maximize)
    model.obj = pyo.Objective(expr=sum((model.p[t] - 3) * q[t, 0] for t in model.T), sense=pyo.maximize)
    return model


def test_one_follower_over_hours_falls_apart_too():
    model = one_follower(3, seed=4)
    parts = parts_of(model)
    assert [sorted(v.name for v in part.variables) for part in parts] == [["p[1]"], ["p[2]"], ["p[3]"]]
    assert [len(part.followers[0].variables) for part in parts] == [3, 3, 3]
    result = solve(model, "kkt", time_limit=30)
    assert result.verdict == "certified_global"
    assert "3 independent parts" in result.notes[0]
    alone = 0.0
    for t in model.T:  # by a fine grid, each hour by itself: both levels of it are one variable
        other = one_follower(3, seed=4)
        other.obj.set_value((other.p[t] - 3) * other.low.q[t, 0])
        for k in other.T:
            if k != t:
                other.p[k].fix(1.0)
        alone += solve(other, "grid", budget=201).upper_objective
    assert alone - 1e-6 <= result.upper_objective <= alone * 1.01


def test_a_follower_whose_hours_are_joined_stays_whole():
    for join in (
        lambda m: pyo.Constraint(expr=m.low.q[1, 1] + m.low.q[2, 1] <= 9),
        lambda m: pyo.Constraint(expr=m.low.q[1, 1] <= m.p[2]),
    ):
        model = one_follower(2)
        model.low.joined = join(model)
        assert not parts_of(model)
    model = one_follower(2)
    model.low.obj.set_value(model.low.obj.expr - (model.low.q[1, 0] - model.low.q[2, 0]) ** 2)
    assert not parts_of(model)
