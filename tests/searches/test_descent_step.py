"""Steps down dF/dx in the surrogate searches: where they go, and that nothing else is lost by them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, set_scale
from bilevel.contracts.search import Search
from bilevel.errors import RefusedError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.registry import get
from bilevel.response.response import Response
from bilevel.solvers.loop import granted_gradients as granting
from bilevel.solvers.loop.granted_gradients import Gradients, differentiator, granted
from bilevel.solvers.searches.model_based.descent_step import DescentStep
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.pool import Pool
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

MODELS = ["rbf", "gp", "surrogate"]
TARGET = np.array([0.31, 1.73, -1.27, 0.85, -0.42])
FLOOR = -1.5
"""Of F in the smooth model, at TARGET."""


def smooth(limit: float | None = None, integer: bool = False, slack: float | None = None):
    """The follower tracks x; F is a bent valley in its answer, FLOOR at TARGET (x_0 must be near it if integer)."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(5), bounds=(-3, 3))
    if integer:
        model.k = pyo.Var(within=pyo.Integers, bounds=(0, 6))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(5), bounds=(None, None) if slack is None else (-slack, slack))
    model.lower.obj = pyo.Objective(expr=sum((model.lower.y[i] - model.x[i]) ** 2 for i in range(5)))
    z = [model.lower.y[i] - float(t) for i, t in enumerate(TARGET)]
    valley = sum((1 + i) * z[i] ** 2 for i in range(5)) + sum((z[i + 1] + z[i] ** 2) ** 2 for i in range(4))
    model.obj = pyo.Objective(expr=valley + FLOOR + ((model.k - 4) ** 2 if integer else 0.0))
    if limit is not None:
        model.limit = pyo.Constraint(expr=sum(model.x[i] for i in range(5)) <= limit)
    return model


def costs(result) -> np.ndarray:
    return np.array([e.cost for e in result.history])


@pytest.mark.parametrize("search", MODELS)
def test_it_reaches_the_bottom_where_values_alone_do_not(search):
    down = bilevel.solve(smooth(), search, budget=40, seed=1)
    without = bilevel.solve(smooth(), search, budget=40, seed=1, polish=False)
    assert all(e.gradient is not None for e in down.history)
    assert all(e.gradient is None for e in without.history)
    assert down.upper_objective == pytest.approx(FLOOR, abs=1e-7)
    assert without.upper_objective > FLOOR + 1e-3
    assert down.evaluations == 40
    assert [e.point for e in down.history[:10]] == [e.point for e in without.history[:10]], "the design is the same"


def test_bounds_below_leave_no_exact_curvature_and_it_still_descends():
    """Bounds that the follower has and does not meet: curvature from differences of gradients."""
    result = bilevel.solve(smooth(slack=5.0), "surrogate", budget=50, seed=0)
    without = bilevel.solve(smooth(slack=5.0), "surrogate", budget=50, seed=0, polish=False)
    assert result.upper_objective - FLOOR < 0.1 * (without.upper_objective - FLOOR)


def test_integers_are_held_and_found():
    result = bilevel.solve(smooth(integer=True), "surrogate", budget=60, seed=0)
    assert result.upper["k"] == 4
    assert result.upper_objective == pytest.approx(FLOOR, abs=1e-6)


def test_constraints_over_x_are_kept_and_met_at_the_optimum():
    """With the sum of x limited the answer is on the limit: as good as the gradient search's, within fewer points."""
    limit = float(TARGET.sum()) - 1.0
    result = bilevel.solve(smooth(limit=limit), "surrogate", budget=40, seed=2)
    best = min(bilevel.solve(smooth(limit=limit), "gradient", budget=200, seed=s).upper_objective for s in range(2))
    assert all(sum(e.point) <= limit + 1e-6 for e in result.history)
    assert result.upper_objective <= best + 1e-6
    assert sum(result.upper.values()) == pytest.approx(limit, abs=1e-4)


@pytest.mark.parametrize("search", MODELS)
def test_the_same_seed_gives_the_same_history_in_a_study_cut_in_two(search, tmp_path):
    study = f"{tmp_path}/study.log"
    whole = bilevel.solve(smooth(), search, budget=34, seed=3, study=f"{study}#whole")
    bilevel.solve(smooth(), search, budget=17, seed=3, study=f"{study}#cut")
    resumed = bilevel.solve(smooth(), search, budget=34, seed=3, study=f"{study}#cut")
    assert [e.point for e in resumed.history] == [e.point for e in whole.history]
    assert [e.gradient for e in resumed.history] == [e.gradient for e in whole.history]


def test_points_that_are_out_are_waited_for():
    """Three at once, told late: none twice, the same again, and the descent still gets there."""

    def walked() -> tuple[list, float]:
        compilation = Compilation(Problem.read(smooth()))
        space, problem = Space(compilation), compilation.problem
        search = get(Search, "surrogate")(space, np.random.default_rng(5), None)
        response = Response(problem, compilation=compilation, warm=False)
        differentiate = differentiator(compilation, granted(search, compilation))
        points: list = []
        best = np.inf
        while len(points) < 60:
            for point in search.ask(3):
                x = space.vector(point)
                reply = response(x)
                found = Evaluation(len(points), point, {}, status=Status.OPTIMAL, cost=reply.cost, upper_violation=0.0)
                found.gradient = tuple(differentiate(x, reply.y).value)
                search.tell(found)
                points.append(point)
                best = min(best, reply.cost)
        return points, best

    points, best = walked()
    assert len(set(points)) == len(points)
    assert points == walked()[0]
    assert best == pytest.approx(FLOOR, abs=1e-3)


