"""Linear levels by the sides that carry the follower's optimum, against listing them all."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.errors import RefusedError
from bilevel.solvers.sides.hot_program import HotProgram

sys.path.insert(0, str(Path(__file__).parent))
from linear_levels import Levels, of_size

FAST, SLOW = range(20), range(20, 400)


def holds(seed: int, units: float = 1.0) -> str:
    """Solve one and compare; what was said."""
    levels = Levels(seed)
    best = levels.best() * units
    try:
        result = bilevel.solve(levels.model(units), "active_sides", time_limit=10)
    except RefusedError:
        return "refused"
    size = 1e-4 * max(units, abs(best)) if np.isfinite(best) else 0.0
    if result.verdict == "infeasible":
        assert best == np.inf
    elif result.verdict == "unbounded":
        assert best == -np.inf
    elif result.verdict != "failed":
        assert result.upper_objective >= best - size
        if result.verdict == "certified_global":
            assert result.upper_objective <= best + size
    if result.bound is not None:
        assert result.bound <= best + size
    return str(result.verdict)


@pytest.mark.parametrize("seed", FAST)
def test_against_listing(seed):
    assert holds(seed) in ("certified_global", "infeasible", "unbounded", "refused")


@pytest.mark.slow
@pytest.mark.parametrize("units", [1.0, 1e6, 1e-4])
def test_against_listing_many(units):
    said = [holds(seed, units) for seed in SLOW]
    assert set(said) <= {"certified_global", "infeasible", "unbounded", "refused"}
    assert said.count("certified_global") > len(said) / 2


@pytest.mark.parametrize("units", [1e6, 1e-4])
@pytest.mark.parametrize("seed", range(4))
def test_units_do_not_matter(seed, units):
    assert holds(seed, units) in ("certified_global", "infeasible", "unbounded", "refused")


def test_forty_and_forty_are_what_kkt_proves():
    result = bilevel.solve(of_size(40, 0), "active_sides", time_limit=60)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(-214.690537084399, rel=1e-7)  # by kkt with SCIP


def test_kkt_goes_on_where_the_cut_ends_at_no_point():
    """With rows of strong duality SCIP ends before its time at a point that does not verify: sets alone close it."""
    result = bilevel.solve(of_size(10, 0), "kkt", time_limit=30)
    assert (result.verdict, result.upper_objective) == ("certified_global", pytest.approx(-393))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_eighty_and_eighty(seed):
    result = bilevel.solve(of_size(80, seed), "auto", time_limit=60)
    assert (result.verdict, result.method) == ("certified_global", "active_sides")


def test_followers_side_by_side():
    """Two followers share x: min -x - y1 + y2, y1 = min(x, 3), y2 = max(0, x - 2), so that F = -x - 3 + x - 2 at x >= 3."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.one, model.other = LowerLevel(), LowerLevel()
    model.one.y = pyo.Var(bounds=(0, 3))
    model.one.cap = pyo.Constraint(expr=model.one.y <= model.x)
    model.one.obj = pyo.Objective(expr=model.one.y, sense=pyo.maximize)
    model.other.y = pyo.Var(bounds=(0, None))
    model.other.floor = pyo.Constraint(expr=model.other.y >= model.x - 2)
    model.other.obj = pyo.Objective(expr=model.other.y)
    model.obj = pyo.Objective(expr=-model.x - model.one.y + 2 * model.other.y)
    result = bilevel.solve(model, "active_sides")
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(-4.0)  # at x = 2: -2 - 2; beyond F rises by 1 - 2 + 2 until x = 3
    assert result.upper["x"] == pytest.approx(2.0, abs=1e-5) or result.upper["x"] == pytest.approx(3.0, abs=1e-5)


@pytest.mark.parametrize("spoilt", ["quadratic", "integer below", "integer above", "cost moves"])
def test_what_it_refuses_names_another_method(spoilt):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4), domain=pyo.Integers if spoilt == "integer above" else pyo.Reals)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 4), domain=pyo.Integers if spoilt == "integer below" else pyo.Reals)
    y = model.lower.y
    cost = {"quadratic": (y - 1) ** 2, "cost moves": (model.x - 2) * y}.get(spoilt, y)
    model.lower.row = pyo.Constraint(expr=model.x + y >= 2)
    model.lower.obj = pyo.Objective(expr=cost)
    model.obj = pyo.Objective(expr=model.x - y)
    with pytest.raises(RefusedError, match="method='"):
        bilevel.solve(model, "active_sides")


