from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.reading.problem import Problem
from bilevel.solvers.interdiction.knapsack_game import KnapsackGame
from bilevel.solvers.interdiction.knapsack_tree import KnapsackTree
from bilevel.solvers.interdiction.sequential_game import SequentialGame
from bilevel.solvers.paths.mixed_integer import cuts_of
from bilevel.solvers.rounds.linear_levels import LinearLevels

sys.path.insert(0, str(Path(__file__).parent))
from blocking_games import BlockingGame

FOUND = "branched on item by item"


def solve(model):
    return bilevel.solve(model, "mixed_integer", time_limit=30)


def agrees(result, best):
    if best is None:
        assert result.verdict == "infeasible"
    else:
        assert result.verdict == "certified_global"
        assert result.upper_objective == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_blocked_knapsacks_are_recognised_and_solved(seed):
    game = BlockingGame(seed)
    result = solve(game.model())
    assert any(FOUND in note for note in result.notes)
    agrees(result, game.best())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_many_blocked_knapsacks(seed):
    game = BlockingGame(seed)
    agrees(solve(game.model()), game.best())


def knapsack(seed, n=8, exact=True):
    """The leader pays for half of the items, the follower carries half of their weight."""
    rng = np.random.default_rng(seed)
    profit, weight, price = (rng.integers(1, 40, n) for _ in range(3))
    order = np.argsort(-profit / weight, kind="stable")
    profit, weight, price = profit[order].astype(float), weight[order], price[order]
    return KnapsackGame(
        *(0.0, rng.integers(-2, 3, n).astype(float), profit, weight, np.ones(n, dtype=int), int(weight.sum() // 2)),
        *(exact, np.ones(n, dtype=bool), price[None, :].astype(float), np.array([-np.inf])),
        *(np.array([price.sum() // 2 + 0.0]), np.arange(n), np.ones(n, dtype=int)),
    )


def worth(game, blocked):
    """F at a blocking, all answers listed."""
    answers = np.array(list(itertools.product((0, 1), repeat=len(game.profit))))
    answers = answers[(answers @ game.weight <= game.capacity) & ~(answers * blocked).any(axis=1)]
    return float((answers @ game.profit).max() + game.cost @ blocked)


def least(game):
    choices = np.array(list(itertools.product((False, True), repeat=len(game.profit))))
    allowed = choices[choices @ game.matrix[0] <= game.high[0]]
    return min(worth(game, blocked) for blocked in allowed)


@pytest.mark.parametrize("seed", range(4))
def test_the_tree_against_listing(seed):
    game = knapsack(seed)
    found = KnapsackTree(game, lambda _: np.nan, lambda: False).run()
    assert found.value == found.bound == pytest.approx(least(game))
    assert worth(game, found.blocked) == pytest.approx(found.value)


@pytest.mark.parametrize("cells", [1, 500, 10_000_000])
@pytest.mark.parametrize("seed", range(3))
def test_the_sequential_game_is_a_bound_however_coarse(monkeypatch, seed, cells):
    monkeypatch.setattr("bilevel.solvers.interdiction.sequential_game._CELLS", cells)
    game = knapsack(seed)
    table = SequentialGame(game, 0, float(game.high[0]))
    assert table.bound(0, np.zeros(game.capacity + 1, dtype=np.int32), game.high) <= least(game)


def test_rounded_weights_are_settled_by_the_followers_own_answer():
    game = knapsack(5)
    coarse = replace(game, weight=-(-game.weight // 3), capacity=game.capacity // 3, exact=False)
    found = KnapsackTree(coarse, lambda blocked: worth(game, blocked), lambda: False).run()
    assert found.value == found.bound == pytest.approx(least(game))
    silent = KnapsackTree(coarse, lambda _: np.nan, lambda: False).run()
    assert silent.blocked is None
    assert silent.bound <= least(game)  # no answer is no proof that there is none


def test_when_the_time_is_over_the_bound_still_holds(monkeypatch):
    monkeypatch.setattr("bilevel.solvers.interdiction.knapsack_tree._OFTEN", 1)
    game = knapsack(6)
    looks = iter([False] * 12)
    found = KnapsackTree(game, lambda _: np.nan, lambda: next(looks, True)).run()
    assert found.bound <= least(game) <= found.value


def shelf():
    m = pyo.ConcreteModel()
    m.x, m.lower = pyo.Var(range(4), within=pyo.Binary), LowerLevel()
    m.lower.y = pyo.Var(range(4), within=pyo.Binary)
    m.budget = pyo.Constraint(expr=sum(m.x.values()) <= 2)
    m.lower.capacity = pyo.Constraint(expr=pyo.sum_product({0: 3, 1: 2, 2: 2, 3: 1}, m.lower.y) <= 5)
    m.lower.blocked = pyo.Constraint(range(4), rule=lambda b, i: b.y[i] <= 1 - m.x[i])
    gain = pyo.sum_product({0: 4, 1: 3, 2: 2, 3: 1}, m.lower.y)
    m.obj, m.lower.obj = pyo.Objective(expr=gain), pyo.Objective(expr=gain, sense=pyo.maximize)
    return m


def another_aim(m):
    m.obj.set_value(m.lower.y[0] + 5 * m.lower.y[3])


def coupled(m):
    m.coupling = pyo.Constraint(expr=m.lower.y[1] + m.lower.y[2] >= 1)


def another_row(m):
    m.lower.more = pyo.Constraint(expr=m.lower.y[0] + m.lower.y[1] <= 1)


def blocked_twice(m):
    m.lower.again = pyo.Constraint(expr=m.lower.y[0] <= 1 - m.x[3])


def a_need(m):
    m.lower.need = pyo.Constraint(expr=m.lower.y[0] >= m.x[1])


def test_a_blocked_knapsack():
    result = solve(shelf())
    assert any(FOUND in note for note in result.notes)
    agrees(result, 3)


@pytest.mark.parametrize(
    ("change", "best"), [(another_aim, 0), (coupled, 3), (another_row, 3), (blocked_twice, 2), (a_need, 4)]
)
def test_what_is_no_such_game_is_not_taken_for_one(change, best):
    m = shelf()
    change(m)
    result = solve(m)
    assert not any(FOUND in note for note in result.notes)
    agrees(result, best)


def two_rows(seed, items=5):
    """A follower with two rows and copies, whose items a leader blocks at a value of either kind; all listed too."""
    rng = np.random.default_rng(seed)
    profit, rows, at = rng.integers(1, 20, items), rng.integers(0, 9, (2, items)), rng.integers(0, 2, items)
    m = pyo.ConcreteModel()
    m.x, m.lower = pyo.Var(range(items), within=pyo.Binary), LowerLevel()
    m.lower.y = pyo.Var(range(items), within=pyo.Integers, bounds=(0, 2))
    x, y = list(m.x.values()), list(m.lower.y.values())
    free = [1 - v if a else v for v, a in zip(x, at, strict=True)]
    m.budget = pyo.Constraint(expr=sum(free) >= items - 2)
    m.lower.rows = pyo.ConstraintList()
    for row in rows:
        m.lower.rows.add(sum(int(w) * v for w, v in zip(row, y, strict=True)) <= 12)
    m.lower.blocked = pyo.Constraint(range(items), rule=lambda b, i: b.y[i] <= 2 * free[i])
    gain = sum(int(p) * v for p, v in zip(profit, y, strict=True))
    m.obj, m.lower.obj = pyo.Objective(expr=gain), pyo.Objective(expr=gain, sense=pyo.maximize)
    answers = np.array(list(itertools.product(range(3), repeat=items)))
    answers = answers[(answers @ rows.T <= 12).all(axis=1)]
    choices = [c for c in itertools.product((0, 1), repeat=items) if sum(c) <= 2]
    return m, [(c, answers[(answers * np.array(c) == 0).all(axis=1)]) for c in choices], profit, at


@pytest.mark.parametrize("seed", range(2))
def test_a_cut_of_any_answer_holds_at_every_bilevel_feasible_point(seed):
    m, listed, profit, at = two_rows(seed)
    problem = Problem.read(m)
    levels = LinearLevels(problem)
    cut = cuts_of(levels)
    assert cut is not None
    for _, some in listed:
        row, low = cut(some[-1])
        for blocked, answers in listed:
            x = np.where(np.array(blocked), at, 1 - at)
            best = answers[np.argmax(answers @ profit)]
            v = np.zeros(len(row))
            v[[place for place in levels.x_places if place is not None]] = x
            v[next(iter(levels.followers.values())).places] = best
            assert row @ v >= low - 1e-9
    agrees(solve(m), min(int((answers @ profit).max()) for _, answers in listed))


def test_a_row_that_must_not_fall_gives_no_cuts():
    m, *_ = two_rows(0)
    m.lower.least = pyo.Constraint(expr=m.lower.y[0] + m.lower.y[1] >= 0.5)
    assert cuts_of(LinearLevels(Problem.read(m))) is None
