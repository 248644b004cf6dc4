"""Where the follower does not care, the leader's wish decides: compared with every optimum the follower has."""

from __future__ import annotations

import itertools

import numpy as np
import pyomo.environ as pyo
import pytest
from by_hand import Quadratic, follower, solve
from hypothesis import given, settings
from hypothesis import strategies as st

import bilevel
from bilevel import LowerLevel
from bilevel.programs.answer import Status
from bilevel.response.response import Response

ZERO = np.zeros(2)


def replied(model, x=(0.0,)):
    reply = Response(model)(np.array(x, dtype=float))
    assert reply.status is Status.OPTIMAL, reply
    return reply


def with_leader(hand, weights, *, sense=pyo.minimize, coupling=None):
    """The follower of ``hand`` under a leader who weighs its choice."""
    model = follower(hand)
    y, x = model.lower.y, model.x
    model.obj.set_value(sum(w * y[k] for k, w in enumerate(weights)) + 0 * (x[0] + x[1]) + x[0] + x[1])
    model.obj.sense = sense
    if coupling is not None:
        model.coupling = coupling(model)
    return model


# ---------------------------------------------------------------------------------------------- every kind of tie


SEGMENT = Quadratic.of(c=[1, 1], A=[[1, 1]], low=[1], lower=[0, 0], upper=[3, 3])  # optima: y0 + y1 = 1
VALLEY = Quadratic.of(
    H=[[1, 1], [1, 1]], c=[-1, -1], lower=[0, 0], upper=[3, 3]
)  # the same, at the bottom of a parabola
CORNERS = Quadratic.of(c=[1, 1], A=[[1, 1]], low=[1], lower=[0, 0], upper=[1, 1], integer=[1, 1])  # (0, 1) and (1, 0)
HALF = Quadratic.of(c=[1, 1], A=[[1, 1]], low=[1], lower=[0, 0], upper=[1, 1], integer=[1, 0])  # the same two
BUMP = Quadratic.of(H=[[-2, 0], [0, 2]], c=[0, 0], lower=[-1, -1], upper=[1, 1])  # (-1, 0) and (1, 0): nonconvex
TIES = {"linear": SEGMENT, "singular quadratic": VALLEY, "integer": CORNERS, "mixed integer": HALF, "nonconvex": BUMP}


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("weights", [(1, 0), (-1, 0), (0.5, -0.25), (2, 1)])
@pytest.mark.parametrize("kind", TIES)
def test_the_best_optimum_for_the_leader(kind, weights, sense):
    hand = TIES[kind]
    truth = solve(hand.at(ZERO))
    assert not truth.unique
    wished = [float(np.dot(weights, y)) for y in truth.optima]
    best = min(wished) if sense == pyo.minimize else max(wished)
    model = with_leader(hand, weights, sense=sense)
    reply = replied(model, ZERO)
    cost = best if sense == pyo.minimize else -best
    # Off the linear cases the optimal set is known with a slack of 1e-8, which lets y move by its root.
    assert reply.cost == pytest.approx(cost, abs=5e-4 if kind == "nonconvex" else 1e-5)
    assert reply.lower[0] == pytest.approx(truth.value, abs=1e-6)
    assert hand.violation(reply.y) <= 1e-6
    assert hand.value(reply.y) <= truth.value + 2e-6
    assert reply.proved or kind == "nonconvex"


@pytest.mark.parametrize("weights", [(0.5, -0.25), (2, 1)])
def test_a_proved_choice_is_not_better_than_the_truth(weights):
    best = min(float(np.dot(weights, y)) for y in solve(BUMP.at(ZERO)).optima)
    reply = replied(with_leader(BUMP, weights), ZERO)
    assert not reply.proved or reply.cost >= best - 1e-5 * max(1.0, abs(best))


small = st.integers(-2, 2)


