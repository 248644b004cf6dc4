"""The engine for separable programs: lines that stay below, bounds that hold, optima found by dense enumeration."""

from __future__ import annotations

import itertools
import math

import casadi as ca
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.programs.answer import Status
from bilevel.programs.program import Program
from bilevel.solvers.engines.separable.curve import CurvedFunction
from bilevel.solvers.engines.separable.envelope import Envelope
from bilevel.solvers.engines.separable.sums import NotSeparableError, taken_apart

Y = ca.SX.sym("y", 2)
P = ca.SX.sym("p")


def program(f, rows=(), low=(), high=(), *, lower=(0.0, 0.0), upper=(4.0, 4.0), integer=(False, False)):
    return Program(
        name="f",
        parameters=P,
        variables=Y,
        objective=f,
        rows=ca.vertcat(*rows) if rows else ca.SX(0, 1),
        row_lower=np.array(low, dtype=float),
        row_upper=np.array(high, dtype=float),
        lower=np.array(lower, dtype=float),
        upper=np.array(upper, dtype=float),
        integer=np.array(integer),
        names=("y[0]", "y[1]"),
        row_names=tuple(f"row[{k}]" for k in range(len(rows))),
    )


def engine():
    return registry.get(Engine, "piecewise")()


def hill(y, k, a):
    return y**a / (y**a + k**a)


def curve_of(expression):
    (part,) = taken_apart(ca.Function("f", [Y], [expression]))
    ((_, terms),) = part.curved.items()
    return CurvedFunction(terms), part


FORMS = {
    "hill": lambda y: -hill(y, 1.3, 2.4),
    "hill, infinite slope": lambda y: -hill(y, 0.4, 0.5),
    "michaelis": lambda y: -3 * y / (y + 0.7),
    "tanh": lambda y: ca.tanh(1.3 * y - 2),
    "logistic": lambda y: (1 - ca.exp(-y)) / (1 + ca.exp(-y)),
    "root": lambda y: ca.sqrt(y),
    "log": lambda y: -ca.log(y + 0.1),
    "quartic": lambda y: (y - 1) ** 4 - 3 * (y - 2) ** 2,
    "product": lambda y: y * ca.exp(-y) * (1 + y),
    "sum of weeks": lambda y: -sum(hill(a * y, 1.0, 1.7) for a in (0.2, 0.7, 1.9)),
}


@pytest.mark.parametrize("form", FORMS)
def test_lines_stay_below_the_curve_and_come_close(form):
    curve, _ = curve_of(FORMS[form](Y[0]))
    envelope = Envelope(curve, 0.0, 4.0)
    points = np.linspace(0.0, 4.0, 301)
    for _ in range(4):
        gaps = np.array([envelope.value(z) - envelope.below(z) for z in points])
        assert gaps.min() >= -1e-11
        worst = points[int(np.argmax(gaps))]
        first = float(gaps.max())
        envelope.refine(worst)
    assert envelope.value(worst) - envelope.below(worst) <= max(first, 1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_ranges_of_second_derivatives_hold(form):
    curve, _ = curve_of(FORMS[form](Y[0]))
    f = ca.Function("f", [Y], [ca.hessian(FORMS[form](Y[0]), Y)[0][0, 0], FORMS[form](Y[0])])
    ends = np.linspace(0.05, 4.0, 40)
    value, second = curve.ranges(ends[:-1], ends[1:])
    for k, z in itertools.product(range(39), (0.0, 0.3, 1.0)):
        at = ends[k] + z * (ends[k + 1] - ends[k])
        exact, height = (float(v) for v in f([at, 0.0]))
        assert second.low[k] - 1e-9 <= exact <= second.high[k] + 1e-9
        assert value.low[k] - 1e-12 <= height + 0.0 <= value.high[k] + 1e-12 or form in ("michaelis", "logistic")


def brute(prog, p, points=401):
    axes = [
        np.arange(math.ceil(a), b + 1) if i else np.linspace(a, b, points)
        for a, b, i in zip(prog.lower, prog.upper, prog.integer, strict=True)
    ]
    best = math.inf
    for y in itertools.product(*axes):
        f, rows = prog.evaluate(np.array([p]), np.array(y))
        if (rows >= prog.row_lower - 1e-9).all() and (rows <= prog.row_upper + 1e-9).all():
            best = min(best, float(f[0]))
    return best


@settings(max_examples=25, deadline=None)
@example(half=(2.00001, 2.00001), steep=(1.5, 2.0), total=0.5, unit=1e-6, whole=False)  # ends where two pieces meet
@example(half=(0.3, 0.3), steep=(1.5, 1.5), total=0.5, unit=1e-6, whole=False)  # ends where both lines are exact
@given(
    st.tuples(*[st.floats(0.3, 3.0)] * 2),
    st.tuples(*[st.floats(0.5, 3.0)] * 2),
    st.floats(0.5, 6.0),
    st.sampled_from([1e-6, 1.0, 1e6]),
    st.booleans(),
)
def test_a_budget_is_split_as_by_enumeration(half, steep, total, unit, whole):
    f = -unit * (2 * hill(Y[0], half[0], steep[0]) + hill(Y[1], half[1], steep[1]))
    prog = program(f, [Y[0] + Y[1] - P], [-np.inf], [0.0], integer=(whole, False))
    assert engine().suits(prog) > 0.5
    answer = engine().prepare(prog)(np.array([total]))
    assert answer.status is Status.OPTIMAL
    assert answer.bound <= answer.objective
    truth = brute(prog, total, 81)
    assert answer.bound <= truth + 1e-9 * unit
    assert answer.objective <= truth + 1e-6 * unit
    assert answer.objective - answer.bound <= 3e-6 * unit


def test_curved_rows_and_carried_over_spend():
    spread = Y[0] + 0.5 * Y[1]
    f = -hill(spread, 1.0, 2.0) - 0.3 * hill(Y[1], 0.5, 1.5) + 0.1 * Y[0]
    prog = program(f, [hill(Y[0], 1.0, 2.0) + Y[1] - P], [0.4], [np.inf])
    answer = engine().prepare(prog)(np.array([0.3]))
    truth = brute(prog, 0.3, 201)
    assert answer.bound <= truth
    assert answer.objective <= truth + 1e-6
    assert answer.proved


def test_no_point_is_said():
    prog = program(-hill(Y[0], 1, 2) - Y[1], [hill(Y[0], 1, 2) + Y[1]], [9.0], [np.inf])
    assert engine().prepare(prog)(np.array([0.0])).status is Status.INFEASIBLE


def test_what_does_not_come_apart_is_refused():
    assert engine().suits(program(hill(Y[0] * Y[1], 1.0, 2.0))) == 0.0
    assert engine().suits(program(ca.fabs(Y[0] - 1) ** 3 + Y[1] ** 4)) == 0.0  # a kink has no second derivative
    assert engine().suits(program(hill(Y[0], 1, 2) + Y[1], upper=(math.inf, 4))) == 0.0
    with pytest.raises(NotSeparableError):
        taken_apart(ca.Function("f", [Y], [ca.exp(Y[0] + Y[1]) * Y[0]]))
