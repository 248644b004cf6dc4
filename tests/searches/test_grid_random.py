"""The two searches that know nothing: a grid that grows finer, and points by chance or in a Sobol sequence."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy import stats

import bilevel
from bilevel import LowerLevel, registry, set_scale
from bilevel.contracts.search import Search
from bilevel.errors import OptionError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.upper.space import Space


def model_of(build):
    model = pyo.ConcreteModel()
    build(model)
    model.lower = LowerLevel(response=lambda x: {"y": sum(v for v in x.values() if not isinstance(v, str))})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


def points(search, build, budget, seed=0, **options):
    space = Space(Compilation(Problem.read(model_of(build))))
    part = registry.get(Search, search)(space, np.random.default_rng(seed), budget, **options)
    found: list = []
    while len(found) < budget:
        asked = part.ask(1)
        if not asked:
            break
        found += asked
    return found


def square(model):
    model.x = pyo.Var([0, 1], bounds=(0, 1))


def line(model):
    model.x = pyo.Var(bounds=(0, 1))


# ------------------------------------------------------------------------------------------------------------ grid


def test_coarse_to_fine():
    found = [p[0] for p in points("grid", line, 9)]
    assert set(found[:3]) == {0.0, 0.5, 1.0}
    assert set(found[:5]) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert set(found) == {k / 8 for k in range(9)}


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 5, 7, 10, 30, 100])
def test_every_budget_is_filled(budget):
    found = points("grid", square, budget)
    assert len(found) == len(set(found)) == budget


@pytest.mark.parametrize("budget", [4, 9, 16, 25, 30, 81])
def test_no_dimension_is_favoured(budget):
    """Within a budget the counts of distinct values per dimension differ by little."""
    found = points("grid", square, budget)
    counts = [len({p[k] for p in found}) for k in (0, 1)]
    assert max(counts) <= 2 * min(counts) + 1, counts
    assert min(counts) >= math.isqrt(budget)


def test_a_budget_of_one_is_the_middle():
    assert points("grid", square, 1) == [(0.5, 0.5)]


def test_the_middle_of_a_logarithm():
    def build(model):
        model.x = pyo.Var(bounds=(1e-3, 1e3))
        set_scale(model.x, "log")

    found = [p[0] for p in points("grid", build, 7)]
    assert sorted(found[:3]) == pytest.approx([1e-3, 1.0, 1e3])
    found = sorted(points("grid", build, 5))
    assert np.diff(np.log([p[0] for p in found])) == pytest.approx(np.log(1e6) / 4)


def test_a_sequence_joins_in_until_all_its_values_are_there():
    def build(model):
        model.x = pyo.Var(bounds=(0, 1))
        model.c = pyo.Var(within=pyo.Set(initialize=["a", "b", "c"]))
        model.i = pyo.Var(within=pyo.Integers, bounds=(1, 2))

    found = points("grid", build, 60)
    assert {p[1] for p in found} == {0, 1, 2}
    assert {p[2] for p in found} == {1, 2}
    reals = {p[0] for p in found}
    assert {0.0, 0.5, 1.0} <= reals
    assert len(found) == 60


def test_a_space_that_fits_is_listed_whole():
    def build(model):
        model.i = pyo.Var(within=pyo.Integers, bounds=(0, 6))
        model.s = pyo.Var(within=pyo.RangeSet(0, 1, 0.25))

    assert set(points("grid", build, 35)) == {(i, s) for i in range(7) for s in range(5)}
    assert set(points("grid", build, 400)) == {(i, s) for i in range(7) for s in range(5)}
    partial = points("grid", build, 20)
    assert len(set(partial)) == 20
    assert {0, 6} <= {p[0] for p in partial}


def test_a_constrained_grid_fills_its_budget():
    def build(model):
        square(model)
        model.c = pyo.Constraint(expr=model.x[0] + model.x[1] <= 0.5)

    found = points("grid", build, 40)
    assert len(found) == 40
    assert all(a + b <= 0.5 + 1e-6 for a, b in found)


def equality(model, total=1.3):
    square(model)
    model.c = pyo.Constraint(expr=model.x[0] + model.x[1] == total)


@pytest.mark.parametrize("total", [1.0, math.sqrt(2) - 0.2])
def test_an_equality_that_few_grid_points_meet(total):
    """No lattice lies on such a line; the grid must neither break the equality nor look for ever."""
    found = points("grid", lambda m: equality(m, total), 10)
    assert all(a + b == pytest.approx(total, abs=1e-6) for a, b in found)
    assert len(set(found)) == len(found) >= 3


@pytest.mark.parametrize("search", ["grid", "random"])
def test_a_space_without_points_comes_to_an_end(search):
    with pytest.raises(bilevel.BilevelError, match=r"x\[0\]"):
        bilevel.solve(model_of(lambda m: equality(m, 2.5)), search, budget=3)


def test_many_dimensions_and_a_small_budget():
    def build(model):
        model.x = pyo.Var(range(20), bounds=(0, 1))

    found = points("grid", build, 10)
    assert len(set(found)) == 10


# ---------------------------------------------------------------------------------------------------------- random


@pytest.mark.parametrize("sampling", ["uniform", "sobol"])
def test_the_square_is_filled_evenly(sampling):
    found = np.array(points("random", square, 256, sampling=sampling))
    for k in (0, 1):
        assert stats.kstest(found[:, k], "uniform").pvalue > 0.01
    quarters = [np.sum((found[:, 0] < 0.5) == a) for a in (0, 1)]
    assert abs(quarters[0] - 128) < 40


def test_a_sobol_sequence_is_more_even_than_chance():
    from scipy.stats import qmc

    even = qmc.discrepancy(np.array(points("random", square, 128, sampling="sobol")))
    chance = np.mean([qmc.discrepancy(np.array(points("random", square, 128, seed=s))) for s in range(5)])
    assert even < 0.2 * chance


def test_a_sobol_sequence_has_one_point_per_interval():
    found = np.array(points("random", square, 64, sampling="sobol"))
    for k in (0, 1):
        assert sorted(np.floor(found[:, k] * 64).astype(int)) == list(range(64))


def test_more_points_than_a_block():
    for sampling in ("uniform", "sobol"):
        found = points("random", square, 600, sampling=sampling)
        assert len(set(found)) == 600


def test_logarithms_are_uniform_in_the_exponent():
    def build(model):
        model.x = pyo.Var(bounds=(1e-4, 1e4))
        set_scale(model.x, "log")

    found = np.log10([p[0] for p in points("random", build, 400)])
    assert stats.kstest((found + 4) / 8, "uniform").pvalue > 0.01


def test_every_value_of_a_sequence_is_as_likely_as_another():
    """The unit box is rounded to a lattice; that must not halve the chances of the first and the last value."""
    counts = np.zeros(4)
    for seed in range(300):
        (point,) = points(
            "random", lambda m: m.add_component("s", pyo.Var(within=pyo.Set(initialize=["a", "b", "c", "d"]))), 1, seed
        )
        counts[point[0]] += 1
    assert stats.chisquare(counts).pvalue > 0.001, counts


def test_an_unknown_sampling_is_refused():
    with pytest.raises(OptionError, match="uniform or sobol"):
        points("random", square, 1, sampling="halton")


def test_an_option_through_solve():
    with pytest.raises(OptionError, match="sampling"):
        bilevel.solve(model_of(square), "random", budget=1, sampler="x")
    assert bilevel.solve(model_of(square), "random", budget=3, sampling="sobol").evaluations == 3


@pytest.mark.parametrize("sampling", ["uniform", "sobol"])
def test_an_equality_over_x_is_met_by_every_point(sampling):
    found = points("random", equality, 30, sampling=sampling)
    assert len(set(found)) == 30
    assert all(a + b == pytest.approx(1.3, abs=1e-6) for a, b in found)
    spread = np.array([a for a, _ in found])
    assert spread.min() < 0.5 < 0.8 < spread.max()


def test_a_small_lattice_is_drawn_to_its_last_point():
    def build(model):
        model.i = pyo.Var(within=pyo.Integers, bounds=(0, 30))
        model.j = pyo.Var(within=pyo.Integers, bounds=(0, 30))
        model.c = pyo.Constraint(expr=model.i + model.j == 30)

    found = points("random", build, 100)
    assert set(found) == {(i, 30 - i) for i in range(31)}
