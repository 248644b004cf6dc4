"""What a run leaves on the model is no start for the next one; what a user sets is."""

from __future__ import annotations

import pickle

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel


def model_with_start(start: float | None = None) -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10), initialize=start)
    model.z = pyo.Var(bounds=(-5, 5), initialize=start)
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    model.low.obj = pyo.Objective(expr=(model.low.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.x - 2.3) ** 2 + (model.low.y - 4) ** 2 + pyo.cos(3 * model.z))
    return model


def points(result: bilevel.Result) -> list[dict[str, float]]:
    return [evaluation.upper for evaluation in result.history]


@pytest.mark.parametrize("method", ["rbf", "random", "gradient", "kkt"])
@pytest.mark.parametrize("start", [None, 1.0])
def test_the_second_run_on_an_object_is_the_first_again(method, start):
    model = model_with_start(start)
    options = {} if method == "kkt" else {"budget": 12}
    first, second, third = (bilevel.solve(model, method, seed=1, **options) for _ in range(3))
    assert points(first) == points(second) == points(third)
    assert first.upper == second.upper == third.upper
    assert model.x.value == third.upper["x"]


def test_after_another_method_and_in_a_clone_too():
    model = model_with_start()
    first = bilevel.solve(model, "rbf", seed=1, budget=12)
    bilevel.solve(model, "kkt", allow_nonconvex=True)
    bilevel.compare(model, ["random", "grid"], budget=5)
    assert points(bilevel.solve(model.clone(), "rbf", seed=1, budget=12)) == points(first)
    assert points(bilevel.solve(pickle.loads(pickle.dumps(model)), "rbf", seed=1, budget=12)) == points(first)
    found = pyo.SolverFactory("bilevel").solve(model, method="rbf", seed=1, budget=12)
    assert points(found.bilevel) == points(first)


def test_a_comparison_again_is_the_same_comparison():
    model = model_with_start(1.0)
    tables = [bilevel.compare(model, ["rbf", "random"], budget=8, seed=2) for _ in range(2)]
    assert [points(r) for r in tables[0].results] == [points(r) for r in tables[1].results]
    assert model.x.value == tables[1].best.upper["x"]


def test_values_set_by_hand_are_a_start():
    model = model_with_start(1.0)
    bilevel.solve(model, "rbf", seed=1, budget=5)
    model.x.set_value(7.5)
    again = bilevel.solve(model, "rbf", seed=1, budget=5)
    assert (again.history[0].upper["x"], again.history[0].upper["z"]) == (7.5, 1.0)
    assert points(bilevel.solve(model, "rbf", seed=1, budget=5)) == points(again)


def test_a_fixed_answer_stays_fixed_and_a_refused_call_leaves_the_answer():
    model = model_with_start()
    result = bilevel.solve(model, "random", seed=1, budget=5)
    with pytest.raises(bilevel.BilevelError):
        bilevel.solve(model, "random", nonsense=3)
    assert model.x.value == result.upper["x"]
    model.z.fix()
    bilevel.solve(model, "random", seed=1, budget=5)
    assert model.z.value == result.upper["z"]
