"""Both paths on problems whose upper level mentions multipliers, and what is said where they are not unique."""

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, dual_of
from bilevel.errors import RefusedError
from bilevel.response.response import Response


def monopoly(domain=pyo.Reals):
    """A generator sells x into a market that covers the demand 10 with y of cost y^2 / 2 each; the price is the dual.

    y = 10 - x, price = 10 - x, profit = x (10 - x) - 2 x, best at x = 4 with profit 16.
    """
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10), within=domain)
    model.market = LowerLevel()
    model.market.y = pyo.Var(bounds=(0, None))
    model.market.balance = pyo.Constraint(expr=model.market.y + model.x == 10)
    model.market.cost = pyo.Objective(expr=0.5 * model.market.y**2)
    price = dual_of(model.market.balance)
    model.profit = pyo.Objective(expr=model.x * price - 2 * model.x, sense=pyo.maximize)
    return model


def steps():
    return pyo.RangeSet(0, 9.5, 0.5)


def test_the_price_is_part_of_the_answer():
    model = monopoly(steps())
    result = bilevel.solve(model, "grid")
    assert (result.verdict, result.upper["x"]) == ("certified_global", 4)
    assert result.upper_objective == pytest.approx(16)
    price = dual_of(model.market.balance)
    assert result.lower[price.name] == pytest.approx(6)
    assert price.value == pytest.approx(6)


def test_both_paths_meet():
    exact = bilevel.solve(monopoly(), "kkt", time_limit=30)
    assert exact.verdict in ("certified_global", "verified_local")
    assert exact.upper_objective == pytest.approx(16, abs=1e-3)
    assert exact.upper["x"] == pytest.approx(4, abs=1e-2)


def test_an_upper_constraint_on_a_price():
    model = monopoly(steps())
    model.cap = pyo.Constraint(expr=dual_of(model.market.balance) <= 3)
    result = bilevel.solve(model, "grid")
    assert (result.upper["x"], result.verdict) == (7, "certified_global")
    assert result.upper_objective == pytest.approx(7)
    exact = bilevel.solve(model, "kkt", time_limit=30)
    assert exact.upper_objective == pytest.approx(7, abs=1e-4)


def test_auto_and_compare_take_it():
    model = monopoly(steps())
    assert bilevel.solve(model).upper_objective == pytest.approx(16, abs=1e-4)
    table = bilevel.compare(model, ["kkt", "grid"])
    assert [r.upper_objective for r in table.results] == pytest.approx([16, 16], abs=1e-4)


@pytest.mark.parametrize("method", ["value_function"])
def test_paths_without_multipliers_refuse(method):
    with pytest.raises(RefusedError, match=r"dual_of\(market\.balance\)"):
        bilevel.solve(monopoly(), method)


def merit_order(demand=10):
    """Two units of cost 1 and 3, 10 each: at a demand of 10 the price is anything between 1 and 3."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.RangeSet(0, 4, 2))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2], bounds=(0, 10))
    model.lower.balance = pyo.Constraint(expr=model.lower.y[1] + model.lower.y[2] == demand + model.x - 2)
    model.lower.obj = pyo.Objective(expr=model.lower.y[1] + 3 * model.lower.y[2])
    model.obj = pyo.Objective(expr=dual_of(model.lower.balance) - 0.1 * model.x)
    return model


def test_where_it_is_not_unique_that_is_said_and_nothing_is_claimed():
    response = Response(merit_order())
    below, at, above = (response([x]) for x in (0.0, 2.0, 4.0))
    assert (below.cost, above.cost) == (pytest.approx(1), pytest.approx(3 - 0.4))
    assert below.proved
    assert above.proved
    assert not at.proved
    assert "lower.balance is not unique" in at.message
    assert 1 - 1e-9 <= at.y[2] <= 3 + 1e-9
    result = bilevel.solve(merit_order(), "grid")
    assert result.verdict == "best_found"


def test_a_multiplier_may_be_unique_where_others_are_not():
    """The row of z stands twice; that of y, which the leader asks about, once."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y, model.lower.z = pyo.Var(), pyo.Var()
    model.lower.row = pyo.Constraint(expr=model.lower.y >= 1)
    model.lower.twice = pyo.Constraint([1, 2], rule=lambda b, k: k * b.z >= k)
    model.lower.obj = pyo.Objective(expr=model.lower.y**2 + model.lower.z**2)
    model.obj = pyo.Objective(expr=dual_of(model.lower.row))
    reply = Response(model)([0.5])
    assert (reply.cost, reply.proved) == (pytest.approx(2), True)
    model.obj.set_value(dual_of(model.lower.twice[1]) + 2 * dual_of(model.lower.twice[2]))
    reply = Response(model)([0.5])
    assert not reply.proved
    assert reply.cost == pytest.approx(2)  # each of the many has the same sum here


def test_without_a_constraint_qualification_there_may_be_none():
    """y^2 <= 0 leaves y = 0 alone, whose gradient 2 y = 0 cannot hold f' = 1."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-1, 1))
    model.lower.row = pyo.Constraint(expr=model.lower.y**2 <= 0)
    model.lower.obj = pyo.Objective(expr=model.lower.y)
    model.obj = pyo.Objective(expr=dual_of(model.lower.row) + model.x)
    assert not Response(model)([0.5]).proved


def test_ties_below_share_one_price():
    """Two identical units: their split is open, their price is not."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.RangeSet(1, 4, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2], bounds=(0, 10))
    model.lower.balance = pyo.Constraint(expr=model.lower.y[1] + model.lower.y[2] == model.x)
    model.lower.obj = pyo.Objective(expr=(model.lower.y[1] + model.lower.y[2]) ** 2)
    model.obj = pyo.Objective(expr=dual_of(model.lower.balance) - 3 * model.lower.y[1])
    reply = Response(model)([2.0])
    assert reply.cost == pytest.approx(4 - 3 * 2, abs=1e-6)
    assert reply.y == pytest.approx([2, 0, 4], abs=1e-6)


def test_the_pessimist_needs_a_search():
    with pytest.raises(RefusedError, match="multipliers used above"):
        bilevel.solve(monopoly(), "kkt", attitude="pessimistic")
    result = bilevel.solve(monopoly(steps()), "grid", attitude="pessimistic")
    assert result.upper_objective == pytest.approx(16)


@pytest.mark.parametrize(
    ("wish", "sense", "treatment"),
    [(8.0, pyo.minimize, "strong_duality"), (8.0, pyo.maximize, "sos1_cut"), (30.0, pyo.maximize, "strong_duality")],
)
def test_a_multiplier_without_an_end_is_not_held_to_basic_ones(wish, sense, treatment):
    """At x = 0 nothing is left to the follower: any multiplier from 6 on will do, and basic ones end at 6."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 20))
    model.lower.cap = pyo.Constraint(expr=model.lower.y <= model.x)
    sign = 1 if sense == pyo.minimize else -1
    model.lower.obj = pyo.Objective(expr=sign * (model.lower.y - 3) ** 2, sense=sense)
    model.obj = pyo.Objective(expr=(dual_of(model.lower.cap) + sign * wish) ** 2)
    result = bilevel.solve(model, "kkt", complementarity=treatment, time_limit=5)
    assert result.bound is None or result.bound <= 1e-6
    assert not any("withdrawn" in note for note in result.notes)
