"""The space says what the domains say: round trips, lattices and the points that constraints over x leave."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bilevel import Allowed, LowerLevel, discretize, set_scale
from bilevel.errors import ModelError, SpaceError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.upper.dimension import Dimension
from bilevel.upper.space import Space


def space_of(build):
    """The space of a model to which ``build`` adds upper variables; nothing below depends on them."""
    model = pyo.ConcreteModel()
    build(model)
    model.lower = LowerLevel(response=lambda x: {"y": 0.0})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return Space(Compilation(Problem.read(model)))


def single(**arguments):
    return space_of(lambda m: m.add_component("x", pyo.Var(**arguments))).dimensions[0]


sequences = st.lists(
    st.integers(-50, 50) | st.floats(-50, 50).map(lambda v: round(v, 2)), min_size=1, max_size=8, unique=True
)


@st.composite
def dimensions(draw):
    kind = draw(st.sampled_from(["real", "log", "integer", "sequence", "category"]))
    if kind == "sequence":
        values = tuple(draw(sequences))
        return Dimension("d", 0, len(values) - 1, values=values, integer=True)
    if kind == "category":
        values = tuple(f"c{k}" for k in range(draw(st.integers(1, 5))))
        return Dimension("d", 0, len(values) - 1, values=values, integer=True, categorical=True)
    if kind == "integer":
        low = draw(st.integers(-100, 100))
        return Dimension("d", low, low + draw(st.integers(0, 50)), integer=True)
    low = draw(st.floats(1e-6, 1e3) if kind == "log" else st.floats(-1e3, 1e3))
    high = draw(st.floats(low, 1e4))
    return Dimension("d", low, high, scale="log" if kind == "log" else "linear")


@given(dimensions(), st.floats(0, 1))
def test_unit_to_coordinate_and_back(dimension, unit):
    coordinate = dimension.from_unit(unit)
    assert dimension.lower <= coordinate <= dimension.upper
    back = dimension.to_unit(coordinate)
    assert 0.0 <= back <= 1.0
    if dimension.integer:
        assert coordinate == int(coordinate)
        assert dimension.from_unit(back) == coordinate
        assert abs(back - unit) <= 0.5 / max(1, dimension.size - 1) + 1e-12 or dimension.size == 1
    elif dimension.upper - dimension.lower > 1e-6 * max(1.0, abs(dimension.lower)):
        assert back == pytest.approx(unit, abs=1e-5)
        assert dimension.from_unit(back) == pytest.approx(coordinate, rel=1e-9, abs=1e-9)


@given(dimensions(), st.floats(-3, 4))
def test_the_unit_interval_is_clipped(dimension, unit):
    assert dimension.from_unit(unit) == dimension.from_unit(min(max(unit, 0.0), 1.0))


@given(dimensions())
def test_the_ends_are_reached_exactly(dimension):
    assert dimension.from_unit(0.0) == dimension.lower
    assert dimension.from_unit(1.0) == dimension.upper


@given(dimensions(), st.floats(0, 1))
def test_value_to_coordinate_and_back(dimension, unit):
    coordinate = dimension.from_unit(unit)
    assert dimension.coordinate(dimension.value(coordinate)) == coordinate


@given(sequences, st.floats(-60, 60))
def test_a_value_off_the_sequence_takes_the_nearest(values, wanted):
    dimension = Dimension("d", 0, len(values) - 1, values=tuple(values), integer=True)
    nearest = dimension.value(dimension.coordinate(wanted))
    assert abs(nearest - wanted) == min(abs(v - wanted) for v in values)


def test_an_unknown_category_is_refused():
    with pytest.raises(SpaceError, match="'c'"):
        single(within=pyo.Set(initialize=["a", "b"])).coordinate("c")


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_integers_take_whole_bounds_inside_fractional_ones(a, b):
    low, high = min(a, b), max(a, b)
    whole = [k for k in range(-6, 7) if low - 1e-9 <= k <= high + 1e-9]
    assume(all(abs(low - k) > 1e-8 and abs(high - k) > 1e-8 for k in range(-6, 7)))
    if not whole:
        with pytest.raises(ModelError, match="no integer lies between"):
            single(within=pyo.Integers, bounds=(low, high))
        return
    dimension = single(within=pyo.Integers, bounds=(low, high))
    assert (dimension.lower, dimension.upper, dimension.size) == (whole[0], whole[-1], len(whole))


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ({"within": pyo.Binary}, [0, 1]),
        ({"within": pyo.Binary, "bounds": (1, 1)}, [1]),
        ({"within": pyo.Integers, "bounds": (-1, 2)}, [-1, 0, 1, 2]),
        ({"within": pyo.NonNegativeIntegers, "bounds": (None, 2)}, [0, 1, 2]),
        ({"within": pyo.RangeSet(3)}, [1, 2, 3]),
        ({"within": pyo.RangeSet(0, 5), "bounds": (1.5, 3.5)}, [2, 3]),
        ({"within": pyo.RangeSet(0, 6, 3)}, [0, 3, 6]),
        ({"within": pyo.RangeSet(0, 1, 0.25)}, [0, 0.25, 0.5, 0.75, 1.0]),
        ({"within": pyo.RangeSet(0, 1, 0.25), "bounds": (0.3, 0.8)}, [0.5, 0.75]),
        ({"within": pyo.Set(initialize=[1, 2, 4])}, [1, 2, 4]),
        ({"within": pyo.Set(initialize=[0, 1])}, [0, 1]),
        ({"within": pyo.Set(initialize=[4, 2, 3, 1])}, [4, 2, 3, 1]),
        ({"within": pyo.Set(initialize=[3])}, [3]),
        ({"within": pyo.Set(initialize=[0.5])}, [0.5]),
        ({"within": pyo.Set(initialize=[1, 2, 4]), "bounds": (2, 9)}, [2, 4]),
        ({"within": pyo.Set(initialize=["a", "b"])}, ["a", "b"]),
        ({"within": pyo.Set(initialize=["none", 1, 2])}, ["none", 1, 2]),
    ],
)
def test_what_a_domain_holds(arguments, values):
    dimension = single(**arguments)
    coordinates = range(int(dimension.lower), int(dimension.upper) + 1) if dimension.integer else [dimension.lower]
    held = [dimension.value(c) for c in coordinates]
    assert sorted(map(str, held)) == sorted(map(str, values)) if set(values) == {1, 2, 3, 4} else held == values
    assert dimension.size == len(values)


def test_the_order_of_a_list_is_the_order_of_the_sequence():
    """Neighbours in the search are neighbours in the user's list."""
    dimension = single(within=pyo.Set(initialize=[4, 2, 3, 1]))
    assert [dimension.value(c) for c in range(int(dimension.lower), int(dimension.upper) + 1)] == [4, 2, 3, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs both"),
        ({"bounds": (0, None)}, "needs both"),
        ({"within": pyo.Integers}, "needs both"),
        ({"within": pyo.Integers, "bounds": (0, math.inf)}, "needs both"),
    ],
)
def test_domains_that_cannot_be_searched(arguments, message):
    with pytest.raises(SpaceError, match=message) as caught:
        single(**arguments)
    assert str(caught.value).startswith("x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bounds": (2, 1)}, "no value lies between"),
        ({"within": pyo.Integers, "bounds": (0.2, 0.8)}, "no integer lies between"),
        ({"within": pyo.Binary, "bounds": (0.2, 0.8)}, "no integer lies between"),
        ({"within": pyo.Set(initialize=[1, 2, 4]), "bounds": (5, 9)}, "no value of its domain"),
    ],
)
def test_boxes_that_hold_nothing_are_refused_when_the_model_is_read(arguments, message):
    with pytest.raises(ModelError, match=message) as caught:
        single(**arguments)
    assert str(caught.value).startswith("x")


