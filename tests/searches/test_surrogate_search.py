"""What every learning search must keep: new and allowed points only, and the same ones for the same seed."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import replace

import commands
import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import Allowed, LowerLevel, discretize, registry, set_scale
from bilevel.contracts.search import Search
from bilevel.errors import OptionError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.solvers.loop.finding import _neighbourhood
from bilevel.solvers.searches.model_based.acquisition import ACQUISITIONS
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.gaussian_process_step import GaussianProcessStep
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.pool import Pool
from bilevel.upper.archive import Archive, Evaluation
from bilevel.upper.space import Space

MODELS = ["rbf", "gp", "surrogate"]
ALL = [*MODELS, "de", "optuna"]


def nothing(x) -> dict[str, float]:
    """A follower that reads every variable: all of them are dimensions then, names included."""
    return {"lower.y": 0.0}


def finished(model) -> Space:
    """The space of a model whose lower level plays no part here."""
    model.lower = LowerLevel(response=nothing)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return Space(Compilation(Problem.read(model)))


def box(dimension=3, lower=-2.0, upper=3.0) -> Space:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(dimension), bounds=(lower, upper))
    return finished(model)


def mixed() -> Space:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(1e-3, 1e3))
    set_scale(model.x, "log")
    model.k = pyo.Var(within=pyo.Integers, bounds=(-3, 12), initialize=2)
    model.w = pyo.Var(bounds=(0, 1))
    discretize(model.w, levels=9)
    model.c = pyo.Var(within=pyo.Set(initialize=["red", "green", "blue"], ordered=True))
    model.one = pyo.Var(within=pyo.Integers, bounds=(4, 4))
    model.same = pyo.Var(bounds=(0.5, 0.5))
    return finished(model)


def grid(levels=4, dimension=2) -> Space:
    model = pyo.ConcreteModel()
    model.k = pyo.Var(range(dimension), within=pyo.Integers, bounds=(0, levels - 1))
    return finished(model)


def budgeted() -> Space:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(4), bounds=(0, 1))
    model.k = pyo.Var(within=pyo.Integers, bounds=(0, 5))
    model.cap = pyo.Constraint(expr=sum(model.x.values()) + 0.1 * model.k <= 1)
    return finished(model)


def shares() -> Space:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3), bounds=(0, 1))
    model.all = pyo.Constraint(expr=sum(model.x.values()) == 1)
    return finished(model)


def divisible() -> Space:
    model = pyo.ConcreteModel()
    model.d = pyo.Var(within=pyo.Integers, bounds=(1, 200))
    model.h = pyo.Var(within=pyo.Integers, bounds=(1, 60))
    model.rule = Allowed([model.d, model.h], lambda d, h: d % h == 0 and h > 3)
    return finished(model)


SPACES = [box, mixed, grid, budgeted, shares, divisible]


def make(name, space, budget=30, seed=0, **options):
    return registry.get(Search, name)(space, np.random.default_rng(seed), budget, **options)


def bowl(space, point) -> float:
    return float(((space.to_unit(point) - 0.37) ** 2).sum())


def outcome(space, point, index=0, cost=None, violation=0.0, failed=False) -> Evaluation:
    if failed:
        return Evaluation(index, point, {}, status=Status.INFEASIBLE)
    cost = bowl(space, point) if cost is None else cost
    return Evaluation(index, point, {}, status=Status.OPTIMAL, cost=cost, upper_violation=violation)


def walk(search, space, count, batch=1, tell=outcome):
    points = []
    while len(points) < count:
        asked = search.ask(min(batch, count - len(points)))
        if not asked:
            break
        points += asked
        for point in asked:
            search.tell(tell(space, point))
    return points


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("make_space", SPACES)
@pytest.mark.parametrize("name", ALL)
def test_every_proposal_is_new_allowed_and_within_bounds(name, make_space, batch):
    space = make_space()
    points = walk(make(name, space), space, 30, batch)
    assert len(points) == min(30, space.size)
    assert len(set(points)) == len(points)
    assert all(space.allows(point) for point in points)
    for point in points:
        for d, c in zip(space.dimensions, point, strict=True):
            assert d.lower <= c <= d.upper
            assert not d.integer or c == int(c)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", ALL)
def test_an_exhausted_lattice_is_finished_exactly(name, batch):
    space = grid()
    search = make(name, space, budget=100)
    assert len(set(walk(search, space, 100, batch))) == 16
    assert search.ask(3) == []


@pytest.mark.parametrize("name", ALL)
def test_an_exhausted_lattice_with_holes_is_finished_exactly(name):
    model = pyo.ConcreteModel()
    model.k = pyo.Var(range(3), within=pyo.Integers, bounds=(0, 20))
    model.sum = pyo.Constraint(expr=sum(model.k.values()) <= 2)
    space = finished(model)
    assert len(set(walk(make(name, space, budget=50), space, 50))) == 10


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_points_and_another_seed_others(name):
    space = mixed()
    one, same, other = (walk(make(name, space, seed=seed), space, 25, 2) for seed in (3, 3, 4))
    assert one == same
    assert one != other


@pytest.mark.parametrize("name", MODELS)
def test_same_points_in_another_process(name):
    program = (
        "import test_surrogate_search as t\n"
        f"s = t.mixed(); print([list(map(float.hex, map(float, p))) for p in t.walk(t.make({name!r}, s), s, 18)])"
    )
    paths = [os.path.dirname(__file__), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "77"}
    there = commands.run([sys.executable, "-c", program], env=environment, check=True)
    space = mixed()
    assert there.stdout.strip() == str(
        [list(map(float.hex, map(float, p))) for p in walk(make(name, space), space, 18)]
    )


@pytest.mark.parametrize("name", ALL)
def test_a_replayed_history_gives_the_same_next_point(name):
    space = mixed()
    first, again = make(name, space, seed=8), make(name, space, seed=8)
    history = [outcome(space, point) for point in walk(first, space, 20)]
    for evaluation in history:
        assert again.ask() == [evaluation.point]
        again.tell(evaluation)
    assert again.ask() == first.ask()


@pytest.mark.parametrize("name", ALL)
def test_points_of_others_are_learnt_and_not_proposed(name):
    space = grid(levels=5)
    told = [(a, b) for a in range(5) for b in range(4)]
    search = make(name, space, budget=40)
    for index, point in enumerate(told):
        search.tell(outcome(space, point, index))
    assert set(walk(search, space, 40)) == {(a, 4) for a in range(5)}


@pytest.mark.parametrize("name", ALL)
def test_the_start_is_proposed_first(name):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(0, 1), initialize=0.125)
    space = finished(model)
    assert make(name, space).ask() == [(0.125, 0.125)]


@pytest.mark.parametrize("name", ALL)
def test_failures_everywhere_do_not_stop_the_search(name):
    space = box()
    points = walk(make(name, space), space, 30, tell=lambda s, p: outcome(s, p, failed=True))
    assert len(set(points)) == 30


@pytest.mark.parametrize("name", MODELS)
def test_failures_in_half_of_the_box_are_learnt(name):
    space = box(2)

    def tell(space, point):
        return outcome(space, point, failed=point[0] > 0.0)

    points = walk(make(name, space, budget=50), space, 50, tell=tell)
    assert sum(point[0] > 0 for point in points[20:]) < 15
    assert min(bowl(space, point) for point in points if point[0] <= 0) < 2e-3


@pytest.mark.parametrize("name", MODELS)
def test_a_coupling_constraint_is_learnt(name):
    space = box(2, 0.0, 1.0)

    def tell(space, point):
        return outcome(space, point, cost=sum(point), violation=max(0.0, 0.8 - point[0] - point[1] ** 2))

    points = walk(make(name, space, budget=50), space, 50, tell=tell)
    kept = [sum(p) for p in points if 0.8 - p[0] - p[1] ** 2 <= 1e-6]
    # the best is 0.8 at (0.8, 0)
    assert min(kept) < 0.83


@pytest.mark.parametrize("name", MODELS)
def test_infeasible_everywhere_goes_where_the_violation_is_least(name):
    space = box(2, 0.0, 1.0)

    def tell(space, point):
        return outcome(space, point, cost=0.0, violation=0.1 + abs(point[0] - 0.3) + abs(point[1] - 0.6))

    points = walk(make(name, space, budget=40), space, 40, tell=tell)
    assert min(abs(p[0] - 0.3) + abs(p[1] - 0.6) for p in points) < 0.06


def valley(space, point) -> float:
    u = space.to_unit(point)
    return 30 * float(((u[1:] - u[:-1] ** 2) ** 2).sum()) + float(((u - 0.7) ** 2).sum())


def steps(space, point) -> float:
    u = space.to_unit(point)
    return float(np.abs(u - 0.31).sum()) + 0.3 * math.sin(9 * u[0])


@pytest.mark.parametrize("function", [bowl, valley, steps])
@pytest.mark.parametrize("name", MODELS)
def test_it_beats_random_clearly(name, function):
    space = box(5)

    def best(method, seed):
        tell = lambda s, p: outcome(s, p, cost=function(s, p))  # noqa: E731
        return min(function(space, p) for p in walk(make(method, space, 40, seed), space, 40, tell=tell))

    lowest = {"bowl": 0.0, "valley": 0.0, "steps": -0.3}[function.__name__]
    ours, chance = ([best(method, seed) - lowest for seed in range(3)] for method in (name, "random"))
    assert np.median(ours) < 0.5 * np.median(chance)


def test_categories_are_searched_by_level():
    model = pyo.ConcreteModel()
    model.c = pyo.Var(range(3), within=pyo.Set(initialize=list("vwxyz"), ordered=True))
    model.k = pyo.Var(within=pyo.Integers, bounds=(0, 40))
    space = finished(model)

    def cost(point):
        values = space.values(point)
        return sum("ywvxz".index(values[f"c[{i}]"]) for i in range(3)) + abs(values["k"] - 11) / 4

    for name in MODELS:
        points = walk(make(name, space, 60), space, 60, tell=lambda s, p: outcome(s, p, cost=cost(p)))
        assert min(map(cost, points)) <= 0.5


def test_polishing_ends_in_a_local_minimum_of_the_lattice():
    space = grid(levels=30, dimension=3)
    points = walk(make("surrogate", space, budget=60, polish=True), space, 60)
    best = min(points, key=lambda p: bowl(space, p))
    near = [tuple(c + s * (j == k) for j, c in enumerate(best)) for k in range(3) for s in (-1, 1)]
    assert all(bowl(space, p) >= bowl(space, best) for p in near)


@pytest.mark.parametrize("name", ["gp", "surrogate"])
def test_it_stops_where_no_improvement_is_to_be_expected(name):
    space = box(1)
    search = make(name, space, budget=80, stop_when="improvement", tolerance=1e-3)
    assert len(walk(search, space, 80)) < 60
    assert search.stalled
    assert search.ask() == []


@pytest.mark.parametrize("name", ["gp", "surrogate"])
def test_a_search_that_stops_by_itself_says_so(name):
    """And not before the incumbent is a local minimum of the lattice, which the result says as well."""
    model = pyo.ConcreteModel()
    model.k = pyo.Var(range(3), within=pyo.Integers, bounds=(0, 29))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var()
    wanted = sum((model.k[i] - t) ** 2 for i, t in enumerate((11.2, 20.4, 6.3)))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - wanted) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    result = bilevel.solve(model, name, budget=150, seed=1, stop_when="improvement", tolerance=1e-2)
    assert result.termination == "stalled"
    assert result.verdict == "best_found"
    assert result.evaluations < 120
    assert any("expected improvement" in note for note in result.notes)
    assert any("all 6 neighbours" in note for note in result.notes)
    found = [result.upper[f"k[{i}]"] for i in range(3)]
    assert found == [11, 20, 6]


def test_the_neighbourhood_is_not_claimed_where_a_neighbour_is_missing():
    space = grid(levels=6)
    points = [(2, 2), (1, 2), (3, 2), (2, 1)]
    archive = Archive()
    for k, point in enumerate(points):
        archive.add(Evaluation(k, point, {}, status=Status.OPTIMAL, cost=float(k), upper_violation=0.0))
    assert _neighbourhood(space, archive, archive.incumbent, set()) == []
    archive.add(Evaluation(4, (2, 3), {}, status=Status.INFEASIBLE))
    assert "all 4 neighbours" in _neighbourhood(space, archive, archive.incumbent, set())[0]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_the_violation_pays(name):
    """Against the same search told only that such points are no answers; the optimum lies where the constraint bends."""
    space = box(4, 0.0, 1.0)

    def breach(point):
        return max(0.0, 1.0 - point[0] - point[1] ** 2 - 0.5 * point[2]) + max(0.0, 0.3 - point[3])

    def aware(space, point):
        return outcome(space, point, cost=sum(point), violation=breach(point))

    def blind(space, point):
        return outcome(space, point, cost=math.nan) if breach(point) > 1e-6 else outcome(space, point, cost=sum(point))

    def best(tell, seed):
        points = walk(make(name, space, 40, seed), space, 40, tell=tell)
        return min((sum(p) for p in points if breach(p) <= 1e-6), default=4.0)

    knowing, not_knowing = ([best(tell, seed) for seed in range(8)] for tell in (aware, blind))
    # The best is 1.3 at (1, 0, 0, 0.3).
    assert np.median(knowing) - 1.3 < 0.75 * (np.median(not_knowing) - 1.3)


def test_the_trend_is_for_values_only():
    """Its proposals differ from those without one, and no longer do once gradients are told."""
    space = box(3)

    def next_point(trend: bool, graded: bool):
        encoding = Encoding(space)
        memory = Memory(encoding)
        pool = Pool(encoding, memory, np.random.default_rng(2))
        step = GaussianProcessStep(pool, ACQUISITIONS["log_ei"], trend)
        for index, unit in enumerate(np.random.default_rng(1).random((12, 3))):
            told = outcome(space, space.from_unit(unit), index)
            memory.tell(replace(told, gradient=(0.1, 0.2, 0.3)) if graded else told)
        return step.propose(False)

    assert next_point(True, False) != next_point(False, False)
    assert next_point(True, True) == next_point(False, True)


@pytest.mark.parametrize("acquisition", ["log_ei", "ei", "pi", "lcb"])
def test_every_acquisition_finds_the_bowl(acquisition):
    space = box(2)
    points = walk(make("gp", space, 30, acquisition=acquisition), space, 30)
    chance = walk(make("random", space, 30), space, 30)
    assert min(bowl(space, p) for p in points) < 0.5 * min(bowl(space, p) for p in chance)


@pytest.mark.parametrize("method", ["optuna:nsga2", "de"])
def test_the_evolutionary_ones_enumerate_and_certify(method):
    model = pyo.ConcreteModel()
    model.k = pyo.Var(range(2), within=pyo.Integers, bounds=(0, 4))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var()
    model.lower.obj = pyo.Objective(expr=(model.lower.y - (model.k[0] - 3) ** 2 - model.k[1]) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    result = bilevel.solve(model, method, budget=60, seed=2)
    assert (result.verdict, result.termination, result.evaluations) == ("certified_global", "optimality", 25)
    part = bilevel.solve(model, method, budget=20, seed=2)
    assert (part.verdict, part.termination) == ("best_found", "budget")
    assert len({e.point for e in part.history}) == 20


@pytest.mark.parametrize(
    "options", [{"acquisition": "luck"}, {"initial": 0}, {"stop_when": "tired"}, {"tolerance": 0.0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        make("gp", box(), **options)
