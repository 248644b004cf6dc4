"""A bound above a point that is known: the relaxation lost it, whatever it says."""

from __future__ import annotations

from dataclasses import replace

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, rows_of
from bilevel.contracts.finding import Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.solvers.paths.value_function import Relaxation
from bilevel.solvers.rounds.alternation import Rounds


def tracking(unit=1.0, sense=pyo.minimize):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.low = LowerLevel()
    model.low.y = pyo.Var(bounds=(0, 20))
    model.low.obj = pyo.Objective(expr=(model.low.y - model.x) ** 2)
    sign = 1 if sense == pyo.minimize else -1
    model.obj = pyo.Objective(expr=sign * unit * ((model.x - 2) ** 2 + (model.low.y - 4) ** 2), sense=sense)
    return model


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_bound_above_a_known_point_is_not_learnt(unit, sense):
    problem = Problem.read(tracking(unit, sense))
    rounds = Rounds(problem, Compilation.of(problem), Settings(), Observer())
    rounds.ask({"x": 4.0})  # F = 4
    assert rounds.raise_bound(1.5 * unit)
    assert not rounds.raise_bound(4.1 * unit)
    assert rounds.bound == 1.5 * unit
    assert not rounds.closed
    assert "lost the point" in rounds.notes[-1]
    assert rounds.raise_bound(4.0 * unit)
    assert rounds.closed


def test_a_bound_from_before_the_point_is_withdrawn():
    problem = Problem.read(tracking())
    rounds = Rounds(problem, Compilation.of(problem), Settings(), Observer())
    assert rounds.raise_bound(30.0)
    rounds.ask({"x": 4.0})
    assert not rounds.closed
    found = rounds.finding(Termination.INTERRUPTED)  # no time for a challenge
    assert (found.claim, found.bound) == (Verdict.BEST_FOUND, None)
    assert "withdrawn" in found.notes[-1]


@pytest.mark.parametrize("after", [1, 2])
def test_a_relaxation_that_lost_the_point_certifies_nothing(monkeypatch, after):
    true_solve, asked = Relaxation.solve, []

    def wrong(self, limit):
        asked.append(limit)
        answer = true_solve(self, limit)
        return replace(answer, bound=30.0) if len(asked) >= after else answer

    monkeypatch.setattr(Relaxation, "solve", wrong)
    result = bilevel.solve(tracking(), "value_function", time_limit=20)
    assert result.verdict == ("best_found" if len(asked) >= after else "certified_global")
    assert result.upper_objective == pytest.approx(2.0, abs=1e-4)


def test_a_loss_with_branches_is_refused_where_it_cannot_be_written():
    model = tracking()
    model.low.obj.set_value(rows_of("huber", [[1.0], [0.5]], [model.low.y], [1.0, 2.0]) + model.x * model.low.y**2)
    with pytest.raises(RefusedError, match="outside SCIP's vocabulary"):
        bilevel.solve(model, "value_function", time_limit=5)
