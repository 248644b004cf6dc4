"""A follower's variable that he does not mind, and an F without an end."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.api.asking import method_names
from bilevel.reading.problem import Problem
from bilevel.tolerances import INFINITE
from bilevel.verify.free_riders import falls_without_end


def riding(F, bounds=(None, None), sense=pyo.minimize, kind=pyo.Reals):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    model.low.z = pyo.Var(bounds=bounds, within=kind)
    model.low.obj = pyo.Objective(expr=(model.low.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=F(model.x, model.low.y, model.low.z), sense=sense)
    return model


@pytest.mark.parametrize("method", ["auto", *method_names()])
def test_every_method_says_unbounded(method):
    pytest.importorskip("optuna") if method == "optuna" else None
    result = bilevel.solve(riding(lambda x, y, z: (x - 2) ** 2 + z), method)
    assert result.verdict == "unbounded"
    assert result.upper_objective is None


@pytest.mark.parametrize(
    ("F", "arguments"),
    [
        (lambda x, y, z: x - z, {"bounds": (0, None)}),
        (lambda x, y, z: y + z, {"bounds": (None, 5)}),
        (lambda x, y, z: z**2 - x, {"sense": pyo.maximize}),
        (lambda x, y, z: x - z**3, {}),
        (lambda x, y, z: x - z, {"bounds": (0, None), "kind": pyo.Integers}),
        (lambda x, y, z: -((1 + z) ** 0.5), {"bounds": (0, None)}),
    ],
)
def test_whatever_the_direction(F, arguments):
    assert bilevel.solve(riding(F, **arguments), "auto").verdict == "unbounded"


@pytest.mark.parametrize(
    ("F", "bounds"),
    [
        (lambda x, y, z: x + z, (0, None)),
        (lambda x, y, z: x - z, (None, 5)),
        (lambda x, y, z: x + z**2, (None, None)),
        (lambda x, y, z: x - 1 / (1 + z), (0, None)),
        (lambda x, y, z: x + 1e9 * (1 + z) ** -0.02, (0, None)),
        (lambda x, y, z: x - z + 1e-25 * z**2, (None, None)),
    ],
)
def test_an_f_with_an_end_is_not_called_so(F, bounds):
    result = bilevel.solve(riding(F, bounds), "auto", time_limit=5)
    assert result.verdict != "unbounded"
    assert all(abs(value) < INFINITE for value in result.lower.values())


@pytest.mark.parametrize(
    ("F", "bounds", "endless"),
    [
        (lambda x, y, z: 100 * z**2 - z**4 + 3 * z, (None, None), True),
        (lambda x, y, z: pyo.exp(-z) - z, (None, None), True),
        (lambda x, y, z: 1e-6 * (x - abs(z)), (None, None), True),
        (lambda x, y, z: z**3 - pyo.exp(z), (0, None), True),
        (lambda x, y, z: x - 1e22 * z / (1 + z), (0, None), False),
        (lambda x, y, z: abs(z) - z, (None, None), False),
        (lambda x, y, z: pyo.log(1 + pyo.exp(z)), (None, None), False),
        (lambda x, y, z: -pyo.exp(-(z**2)), (None, None), False),
        (lambda x, y, z: 2 * pyo.floor(z) - z, (0, None), False),
    ],
)
def test_what_intervals_prove(F, bounds, endless):
    problem = Problem.read(riding(F, bounds))
    assert bool(falls_without_end(problem, {"x": 1.0}, {"low.y": 1.0, "low.z": 1.0})) is endless


def test_a_row_of_either_level_is_an_end():
    for place in ("above", "below"):
        model = riding(lambda x, y, z: x + z)
        (model if place == "above" else model.low).floor = pyo.Constraint(expr=model.low.z >= -7)
        result = bilevel.solve(model, "kkt", time_limit=10)
        assert result.upper_objective == pytest.approx(-7.0, abs=1e-4)


def test_two_variables_that_move_together():
    model = riding(lambda x, y, z: x)
    model.low.w = pyo.Var()
    model.low.together = pyo.Constraint(expr=model.low.w == model.low.z)
    model.obj.set_value(model.x + model.low.z + model.low.w)
    problem = Problem.read(model)
    values = {"low.y": 0.0, "low.z": 0.0, "low.w": 0.0}
    assert "low.z" in str(falls_without_end(problem, {"x": 0.0}, values))


def test_a_pessimist_does_not_choose():
    model = riding(lambda x, y, z: (x - 2) ** 2 + z)
    assert bilevel.solve(model, "grid", budget=5, attitude="pessimistic").verdict == "failed"


def test_an_objective_that_is_no_number_is_no_answer():
    """log(y - 30) has no value where y <= 20, not even times zero."""
    model = riding(lambda x, y, z: (x - 2) ** 2 + (y - 4) ** 2)
    model.low.obj.set_value(model.low.y - model.x * pyo.log(model.low.y - 30))
    for method in ("grid", "kkt", "surrogate"):
        result = bilevel.solve(model, method, budget=11, time_limit=5)
        assert result.verdict == "failed"
        assert result.bilevel_gap is None or result.bilevel_gap > -1e-6