def on_one(rows, F, f, y_top=10.0):
    """One x, one y."""
    model = pyo.ConcreteModel()
    model.x, model.lower = pyo.Var(bounds=(0, 4)), LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, y_top))
    x, y = model.x, model.lower.y
    model.lower.rows = pyo.ConstraintList()
    for row in rows(x, y):
        model.lower.rows.add(row)
    model.lower.obj, model.obj = pyo.Objective(expr=f(x, y)), pyo.Objective(expr=F(x, y))
    return model


def proved(model):
    result = bilevel.solve(model, "active_sides", time_limit=10)
    assert result.verdict == "certified_global"
    return result.upper_objective


def test_multipliers_without_a_bound():
    """Rows that leave the follower one y, several times over: no interior, and multipliers grow along a ray."""
    model = on_one(lambda x, y: [y <= x, y >= x, 2 * y <= 2 * x, y >= x], lambda x, y: y - 2 * x, lambda x, y: 1e-3 * y)
    assert proved(model) == pytest.approx(-4)


def test_multipliers_beyond_every_big_m():
    """min y over 1e-5 y >= 1e-5 (2 - x), whose multiplier is 100,000."""
    model = on_one(lambda x, y: [1e-5 * y >= 1e-5 * (2 - x)], lambda x, y: x - 3 * y, lambda x, y: y)
    assert proved(model) == pytest.approx(-6, abs=1e-4)


def test_rows_with_constants_and_two_sides():
    """y in [x - 3, x + 1] as -2 <= y - x + 1 <= 2, maximised: y = x + 1, and F = x - 2 y is least at x = 4."""
    model = on_one(lambda x, y: [pyo.inequality(-2, y - x + 1, 2)], lambda x, y: x - 2 * y + 7, lambda x, y: -y)
    assert proved(model) == pytest.approx(1)


def test_followers_in_units_apart():
    """What one minimises in millions, the other in millionths: both count."""
    model = pyo.ConcreteModel()
    model.x, model.lower = pyo.Var(bounds=(0, 1)), LowerLevel([0, 1])
    for follower, unit in zip(model.lower.values(), (1e6, 1e-6), strict=True):
        follower.y = pyo.Var(bounds=(0, 1))
        follower.row = pyo.Constraint(expr=follower.y >= model.x)
        follower.obj = pyo.Objective(expr=unit * follower.y)
    model.obj = pyo.Objective(expr=model.x - 2 * model.lower[0].y - 3 * model.lower[1].y)
    assert proved(model) == pytest.approx(-4)


def test_a_start_that_rows_above_forbid_is_no_point():
    """The middle of the box, and the user's value, break x >= 3, at a smaller F."""
    model = on_one(lambda x, y: [y >= x - 1], lambda x, y: x + y, lambda x, y: y)
    model.above = pyo.Constraint(expr=2 * model.x >= 6)
    assert proved(model) == pytest.approx(5)
    model.x.set_value(0.0)
    assert proved(model) == pytest.approx(5)


NO_POINT = {
    "no answer meets it": (lambda x, y: y >= x + 1, lambda x, y: y, 10.0),
    "no x": (lambda x, y: x >= 5, lambda x, y: y, 10.0),
    "no optimum below": (lambda x, y: x >= 1, lambda x, y: -y, None),
}


def without_a_point(why):
    above, f, y_top = NO_POINT[why]
    model = on_one(lambda x, y: [y >= 0.5 * x], lambda x, y: x + y, f, y_top)
    model.above = pyo.Constraint(expr=above(model.x, model.lower.y))
    return model


@pytest.mark.parametrize("why", NO_POINT)
def test_no_point(why):
    assert bilevel.solve(without_a_point(why), "active_sides", time_limit=10).verdict == "infeasible"


def test_nodes_that_were_not_proved_empty_are_not(monkeypatch):
    monkeypatch.setattr(HotProgram, "_surely_empty", lambda _: False)
    result = bilevel.solve(without_a_point("no answer meets it"), "active_sides", time_limit=10)
    assert result.verdict == "failed"
