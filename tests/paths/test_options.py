"""What is asked of a run: text that is a number is read as one, and what is misspelt is refused by name."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.api.asking import method_names
from bilevel.errors import BilevelError, OptionError


def toy():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10), initialize=1.0)
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    model.low.obj = pyo.Objective(expr=(model.low.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.x - 2) ** 2 + (model.low.y - 4) ** 2)
    return model


@pytest.mark.parametrize("method", ["auto", *method_names()])
def test_a_misspelt_option_is_refused_with_the_nearest_name(method):
    for solve in (bilevel.solve, pyo.SolverFactory("bilevel").solve):
        with pytest.raises(OptionError, match=r"no option 'tim_limit'.*did you mean time_limit\?"):
            solve(toy(), method=method, tim_limit=3)
        with pytest.raises(OptionError, match=f"^{method} has no option 'zzz'"):
            solve(toy(), method=method, zzz=3)


def test_a_comparison_refuses_it_too():
    with pytest.raises(OptionError, match=r"'tim_limit'.*did you mean time_limit\?"):
        bilevel.compare(toy(), ["kkt", "grid"], tim_limit=3)


def test_a_comparison_hands_each_method_its_own():
    model = toy()
    model.low.cap = pyo.Constraint(expr=model.low.y <= model.x)
    table = bilevel.compare(model, ["kkt", "grid"], budget=3, starts="2", dual_bounds={model.low.cap: 50})
    kkt, grid = table.results
    assert kkt.verdict == "certified_global"
    assert "of 2 starts converged" in " ".join(kkt.notes)
    assert grid.verdict == "best_found"
    refused = bilevel.compare(model, ["kkt", "grid"], budget=3, dual_bounds={"low.nothing": 50}).results[0]
    assert "low.nothing has no multiplier" in " ".join(refused.notes)


def test_auto_takes_the_options_of_what_it_may_run():
    result = bilevel.solve(toy(), "auto", starts=1, initial=5)
    assert result.verdict == "certified_global"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget", "many"),
        ("budget", 2.5),
        ("budget", True),
        ("budget", 0),
        ("seed", "x"),
        ("seed", -1),
        ("seed", None),
        ("time_limit", math.nan),
        ("time_limit", "soon"),
        ("time_limit", 0),
        ("workers", None),
        ("workers", 0),
        ("method", None),
        ("engine", 3),
        ("complementarity", None),
        ("attitude", 3),
    ],
)
def test_what_is_no_such_value_is_one_line(name, value):
    with pytest.raises(BilevelError, match=f"{name}=") as caught:
        bilevel.solve(toy(), **{"method": "grid", name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["7", 7, np.int64(7)])
def test_a_number_may_be_text(value):
    assert bilevel.solve(toy(), "random", budget=value, time_limit="60", seed="3").evaluations == 7


@pytest.mark.parametrize(("value", "words"), [(2.5, "not of type int"), ("x", "not of type"), ([1], "not of type")])
def test_a_searchs_own_option_has_a_type(value, words):
    with pytest.raises(OptionError, match=f"initial.*{words}"):
        bilevel.solve(toy(), "surrogate", budget=5, initial=value)


# ------------------------------------------------------------------------------------------------------ Pyomo's habit


def test_without_loading_the_model_keeps_its_values():
    model = toy()
    found = pyo.SolverFactory("bilevel").solve(model, load_solutions=False, options={"method": "kkt", "starts": 2})
    assert (model.x.value, model.low.y.value) == (1.0, None)
    assert found.bilevel.upper["x"] == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_a_certificate_closes_its_bounds(sense):
    model = toy()
    model.obj.sense = sense
    problem = pyo.SolverFactory("bilevel").solve(model, method="kkt").problem
    best = 2.0 if sense == pyo.minimize else 100.0
    assert problem.sense == sense
    assert problem.lower_bound == pytest.approx(best, abs=1e-2)
    assert problem.upper_bound == pytest.approx(best, abs=1e-2)


def test_a_search_bounds_from_one_side():
    problem = pyo.SolverFactory("bilevel").solve(toy(), method="random", budget=3).problem
    assert problem.lower_bound == -math.inf
    assert 2.0 <= problem.upper_bound < 200.0
