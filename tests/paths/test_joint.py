"""Leader and follower who want the same: one problem of two, and never where they do not."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.convexity.agreement import agreement_of
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem


def budget(response, upper, *, high=10.0, sense=pyo.maximize):
    m = pyo.ConcreteModel()
    m.B = pyo.Var(bounds=(0, high))
    m.lower = LowerLevel()
    m.lower.s = pyo.Var([0, 1], bounds=(0, high))
    s = m.lower.s
    m.lower.total = pyo.Constraint(expr=s[0] + s[1] <= m.B)
    m.lower.obj = pyo.Objective(expr=response(s), sense=sense)
    m.obj = pyo.Objective(expr=upper(m.B, s), sense=sense)
    return m


def hill(y, k, a):
    return y**a / (y**a + k**a)


def response(s):
    return 3 * hill(s[0], 2, 2) + 2 * hill(s[1], 1, 3)


def weights(model):
    return agreement_of(Compilation.of(Problem.read(model)))


@pytest.mark.parametrize(
    ("upper", "weight"),
    [
        (lambda b, s: response(s) - 0.3 * b, 1.0),
        (lambda b, s: 0.5 * (response(s) - b**2) + 7, 0.5),
        (lambda b, s: (6 * hill(s[0], 2, 2) + 4 * hill(s[1], 1, 3)) / 4 - b, 0.5),
        (lambda b, s: 0.3 * b - response(s), None),  # they differ in sign
        (lambda b, s: 3 * hill(s[0], 2, 2) + hill(s[1], 1, 3) - b, None),  # in one weight
        (lambda b, s: response(s) - b * s[0], None),  # in a term of both
        (lambda b, s: b * response(s), None),
        (lambda b, s: -b, None),
    ],
)
def test_agreement_is_found_on_the_formulas(upper, weight):
    found = weights(budget(response, upper))
    assert found == (None if weight is None else {"lower": pytest.approx(weight)})


def test_a_shared_named_expression_and_two_followers():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    for name in ("a", "b"):
        block = LowerLevel()
        m.add_component(name, block)
        block.y = pyo.Var(bounds=(-2, 2))
        block.cost = pyo.Expression(expr=(block.y**2 - 1) ** 2 + m.x * block.y)
        block.obj = pyo.Objective(expr=block.cost)
    m.obj = pyo.Objective(expr=2 * m.a.cost + 3 * m.b.cost + m.x**2)
    assert weights(m) == {"a": pytest.approx(2.0), "b": pytest.approx(3.0)}
    m.tie = pyo.Constraint(expr=m.a.y <= m.x)
    assert weights(m) is None


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_a_budget_and_its_split_are_certified(unit):
    m = budget(
        lambda s: unit * (3 * hill(s[0], 2 * unit, 2) + 2 * hill(s[1], unit, 3)),
        lambda b, s: unit * (3 * hill(s[0], 2 * unit, 2) + 2 * hill(s[1], unit, 3)) - 0.3 * b,
        high=10.0 * unit,
    )
    result = bilevel.solve(m, "joint", time_limit=30)
    grid = np.linspace(0.0, 10.0, 2001)
    first, second = 3 * hill(grid, 2, 2) - 0.3 * grid, 2 * hill(grid, 1, 3) - 0.3 * grid
    total = grid[:, None] + grid[None, :]
    truth = np.where(total <= 10.0, first[:, None] + second[None, :], -np.inf).max()
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(unit * truth, rel=1e-5)
    assert result.bound >= unit * truth * (1 - 1e-9)


@pytest.mark.parametrize(
    ("row", "agrees"),
    [
        (lambda b, s: response(s) >= 2.5, True),
        (lambda b, s: response(s) - 0.4 * b >= 0, True),
        (lambda b, s: response(s) <= 2.5, False),  # a larger response may break it
        (lambda b, s: s[0] >= 1, False),
        (lambda b, s: pyo.inequality(1, response(s), 2), False),
    ],
)
def test_rows_that_a_better_answer_keeps(row, agrees):
    m = budget(response, lambda b, s: -b)
    m.row = pyo.Constraint(expr=row(m.B, m.lower.s))
    assert (weights(m) is not None) is agrees


def test_the_least_budget_for_a_response():
    m = budget(response, lambda b, s: -b)
    m.target = pyo.Constraint(expr=response(m.lower.s) >= 3.5)
    result = bilevel.solve(m, "auto", time_limit=30)
    grid = np.linspace(0.0, 10.0, 4001)
    first, second = 3 * hill(grid, 2, 2), 2 * hill(grid, 1, 3)
    enough = first[:, None] + second[None, :] >= 3.5
    truth = np.where(enough, grid[:, None] + grid[None, :], np.inf).min()
    assert (result.method, result.verdict) == ("joint", "certified_global")
    assert -result.upper_objective == pytest.approx(truth, abs=3e-3)
    assert -result.bound <= truth


def test_who_differs_is_refused():
    with pytest.raises(bilevel.BilevelError, match="do not agree"):
        bilevel.solve(budget(response, lambda b, s: b - s[0]), "joint")