@st.composite
def tied_programs(draw):
    """Bounded, with few and small coefficients: most have several optima."""
    n, m = draw(st.integers(2, 3)), draw(st.integers(0, 2))
    kind = draw(st.sampled_from(["linear", "quadratic", "integer"]))
    A = np.array([[draw(st.integers(-1, 1)) for _ in range(n)] for _ in range(m)], dtype=float).reshape(m, n)
    root = np.array([draw(st.integers(-1, 1)) for _ in range(n)], dtype=float)
    H = np.outer(root, root) if kind == "quadratic" else np.zeros((n, n))
    c = (
        draw(st.integers(-1, 1)) * root
        if kind == "quadratic"
        else np.array([draw(st.integers(-1, 1)) for _ in range(n)])
    )
    integer = [kind == "integer" and draw(st.booleans()) for _ in range(n)]
    return Quadratic.of(
        H=H, c=c, A=A if m else None, high=np.array([draw(st.integers(0, 2)) for _ in range(m)]), lower=np.full(n, -2),
        upper=np.full(n, 2), integer=integer, maximise=draw(st.booleans()), flip=draw(st.booleans()),
    )  # fmt: skip


@settings(max_examples=max(10, settings.default.max_examples // 2))
@given(tied_programs(), st.lists(small, min_size=3, max_size=3), st.booleans())
def test_the_best_of_all_optima(hand, weights, maximise):
    """The vertices of the optimal face are among what listing finds, and a linear wish is met at one of them."""
    weights = np.array(weights[: hand.n], dtype=float)
    truth = solve(hand.at(ZERO))
    wished = [float(weights @ y) for y in truth.optima]
    best = max(wished) if maximise else min(wished)
    reply = replied(with_leader(hand, weights, sense=pyo.maximize if maximise else pyo.minimize), ZERO)
    assert reply.cost == pytest.approx(-best if maximise else best, abs=2e-5)
    assert hand.violation(reply.y) <= 1e-6
    assert hand.value(reply.y) <= truth.value + 2e-6


# -------------------------------------------------------------------------------------- coupling, several followers


def test_the_choice_meets_the_coupling_constraint():
    """Of y0 + y1 = 1 the leader wants y0 = 0, but the coupling asks for y0 >= 0.4."""
    model = with_leader(SEGMENT, (1, 0), coupling=lambda m: pyo.Constraint(expr=m.lower.y[0] >= 0.4))
    reply = replied(model, ZERO)
    assert reply.y == pytest.approx([0.4, 0.6], abs=1e-6)
    assert reply.violation <= 1e-6


def test_the_coupling_alone_moves_the_choice():
    """F does not look at y, but the point is only feasible if the tie is broken for the constraint's sake."""
    for low, value in ((0.75, 0.75), (1.0, 1.0)):
        model = with_leader(SEGMENT, (0, 0), coupling=lambda m, low=low: pyo.Constraint(expr=m.lower.y[0] >= low))
        reply = replied(model, ZERO)
        assert reply.violation <= 1e-6
        assert reply.y[0] >= value - 1e-6


def test_no_optimum_meets_the_coupling():
    """y0 = 2 would be feasible below, but is no optimum: the point must count as infeasible, with proof."""
    for kind, hand in TIES.items():
        model = with_leader(hand, (1, 0), coupling=lambda m: pyo.Constraint(expr=m.lower.y[0] >= 1.5))
        reply = replied(model, ZERO)
        assert reply.violation > 0.1, kind
        assert reply.proved, kind


@pytest.mark.parametrize("x0", [0.0, 1.0])
def test_a_coupling_that_does_not_look_at_the_tied_follower(x0):
    """Only the other follower's answer, or x, decides whether it holds: a row without variables in the tie-break."""
    model = with_leader(SEGMENT, (1, 0))
    model.second = LowerLevel()
    model.second.z = pyo.Var(bounds=(0, 2))
    model.second.obj = pyo.Objective(expr=(model.second.z - model.x[0]) ** 2)
    model.coupling = pyo.Constraint(expr=model.second.z >= 0.5)
    model.product = pyo.Constraint(expr=model.x[0] * model.lower.y[0] <= 0.75)
    reply = replied(model, (x0, 0.0))
    assert reply.y[2] == pytest.approx(x0, abs=1e-6)
    if x0 == 1.0:
        assert reply.violation <= 1e-6
        assert reply.y[:2] == pytest.approx([0, 1], abs=1e-6)
    else:
        assert reply.violation == pytest.approx(0.5, abs=1e-6)


def two(tied_second=False):
    """The first follower has y0 + y1 = 1; the second answers x exactly, or is as free as the first."""
    model = with_leader(SEGMENT, (1, 0))
    model.second = LowerLevel()
    model.second.z = pyo.Var(range(2), bounds=(0, 2))
    z = model.second.z
    square = (z[0] + z[1] - 1) ** 2 if tied_second else (z[0] - model.x[0]) ** 2 + (z[1] - 1) ** 2
    model.second.obj = pyo.Objective(expr=square)
    return model


def test_one_of_two_followers_is_tied():
    model = two()
    model.obj.set_value(-3 * model.lower.y[0] * model.second.z[1] + model.second.z[0] + model.x[1])
    reply = replied(model, (0.5, 0.0))
    assert reply.y == pytest.approx([1, 0, 0.5, 1], abs=1e-6)
    assert reply.cost == pytest.approx(-2.5, abs=1e-6)


def test_two_tied_followers_are_chosen_together():
    """The leader wants the two to differ as much as they can: no choice apart could know."""
    model = two(tied_second=True)
    model.obj.set_value(
        (model.lower.y[0] + model.second.z[0] - 2) ** 2 + model.x[0] + 0.1 * model.lower.y[0] + model.x[1]
    )
    reply = replied(model, ZERO)
    assert reply.y[0] + reply.y[2] == pytest.approx(1.95, abs=1e-4)
    assert reply.y[0] + reply.y[1] == pytest.approx(1, abs=1e-6)
    assert reply.y[2] + reply.y[3] == pytest.approx(1, abs=1e-4)


def test_a_coupling_between_two_tied_followers():
    model = two(tied_second=True)
    model.obj.set_value(model.lower.y[0] - model.second.z[1] + model.x[0] + model.x[1])
    model.equal = pyo.Constraint(expr=model.lower.y[0] == model.second.z[1])
    reply = replied(model, ZERO)
    assert reply.violation <= 1e-6
    assert reply.y[0] == pytest.approx(reply.y[3], abs=2e-6)


def test_a_variable_the_follower_never_mentions_is_the_leaders_to_choose():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.free = pyo.Var(bounds=(-1, 2))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.lower.free - 0.25) ** 2 + model.lower.y)
    assert replied(model).cost == pytest.approx(0, abs=1e-8)


