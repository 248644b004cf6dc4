"""A leader without bounds over a nonconvex follower: what is near his start is asked first."""

import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, solve
from bilevel.reading.problem import Problem
from bilevel.solvers.rounds.finite_points import finite_points


def wave(start=None, sense=pyo.minimize):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(initialize=start)
    model.lower = LowerLevel()
    model.lower.y = y = pyo.Var(bounds=(-2, 2))
    model.lower.obj = pyo.Objective(expr=(y**2 - 1) ** 2 + 0.3 * y * (model.x - 0.5))
    sign = 1 if sense == pyo.minimize else -1
    model.obj = pyo.Objective(expr=sign * ((model.x - 0.6) ** 2 + y), sense=sense)
    return model


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize], ids=["minimised", "maximised"])
def test_the_point_is_the_one_that_is_meant(sense):
    result = solve(wave(sense=sense), "auto", time_limit=6)
    sign = 1 if sense == pyo.minimize else -1
    assert sign * result.upper_objective == pytest.approx(-1.00407, abs=0.2)  # and not some millions


def test_the_start_comes_first_and_all_keep_the_leaders_rows():
    model = wave(start=3.5)
    model.row = pyo.Constraint(expr=model.x >= 3)
    points = [point["x"] for point in finite_points(Problem.read(model))]
    assert points == [3.5, 4.5, 13.5]
    assert not list(finite_points(Problem.read(bounded())))


def bounded():
    model = wave()
    model.x.setlb(-1)
    model.x.setub(1)
    return model


def test_a_search_after_an_exact_path_gets_a_box():
    """Nothing is proved with so little time; the search that follows says within what it looked."""
    model = wave(start=0.0)
    model.z = pyo.Var(bounds=(0, 1))
    model.obj.set_value(model.obj.expr + pyo.sin(5 * model.x) ** 2 + model.z)
    result = solve(model, "auto", time_limit=10, budget=40, seed=2)
    assert result.upper_objective < 0.1
    assert abs(result.upper["x"]) <= 20
