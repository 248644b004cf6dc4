"""Sequences, scales and predicates: what they accept, what they refuse and that copies keep them."""

from __future__ import annotations

import pickle

import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel import Allowed, LowerLevel, discretize, set_scale
from bilevel.errors import BilevelError, SpaceError
from bilevel.language.domains import allowed_on, scale_of
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.upper.space import Space


def blank(**variables):
    """A model with these upper variables; its follower answers the sum of the numeric ones."""
    model = pyo.ConcreteModel()
    for name, var in variables.items():
        model.add_component(name, var)
    model.lower = LowerLevel(response=lambda x: {"y": 0.0})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


def space_of(model):
    return Space(Compilation(Problem.read(model)))


def divides(d, h):
    return d % h == 0


def test_a_list_of_values_keeps_its_order():
    model = blank(x=pyo.Var(bounds=(0, 10)))
    discretize(model.x, [5, 1, 9.5])
    assert space_of(model).dimensions[0].values == (5, 1, 9.5)


def test_strings_are_categories():
    model = blank(x=pyo.Var())
    discretize(model.x, ["linear", "rbf"])
    (dimension,) = space_of(model).dimensions
    assert dimension.categorical
    assert dimension.values == ("linear", "rbf")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_levels_include_both_ends_exactly(scale):
    model = blank(x=pyo.Var(bounds=(0.1, 0.7)))
    discretize(model.x, levels=7, scale=scale)
    values = space_of(model).dimensions[0].values
    assert (values[0], values[-1], len(values)) == (0.1, 0.7, 7)
    steps = np.diff(np.log(values) if scale == "log" else values)
    assert np.allclose(steps, steps[0])


def test_an_indexed_variable_is_discretized_whole_or_in_part():
    model = blank(x=pyo.Var([1, 2, 3], bounds=(0, 10)))
    discretize(model.x[2], levels=5)
    discretize(model.x[1], iter([0, 4]))
    discretize(model.x[3], [0, 1])
    sequences = [[d.value(c) for c in range(int(d.size))] for d in space_of(model).dimensions]
    assert sequences == [[0, 4], [0.0, 2.5, 5.0, 7.5, 10.0], [0, 1]]
    model.y = pyo.Var(["a", "b"], bounds=(0, 1))
    discretize(model.y, iter([0.5, 0.25]))
    assert [list(v.domain) for v in model.y.values()] == [[0.5, 0.25], [0.5, 0.25]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either values or levels"),
        ({"values": [1], "levels": 2}, "either values or levels"),
        ({"values": []}, "empty"),
        ({"values": [1, 2, 1.0]}, "twice"),
        ({"values": [1, 11]}, "11 lies outside"),
        ({"values": [float("nan")]}, "nan"),
        ({"levels": 1}, "at least 2"),
        ({"levels": 0}, "at least 2"),
        ({"levels": 3, "scale": "cubic"}, "scale is one of linear, log"),
        ({"levels": 3, "scale": "log"}, "positive lower bound"),
    ],
)
def test_discretize_refuses_with_the_variables_name(arguments, message):
    model = blank(price=pyo.Var(bounds=(0, 10)))
    with pytest.raises(SpaceError, match=message) as caught:
        discretize(model.price, **arguments)
    assert "price" in str(caught.value)
    assert model.price.domain is pyo.Reals


def test_levels_need_bounds():
    model = blank(x=pyo.Var(bounds=(0, None)))
    with pytest.raises(SpaceError, match=r"Var\(bounds="):
        discretize(model.x, levels=3)


def test_a_value_off_its_bound_by_rounding_stays_in_the_sequence():
    model = blank(x=pyo.Var(bounds=(0, 0.3)))
    discretize(model.x, [0.0, 0.1, 0.1 + 0.2])  # 0.30000000000000004
    assert len(space_of(model).dimensions[0].values) == 3


def test_scale_is_linear_until_said_otherwise():
    model = blank(x=pyo.Var([1, 2], bounds=(1, 10)))
    assert scale_of(model.x[1]) == "linear"
    set_scale(model.x[1], "log")
    assert (scale_of(model.x[1]), scale_of(model.x[2])) == ("log", "linear")
    set_scale(model.x, "log")
    set_scale(model.x[1], "linear")
    assert [d.scale for d in space_of(model).dimensions] == ["linear", "log"]