def test_a_real_between_equal_bounds_is_one_point():
    space = space_of(lambda m: m.add_component("x", pyo.Var(bounds=(2, 2))))
    assert space.size == 1
    assert list(space.lattice()) == [(2.0,)]
    assert space.from_unit(np.array([0.7])) == (2.0,)


def mixed(model):
    model.i = pyo.Var(within=pyo.Integers, bounds=(1, 3))
    model.s = pyo.Var(bounds=(0, 1))
    model.c = pyo.Var(within=pyo.Set(initialize=["a", "b"]))
    discretize(model.s, [0.1, 0.5])


def test_the_lattice_is_the_product():
    space = space_of(mixed)
    assert space.size == 12
    points = list(space.lattice())
    assert len(set(points)) == 12
    assert points == sorted(points)
    assert space.values(points[0]) == {"i": 1, "s": 0.1, "c": "a"}
    assert list(space.vector(points[-1])) == [3, 0.5, 1]
    for point in points:
        assert space.point(space.values(point)) == point
        assert space.from_unit(space.to_unit(point)) == point
        assert space.allows(point)
    assert not space.constrained


def test_a_real_dimension_makes_it_infinite():
    space = space_of(lambda m: (mixed(m), m.add_component("r", pyo.Var(bounds=(0, 1)))))
    assert space.size == math.inf
    with pytest.raises(SpaceError, match="discretize"):
        space.lattice()


def test_logarithms():
    def build(model):
        model.x = pyo.Var(bounds=(1e-4, 1e2))
        set_scale(model.x, "log")

    space = space_of(build)
    assert space.from_unit(np.array([0.5]))[0] == pytest.approx(0.1)
    assert space.to_unit((1e-2,))[0] == pytest.approx(1 / 3)


def test_initial_values_are_the_start():
    def build(model, value=0.3):
        model.x = pyo.Var(bounds=(0, 1), initialize=value)
        model.k = pyo.Var(within=pyo.Set(initialize=["a", "b"]), initialize="b")

    assert space_of(build).start == (0.3, 1)
    assert space_of(lambda m: build(m, None)).start is None
    assert space_of(lambda m: build(m, 7.0)).start == (1.0, 1)