@pytest.mark.parametrize("polish", [None, False, True])
def test_a_search_says_whether_it_welcomes_gradients(polish):
    space = Space(Compilation(Problem.read(smooth())))
    search = get(Search, "surrogate")(space, np.random.default_rng(0), 30, polish=polish)
    assert search.welcomes_gradients is (polish is not False)
    assert not search.uses_gradients


def asking(welcomes: bool = True, uses: bool = False, keeps: bool = False):
    """A search as ``granted`` sees it."""
    said = {"name": "asking", "uses_gradients": uses, "welcomes_gradients": welcomes, "keeps_coupling": keeps}
    return type("Asking", (), said)()


def test_who_is_granted_gradients(monkeypatch):
    free = Compilation(Problem.read(smooth()))
    coupled = smooth()
    coupled.cap = pyo.Constraint(expr=coupled.lower.y[0] <= 1)
    assert granted(asking(), free) is Gradients.SMOOTH
    assert granted(asking(welcomes=False), free) is Gradients.NONE
    assert granted(asking(uses=True), free) is Gradients.ALL
    assert granted(asking(), Compilation(Problem.read(coupled))) is Gradients.NONE
    with pytest.raises(RefusedError, match="cap"):
        granted(asking(uses=True), Compilation(Problem.read(coupled)))
    assert granted(asking(uses=True, keeps=True), Compilation(Problem.read(coupled))) is Gradients.ALL
    monkeypatch.setattr(granting, "_LARGEST_FREE", 4)
    assert granted(asking(), free) is Gradients.NONE, "a follower too large for a dense adjoint"


def test_no_gradient_through_a_follower_that_is_not_convex():
    """Its answer jumps, and next to the jump a y that is no optimum is as good within tolerances."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-1, 1))
    model.lower.obj = pyo.Objective(expr=-model.x * model.lower.y**2 + 0.5 * model.lower.y**4)
    model.obj = pyo.Objective(expr=-model.x + model.x * model.lower.y + 10 * model.lower.y**2)
    assert granted(asking(), Compilation(Problem.read(model))) is Gradients.NONE
    assert granted(asking(uses=True), Compilation(Problem.read(model))) is Gradients.ALL


def test_no_gradient_at_a_kink():
    """At x = 0 the bound y >= 0 is met with a zero multiplier: F = y falls on one side of it only."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    compilation = Compilation(Problem.read(model))
    differentiate = differentiator(compilation, Gradients.SMOOTH)
    assert differentiate(np.array([0.0]), np.array([0.0])) is None
    assert differentiate(np.array([0.5]), np.array([0.5])).value == pytest.approx([1.0])
    assert differentiator(compilation, Gradients.ALL)(np.array([0.0]), np.array([0.0])) is not None
    assert differentiator(compilation, Gradients.NONE) is None


def remembered(known: int, log: bool = False):
    """A memory of a convex quadratic in three reals and an integer, its minimum, and the step."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3), bounds=(1e-1, 10.0) if log else (-4.0, 4.0))
    if log:
        set_scale(model.x, "log")
    model.k = pyo.Var(within=pyo.Integers, bounds=(0, 3))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var()
    model.lower.obj = pyo.Objective(expr=(model.lower.y - sum(model.x.values()) - model.k) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    space = Space(Compilation(Problem.read(model)))
    encoding, rng = Encoding(space), np.random.default_rng(4)
    memory = Memory(encoding)
    pool = Pool(encoding, memory, rng)
    H = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.3], [0.5, -0.3, 2.0]])
    lowest = np.array([0.45, 0.6, 0.52])  # in unit coordinates
    for index in range(known):
        unit = lowest + rng.uniform(-0.2, 0.2, 3)
        point = space.from_unit(np.append(unit, 1 / 3))
        away = space.to_unit(point)[:3] - lowest
        by_x = (H @ away) / space.unit_slopes(point)[:3]
        found = Evaluation(index, point, {}, status=Status.OPTIMAL, cost=away @ H @ away / 2, upper_violation=0.0)
        memory.tell(dataclasses.replace(found, gradient=(*by_x, 5.0)))
    return space, memory, lowest, DescentStep(pool, lambda: None)


@pytest.mark.parametrize("log", [False, True])
def test_gradients_of_a_quadratic_give_its_minimum(log):
    """Any number of differences beyond three determine the Hessian; the regularisation blurs it a little."""
    space, memory, lowest, step = remembered(9, log)
    point = step.propose()
    assert point is not None
    assert point[3] == 1, "the integer is held"
    before = np.abs(memory.units[memory.ranked()[0]][:3] - lowest).max()
    assert np.abs(space.to_unit(point)[:3] - lowest).max() < 0.1 * before


def test_one_step_at_a_time():
    _, memory, _, step = remembered(5)
    memory.propose(step.propose())
    assert step.propose() is None


def test_a_point_without_gradient_is_left_to_the_models():
    _, memory, _, step = remembered(0)
    memory.tell(Evaluation(0, (0.0, 0.0, 0.0, 1), {}, status=Status.OPTIMAL, cost=1.0, upper_violation=0.0))
    assert step.propose() is None
