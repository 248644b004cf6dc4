"""An even power of an expression is decided by its square, and reported as what it is."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bilevel
from bilevel import LowerLevel
from bilevel.reading.criterion import Criterion, criterion_of
from bilevel.reading.problem import Problem


def model(objective, sense=pyo.minimize):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 15))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=(0, 20))
    m.lower.obj = pyo.Objective(expr=objective(m.x, m.lower.y), sense=sense)
    m.obj = pyo.Objective(expr=(10 - m.x) ** 3 + (10 - m.lower.y) ** 3)
    return m


@given(st.sampled_from([4, 6, 8]), st.sampled_from([1.0, -1.0, 0.25]), st.floats(-5, 5), st.floats(-5, 5))
def test_the_value_comes_back(power, factor, x, y):
    m = model(lambda x, y: factor * (x - 2 * y + 1) ** power)
    m.x.set_value(x, skip_validation=True)
    m.lower.y.set_value(y, skip_validation=True)
    criterion = criterion_of(m.lower.obj, [m.lower.y])
    assert isinstance(criterion, Criterion)
    assert criterion.expr.polynomial_degree() == 2
    assert criterion.value(pyo.value(criterion.expr)) == pytest.approx(pyo.value(m.lower.obj.expr), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    "objective",
    [
        lambda x, y: (x - y) ** 3,
        lambda x, y: (x - y) ** 2,
        lambda x, y: (x - y) ** 4 + y,
        lambda x, y: (x - y) ** 4.5,
        lambda x, y: x * (x - y) ** 4,
        lambda x, y: 2**y,
    ],
)
def test_what_is_no_even_power_stays(objective):
    m = model(objective)
    assert criterion_of(m.lower.obj, [m.lower.y]) is m.lower.obj


@pytest.mark.parametrize("flip", [False, True])
def test_a_fourth_power_is_certified(flip):
    """Colson, BIPA1: y = (15 - x)/2, the leader wants y <= x; least at (10 sqrt 2 - 5/2)/(sqrt 2 + 1/2)."""
    m = model(lambda x, y: (-1 if flip else 1) * (x + 2 * y - 15) ** 4, sense=pyo.maximize if flip else pyo.minimize)
    m.order = pyo.Constraint(expr=m.lower.y <= m.x)
    m.lower.row = pyo.Constraint(expr=m.x + m.lower.y <= 20)
    result = bilevel.solve(m, "kkt", time_limit=30)
    assert result.verdict == "certified_global", result.notes
    assert result.upper["x"] == pytest.approx(6.0819419, abs=1e-4)
    assert result.lower_objective == pytest.approx(0, abs=1e-12)


def test_reports_say_what_was_written():
    """y is at most 1, so that f = (3 + 2 - 15)^4 at x = 3."""
    m = model(lambda x, y: (x + 2 * y - 15) ** 4)
    m.lower.y.setub(1)
    m.x.setlb(3)
    m.x.setub(3)
    result = bilevel.solve(m, "grid", budget=3)
    assert result.lower_objective == pytest.approx(1e4)
    assert result.history[0].lower_objective == pytest.approx((1e4,))


def test_a_multiplier_is_of_f_itself():
    m = model(lambda x, y: (x + y - 15) ** 4)
    m.lower.cap = pyo.Constraint(expr=m.lower.y <= m.x)
    m.price = pyo.Constraint(expr=bilevel.dual_of(m.lower.cap) >= -1000)
    assert not isinstance(Problem.read(m).followers[0].objective, Criterion)


SCALES = (1e-9, 1e-6, 1e-3, 1.0, 1e4, 1e9)
KINDS = {
    "linear": (lambda y, x: 2 * y[1] + 3 * y[2], lambda y, x: y[1] + y[2] >= x),
    "quadratic": (lambda y, x: (y[1] - x) ** 2 + (y[2] - 2 * x + y[1]) ** 2, None),
    "smooth": (lambda y, x: pyo.exp(y[1] - x) - y[1] + (y[2] - x) ** 4 + (y[2] - x) ** 2, None),
}


def in_units(kind, scale):
    below, row = KINDS[kind]
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 2))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var([1, 2], bounds=(0, 3))
    if row is not None:
        m.lower.row = pyo.Constraint(expr=row(m.lower.y, m.x))
    m.lower.obj = pyo.Objective(expr=scale * below(m.lower.y, m.x))
    m.obj = pyo.Objective(expr=(m.x - 1.5) ** 2 + m.lower.y[2] * m.lower.y[1] - m.lower.y[2])
    return m


@pytest.mark.parametrize("kind", KINDS)
def test_the_units_of_f_change_neither_the_answer_nor_the_verdict(kind):
    usual = bilevel.solve(in_units(kind, 1.0))
    assert usual.verdict == "certified_global"
    for scale in SCALES:
        result = bilevel.solve(in_units(kind, scale))
        assert result.verdict == usual.verdict, scale
        assert result.upper_objective == pytest.approx(usual.upper_objective, abs=1e-5), scale
        assert result.lower_objective == pytest.approx(scale * usual.lower_objective, rel=1e-4, abs=1e-5 * scale)


def test_no_variable_gets_lost_by_scaling():
    """One steep and one flat direction: f stays as it is."""
    m = in_units("linear", 1.0)
    m.lower.obj.deactivate()
    m.lower.mixed = pyo.Objective(expr=1e6 * m.lower.y[1] + (m.lower.y[2] - m.x) ** 2)
    assert criterion_of(m.lower.mixed, list(m.lower.y.values())) is m.lower.mixed


def test_where_a_multiplier_is_used_above_f_keeps_its_units():
    m = in_units("linear", 1e-6)
    m.obj.deactivate()
    m.priced = pyo.Objective(expr=(1e6 * bilevel.dual_of(m.lower.row) + 2.0) ** 2 + (m.x - 1) ** 2)
    result = bilevel.solve(m, method="kkt")
    assert result.upper_objective == pytest.approx(0.0, abs=1e-5)
