"""Where optimist and pessimist part: every case worked out by hand."""

import math

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.reading.problem import Problem
from bilevel.response import tie_break
from bilevel.response.response import Response

STEPS = pyo.RangeSet(0, 1, 0.25)


def start(domain=STEPS, **bounds):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=domain, **bounds)
    model.lower = LowerLevel()
    return model


def indifferent(leader=pyo.minimize, follower=pyo.minimize):
    """min x y below over y in [-1, 1] (Dempe 2002, ch. 1): at x = 0 every y is an optimum, else y = -sign(x).

    F = x + y for the minimising leader: the optimist has -1 at x = 0, the pessimist 1 there and x - 1 > -1 elsewhere.
    """
    model = start()
    sign_f = 1 if follower == pyo.minimize else -1
    sign = 1 if leader == pyo.minimize else -1
    model.lower.y = pyo.Var(bounds=(-1, 1))
    model.lower.obj = pyo.Objective(expr=sign_f * model.x * model.lower.y, sense=follower)
    model.obj = pyo.Objective(expr=sign * (model.x + model.lower.y), sense=leader)
    return model


def split(cost=lambda y: y[1]):
    """A linear follower with a face: any split of 1 - x between two identical routes."""
    model = start()
    model.lower.y = pyo.Var([1, 2], bounds=(0, None))
    model.lower.demand = pyo.Constraint(expr=model.lower.y[1] + model.lower.y[2] == 1 - model.x)
    model.lower.obj = pyo.Objective(expr=model.lower.y[1] + model.lower.y[2])
    model.obj = pyo.Objective(expr=cost(model.lower.y) + 0.5 * model.x)
    return model


def at(model, x, attitude):
    return Response(Problem.read(model, attitude))([x])


