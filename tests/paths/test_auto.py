"""``auto``: an exact path where one accepts the model, a search where none does or nothing was proved."""

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, Observer, registry
from bilevel.api.auto.choosing import better
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.reading.problem import Problem


def quadratic(y, x):
    return (y - x) ** 2


def wavy(y, x):
    return ((y - 1 - 0.1 * x) ** 2 - 0.5 - 0.5 * x) ** 2


def create(lower, response=None):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-0.1, 1))
    model.lower = LowerLevel(response=response)
    model.lower.y = pyo.Var(bounds=(0, 3))
    if response is None:
        model.lower.obj = pyo.Objective(expr=lower(model.lower.y, model.x))
    model.obj = pyo.Objective(expr=(model.x - 0.25) ** 2 + model.lower.y**2)
    return model


def test_convex_is_proved():
    result = bilevel.solve(create(quadratic))
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0.03125, abs=1e-5)


def test_nonconvex_is_proved_by_the_value_function():
    # y = 1 + 0.1 x - sqrt(0.5 + 0.5 x) is the better of the follower's two global optima; F is least near x = 0.2972
    result = bilevel.solve(create(wavy), time_limit=30)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0.0525666, abs=1e-5)


def test_response_function_is_searched():
    result = bilevel.solve(create(None, lambda x: {"y": max(x["x"], 0.0)}), budget=30, seed=1)
    assert result.verdict == "best_found"
    assert result.evaluations == 30
    assert any("Python function" in note for note in result.notes)


def test_the_observer_hears_the_refusals():
    heard = []

    class Listener(Observer):
        def said(self, message):
            heard.append(message)

    bilevel.solve(create(None, lambda x: {"y": 0.5}), budget=5, observer=Listener())
    assert any("refused by kkt" in message for message in heard)


def test_a_path_that_came_to_nothing_in_its_share_is_followed_by_the_next(monkeypatch):
    for name in ("homotopy", "upper_boxes"):
        part = registry.get(Path, name)
        monkeypatch.setattr(part, "run", lambda *_: Finding(Termination.TIME_LIMIT, Verdict.FAILED))
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 3))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=(model.x - 3) ** 2 + model.lower.y)
    result = bilevel.solve(model, time_limit=20)
    assert result.method == "kkt"
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(2.75, abs=1e-5)  # y = x: F least at x = 2.5


@pytest.mark.parametrize("point", [None, {"x": 0.5}, {"x": 0.0}])
def test_an_enumeration_is_a_proof_whatever_the_exact_path_had(point):
    model = create(quadratic)
    bilevel.discretize(model.x, [0.0, 0.25, 0.5])
    problem = Problem.read(model)
    searched = registry.get(Path, "search")().run(problem, Settings(method="grid", budget=3), Observer())
    exact = Finding(Termination.TIME_LIMIT, Verdict.FAILED if point is None else Verdict.VERIFIED_LOCAL, point)
    found = better(problem, exact, searched)
    assert found.claim is Verdict.CERTIFIED_GLOBAL
    assert found.bound == pytest.approx(0.0625)  # at 0 and at 0.25 alike
    assert problem.sense * found.bound == searched.archive.incumbent.cost
