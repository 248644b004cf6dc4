"""A certificate says the same in all units of F: where F is flat, gaps are measured against that."""

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel


def model(unit, kind):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 2))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var([1, 2], bounds=(0, 3))
    y = m.lower.y
    m.lower.row = pyo.Constraint(expr=y[1] + y[2] <= 2.2)
    below = pyo.exp(y[1] - m.x) if kind == "smooth" else 0.0
    m.lower.obj = pyo.Objective(expr=(y[1] - m.x) ** 2 + (y[2] - 2 * m.x + y[1]) ** 2 + below)
    wavy = (m.x - 1.5) ** 2 + (y[2] - y[1]) ** 2 + m.x * y[1]
    m.obj = pyo.Objective(expr=unit * (wavy - (pyo.sin(5 * m.x) if kind == "smooth" else 0.0)))
    return m


@pytest.mark.parametrize("kind", ["smooth", "quadratic"])
@pytest.mark.parametrize("unit", [1e-2, 1e-4, 1e-6, 1e-8])
def test_a_flat_F_is_certified_to_as_many_digits(unit, kind):
    usual, flat = bilevel.solve(model(1.0, kind)), bilevel.solve(model(unit, kind))
    assert usual.verdict == "certified_global"
    if flat.verdict == "certified_global":
        assert flat.upper_objective / unit == pytest.approx(usual.upper_objective, abs=1e-4)
        assert flat.bound <= flat.upper_objective + 1e-9 * unit
    if unit >= 1e-4:
        assert flat.verdict == "certified_global"
