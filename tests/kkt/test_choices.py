"""Lists of values and predicates over upper variables in the language of mixed-integer programming."""

from __future__ import annotations

import itertools

import pyomo.environ as pyo
import pytest

from bilevel import Allowed, LowerLevel, discretize, solve
from bilevel.errors import ModelError, RefusedError

FACTORY = pyo.TransformationFactory("bilevel.kkt")


def follow(*variables):
    """The leader wants y near 1; the follower answers y = sum of the variables."""
    m = pyo.ConcreteModel()
    for k, var in enumerate(variables):
        m.add_component(f"x{k}", var)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=(-50, 50))
    numbers = [
        v for v in m.component_data_objects(pyo.Var, descend_into=False) if not v.domain.name.startswith("words")
    ]
    m.lower.obj = pyo.Objective(expr=(m.lower.y - sum(numbers)) ** 2)
    m.obj = pyo.Objective(expr=(m.lower.y - 1) ** 2)
    return m


def words():
    m = pyo.ConcreteModel()
    m.words = pyo.Set(initialize=["low", "middle", "high"])
    return m.words


@pytest.mark.parametrize(
    ("values", "helpers", "best"),
    [
        ([0.2, 0.5, 0.9, 2.0], 4, 0.9),
        ([0.0, 0.3, 0.6, 0.9, 1.2], 1, 0.9),
        ([1.2, 0.0, 0.6, 0.9, 0.3], 1, 0.9),
        ([-3, 2, 4], 3, 2),
        ([-3, 0, 3], 1, 0),
        ([2.5], 0, 2.5),  # a point, which Pyomo knows
    ],
)
def test_a_list_becomes_binaries_or_one_integer(values, helpers, best):
    m = follow(pyo.Var(bounds=(-5, 5)))
    discretize(m.x0, values)
    block = FACTORY.create_using(m).bilevel_kkt
    made = [len(block.component(name)) for name in ("choice", "step") if block.component(name) is not None]
    assert sum(made) == helpers
    result = solve(m, "kkt")
    assert result.verdict == "certified_global"
    assert result.upper["x0"] == best


def test_a_range_with_a_step_and_bounds_within_the_list():
    m = follow(pyo.Var(within=pyo.RangeSet(0, 10, 0.25), bounds=(1.1, 3)))
    single = FACTORY.create_using(m)
    assert single.x0.bounds == (1.25, 3.0)
    assert single.x0.is_continuous()
    assert solve(m, "kkt").upper["x0"] == 1.25


def test_integers_and_binaries_stay():
    m = follow(pyo.Var(within=pyo.Integers, bounds=(-4, 9)), pyo.Var(within=pyo.Binary))
    single = FACTORY.create_using(m)
    assert single.x0.is_integer()
    assert single.x1.is_binary()
    assert single.bilevel_kkt.component("choice") is None
    assert solve(m, "kkt").upper_objective == pytest.approx(0.0, abs=1e-8)


def odd_sum(a, b):
    return (a + b) % 2 == 1


def nothing(*values):
    return False


def anything(*values):
    return True


def test_a_predicate_becomes_a_table_of_what_it_allows():
    m = follow(pyo.Var(within=pyo.Integers, bounds=(0, 3)), pyo.Var(within=pyo.Integers, bounds=(-2, 2)))
    m.odd = Allowed([m.x0, m.x1], odd_sum)
    single = FACTORY.create_using(m)
    rows = sum(odd_sum(a, b) for a, b in itertools.product(range(4), range(-2, 3)))
    assert len(single.bilevel_kkt.row) == rows
    assert not single.odd.active
    result = solve(m, "kkt")
    assert result.verdict == "certified_global"
    assert odd_sum(result.upper["x0"], result.upper["x1"])
    assert result.upper_objective == pytest.approx(0.0, abs=1e-8)


def test_words_that_only_a_predicate_mentions():
    m = follow(pyo.Var(within=words()), pyo.Var(within=pyo.Integers, bounds=(0, 3)))
    m.rule = Allowed([m.x0, m.x1], lambda word, number: number != 1 and (word == "high") == (number == 2))
    result = solve(m, "kkt")
    assert result.verdict == "certified_global"
    assert (result.upper["x0"] == "high") == (result.upper["x1"] == 2)
    assert result.upper_objective == pytest.approx(1.0)


def test_a_predicate_over_a_list_and_a_fixed_variable():
    m = follow(pyo.Var(bounds=(0, 5)), pyo.Var(within=pyo.Integers, bounds=(0, 5)))
    discretize(m.x0, [0.25, 0.75, 2.0])
    m.x1.fix(0)
    m.rule = Allowed([m.x0, m.x1], lambda a, b: a != 0.75 and b == 0)
    result = solve(m, "kkt")
    assert result.verdict == "certified_global"
    assert result.upper["x0"] == 0.25


def test_two_predicates_over_one_variable():
    m = follow(pyo.Var(within=pyo.Integers, bounds=(0, 9)), pyo.Var(within=words()))
    m.even = Allowed([m.x0], lambda a: a % 2 == 0)
    m.third = Allowed([m.x0, m.x1], lambda a, word: a % 3 == 0 and a > 0 and word == "low")
    result = solve(m, "kkt")
    assert (result.upper["x0"], result.upper["x1"]) == (6, "low")


def test_a_predicate_that_allows_everything_adds_nothing():
    m = follow(pyo.Var(within=pyo.Integers, bounds=(0, 3)))
    m.any = Allowed([m.x0], anything)
    assert FACTORY.create_using(m).bilevel_kkt.component("row") is None


def test_a_predicate_that_allows_nothing_is_proved_infeasible():
    m = follow(pyo.Var(within=pyo.Integers, bounds=(0, 3)))
    m.none = Allowed([m.x0], nothing)
    assert solve(m, "kkt").verdict == "infeasible"


@pytest.mark.parametrize(
    ("var", "words"),
    [
        (lambda: pyo.Var(bounds=(0, 1)), "x0, which is continuous.*discretize"),
        (lambda: pyo.Var(within=pyo.Integers), "x0, which has no finite bounds"),
        (lambda: pyo.Var(within=pyo.Integers, bounds=(0, 200_000)), "more than 10000 values"),
    ],
)
def test_predicates_over_what_is_not_finite_are_refused(var, words):
    m = follow(var())
    m.rule = Allowed([m.x0], anything)
    with pytest.raises(RefusedError, match=words):
        FACTORY.create_using(m)


def test_a_list_without_end_is_refused():
    m = follow(pyo.Var(within=pyo.RangeSet(0, None, 2)))
    with pytest.raises(ModelError, match=r"x0: its domain .* more than 1000 pieces within its bounds"):
        FACTORY.create_using(m)


def test_a_table_too_large_is_refused():
    m = follow(*(pyo.Var(within=pyo.Integers, bounds=(0, 49)) for _ in range(3)))
    m.rule = Allowed([m.x0, m.x1, m.x2], anything)
    with pytest.raises(RefusedError, match="rule has 125000 combinations"):
        FACTORY.create_using(m)


def test_a_word_in_algebra_is_refused():
    m = follow(pyo.Var(within=words()))
    m.obj.set_value(m.obj.expr + m.x0)
    with pytest.raises(ModelError, match="x0 is a category"):
        FACTORY.create_using(m)
