"""The compiled form of a single-level model: the numbers of the Pyomo model, in its order, and back."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel.errors import ModelError, RefusedError
from bilevel.kkt.single_level import SingleLevel


@pytest.fixture
def model():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], bounds=(0, 4), initialize={1: 1.0, 2: 3.0})
    m.k = pyo.Var(within=pyo.Integers, bounds=(-2, 5), initialize=2)
    m.free = pyo.Var()
    m.unused = pyo.Var()
    m.epsilon = pyo.Param(mutable=True, initialize=0.5)
    m.scale = pyo.Param(mutable=True, initialize=2.0)
    m.b = pyo.Block()
    m.b.row = pyo.Constraint(expr=(-1, m.x[1] * m.x[2] + m.free, m.scale))
    m.product = pyo.Constraint(expr=m.x[1] * m.k - m.epsilon <= 0)
    m.off = pyo.Constraint(expr=m.unused <= 1)
    m.off.deactivate()
    m.pairs = pyo.SOSConstraint(var=m.x, sos=1)
    m.obj = pyo.Objective(expr=m.scale * m.x[1] ** 2 + m.k, sense=pyo.maximize)
    return m


def test_values_rows_and_order(model):
    single = SingleLevel(model, [model.epsilon])
    program = single.program
    assert [v.name for v in single.variables] == list(program.names)
    assert set(program.names) == {"x[1]", "x[2]", "k", "free"}
    model.free.value = 0.25
    objective, rows = program.evaluate(np.array([0.5]), single.values())
    assert objective[0] == -pyo.value(model.obj)
    assert dict(zip(program.row_names, rows, strict=True)) == {"b.row": 3.25, "product": 1.5}
    assert program.evaluate(np.array([2.0]), single.values())[1][program.row_names.index("product")] == 0.0
    places = [single.place(model.x[1]), single.place(model.x[2])]
    assert program.sos1 == (tuple(places),)
    assert program.integer.tolist() == [name == "k" for name in program.names]
    assert single.sense == -1


def test_and_back(model):
    single = SingleLevel(model)
    single.load(np.arange(4.0))
    assert single.values().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert model.unused.value is None
    assert single.place(model.unused) is None


def test_what_it_refuses(model):
    model.second = pyo.Objective(expr=model.k)
    with pytest.raises(ModelError, match="2 active Objectives"):
        SingleLevel(model)
    model.second.deactivate()
    model.sos2 = pyo.SOSConstraint(var=model.x, sos=2)
    with pytest.raises(RefusedError, match="sos2 is a special ordered set of type 2"):
        SingleLevel(model)
    model.sos2.deactivate()
    model.x[1].fix(1.0)
    with pytest.raises(RefusedError, match=r"x\[1\] is fixed"):
        SingleLevel(model)
    model.x[1].fix(0.0)
    assert SingleLevel(model).program.sos1 == ((0,),) or len(SingleLevel(model).program.sos1[0]) == 1