@pytest.mark.parametrize(
    ("var", "scale", "message"),
    [
        (pyo.Var(bounds=(0, 1)), "log", "positive lower bound"),
        (pyo.Var(bounds=(-1, 1)), "log", "positive lower bound"),
        (pyo.Var(), "log", "finite bounds"),
        (pyo.Var(bounds=(1, 2)), "cubic", "linear, log"),
    ],
)
def test_set_scale_refuses(var, scale, message):
    model = blank(x=var)
    with pytest.raises(SpaceError, match=message):
        set_scale(model.x, scale)


def test_set_scale_wants_an_attached_variable():
    var = pyo.Var(bounds=(1, 2))
    var.construct()
    with pytest.raises(SpaceError, match="attach"):
        set_scale(var, "log")


def predicated():
    model = blank(d=pyo.Var(within=pyo.Integers, bounds=(1, 6)), h=pyo.Var(within=pyo.Integers, bounds=(1, 4)))
    model.divisible = Allowed([model.d, model.h], divides)
    return model


def test_allowed_holds():
    model = predicated()
    assert model.divisible.holds([6, 3])
    assert not model.divisible.holds([5, 3])
    assert allowed_on(model) == [model.divisible]
    space = space_of(model)
    assert [p for p in space.lattice() if space.allows(p)] == [
        (d, h) for d in range(1, 7) for h in range(1, 5) if d % h == 0
    ]


def test_allowed_takes_indexed_variables_in_order():
    model = blank(x=pyo.Var([1, 2, 3], within=pyo.Integers, bounds=(0, 2)))
    model.rising = Allowed([model.x], lambda a, b, c: a < b < c)
    space = space_of(model)
    assert [p for p in space.lattice() if space.allows(p)] == [(0, 1, 2)]


def test_allowed_takes_categories_by_their_names():
    model = blank(
        kernel=pyo.Var(within=pyo.Set(initialize=["linear", "rbf"])), k=pyo.Var(within=pyo.Integers, bounds=(0, 2))
    )
    model.plain = Allowed([model.kernel, model.k], lambda kernel, k: kernel != "linear" or k == 0)
    space = space_of(model)
    assert sum(space.allows(p) for p in space.lattice()) == 4


@pytest.mark.parametrize(
    "copy", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))], ids=["clone", "pickle"]
)
def test_copies_keep_predicates_sequences_and_scales(copy):
    model = pyo.ConcreteModel()
    model.d = pyo.Var(within=pyo.Integers, bounds=(1, 6))
    model.h = pyo.Var(bounds=(1, 4))
    model.s = pyo.Var(bounds=(1, 100))
    discretize(model.h, [1, 2, 4])
    set_scale(model.s, "log")
    model.divisible = Allowed([model.d, model.h], divides)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.d - model.h - model.s) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    twin = copy(model)
    assert [v.model() is twin for v in twin.divisible.variables] == [True, True]
    space, mine = space_of(twin), space_of(model)
    assert space.dimensions == mine.dimensions
    assert not space.allows((5, 1, 2.0))
    assert space.allows((4, 2, 2.0))


def test_writers_refuse_a_predicate(tmp_path):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.obj = pyo.Objective(expr=model.x)
    model.only = Allowed([model.x], bool)
    with pytest.raises((ValueError, RuntimeError), match=r"Allowed|only"):
        model.write(str(tmp_path / "model.nl"))


def test_allowed_wants_a_function():
    with pytest.raises(SpaceError, match="function"):
        Allowed([], 3)


def test_a_deactivated_predicate_rules_nothing_out():
    model = predicated()
    model.divisible.deactivate()
    space = space_of(model)
    assert all(space.allows(p) for p in space.lattice())


def test_allowed_on_a_lower_variable_is_refused():
    model = blank(x=pyo.Var(bounds=(0, 1)))
    model.wrong = Allowed([model.lower.y], bool)
    with pytest.raises(BilevelError, match=r"lower\.y"):
        space_of(model)


def test_allowed_inside_a_lower_level_is_not_ignored():
    """A predicate over a follower's choice has no meaning here; dropping it silently would answer another problem."""
    model = blank(x=pyo.Var(within=pyo.Integers, bounds=(0, 3)))
    model.lower.odd = Allowed([model.x], lambda x: x % 2 == 1)
    with pytest.raises(BilevelError, match=r"lower\.odd"):
        space_of(model)


def test_a_fixed_variable_in_a_predicate_is_data():
    model = predicated()
    model.h.fix(4)
    space = space_of(model)
    assert space.names == ("d",)
    assert [p for p in space.lattice() if space.allows(p)] == [(4,)]
