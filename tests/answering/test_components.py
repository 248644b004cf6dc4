"""Lower levels of independent parts: the parts found are right, and side by side they are the whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyomo.environ as pyo
import pytest
from by_hand import Quadratic, compiled, follower
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from bilevel import LowerLevel, registry
from bilevel.contracts.engine import Engine
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.engines.components import _parts
from bilevel.verify.verifier import Verifier

X = np.array([0.5, -0.25])


def scattered(rng, parts=4, size=11, rows=2, integer=False) -> Quadratic:
    """Independent quadratic (or, of integers, linear) programs, their variables and rows shuffled."""
    n, m = parts * size, parts * rows
    H, A = np.zeros((n, n)), np.zeros((m, n))
    for k in range(parts):
        own, held = slice(k * size, (k + 1) * size), slice(k * rows, (k + 1) * rows)
        M = rng.standard_normal((size, size))
        H[own, own] = 0.0 if integer else M @ M.T + np.eye(size)
        A[held, own] = rng.integers(2, 30, (rows, size)) if integer else rng.standard_normal((rows, size))
    shuffle, rank = rng.permutation(n), rng.permutation(m)
    return Quadratic.of(
        H=H[np.ix_(shuffle, shuffle)], c=-rng.uniform(1, 9, n) if integer else 3 * rng.standard_normal(n),
        A=A[np.ix_(rank, shuffle)], high=np.full(m, 60.0 if integer else 0.7),
        lower=np.zeros(n), upper=np.full(n, 3.0), integer=np.full(n, integer),
        C=rng.standard_normal((n, 2)) * 0.1, B=rng.standard_normal((m, 2)) * 0.1,
    )  # fmt: skip


def by(name, program):
    engine = registry.get(Engine, name)()
    assert engine.suits(program) > 0
    return engine.prepare(program)


@given(seed=st.integers(0, 2**31), maximise=st.booleans(), flip=st.booleans())
@settings(max_examples=12, deadline=None)
def test_parts_side_by_side_are_the_whole(seed, maximise, flip):
    hand = scattered(np.random.default_rng(seed))
    program = compiled(follower(replace(hand, style={"maximise": maximise, "flip": flip})))
    apart, whole = by("components", program)(X), by("daqp", program)(X)
    assert apart.status is whole.status is Status.OPTIMAL
    np.testing.assert_allclose(apart.y, whole.y, atol=1e-7)
    assert apart.objective == pytest.approx(whole.objective, rel=1e-9)
    assert apart.proved
    assert apart.unique


def test_integer_parts_are_the_whole():
    hand = scattered(np.random.default_rng(7), parts=3, size=7, integer=True)
    program = compiled(follower(hand))
    answer = by("components", program)(X)
    truth = milp(
        hand.c + hand.C @ X,
        constraints=LinearConstraint(hand.A, -np.inf, hand.high + hand.B @ X),
        integrality=np.ones(hand.n),
        bounds=Bounds(hand.lower, hand.upper),
    )
    assert answer.objective == pytest.approx(truth.fun, abs=1e-6)
    assert answer.proved
    np.testing.assert_array_equal(answer.y, np.round(answer.y))


def test_parts_are_found_through_rows_and_products():
    """Ten chains of five, linked by rows in turn with products; each is one part, none is more."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(range(10), range(5), bounds=(0, 1))
    squares = sum((y[k, i] - model.x) ** 2 for k in range(10) for i in range(5))
    products = sum(0.1 * y[k, i] * y[k, i + 1] for k in range(10) for i in (0, 2))
    model.lower.obj = pyo.Objective(expr=squares + products)
    model.lower.rows = pyo.Constraint(range(10), (1, 3), rule=lambda _, k, i: y[k, i] + y[k, i + 1] <= 1)
    model.obj = pyo.Objective(expr=y[0, 0])
    program = Compilation(Problem.read(model)).programs["lower"]
    assert sorted(map(len, _parts(program))) == [10] * 5  # two chains together: a call has its price
    for part in _parts(program):
        names = [program.names[k] for k in part]
        chains = {name.split("[")[1].split(",")[0] for name in names}
        assert len(names) == 5 * len(chains)


