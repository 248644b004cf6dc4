"""Where evaluations start below: a function of the history, used where an engine gains from it, and never trusted."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from histories import StopAt, told

import bilevel
from bilevel import LowerLevel, registry
from bilevel.contracts.engine import Engine
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.engines import newton
from bilevel.solvers.engines.smooth import newton_rows
from bilevel.solvers.loop.anchors import LAG, NearestAnswers, NoAnchors
from bilevel.solvers.paths import search as outer_loop
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

BUDGET = LAG + 26


def logistic(*, bounded=False):
    """Two penalties of a logistic regression."""
    rng = np.random.default_rng(0)
    X, n = rng.standard_normal((30, 4)), 4
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-4, 2))
    m.lower = LowerLevel()
    m.lower.w = pyo.Var(range(n), bounds=(-0.3, 0.3) if bounded else (None, None))
    w = m.lower.w
    losses = [pyo.log(1 + pyo.exp(sum(X[i, j] * w[j] for j in range(n)) - X[i, 0])) for i in range(30)]
    m.lower.obj = pyo.Objective(expr=sum(losses[:20]) / 20 + sum(pyo.exp(m.x[j % 2]) * w[j] ** 2 for j in range(n)))
    m.obj = pyo.Objective(expr=sum(losses[20:]))
    return m


def ridge():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0.1, 2))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var()
    m.lower.obj = pyo.Objective(expr=(m.lower.y - 1) ** 2 + m.x * m.lower.y**2)
    m.obj = pyo.Objective(expr=(m.lower.y - 0.3) ** 2)
    return m


def solve(search, budget=BUDGET, **more):
    return bilevel.solve(more.pop("model", None) or logistic(), search, budget=budget, seed=3, **more)


@pytest.fixture
def iterations(monkeypatch):
    """How many there were in each solve."""
    counts = []
    for solver in (newton._FreeSolver, newton_rows.RowsSolver):
        plain = solver.__call__

        def counted(self, *arguments, plain=plain):
            answer = plain(self, *arguments)
            counts.append(self.iterations)
            return answer

        monkeypatch.setattr(solver, "__call__", counted)
    return counts


@pytest.fixture
def cold(monkeypatch):
    """Switches the starts off."""
    return lambda: monkeypatch.setattr(outer_loop, "warms", lambda compilation: False)


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(("search", "budget", "first"), [("random", 200, LAG), ("surrogate", 30, 1)])
def test_the_start_is_used_and_changes_no_answer(search, budget, first, bounded, iterations, cold):
    warm = solve(search, budget, model=logistic(bounded=bounded))
    with_start = iterations[:budget]
    iterations.clear()
    cold()
    without = solve(search, budget, model=logistic(bounded=bounded))
    plain = iterations[:budget]
    assert with_start[:first] == plain[:first]
    assert sum(with_start[first:]) <= 0.9 * sum(plain[first:])
    if search == "random":  # of one that learns the last digits may lead elsewhere
        for one, other in zip(warm.history, without.history, strict=True):
            assert one.upper_objective == pytest.approx(other.upper_objective, rel=1e-9)
    assert warm.upper_objective == pytest.approx(without.upper_objective, rel=1e-6)


@pytest.mark.parametrize("search", ["grid", "random", "surrogate", "gradient"])
def test_a_stopped_study_goes_on_as_if_it_had_not(search, tmp_path):
    budget = 32 if search in ("surrogate", "gradient") else BUDGET
    whole = solve(search, budget, study=f"{tmp_path}/whole.log")
    if search in ("random", "surrogate"):  # the others plan for their budget, which a study has not
        assert told(solve(search, budget)) == told(whole)
    for stop in (7, budget - 9):
        study = f"{tmp_path}/{stop}.log"
        assert solve(search, budget, study=study, observer=StopAt(stop)).evaluations == stop
        assert told(solve(search, budget, study=study)) == told(whole)


@pytest.mark.slow
@pytest.mark.parametrize("search", ["grid", "random"])
def test_the_number_of_workers_cannot_be_seen(search):
    assert told(solve(search)) == told(solve(search, workers=2))


@pytest.mark.slow
def test_a_search_that_learns_has_one_history_per_number_of_workers(tmp_path):
    once, study = solve("surrogate", 20, workers=2, study=f"{tmp_path}/whole.log"), f"{tmp_path}/study.log"
    solve("surrogate", 20, workers=2, study=study, observer=StopAt(9))
    assert told(solve("surrogate", 20, workers=2, study=study)) == told(once)


def test_nothing_is_looked_up_where_no_engine_gains():
    compilation = Compilation.of(Problem.read(ridge()))
    space = Space(compilation)
    search = outer_loop._make(space, outer_loop.Settings(method="random"), 5, outer_loop.NoStudy())
    assert isinstance(outer_loop._anchors(search, compilation, space), NoAnchors)


@pytest.mark.parametrize("start", [np.full(4, np.nan), np.full(4, 1e6), np.full(4, -800.0)])
def test_a_bad_start_does_no_harm(start):
    response = Response(logistic(), warm=False)
    x = np.array([-3.0, 0.5])
    usual, other = response(x), response(x, None, start)
    assert other.status is Status.OPTIMAL
    np.testing.assert_allclose(other.y, usual.y, rtol=1e-9, atol=1e-12)


def test_a_start_outside_the_domain_is_passed_over():
    """Whoever answers in the end: one engine after the other is given it."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(1, 2))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var()
    m.lower.obj = pyo.Objective(expr=m.x * m.lower.y - pyo.log(m.lower.y))
    m.obj = pyo.Objective(expr=m.lower.y)
    program = Response(m, warm=False).programs["lower"]
    for engine in ("newton", "scip"):
        answer = registry.get(Engine, engine)().prepare(program)(np.array([2.0]), np.array([-1.0]))
        assert answer.y == pytest.approx([0.5], rel=1e-4)


# ----------------------------------------------------------------------------------------------- the nearest answer


def anchors(lag):
    compilation = Compilation.of(Problem.read(logistic()))
    return Space(compilation), NearestAnswers(Space(compilation), ["lower.w[0]"], lag)


def evaluation(index, point, status=Status.OPTIMAL):
    return Evaluation(index, point, {}, {"lower.w[0]": float(index)}, status, cost=0.0)


@pytest.mark.parametrize("lag", [0, 5, 64])
def test_the_nearest_of_those_that_are_old_enough(lag):
    space, found = anchors(lag)
    rng = np.random.default_rng(1)
    points = [space.from_unit(u) for u in rng.random((600, 2))]
    failed = set(range(0, 600, 7))
    for i, point in enumerate(points):
        known = [k for k in range(i - max(lag, 1) + 1) if k not in failed]
        away = [np.sum((space.to_unit(points[k]) - space.to_unit(point)) ** 2) for k in known]
        start = found.start(point, i)
        assert (start is None) == (not known)
        if known:
            assert start == [known[int(np.argmin(away))]]
        found.add(evaluation(i, point, Status.FAILED if i in failed else Status.OPTIMAL))


def test_of_two_as_near_the_earlier():
    space, found = anchors(0)
    for i, unit in enumerate([(0.25, 0.5), (0.75, 0.5), (0.25, 0.5)]):
        found.add(evaluation(i, space.from_unit(np.array(unit))))
    assert found.start(space.from_unit(np.array([0.5, 0.5])), 3) == [0.0]
