"""Data that are no numbers are named by where they stand."""

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, least_squares
from bilevel.errors import ModelError

WEEKS = [f"2024-W{k:02d}" for k in range(30)]


def regression(X, y=None):
    model = pyo.ConcreteModel()
    model.w = pyo.Var([0, 1])
    return least_squares(X, np.ones(30) if y is None else y, model.w)


def holed(hole, row=17, column=1, dtype=float):
    X = np.ones((30, 2)).astype(dtype)
    X[row, column] = hole
    return X


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_an_array_by_row_and_column(hole):
    with pytest.raises(ModelError, match=rf"X is {hole} at row 17, column 1;"):
        regression(holed(hole))
    with pytest.raises(ModelError, match=rf"y is {hole} at row 3;"):
        regression(np.ones((30, 2)), np.where(np.arange(30) == 3, hole, 1.0))


@pytest.mark.parametrize("hole", [None, "n/a", np.nan, 1j, pd.NA, pd.Timestamp(0)])
def test_a_frame_by_its_labels(hole):
    frame = pd.DataFrame(holed(hole, dtype=object), index=WEEKS, columns=["tv", "radio"])
    with pytest.raises(ModelError, match=r"at row 17 \(2024-W17\), column 1 \(radio\)"):
        regression(frame)
    with pytest.raises(ModelError, match=r"y is .* at row 17 \(2024-W17\);"):
        regression(np.ones((30, 2)), frame["radio"])


def test_the_row_is_that_of_the_whole_where_chunks_are_read(monkeypatch):
    monkeypatch.setattr("bilevel.language.formulas._CHUNK", 24)
    with pytest.raises(ModelError, match="X is nan at row 29, column 0"):
        regression(holed(np.nan, 29, 0))


def test_among_expressions():
    model = pyo.ConcreteModel()
    model.w = pyo.Var([0, 1])
    X = np.array([[model.w[0], 1.0], [2.0, np.nan]], dtype=object)
    with pytest.raises(ModelError, match="X is nan at row 1, column 1"):
        least_squares(X, [1.0, 2.0], model.w)


def test_numbers_of_any_type_are_numbers():
    frame = pd.DataFrame(np.ones((30, 2))).astype(object)
    assert pyo.value(regression(frame).factor(np.array([0.5, 0.5]))) == pytest.approx(0.0)


def bilevel_model():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.low = LowerLevel()
    model.low.y = pyo.Var(range(4), bounds=(0, 20))
    model.low.obj = pyo.Objective(expr=sum((model.low.y[k] - model.x) ** 2 for k in range(4)))
    model.obj = pyo.Objective(expr=(model.x - 2) ** 2 + model.low.y[0])
    return model


def a_param(model, hole, mutable, level):
    home = {"above": model, "below": model.low}[level]
    values = {k: hole if k == "w17" else 1.0 for k in ("w16", "w17", "w18")}
    home.sales = pyo.Param(list(values), initialize=values, mutable=mutable, within=pyo.Any)
    objective = home.obj
    objective.expr += sum(home.sales[k] for k in values) * (model.x if level == "above" else model.low.y[1])


@pytest.mark.parametrize("level", ["above", "below"])
@pytest.mark.parametrize("mutable", [False, True])
@pytest.mark.parametrize("hole", [np.nan, float("inf")])
def test_a_param_by_its_index(hole, mutable, level):
    model = bilevel_model()
    a_param(model, hole, mutable, level)
    owner = {"above": "obj", "below": "low.obj"}[level]
    with pytest.raises(ModelError, match=rf"{owner}: a coefficient is {hole} .*sales is {hole} at w17"):
        bilevel.solve(model, "random", budget=2)


def test_a_number_by_its_term():
    model = bilevel_model()
    data = [1.0, 2.0, np.nan, 4.0]
    model.low.obj.set_value(sum(data[k] * (model.low.y[k] - 1) ** 2 for k in range(4)))
    with pytest.raises(ModelError, match=r"low.obj: .*nan\*\(low.y\[2\] - 1\)\*\*2 \(term 3 of 4\)"):
        bilevel.solve(model, "random", budget=2)


def test_a_row_by_its_name():
    model = bilevel_model()
    model.low.cap = pyo.Constraint(range(4), rule=lambda b, k: [1, np.nan, 1, 1][k] * b.y[k] <= model.x)
    with pytest.raises(ModelError, match=r"low.cap\[1\]: a coefficient is nan"):
        bilevel.solve(model, "random", budget=2)
