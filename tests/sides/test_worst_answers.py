"""Pessimistic linear levels: the worst of the follower's optima, against enumeration and linear programs at single x."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy.optimize import linprog

import bilevel
from bilevel import LowerLevel
from bilevel.errors import RefusedError

sys.path.insert(0, str(Path(__file__).parent))
from linear_levels import Levels, of_size

FAST, SLOW = range(12), range(12, 200)


def with_ties(seed: int) -> Levels:
    """Costs below that are nothing in some directions, or run along a row."""
    levels, rng = Levels(seed), np.random.default_rng(seed + 9)
    if rng.random() < 0.4:
        levels.e = levels.e * (rng.random(len(levels.e)) < 0.4)
    else:
        levels.e = -levels.B[rng.integers(len(levels.B))] * float(rng.choice([1, 2]))
    return levels


def worst_at(levels: Levels, x: np.ndarray) -> float:
    """The pessimistic F by linear programs over the optimal face; infinite where x will not do."""
    split = {equal: [(b, limit - a @ x) for a, b, limit in levels._rows(equal=equal)] for equal in (False, True)}
    for equal, rows in split.items():
        if any(not b.any() and (abs(limit) > 1e-9 if equal else limit < -1e-9) for b, limit in rows):
            return np.inf
    p = len(levels.e)
    A, E = (np.array([b for b, _ in split[equal]]).reshape(-1, p) for equal in (False, True))
    a, e = ([limit for _, limit in split[equal]] for equal in (False, True))
    below = linprog(levels.e, A, a, E, e, levels.y_ends)
    if below.status != 0:
        return np.inf
    A, a = np.vstack([A, levels.e]), [*a, below.fun + 1e-9]
    for of_x, of_y, limit in zip(levels.A1, levels.B1, levels.b1, strict=True):
        side = linprog(-of_y, A, a, E, e, levels.y_ends)
        if side.status != 0 or of_x @ x - side.fun > limit + 1e-6:
            return np.inf
    above = linprog(-levels.d, A, a, E, e, levels.y_ends)
    return float(levels.c @ x - above.fun) if above.status == 0 else np.inf


def holds(seed: int) -> tuple[str, bool]:
    """Solve one and compare; what was said, and whether the attitude made a difference."""
    levels = with_ties(seed)
    try:
        result = bilevel.solve(levels.model(), "active_sides", attitude="pessimistic", time_limit=10)
        granted = bilevel.solve(levels.model(), "active_sides", time_limit=10)
    except RefusedError:
        return "refused", False
    count = {1: 41, 2: 7, 3: 4}[len(levels.c)]
    ends = [(-6.0 if low is None else low, 6.0 if high is None else high) for low, high in levels.x_ends]
    axes = [np.linspace(low, high, count) for low, high in ends]
    best = min(worst_at(levels, np.array(x)) for x in itertools.product(*axes))
    assert result.bound is None or result.bound <= best + 1e-4
    assert result.verdict != "infeasible" or best == np.inf
    if not result.upper:
        return str(result.verdict), str(granted.verdict) != str(result.verdict)
    x = np.array([result.upper[f"x[{j}]"] for j in range(len(levels.c))])
    assert result.upper_objective == pytest.approx(worst_at(levels, x), rel=1e-5, abs=1e-5)
    assert result.verdict != "certified_global" or result.upper_objective <= best + 1e-4
    return str(result.verdict), result.upper_objective > granted.upper_objective + 1e-5


def test_against_programs_at_single_points():
    said, differs = zip(*map(holds, FAST), strict=True)
    assert set(said) <= {"certified_global", "infeasible", "unbounded", "refused"}
    assert sum(differs) >= 2


@pytest.mark.slow
def test_against_programs_at_single_points_many():
    said, differs = zip(*map(holds, SLOW), strict=True)
    assert set(said) <= {"certified_global", "infeasible", "unbounded", "refused"}
    assert sum(differs) > len(said) / 10


def indifferent(rows=lambda x, y: [], above=lambda x, y: []):
    """Any y in [0, x] will do for the follower; F = 5 + 3 y - x, hence 5 + 2 x at worst and 5 - x at best."""
    model = pyo.ConcreteModel()
    model.x, model.lower = pyo.Var(bounds=(0.5, 2)), LowerLevel()
    model.lower.y, model.lower.z = pyo.Var(bounds=(0, 1)), pyo.Var(bounds=(0, 4))
    x, y = model.x, model.lower.y
    model.lower.rows, model.above = pyo.ConstraintList(), pyo.ConstraintList()
    for row in [y <= x, *rows(x, y)]:
        model.lower.rows.add(row)
    for row in above(x, y):
        model.above.add(row)
    model.lower.obj = pyo.Objective(expr=model.lower.z)
    model.obj = pyo.Objective(expr=5 + 3 * y - x)
    return model


@pytest.mark.parametrize("method", ["active_sides", "auto"])
def test_a_follower_who_does_not_care(method):
    """At worst y = min(x, 1): 5 + 2 x up to x = 1, then 8 - x. The least is 6, at x = 1/2 and at x = 2."""
    result = bilevel.solve(indifferent(), method, attitude="pessimistic")
    assert (result.verdict, result.upper_objective) == ("certified_global", pytest.approx(6))
    assert bilevel.solve(indifferent(), method).upper_objective == pytest.approx(3)


def test_every_optimum_meets_the_coupling_constraints():
    """Rows above on both sides of one expression: y - x in [-1.25, 0], for all y in [0, min(x, 1)], so that x <= 1.25."""
    model = indifferent(above=lambda x, y: [pyo.inequality(-1.25, y - x, 0)])
    result = bilevel.solve(model, "active_sides", attitude="pessimistic")
    assert (result.verdict, result.upper_objective) == ("certified_global", pytest.approx(6))
    assert result.upper["x"] == pytest.approx(0.5)
    far = indifferent(rows=lambda x, y: [y >= x - 1.5], above=lambda x, y: [y - x >= -1.25, x >= 1.2])
    result = bilevel.solve(far, "active_sides", attitude="pessimistic")
    assert (result.verdict, result.upper_objective) == ("certified_global", pytest.approx(6.75))  # 8 - x at 1.25
    assert result.upper["x"] == pytest.approx(1.25)


def test_no_x_whose_optima_all_meet_them():
    model = indifferent(above=lambda x, y: [y >= 0.25])
    assert bilevel.solve(model, "active_sides", attitude="pessimistic").verdict == "infeasible"
    assert bilevel.solve(model, "active_sides").verdict == "certified_global"


def test_a_worst_case_without_limit():
    """The follower does not care how large y is: F has no limit at any x."""
    model = indifferent()
    model.lower.far = pyo.Var(bounds=(0, None))
    model.worse = pyo.Var(bounds=(0, 1))
    model.obj.expr = model.obj.expr + model.lower.far
    assert bilevel.solve(model, "active_sides", attitude="pessimistic").verdict == "infeasible"


def test_maximised():
    model = indifferent()
    model.obj.sense, model.obj.expr = pyo.maximize, -1.0 * model.obj.expr
    result = bilevel.solve(model, "active_sides", attitude="pessimistic")
    assert (result.verdict, result.upper_objective) == ("certified_global", pytest.approx(-6))


def test_one_answer_makes_the_attitudes_one():
    size = bilevel.solve(of_size(15, 0), "active_sides", time_limit=30)
    worst = bilevel.solve(of_size(15, 0), "active_sides", attitude="pessimistic", time_limit=30)
    assert (worst.verdict, worst.upper_objective) == ("certified_global", pytest.approx(size.upper_objective))
