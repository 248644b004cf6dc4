"""Exact fronts against brute force: no point is beaten, and no more is missing than is said."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from front_cases import integers, linear, linear_costs, three

import bilevel
from bilevel.errors import ModelError, OptionError


@pytest.fixture(scope="module")
def front():
    return bilevel.solve(linear(), "kkt", points=6)


def test_every_point_of_a_linear_front_is_certified_and_none_of_brute_force_beats_it(front):
    brute = linear_costs()
    assert front.verdict == "certified_global"
    assert len(front.front) >= 6
    for row in front.costs:
        assert not (brute < row - 1e-4).all(axis=1).any()
        assert not ((brute <= row + 1e-9).all(axis=1) & (brute < row - 1e-3).any(axis=1)).any()


def test_no_more_is_missing_than_the_gap_says(front):
    brute, costs = linear_costs(), front.costs
    width = costs.max(axis=0) - costs.min(axis=0)
    away = ((costs[None] - brute[:, None]) / width).max(axis=2).min(axis=1)
    assert 0 < front.front_gap < 0.5
    assert away.max() <= front.front_gap + 1e-4


def test_the_ends_are_the_best_of_each_objective(front):
    best = linear_costs().min(axis=0)
    assert np.allclose(front.costs.min(axis=0), best, atol=1e-4)
    # lexicographic: the best second objective where the first is at its best
    brute = linear_costs()
    for i in (0, 1):
        end = front.costs[np.argmin(front.costs[:, i])]
        assert end[1 - i] == pytest.approx(brute[brute[:, i] <= best[i] + 1e-9][:, 1 - i].min(), abs=1e-3)


def test_a_maximised_objective_is_the_same_front(front):
    other = bilevel.solve(linear(pyo.maximize), "kkt", points=6)
    assert np.allclose(other.costs, front.costs, atol=1e-4)
    assert other.front[0].upper_objectives["gain"] == pytest.approx(-front.front[0].upper_objectives["gain"], abs=1e-4)
    assert other.front_gap == pytest.approx(front.front_gap, abs=1e-3)


def test_there_is_no_one_objective(front):
    with pytest.raises(ModelError, match=r"several upper objectives \(gain, cost\).*result.front"):
        _ = front.upper_objective
    plain = front.to_dict()
    assert "upper_objective" not in plain
    assert plain["senses"] == {"gain": "minimize", "cost": "minimize"}
    assert plain["front"][0].keys() >= {"upper", "lower", "upper_objectives", "verdict", "bound", "upper_violation"}
    assert front.to_json()


def test_every_point_has_its_own_values_and_violations(front):
    for point in front.front:
        x1, x2 = point.upper["x[1]"], point.upper["x[2]"]
        assert point.lower["lower.y"] == pytest.approx(max(0, x1 - x2, x1 - 4), abs=1e-5)
        assert point.upper_violation <= 1e-6
        assert point.bilevel_gap <= 1e-6


@pytest.mark.slow
def test_a_front_of_few_points_is_found_whole():
    found = bilevel.solve(integers(), "kkt")
    assert [point.upper["x"] for point in found.front] == pytest.approx([3, 4, 5, 6, 7])
    assert found.front_gap < 0.01


def test_a_small_finite_space_is_enumerated():
    found = bilevel.solve(integers())
    assert (found.verdict, found.evaluations, found.front_gap) == ("certified_global", 11, 0.0)
    assert [point.upper["x"] for point in found.front] == [3, 4, 5, 6, 7]


@pytest.mark.slow
def test_three_objectives():
    found = bilevel.solve(three(), "kkt", points=9)
    assert found.verdict == "certified_global"
    assert len(found.front) >= 6
    assert found.front_gap < 1.0
    x = np.array([[point.upper["x[0]"], point.upper["x[1]"]] for point in found.front])
    assert (x.sum(axis=1) <= 1 + 1e-3).all()  # the triangle of the three corners
    assert (x >= -1e-6).all()


def test_an_infeasible_and_an_unbounded_problem_say_so():
    model = linear()
    model.never = pyo.Constraint(expr=model.lower.y >= 11)
    assert bilevel.solve(model, "kkt").verdict == "infeasible"
    model = linear()
    model.free = pyo.Var()
    model.third = pyo.Objective(expr=model.free)
    found = bilevel.solve(model, "kkt")
    assert found.verdict == "unbounded"
    assert any("third alone is unbounded" in note for note in found.notes)


def test_options_of_exact_fronts():
    with pytest.raises(OptionError, match="two ends"):
        bilevel.solve(linear(), "kkt", points=1)
    with pytest.raises(OptionError, match="gap"):
        bilevel.solve(linear(), "kkt", gap=-1.0)
    with pytest.raises(OptionError, match="random is a search"):
        bilevel.solve(linear(), "random", points=5)
    with pytest.raises(OptionError, match="no option 'points'"):
        bilevel.solve(bilevel.load_model("toy"), "kkt", points=5)


def test_the_model_holds_the_compromise(front):
    model = linear()
    found = bilevel.solve(model, "kkt", points=3)
    assert model.x[1].value == pytest.approx(found.compromise.upper["x[1]"])
    assert found.value("cost") == pytest.approx(found.compromise.upper_objectives["cost"])
    assert model.gain.active
    assert model.component("bilevel_several") is None


def test_all_else_refuses_several_objectives():
    for use in (bilevel.Response, bilevel.explain, bilevel.Problem.read):
        with pytest.raises(ModelError, match=r"2 active Objectives \(gain, cost\); deactivate all but one"):
            use(linear())
    with pytest.raises(ModelError, match="2 active Objectives"):
        pyo.TransformationFactory("bilevel.kkt").create_using(linear())