def test_a_start_that_constraints_forbid_is_none():
    def build(model):
        model.x = pyo.Var(bounds=(0, 1), initialize=0.3)
        model.c = pyo.Constraint(expr=model.x >= 0.5)

    assert space_of(build).start is None


def simplex(model, total=1.0, n=3):
    model.x = pyo.Var(range(n), bounds=(0, 1))
    model.whole = pyo.Constraint(expr=sum(model.x[k] for k in range(n)) == total)


def test_an_equality_is_met_by_projection():
    space, rng = space_of(simplex), np.random.default_rng(0)
    assert not space.allows((0.5, 0.2, 0.2))
    for _ in range(20):
        unit = rng.random(3)
        point = space.draw(unit)
        assert point is not None
        assert sum(point) == pytest.approx(1.0, abs=1e-7)
        assert all(0 <= c <= 1 for c in point)
        assert space.allows(point)
        nearest = unit - (unit.sum() - 1) / 3
        if (nearest >= 1e-3).all() and (nearest <= 1 - 1e-3).all():
            assert np.allclose(point, nearest, atol=1e-5)


def test_a_projection_leaves_discrete_coordinates_alone():
    def build(model):
        model.k = pyo.Var(within=pyo.Integers, bounds=(0, 4))
        model.r = pyo.Var(bounds=(0, 10))
        model.c = pyo.Constraint(expr=model.r == 2 * model.k)

    space = space_of(build)
    for k in range(5):
        assert space.draw(np.array([k / 4, 0.9])) == pytest.approx((k, 2 * k), abs=1e-6)


def test_no_projection_exists():
    space = space_of(lambda m: simplex(m, total=4.0))
    assert space.draw(np.array([0.1, 0.2, 0.3])) is None


@pytest.mark.parametrize("flip", [1, -1])
def test_inequalities_whichever_way_they_are_written(flip):
    def build(model):
        model.x = pyo.Var([0, 1], bounds=(-2, 2))
        body = flip * (model.x[0] + 2 * model.x[1])
        model.c = pyo.Constraint(expr=body <= 1 if flip == 1 else body >= -1)
        model.r = pyo.Constraint(expr=pyo.inequality(-1, model.x[0], 1.5))

    space = space_of(build)
    for a in np.linspace(-2, 2, 9):
        for b in np.linspace(-2, 2, 9):
            assert space.allows((a, b)) == (a + 2 * b <= 1 and -1 <= a <= 1.5), (a, b)


def test_a_violation_is_relative_to_the_bound():
    def build(model):
        model.x = pyo.Var(bounds=(0, 1e6))
        model.c = pyo.Constraint(expr=model.x <= 1000)

    space = space_of(build)
    assert space.violation((1001.0,)) == pytest.approx(1e-3)
    assert space.violation((999.0,)) == 0.0


def test_a_constraint_that_is_no_number_rules_a_point_out():
    def build(model):
        model.x = pyo.Var(bounds=(-1, 1))
        model.c = pyo.Constraint(expr=pyo.log(model.x) <= 1)

    space = space_of(build)
    assert space.violation((-0.5,)) == math.inf
    assert space.allows((0.5,))


def test_a_predicate_and_a_constraint_together():
    def build(model):
        model.a = pyo.Var(within=pyo.Integers, bounds=(0, 3))
        model.b = pyo.Var(within=pyo.Integers, bounds=(0, 3))
        model.c = pyo.Constraint(expr=model.a + model.b <= 3)
        model.p = Allowed([model.b, model.a], lambda b, a: b > a)

    space = space_of(build)
    assert [p for p in space.lattice() if space.allows(p)] == [
        (a, b) for a in range(4) for b in range(4) if a + b <= 3 and b > a
    ]


def test_values_stay_within_the_tolerance_of_the_verification():
    """What the space allows, the verification must not call a violation."""
    from bilevel import tolerances

    space = space_of(lambda m: simplex(m, total=1.0))
    point = space.draw(np.array([0.9, 0.9, 0.1]))
    assert space.violation(point) <= tolerances.FEASIBILITY


def test_rows_may_bound_what_has_no_bounds():
    """x1, x2 >= 0 and x1 + 2 x2 <= 3: boxes [0, 3] and [0, 1.5]."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], within=pyo.NonNegativeReals)
    m.row = pyo.Constraint(expr=m.x[1] + 2 * m.x[2] <= 3)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var()
    m.lower.obj = pyo.Objective(expr=(m.lower.y - m.x[1]) ** 2)
    m.obj = pyo.Objective(expr=m.x[2] + m.lower.y)
    space = Space(Compilation(Problem.read(m)))
    assert [d.lower for d in space.dimensions] == [0, 0]
    assert [d.upper for d in space.dimensions] == pytest.approx([3, 1.5])
