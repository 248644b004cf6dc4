"""A multiplier whose sign makes a maximised F flat at zero is explained."""

import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, dual_of, solve


def demand(row, revenue, sense=pyo.minimize):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.lower = LowerLevel()
    model.lower.y = y = pyo.Var(bounds=(0, 20))
    model.lower.demand = pyo.Constraint(expr=row(model.x, y))
    cost = y**2 if sense == pyo.minimize else -(y**2)
    model.lower.obj = pyo.Objective(expr=cost, sense=sense)
    model.obj = pyo.Objective(expr=revenue(model.x, dual_of(model.lower.demand)), sense=pyo.maximize)
    return model


def told(result):
    return [note for note in result.notes if "dual_of" in note]


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize], ids=["minimises", "maximises"])
def test_the_trap_is_told(sense):
    sign = 1 if sense == pyo.minimize else -1
    result = solve(demand(lambda x, y: y >= x, lambda x, d: sign * x * d, sense), "kkt", time_limit=20)
    assert result.upper_objective == pytest.approx(0.0, abs=1e-5)
    assert len(told(result)) == 1
    assert f"never {'positive' if sign > 0 else 'negative'}" in told(result)[0]


def test_the_cure_works():
    result = solve(demand(lambda x, y: y >= x, lambda x, d: -x * d), "kkt", time_limit=20)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(32.0, rel=1e-5)  # x 2 y at x = y = 4
    assert told(result) == []


def test_an_equality_has_no_sign():
    result = solve(demand(lambda x, y: y == x, lambda x, d: x * d - x, pyo.minimize), "kkt", time_limit=20)
    assert told(result) == []


def test_nothing_is_said_of_a_price_that_is_paid():
    model = demand(lambda x, y: y >= x, lambda x, d: x * d)
    model.floor = pyo.Constraint(expr=model.x >= 1)
    result = solve(model, "kkt", time_limit=20)
    assert result.upper_objective == pytest.approx(-2.0, rel=1e-5)
    assert told(result) == []
