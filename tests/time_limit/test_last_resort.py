"""A path that comes to no point, or to one that does not stand, is followed by a short search."""

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.deadline import OutOfTime
from bilevel.solvers.paths.kkt import KKT


def model():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 10))
    m.low = LowerLevel()
    m.low.y = pyo.Var(bounds=(0, 20))
    m.low.obj = pyo.Objective(expr=(m.low.y - m.x) ** 2)
    m.obj = pyo.Objective(expr=(m.x - 2) ** 2 + (m.low.y - 4) ** 2)
    return m


def comes_to_nothing(problem, settings, observer):
    return Finding(Termination.STALLED, Verdict.FAILED, bound=-1.0, notes=["nothing"])


def comes_to_a_point_that_does_not_stand(problem, settings, observer):
    values = {"x": 20.0}, {"low.y": 20.0}
    return Finding(Termination.OPTIMALITY, Verdict.CERTIFIED_GLOBAL, upper=values[0], lower=values[1], bound=2.0)


def is_stopped(problem, settings, observer):
    raise OutOfTime


@pytest.mark.parametrize("path", [comes_to_nothing, comes_to_a_point_that_does_not_stand, is_stopped])
@pytest.mark.parametrize("limit", [None, 3.0])
def test_a_searched_point_is_reported_and_no_more_is_claimed_of_it(monkeypatch, path, limit):
    monkeypatch.setattr(KKT, "run", lambda self, *given: path(*given))
    result = bilevel.solve(model(), "kkt", time_limit=limit, budget=30)
    assert result.verdict is Verdict.BEST_FOUND
    assert result.upper_objective == pytest.approx(2.0, abs=0.5)
    assert any("search" in note for note in result.notes)


def test_what_a_user_stopped_is_not_gone_on_with(monkeypatch):
    def interrupted(self, problem, settings, observer):
        return Finding(Termination.INTERRUPTED, Verdict.FAILED)

    monkeypatch.setattr(KKT, "run", interrupted)
    assert bilevel.solve(model(), "kkt").verdict is Verdict.FAILED
