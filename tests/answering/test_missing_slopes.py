"""A week without spend, and other places where a gradient is no number."""

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, solve
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.missing_slopes import missing_slope
from bilevel.response.response import Response


def weeks(low=0.2, spend=(0.0, 1.0, 2.0, 0.0, 4.0, 3.0), idle=0.0):
    """Sales of six weeks regressed on spend ** a; two weeks are without spend."""
    model = pyo.ConcreteModel()
    model.none = pyo.Param(initialize=idle, mutable=True)
    model.a = pyo.Var(bounds=(low, 1))
    model.lower = LowerLevel()
    model.lower.b = b = pyo.Var([0, 1], bounds=(-5, 5))
    terms = [(s if s else model.none) ** model.a for s in spend]
    loss = sum((b[0] + b[1] * u - t) ** 2 for u, t in zip(terms, (1, 2, 2.5, 1.1, 3.2, 2.9), strict=True))
    model.lower.obj = pyo.Objective(expr=loss)
    model.obj = pyo.Objective(expr=loss + 0.1 * (model.a - 0.4) ** 2)
    return model


@pytest.mark.parametrize("low", [0.2, 0.0], ids=["a above zero", "a from zero"])
def test_a_zero_to_a_power_has_the_derivative_zero(low):
    response = Response(weeks(low))
    at = lambda a: response(np.array([a])).cost  # noqa: E731
    slope = response.gradient({"a": 0.5}).value[0]
    assert slope == pytest.approx((at(0.5 + 1e-6) - at(0.5 - 1e-6)) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("method", ["kkt", "upper_boxes"])
def test_exact_paths_do_not_mind(method):
    result = solve(weeks(), method, time_limit=20)
    assert result.verdict == "certified_global"


def test_at_the_exponent_zero_it_is_one():
    compilation = Response(weeks(0.0)).compilation
    inputs = [compilation.x, compilation.all_y]
    loss = ca.Function("loss", inputs, [compilation.programs["lower"].objective])
    at_zero, beyond = (float(loss(a, [0, 1])) for a in (0.0, 1e-12))
    # The weeks without spend: (1 - 1)^2 + (1 - 1.1)^2 in place of 1 + 1.1^2.
    assert at_zero - beyond == pytest.approx(0.01 - 1 - 1.21, abs=1e-6)


def test_the_exponent_may_be_the_followers():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.a = a = pyo.Var(bounds=(0.1, 2))
    model.lower.obj = pyo.Objective(expr=(a - model.x - 0.5) ** 2 + 0.0**a)
    model.obj = pyo.Objective(expr=(a - 1) ** 2)
    result = solve(model, "kkt", time_limit=20)
    assert result.verdict == "certified_global"
    assert result.lower["lower.a"] == pytest.approx(1.0, abs=1e-5)


def root():
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(0, 1), initialize=0.0)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-5, 5))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x[0]) ** 2)
    model.obj = pyo.Objective(expr=(model.lower.y - 0.3) ** 2 + 3 * model.x[1] + pyo.sqrt(model.x[1] * model.x[0]))
    return model


def test_a_gradient_that_is_no_number_is_explained_once():
    result = solve(root(), "gradient", budget=20, seed=1)
    said = [note for note in result.notes if "gradient" in note]
    assert len(said) == 1
    assert "sqrt" in said[0]
    assert "of obj" in said[0]
    assert "x[1]" in said[0]


def test_nothing_is_said_where_all_is_well():
    assert not [note for note in solve(weeks(), "gradient", budget=10).notes if "gradient" in note]


def test_the_term_is_the_one_to_blame():
    compilation = Compilation.of(Problem.read(root()))
    found = missing_slope(
        compilation, [(np.array([0.5, 0.5]), np.array([0.5])), (np.array([0.0, 0.0]), np.array([0.0]))]
    )
    assert found is not None
    assert found.startswith("the term sqrt(")
    assert missing_slope(compilation, [(np.array([0.5, 0.5]), np.array([0.5]))]) is None