def test_one_link_makes_one_part():
    hand = scattered(np.random.default_rng(3))
    linked = replace(hand, A=np.vstack([hand.A, np.ones(hand.n)]), low=np.append(hand.low, -math.inf),
                     high=np.append(hand.high, 90.0), B=np.vstack([hand.B, np.zeros(2)]))  # fmt: skip
    program = compiled(follower(linked))
    assert len(_parts(program)) == 1
    assert registry.get(Engine, "components")().suits(program) == 0


def broken(infeasible=False, unbounded=False):
    """Fifty variables in parts of one; one part without a feasible point, one that falls forever."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(range(50), bounds=(0, 1))
    z = model.lower.z = pyo.Var(range(2))
    f = sum((y[k] - model.x) ** 2 for k in range(50)) + z[0] ** 2 + (z[1] if unbounded else z[1] ** 2)
    model.lower.obj = pyo.Objective(expr=f)
    model.lower.low = pyo.Constraint(expr=z[0] >= 1)
    if infeasible:
        model.lower.high = pyo.Constraint(expr=z[0] <= model.x - 0.5)
    model.obj = pyo.Objective(expr=y[0])
    return model


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ({}, Status.OPTIMAL),
        ({"infeasible": True}, Status.INFEASIBLE),
        ({"unbounded": True}, Status.UNBOUNDED),
        ({"infeasible": True, "unbounded": True}, Status.INFEASIBLE),
    ],
)
def test_one_part_speaks_for_the_whole(kind, status):
    response = Response(broken(**kind))
    assert response.engines["lower"] == "components"
    assert response(np.array([0.5])).status is status
    assert Response(broken(**kind), avoid=response.asked)(np.array([0.5])).status is status


def test_a_row_without_variables_counts():
    """A constraint over x alone among the follower's: where it breaks nobody has an answer."""
    model = broken()
    model.lower.over = pyo.Constraint(expr=model.x * model.x <= 0.25)
    response = Response(model)
    assert response.engines["lower"] == "components"
    assert response(np.array([0.4])).status is Status.OPTIMAL
    assert response(np.array([0.6])).status is Status.INFEASIBLE


def test_the_verification_asks_others_than_those_inside():
    hand = scattered(np.random.default_rng(5))
    compilation = Compilation(Problem.read(follower(hand)))
    response = Response(compilation.problem, compilation=compilation)
    assert response.asked == {"components", "daqp"}
    assert Verifier(compilation, response)._answering("lower").engines[0] not in response.asked


def test_what_the_leader_shares_with_the_follower_is_that_of_this_x():
    """F repeats the work over x of the follower's data, whose form no engine asks here: it is the leader's to ask."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3), bounds=(0.1, 2))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(range(60), bounds=(0, 1))
    feature = [sum(pyo.exp(-k * model.x[j]) * pyo.sin(k + model.x[j]) for j in range(3)) for k in range(60)]
    model.lower.obj = pyo.Objective(expr=sum((y[k] - feature[k]) ** 2 + 0.1 * y[k] for k in range(60)))
    model.obj = pyo.Objective(expr=sum((feature[k] - 0.5) ** 2 * y[k] for k in range(60)))
    response = Response(model)
    assert response.engines["lower"] == "components"
    assert response._leader._shared is not None
    for x in np.random.default_rng(0).uniform(0.1, 2, (3, 3)):
        reply = response(x)
        k = np.arange(60)[:, None]
        feature_at = (np.exp(-k * x) * np.sin(k + x)).sum(axis=1)
        np.testing.assert_allclose(reply.y, np.clip(feature_at - 0.05, 0, 1), atol=1e-9)
        assert reply.cost == pytest.approx((feature_at - 0.5) ** 2 @ reply.y)