@pytest.mark.parametrize("leader", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("follower", [pyo.minimize, pyo.maximize])
def test_both_attitudes_by_hand_in_either_sense_at_either_level(leader, follower):
    sign = 1 if leader == pyo.minimize else -1
    optimist = bilevel.solve(indifferent(leader, follower), "grid", attitude="optimistic")
    assert (optimist.verdict, optimist.upper["x"]) == ("certified_global", 0)
    assert optimist.upper_objective == pytest.approx(-sign)
    pessimist = bilevel.solve(indifferent(leader, follower), "grid", attitude="pessimistic")
    assert (pessimist.verdict, pessimist.upper["x"]) == ("certified_global", 0.25)
    assert pessimist.upper_objective == pytest.approx(-0.75 * sign)
    assert any("pessimistic" in note for note in pessimist.notes)


def test_a_linear_face():
    # optimist: all on the free route, x = 0, F = 0; pessimist: y1 = 1 - x, F = 1 - x + x / 2, best at x = 1
    assert bilevel.solve(split(), "grid").upper_objective == pytest.approx(0, abs=1e-9)
    result = bilevel.solve(split(), "grid", attitude="pessimistic")
    assert (result.verdict, result.upper["x"]) == ("certified_global", 1)
    assert result.upper_objective == pytest.approx(0.5)
    assert result.bilevel_gap == pytest.approx(0, abs=1e-6)


def test_a_convex_upper_objective_is_maximised_over_the_face_globally():
    # (y1 - 0.4)^2 over y1 in [0, 1]: the far end counts, whichever vertex the follower's engine happens to return
    reply = at(split(lambda y: (y[1] - 0.4) ** 2), 0.0, "pessimistic")
    assert reply.cost == pytest.approx(0.36, abs=1e-6)
    assert reply.proved


def test_the_face_of_a_quadratic_follower():
    model = start()
    model.lower.y = pyo.Var([1, 2], bounds=(-2, 2))
    model.lower.obj = pyo.Objective(expr=(model.lower.y[1] + model.lower.y[2] - model.x) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y[1])
    assert at(model, 0.5, "optimistic").cost == pytest.approx(-1.5, abs=1e-6)
    reply = at(model, 0.5, "pessimistic")
    assert reply.cost == pytest.approx(2.0, abs=1e-6)
    assert reply.y == pytest.approx([2.0, -1.5], abs=1e-6)
    assert reply.proved


def test_integer_followers():
    model = start()
    model.lower.y = pyo.Var([1, 2], within=pyo.Binary)
    model.lower.one = pyo.Constraint(expr=model.lower.y[1] + model.lower.y[2] >= 1)
    model.lower.obj = pyo.Objective(expr=model.lower.y[1] + model.lower.y[2])
    model.obj = pyo.Objective(expr=3 * model.lower.y[1] + 5 * model.lower.y[2] - model.x)
    for attitude, best in (("optimistic", 2), ("pessimistic", 4)):
        result = bilevel.solve(model, "grid", attitude=attitude)
        assert result.upper_objective == pytest.approx(best)
        assert result.verdict == "certified_global"


def test_two_followers_are_taken_at_their_worst_together():
    """F = y1 y2, each y free in [-1, 2] at x = 0: the worst pair is (2, 2), found only over the product of both sets."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.Set(initialize=[0, 1]))

    def build(block):
        block.y = pyo.Var(bounds=(-1, 2))
        block.obj = pyo.Objective(expr=model.x * block.y)

    model.lower = LowerLevel([1, 2], rule=build)
    model.obj = pyo.Objective(expr=model.lower[1].y * model.lower[2].y)
    assert at(model, 0, "optimistic").cost == pytest.approx(-2, abs=1e-6)
    assert at(model, 0, "pessimistic").cost == pytest.approx(4, abs=1e-6)
    result = bilevel.solve(model, "grid", attitude="pessimistic")
    assert (result.upper["x"], result.verdict) == (1, "certified_global")
    assert result.upper_objective == pytest.approx(1, abs=1e-6)


def test_a_follower_with_one_optimum_next_to_an_indifferent_one():
    model = split()
    model.other = LowerLevel()
    model.other.z = pyo.Var()
    model.other.obj = pyo.Objective(expr=(model.other.z - 3 * model.x) ** 2)
    model.obj.set_value(model.lower.y[1] * model.other.z + model.lower.y[1])
    assert at(model, 0.5, "optimistic").cost == pytest.approx(0, abs=1e-6)
    assert at(model, 0.5, "pessimistic").cost == pytest.approx(1.25, abs=1e-6)


@pytest.mark.parametrize("side", ["<=", ">=", "range", "offset"])
def test_every_optimum_has_to_meet_the_coupling_constraints(side):
    """y1 <= 0.4: the optimist always finds a split; the pessimist needs 1 - x <= 0.4, so x = 0.75."""
    model = split(lambda y: 0)
    y = model.lower.y[1]
    model.coupling = pyo.Constraint(
        expr={"<=": y <= 0.4, ">=": -y >= -0.4, "range": (-1, y, 0.4), "offset": y - 0.5 <= -0.1}[side]
    )
    assert bilevel.solve(model, "grid").upper["x"] == 0
    result = bilevel.solve(model, "grid", attitude="pessimistic")
    assert (result.upper["x"], result.verdict) == (0.75, "certified_global")
    broken = at(model, 0.5, "pessimistic")
    assert broken.violation == pytest.approx(0.1, abs=1e-6)
    assert broken.y == pytest.approx([0.5, 0.0], abs=1e-6)
    assert broken.proved


def test_an_equality_above_asks_for_a_single_answer():
    model = split(lambda y: 0)
    model.coupling = pyo.Constraint(expr=model.lower.y[1] == model.lower.y[2])
    assert bilevel.solve(model, "grid").upper["x"] == 0
    assert bilevel.solve(model, "grid", attitude="pessimistic").upper["x"] == 1


def test_no_point_meets_the_coupling_constraints_for_every_answer():
    model = split(lambda y: 0)
    model.coupling = pyo.Constraint(expr=model.lower.y[1] + model.x <= 0.9)
    assert bilevel.solve(model, "grid").verdict == "certified_global"
    result = bilevel.solve(model, "grid", attitude="pessimistic")
    assert result.verdict == "infeasible"
    assert "coupling" in result.notes[-1]


def test_a_tight_coupling_constraint_is_not_broken_by_the_slack_of_the_optimal_set():
    model = start()
    model.lower.y = pyo.Var([1, 2], bounds=(0, 2000))
    model.lower.cap = pyo.Constraint(expr=model.lower.y[1] >= 1000)
    model.lower.obj = pyo.Objective(expr=model.lower.y[1])  # y1 = 1000, y2 is free
    model.coupling = pyo.Constraint(expr=model.lower.y[1] - model.x <= 1000)
    model.obj = pyo.Objective(expr=model.lower.y[2] + model.x)
    result = bilevel.solve(model, "grid", attitude="pessimistic")
    assert (result.upper["x"], result.verdict) == (0, "certified_global")
    assert result.upper_objective == pytest.approx(2000)


def test_an_upper_objective_without_limit_is_no_point():
    model = start()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.obj = pyo.Objective(expr=model.x * model.lower.y)
    model.obj = pyo.Objective(expr=model.lower.y - model.x)
    reply = at(model, 0.0, "pessimistic")
    assert reply.status == "unbounded"
    assert "without limit" in reply.message
    result = bilevel.solve(model, "grid", attitude="pessimistic")
    assert (result.upper["x"], result.upper_objective) == (1, pytest.approx(-1))


def test_a_curved_optimal_set_is_believed_only_where_its_slack_does_not_matter(monkeypatch):
    """s^4 + s^6 is flat: a slack of 1e-10 in f lets s be 0.003 off, and F with it."""
    monkeypatch.setattr(tie_break, "SECONDS", 0.2)  # the valley is long, and SCIP would walk it
    model = start()
    model.lower.y = pyo.Var([1, 2], bounds=(-1, 1))
    s = model.lower.y[1] + model.lower.y[2] - model.x
    model.lower.obj = pyo.Objective(expr=s**4 + s**6)
    model.obj = pyo.Objective(expr=model.lower.y[1] + 3 * model.lower.y[2])
    reply = at(model, 0.5, "pessimistic")
    assert reply.cost == pytest.approx(2.5, abs=0.01)  # y = (-0.5, 1)
    assert not reply.proved


def test_points_off_the_leaders_path_never_look_better_than_the_optimist_says():
    model = split(lambda y: y[1] - 2 * y[2])
    for x in (0.0, 0.25, 1.0):
        best, worst = at(model, x, "optimistic"), at(model, x, "pessimistic")
        assert worst.cost >= best.cost - 1e-9
        assert math.isfinite(worst.cost)


@pytest.mark.parametrize(("attitude", "best"), [("optimistic", -1), ("pessimistic", 1)])
def test_two_optima_apart_are_told_from_the_slack_around_them(attitude, best):
    """(y^2 - 1)^2 has the optima -1 and 1: a point of the wider set is taken back to the one that it is near."""
    model = start()
    model.lower.y = pyo.Var(bounds=(-2, 2))
    model.lower.obj = pyo.Objective(expr=(model.lower.y**2 - 1) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y + model.x)
    reply = at(model, 0.0, attitude)
    assert reply.cost == pytest.approx(best, abs=1e-7)
    assert bilevel.solve(model, "grid", attitude=attitude).upper_objective == pytest.approx(best, abs=1e-7)
