"""What was computed can be read back: any component and any expression of the model, at the answer."""

from __future__ import annotations

import pickle
import time

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel


@pytest.fixture
def model() -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.kind = pyo.Var(within=pyo.Set(initialize=["small", "large"]), initialize="small")
    model.unused = pyo.Var()
    model.rate = pyo.Param(initialize=0.5, mutable=True)
    model.word = pyo.Param(initialize="euro", within=pyo.Any)
    model.weeks = pyo.RangeSet(300)
    model.stock = pyo.Expression(model.weeks)
    for week in model.weeks:  # each mentions the one before twice: written out it has 2^300 terms
        before = model.stock[week - 1] if week > 1 else model.x
        model.stock[week].expr = 0.5 * before + 0.5 * model.rate * before + 0.25 * model.x
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    model.low.cap = pyo.Constraint(expr=model.low.y + 1 <= model.x + 4)
    model.low.obj = pyo.Objective(expr=(model.low.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.x - 3) ** 2 + model.low.y)
    return model


def test_every_kind_of_component_by_itself_or_by_name(model):
    result = bilevel.solve(model, "random", budget=20, seed=1)
    x, y = result.upper["x"], result.lower["low.y"]
    began = time.perf_counter()
    stock = result["stock"]
    assert time.perf_counter() - began < 1.0
    assert stock[1] == pytest.approx((0.75 + 0.25) * x)
    assert result[model.stock] == stock
    assert result[model.stock[300]] == stock[300]
    assert (result[model.x], result["low.y"], result.value("rate"), result["word"]) == (x, y, 0.5, "euro")
    assert result["kind"] == "small"
    assert result["unused"] is None
    assert result["obj"] == pytest.approx(result.upper_objective)
    assert result["low.obj"] == pytest.approx(result.lower_objective, abs=1e-9)
    assert result["low.cap"] == pytest.approx(pyo.value(model.low.cap.body))
    assert result[model.x**2 + pyo.exp(model.low.y)] == pytest.approx(x**2 + pyo.exp(y))
    assert result[2.5] == 2.5


def test_the_answer_stays_when_the_model_goes_on(model):
    first = bilevel.solve(model, "random", budget=20, seed=1)
    value = first["stock[10]"]
    bilevel.solve(model, "random", budget=3, seed=7)
    assert first["stock[10]"] == value
    assert first[model.clone().stock[10]] == value


def test_as_a_frame(model):
    result = bilevel.solve(model, "random", budget=20, seed=1)
    frame = result.frame("stock", model.stock)
    assert list(frame.columns) == ["stock"]
    assert len(frame) == 300
    assert frame["stock"][300] == result["stock[300]"]
    assert result.frame("x", "rate").shape == (1, 2)


def test_what_cannot_be_read_is_named(model):
    result = bilevel.solve(model, "random", budget=20, seed=1)
    with pytest.raises(bilevel.BilevelError, match="no component 'stocks'"):
        result["stocks"]
    with pytest.raises(bilevel.BilevelError, match="weeks is a"):
        result["weeks"]
    for odd in ("", "x[", None, [], pyo.inequality(0, model.x, 1)):
        with pytest.raises(bilevel.BilevelError):
            result[odd]
    assert result[model.x >= model.x.lb] is True
    copy = pickle.loads(pickle.dumps(result))
    assert copy.upper == result.upper
    with pytest.raises(bilevel.BilevelError, match="no answer to read"):
        copy["x"]


def test_a_response_takes_the_dict_that_a_result_gives(model):
    result = bilevel.solve(model, "random", budget=20, seed=1)
    reply = bilevel.Response(model)(result.upper)
    assert reply.cost == pytest.approx(result.upper_objective)


@pytest.mark.parametrize(
    "wrong", [[1.0], [1.0, 2.0, 3.0], "a", None, [[1.0, 2.0]], {"x": "a", "w": 1.0}, 3.0, ["a", 1]]
)
def test_what_is_no_upper_point_is_refused_with_the_names(wrong):
    model = pyo.ConcreteModel()
    model.x, model.w = pyo.Var(bounds=(0, 10)), pyo.Var(bounds=(0, 10))
    model.low = bilevel.LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    model.low.obj = pyo.Objective(expr=(model.low.y - model.x - model.w) ** 2)
    model.obj = pyo.Objective(expr=model.low.y)
    response = bilevel.Response(model)
    assert response([1.0, 2.0]).cost == pytest.approx(3.0)
    with pytest.raises(bilevel.BilevelError, match=r"x, w is wanted|x='a': no value"):
        response(wrong)
