"""Tubes and what is built on them, by sampling: no answer, no value of F, no Hessian is where it should not be."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from few_variables import KINDS, decay, regression, single

from bilevel.graphs.taylor import Taylor
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.boxes.answer_tubes import AnswerTubes
from bilevel.solvers.boxes.box_minimum import box_minimum
from bilevel.solvers.boxes.hessian_below import Bends, scatter
from bilevel.solvers.boxes.leader_models import LeaderModels

ENGINE = 1e-7  # what an interior point may be off by


def monomials(t):
    return np.array([1.0, *t, t[0] ** 2, t[0] * t[1], t[1] ** 2])


def enclosures(model, width, count=12, seed=1):
    """Boxes, tubes around the stacked answers, and models of F on them."""
    compilation = Compilation(Problem.read(model))
    response, taylor = Response(compilation.problem, compilation=compilation), Taylor(2)
    rng = np.random.default_rng(seed)
    ends = np.array([var.bounds for var in compilation.problem.variables])
    middle = rng.uniform(ends[:, 0], ends[:, 1], (count, 2)).T
    half = width / 2 * (ends[:, 1] - ends[:, 0])[:, None]
    low, high = np.maximum(middle - half, ends[:, :1]), np.minimum(middle + half, ends[:, 1:])
    x = taylor.coordinates(low, high)
    answers = np.array([response(point).y for point in x[0].T]).T
    tubes, offset = [], 0
    for program in compilation.programs.values():
        tubes.append(AnswerTubes(program, taylor)(x, answers[offset : offset + program.n]))
        offset += program.n
    leader = LeaderModels(compilation, taylor)(x, tubes)
    return taylor, response, (low, high, x), tubes, leader


def sampled(box, k, rng):
    low, high, x = box
    t = rng.uniform(-1, 1, 2)
    t = np.sign(t) if rng.random() < 0.4 else t
    return np.clip(x[0, :, k] + x[1:3, :, k].sum(axis=0) * t, low[:, k], high[:, k]), t


@pytest.mark.parametrize("width", [0.3, 0.03, 0.001])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_values_stay_inside(kind, width):
    taylor, response, box, tubes, leader = enclosures(regression(**KINDS[kind]), width)
    model = np.concatenate([tube.model for tube in tubes], axis=1)
    reach = np.concatenate([tube.reach for tube in tubes])
    bounds, _ = box_minimum(taylor, leader[:, 0])
    rng = np.random.default_rng(2)
    assert np.isfinite(bounds).mean() > (0.3 if width < 0.1 else 0.0)
    for k in range(len(bounds)):
        for _ in range(6):
            point, t = sampled(box, k, rng)
            reply = response(point)
            assert (np.abs(reply.y - monomials(t) @ model[:-1, :, k]) <= reach[:, k] + ENGINE).all()
            size = ENGINE * max(1.0, abs(reply.cost))
            assert abs(reply.cost - monomials(t) @ leader[:-1, 0, k]) <= leader[-1, 0, k] + size
            assert bounds[k] <= reply.cost + size


def test_a_poor_answer_at_the_centre_widens_the_tube_and_spoils_nothing():
    model = regression(nonnegative=True)
    compilation = Compilation(Problem.read(model))
    response, taylor = Response(compilation.problem, compilation=compilation), Taylor(2)
    x = taylor.coordinates(np.array([[0.5], [0.4]]), np.array([[0.6], [0.5]]))
    rng = np.random.default_rng(0)
    make = AnswerTubes(compilation.programs["lower[0]"], taylor)
    for _ in range(20):
        tube = make(x, rng.normal(size=(4, 1)))
        for _ in range(5):
            t = rng.uniform(-1, 1, 2)
            y = response(x[0, :, 0] + x[1:3, :, 0].sum(axis=0) * t).y
            assert (np.abs(y - monomials(t) @ tube.model[:-1, :, 0]) <= tube.reach[:, 0] + 1e-9).all()


def test_the_tube_is_of_third_order_where_the_active_set_stays():
    deltas = []
    for half in (0.04, 0.02, 0.01):
        compilation = Compilation(Problem.read(decay()))
        response, taylor = Response(compilation.problem, compilation=compilation), Taylor(2)
        centre = np.array([[0.4], [0.5]])
        x = taylor.coordinates(centre - half, centre + half)
        y = response(centre[:, 0]).y[:, None]
        deltas.append(float(AnswerTubes(compilation.programs["lower"], taylor)(x, y).delta[0]))
    assert deltas[0] / deltas[1] == pytest.approx(8.0, rel=0.3)
    assert deltas[1] / deltas[2] == pytest.approx(8.0, rel=0.3)


@pytest.mark.parametrize("seed", range(20))
def test_matrices_below_are_below(seed):
    rng = np.random.default_rng(seed)
    taylor, n, boxes = Taylor(2), 5, 6
    places = tuple(np.array(k) for k in np.tril_indices(n))
    entries = rng.uniform(0.0, 0.4, size=boxes) * rng.normal(size=(taylor.size, len(places[0]), boxes))
    entries[-1] = 0.01 * np.abs(entries[-1])
    lowest = np.repeat((2.0 * np.eye(n))[None], boxes, axis=0)
    scatter(lowest, entries[0], places)
    bends = Bends(taylor, lowest, lowest, entries, places)
    first, definite = bends.inverse_below()
    second = bends._by_eigenvalues(np.arange(boxes))
    assert definite.any()
    for k in range(boxes):
        for _ in range(50):
            t = np.sign(rng.normal(size=2)) * rng.choice([1.0, rng.random()], size=2)
            moved = lowest[k : k + 1].copy()
            stray = entries[-1, :, k] * rng.uniform(-1, 1, len(places[0]))
            scatter(moved, (monomials(t)[1:] @ entries[1:-1, :, k] + stray)[:, None], places)
            if definite[k]:
                assert np.linalg.eigvalsh(moved[0] - np.linalg.inv(first[k]))[0] > -1e-9
            if np.linalg.eigvalsh(lowest[k])[0] > 1e-3:
                assert np.linalg.eigvalsh(moved[0] - second[k])[0] > -1e-9


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_least_value_on_a_box(d):
    rng = np.random.default_rng(d)
    taylor = Taylor(d)
    models = rng.normal(size=(taylor.size, 40))
    models[-1] = 0.0
    bounds, places = box_minimum(taylor, models)
    axes = np.meshgrid(*[np.linspace(-1, 1, 41 if d < 3 else 21)] * d, indexing="ij")
    grid = np.array([axis.ravel() for axis in axes])

    def value(t, model):
        return (
            model[0]
            + model[1 : 1 + d] @ t
            + sum(c * t[j] * t[k] for (j, k), c in zip(taylor.pairs, model[1 + d :], strict=True))
        )

    for k in range(40):
        least = value(grid, models[:-1, k]).min()
        assert bounds[k] <= least + 1e-12
        assert bounds[k] == pytest.approx(value(places[:, k], models[:-1, k]), abs=1e-10)


def at_a_bound():
    return single(lambda x, y: (y - x) ** 2, lambda x, y: y, below=(0, None))


def at_an_upper_bound():
    return single(lambda x, y: (y + x) ** 2, lambda x, y: y, below=(None, 0))


def at_a_row():
    model = single(lambda x, y: (y - x) ** 2, lambda x, y: y)
    model.lower.row = pyo.Constraint(expr=model.lower.y >= 0)
    return model


def at_a_row_that_moves():
    model = single(lambda x, y: y**2, lambda x, y: y)
    model.lower.row = pyo.Constraint(expr=model.lower.y >= model.x)
    return model


@pytest.mark.parametrize("build", [at_a_bound, at_an_upper_bound, at_a_row, at_a_row_that_moves])
@pytest.mark.parametrize("centre", [-0.3, -0.05, 0.0, 0.05, 0.3])
def test_the_tube_holds_both_sides_of_a_kink(build, centre):
    """|y| = max(x, 0) in all of them."""
    compilation = Compilation(Problem.read(build()))
    response, taylor = Response(compilation.problem, compilation=compilation), Taylor(1)
    x = taylor.coordinates(np.array([[centre - 0.5]]), np.array([[centre + 0.5]]))
    tube = AnswerTubes(compilation.programs["lower"], taylor)(x, response(np.array([centre])).y[:, None])
    assert tube.reach[0, 0] < 1.0
    t = np.linspace(-1, 1, 101)
    polynomial = tube.model[0, 0, 0] + tube.model[1, 0, 0] * t + tube.model[2, 0, 0] * t**2
    sign = -1.0 if build is at_an_upper_bound else 1.0
    assert (np.abs(sign * np.maximum(centre + 0.5 * t, 0.0) - polynomial) <= tube.reach[0, 0] + 1e-12).all()