def test_a_tie_at_some_x_only():
    """H moves with x: at x = 0 the follower is indifferent, elsewhere it is not."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-1, 1))
    model.lower.obj = pyo.Objective(expr=model.x * (model.lower.y - 0.5) ** 2)
    model.obj = pyo.Objective(expr=(model.lower.y + 1) ** 2 + model.x)
    response = Response(model)
    assert response(np.array([0.0])).y == pytest.approx([-1], abs=1e-4)
    assert response(np.array([1.0])).y == pytest.approx([0.5], abs=1e-6)
    assert response(np.array([0.0])).y == pytest.approx([-1], abs=1e-4)


def test_a_nonlinear_leader_over_a_face():
    """F is nonconvex over the tie: its best optimum lies inside the segment, off both of its ends."""
    model = with_leader(SEGMENT, (0, 0))
    y = model.lower.y
    model.obj.set_value(
        -pyo.exp(-20 * (y[0] - 0.3) ** 2) - 0.5 * pyo.exp(-20 * (y[0] - 0.9) ** 2) + model.x[0] + model.x[1]
    )
    reply = replied(model, ZERO)
    grid = min(-np.exp(-20 * (t - 0.3) ** 2) - 0.5 * np.exp(-20 * (t - 0.9) ** 2) for t in np.linspace(0, 1, 2001))
    assert reply.cost == pytest.approx(grid, abs=1e-4)


def test_no_tie_is_broken_where_the_leader_does_not_look():
    model = with_leader(SEGMENT, (0, 0))
    model.obj.set_value(model.x[0] + model.x[1])
    response = Response(model)
    assert response(ZERO).proved
    assert not response._tie_breaks


@pytest.mark.parametrize("kind", TIES)
def test_solve_says_the_same(kind):
    """From the outside, with the verification's own second look: leader and follower swapped in sign."""
    for weights, sense in itertools.product([(1, 0), (-1, 0)], [pyo.minimize, pyo.maximize]):
        model = with_leader(TIES[kind], weights, sense=sense)
        for k in (0, 1):
            model.x[k].setlb(0)
            model.x[k].setub(0)
        wished = [float(np.dot(weights, y)) for y in solve(TIES[kind].at(ZERO)).optima]
        best = min(wished) if sense == pyo.minimize else max(wished)
        result = bilevel.solve(model, "grid", budget=4)
        assert result.verdict == "certified_global", result.notes
        assert result.upper_objective == pytest.approx(best, abs=1e-5)
        assert result.bilevel_gap <= 1e-6
