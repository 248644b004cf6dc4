from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.solvers.branching.clauses import Limit, no_better, no_step
from bilevel.solvers.branching.directions import Directions
from bilevel.solvers.branching.integer_levels import IntegerFollower
from bilevel.solvers.branching.tree import live

sys.path.insert(0, str(Path(__file__).parent))
from brute_force import Instance

BRANCHED = "branched on what the followers' answers must meet"
SHAPES = [{}, {"integers": 3, "top": 2}, {"x": 3, "top": 2}, {"x": 4, "integers": 4, "top": 1}, {"x": 1, "top": 5}]


def solve(model, **kwargs):
    return bilevel.solve(model, "mixed_integer", time_limit=20, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_many_integer_followers_against_listing(seed):
    instance = Instance(seed, **SHAPES[seed % len(SHAPES)])
    result, best = solve(instance.model()), instance.best()
    assert any(BRANCHED in note for note in result.notes)
    if best is None:
        assert result.verdict == "infeasible"
    else:
        assert result.verdict == "certified_global"
        assert result.upper_objective == pytest.approx(best, abs=1e-6)
        assert result.bound == pytest.approx(best, abs=1e-5)


@pytest.fixture
def follower():
    """``min -2 y1 + y2``, ``y1 + 2 y2 + x <= 7``, ``y1 - y2 >= -1``, y in [0, 5]; x stands in row 2 of the table too."""
    return IntegerFollower(
        places=np.array([1, 2]),
        slope=np.array([-2.0, 1.0]),
        own=np.array([[1.0, 2.0], [1.0, -1.0]]),
        low=np.array([-np.inf, -1.0]),
        high=np.array([7.0, np.inf]),
        least=np.zeros(2),
        most=np.full(2, 5.0),
        used=np.array([0, 1]),
        leaders=np.array([2, -1]),
        objective=3,
    )


def test_the_clause_of_an_answer(follower):
    """y = (5, 0) is worth -10, and possible while x <= 2."""
    assert no_better(follower, np.array([5.0, 0.0])) == (Limit(True, 3, -1, -10.0), Limit(True, 2, 1, 3.0))


def test_the_clause_of_a_direction(follower):
    """One more y1 and one less y2 frees the first row, leaves the bounds at y1 = 5 or y2 = 0, and never the second row."""
    assert no_step(follower, np.array([1.0, -1.0])) == (Limit(False, 1, 1, 5.0), Limit(False, 2, -1, 0.0))
    assert no_step(follower, np.array([1.0, 1.0])) == (
        *(Limit(True, 0, 1, 5.0), Limit(False, 1, 1, 5.0), Limit(False, 2, 1, 5.0)),
    )


def test_every_point_meets_a_clause_or_is_not_optimal(follower):
    rng = np.random.default_rng(0)
    allowed = lambda x, y: y @ [1, 2] + x <= 7 and y @ [1, -1] >= -1 and (y >= 0).all() and (y <= 5).all()  # noqa: E731
    grid = [np.array([a, b]) for a in range(6) for b in range(6)]
    for x in range(-3, 8):
        possible = [y for y in grid if allowed(x, y)]
        best = min((y @ [-2, 1] for y in possible), default=None)
        for y in (y for y in possible if y @ [-2, 1] == best):
            table = [y @ [1, 2] + x, y @ [1, -1], x, y @ [-2, 1]]
            value = lambda limit, y=y, table=table: table[limit.place] if limit.row else y[limit.place - 1]  # noqa: E731
            steps = [d for d in rng.integers(-3, 4, (20, 2)).astype(float) if d @ follower.slope < 0]
            for clause in (*(no_step(follower, d) for d in steps), *(no_better(follower, a) for a in grid)):
                assert any(limit.sign * value(limit) >= limit.sign * limit.end for limit in clause)


def test_a_limit_or_its_opposite_holds():
    for limit in (Limit(True, 0, 1, 3.0), Limit(False, 2, -1, -4.0)):
        other = limit.opposite()
        for value in range(-10, 10):
            assert (limit.sign * value >= limit.sign * limit.end) != (other.sign * value >= other.sign * other.end)


def test_directions_that_a_point_bears(follower):
    known = Directions(follower, np.zeros(2), np.full(2, 5.0))
    y = np.array([2.5, 1.0])
    steps = known.open_at(y, follower.own @ y)
    assert {tuple(step) for step in steps} == {(1, 0), (0, -1), (1, -1)}
    assert known.found_at(y, follower.own @ y) is not None
    best = np.array([5.0, 0.0])
    assert [known.found_at(best, follower.own @ best) for _ in range(2)] == [None, None]
    assert known.found_at(y, follower.own @ y) is not None  # after one search in vain, the next was left out


def test_what_a_node_leaves_of_a_clause():
    clause = (Limit(True, 0, 1, 5.0), Limit(False, 0, -1, 2.0))
    ends = lambda low, high: (np.array([low]), np.array([high]))  # noqa: E731

    def left(row, variable):
        from bilevel.solvers.branching.relaxation import Ends

        return live(clause, Ends(*ends(*variable), *ends(*row)), ends(*row))

    assert left((0.0, 9.0), (0.0, 9.0)) == clause
    assert left((0.0, 4.0), (0.0, 9.0)) == clause[1:]
    assert left((0.0, 4.0), (3.0, 9.0)) == ()
    assert left((5.0, 9.0), (3.0, 9.0)) is None


def test_continuous_decisions_of_the_leader_are_the_relaxations():
    """The leader's real z is bound to the answer y = floor(x / 2) by a coupling row; F = z - y - x / 8."""
    m = pyo.ConcreteModel()
    m.x, m.z, m.lower = pyo.Var(within=pyo.Integers, bounds=(0, 9)), pyo.Var(bounds=(0, 20)), LowerLevel()
    m.lower.y = pyo.Var(within=pyo.Integers, bounds=(0, 9))
    m.lower.row = pyo.Constraint(expr=2 * m.lower.y <= m.x)
    m.coupling = pyo.Constraint(expr=m.z >= 1.7 * m.lower.y)
    m.obj = pyo.Objective(expr=m.z - m.lower.y - m.x / 8)
    m.lower.obj = pyo.Objective(expr=m.lower.y, sense=pyo.maximize)
    result = solve(m)
    assert any(BRANCHED in note for note in result.notes)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(min(0.7 * (x // 2) - x / 8 for x in range(10)))


def test_a_relaxation_without_end_goes_in_rounds():
    m = pyo.ConcreteModel()
    m.x, m.z, m.lower = pyo.Var(within=pyo.Integers, bounds=(0, 3)), pyo.Var(), LowerLevel()
    m.lower.y = pyo.Var(within=pyo.Integers, bounds=(0, 3))
    m.lower.row = pyo.Constraint(expr=m.lower.y <= m.x)
    m.lower.obj = pyo.Objective(expr=m.lower.y, sense=pyo.maximize)
    m.obj = pyo.Objective(expr=m.z + m.lower.y)
    result = solve(m)
    assert result.verdict == "unbounded"
    assert any("in rounds" in note for note in result.notes)
