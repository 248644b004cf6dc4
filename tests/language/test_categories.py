"""Values of a list are the user's own objects: None, truth values, tuples, numpy's scalars."""

from __future__ import annotations

import json

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, discretize
from bilevel.errors import SpaceError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.upper.space import Space

LISTS = [
    [None, 3, 5],
    [True, False],
    [(64,), (64, 32), (8, 8, 8)],
    [((1, 2), "relu"), ((3,), "tanh")],
    [(1, 2), None, "x"],
    [np.int64(3), np.float64(0.5)],
    [np.bool_(True), np.bool_(False)],
    ["a", np.str_("b")],
    [np.datetime64("2020-01-01"), np.datetime64("2021-01-01")],
    [np.float32, np.float64],
    [np.sin, np.cos],
    [frozenset([1]), frozenset([2])],
    [1.0, 2.0, 3.0],
]


def same(one, other):
    return type(one) is type(other) and one == other


def training(values, seen):
    """F is the place in the list, so that the second value is the best of a function that never saw a number."""

    def train(x):
        seen.append(x["kind"])
        place = next(k for k, value in enumerate(values) if same(value, x["kind"]))
        return {"loss": (place - 1) ** 2 + x["rate"]}

    model = pyo.ConcreteModel()
    model.kind, model.rate = pyo.Var(), pyo.Var(within=pyo.Set(initialize=[0.5, 1.0]))
    discretize(model.kind, values)
    model.low = LowerLevel(response=train)
    model.low.loss = pyo.Var()
    model.obj = pyo.Objective(expr=model.low.loss)
    return model


@pytest.mark.parametrize("method", ["auto", "grid", "random", "surrogate", "rbf"])
@pytest.mark.parametrize("values", LISTS, ids=str)
def test_a_function_is_given_the_users_own_objects(values, method):
    seen = []
    model = training(values, seen)
    result = bilevel.solve(model, method, budget=6, seed=1)
    assert result.upper_objective == pytest.approx(0.5)
    assert same(result.upper["kind"], values[1])
    assert same(model.kind.value, values[1])
    assert all(any(same(value, known) for known in values) for value in seen)
    assert all(any(same(e.upper["kind"], known) for known in values) for e in result.history)
    assert result.to_dict()["upper"]["kind"] == values[1]
    json.loads(result.to_json())
    line = next(line for line in str(result).splitlines() if line.split()[:1] == ["kind"])
    assert line.split(maxsplit=1)[1] in (str(values[1]), f"{values[1]:g}" if isinstance(values[1], float) else "")


@pytest.mark.parametrize("values", LISTS[2:4], ids=str)
def test_a_set_of_tuples_of_any_length_keeps_them(values):
    seen = []
    model = training(values, seen)
    model.kind.domain = pyo.Set(initialize=values, dimen=None)
    model.kind.domain.construct()
    model = model.clone() if values is LISTS[3] else model
    result = bilevel.solve(model, "grid", budget=9)
    assert same(result.upper["kind"], values[1])
    assert same(model.kind.value, values[1])


def test_no_address_of_the_memory_is_stored(tmp_path):
    """What has no text of its own is the same in the next process."""

    class Solver:
        pass

    def solved():
        return bilevel.solve(training([Solver(), len], []), "random", budget=2, study=f"{tmp_path}/study.log")

    assert solved().evaluations == 2
    assert solved().notes == solved().notes
    assert " at 0x" not in (tmp_path / "study.log").read_text()


@pytest.mark.parametrize("values", LISTS, ids=str)
def test_a_study_gives_them_back(values, tmp_path):
    address = f"{tmp_path}/study.log"
    first = bilevel.solve(training(values, []), "random", budget=3, study=address)
    second = bilevel.solve(training(values, []), "random", budget=4, study=address)
    assert [e.upper for e in second.history[:3]] == [e.upper for e in first.history]
    assert all(any(same(e.upper["kind"], known) for known in values) for e in second.history)


@pytest.mark.parametrize("values", [LISTS[0], LISTS[2], LISTS[8], LISTS[9], LISTS[10]], ids=str)
def test_optuna_is_told_what_it_takes_or_a_number(values):
    pytest.importorskip("optuna")
    seen = []
    result = bilevel.solve(training(values, seen), "optuna:RandomSampler", budget=5, seed=1)
    assert same(result.upper["kind"], next(v for v in values if same(v, result.upper["kind"])))


def test_truth_values_count_in_algebra():
    """y = 3 x where x is True."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(within=pyo.Set(initialize=[False, True]))
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 9))
    model.low.obj = pyo.Objective(expr=(model.low.y - 3 * model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.low.y - 2) ** 2)
    for method in ("kkt", "grid", "value_function"):
        result = bilevel.solve(model, method)
        assert result.verdict == "certified_global"
        assert result.upper["x"] is True
        assert result.upper_objective == pytest.approx(1.0, abs=1e-5)


def test_a_start_at_none_is_a_value_of_the_list():
    model = training([None, 3, 5], [])
    model.rate.set_value(1.0)
    space = Space(Compilation(Problem.read(model)))
    assert space.start is not None
    assert space.values(space.start) == {"kind": None, "rate": 1.0}


def test_what_can_be_no_member_is_refused():
    model = pyo.ConcreteModel()
    model.kind = pyo.Var()
    with pytest.raises(SpaceError, match=r"discretize\(kind\): .*give a tuple"):
        discretize(model.kind, [[64], [64, 32]])
    with pytest.raises(SpaceError, match="a value appears twice"):
        discretize(model.kind, [(1, 2), (1, 2)])
