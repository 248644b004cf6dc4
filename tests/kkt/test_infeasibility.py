"""An infeasible problem is told by the level and the constraint to blame."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel


def problem(integer=False):
    """y = x where it may, and F asks for little; the tests add what cannot be."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 5))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=(0, 5), within=pyo.Integers if integer else pyo.Reals)
    m.lower.cap = pyo.Constraint(expr=m.lower.y <= m.x)
    m.lower.obj = pyo.Objective(expr=-m.lower.y)
    m.obj = pyo.Objective(expr=m.x + m.lower.y)
    return m


def note(m, method):
    result = bilevel.solve(m, method, time_limit=30)
    assert result.verdict == "infeasible", result.notes
    return " ".join(result.notes)


BOTH = pytest.mark.parametrize(("method", "integer"), [("kkt", False), ("mixed_integer", True)])


@BOTH
def test_the_upper_constraints_alone(method, integer):
    m = problem(integer)
    m.low = pyo.Constraint(expr=2 * m.x <= 1)
    m.high = pyo.Constraint(expr=3 * m.x >= 4)
    words = note(m, method)
    assert "upper level: no x meets" in words
    assert "low" in words
    assert "high" in words


@BOTH
def test_a_follower_without_a_point(method, integer):
    m = problem(integer)
    m.lower.floor = pyo.Constraint(expr=m.lower.y >= m.x + 1)
    words = note(m, method)
    assert "lower level: lower has no feasible point" in words
    assert "lower.floor" in words


def test_a_follower_without_an_optimum():
    m = problem()
    m.lower.y.setub(None)
    m.lower.cap.deactivate()
    assert "unbounded" in note(m, "kkt")


@BOTH
def test_answers_that_the_leader_forbids(method, integer):
    """y = floor x or x; both rows hold somewhere, but not y <= x - 2 at any answer."""
    m = problem(integer)
    m.harmless = pyo.Constraint(expr=m.lower.y + m.x <= 20)
    m.gap = pyo.Constraint(expr=m.lower.y <= m.x - 2)
    words = note(m, method)
    assert "upper level:" in words
    assert "gap" in words
    if method == "kkt":
        assert "harmless" not in words
