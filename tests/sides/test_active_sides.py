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
