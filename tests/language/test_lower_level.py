"""The follower as a Pyomo component: copied, stored, indexed, and never silently merged into the leader's level."""

from __future__ import annotations

import pickle

import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.errors import ModelError
from bilevel.language.lower_level import response_of
from bilevel.reading.problem import Problem


def toy():
    model = pyo.ConcreteModel("toy")
    model.x = pyo.Var(bounds=(0, 10), initialize=1.0)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None), initialize=2.0)
    model.lower.cap = pyo.Constraint(expr=model.lower.y <= model.x)
    model.lower.obj = pyo.Objective(expr=(model.lower.y - 5) ** 2)
    model.obj = pyo.Objective(expr=model.x**2 + model.lower.y**2)
    return model


def respond(x):
    return {"y": 2 * x["x"]}


def build_fold(block, k):
    block.y = pyo.Var(bounds=(0, 3))
    block.obj = pyo.Objective(expr=(block.y - block.model().x[k]) ** 2)


def family():
    model = pyo.ConcreteModel()
    model.K = pyo.Set(initialize=["a", "b"])
    model.x = pyo.Var(model.K, bounds=(0, 1))

    model.fold = LowerLevel(model.K, rule=build_fold)
    model.obj = pyo.Objective(expr=sum(model.fold[k].y for k in model.K))
    return model


def test_it_has_a_ctype_of_its_own():
    model = toy()
    assert model.lower.ctype is LowerLevel
    assert list(model.component_objects(LowerLevel)) == [model.lower]
    assert list(model.component_objects(pyo.Block)) == []
    assert list(model.component_data_objects(pyo.Var, descend_into=True)) == [model.x]
    assert list(model.component_data_objects(pyo.Objective)) == [model.obj]


@pytest.mark.parametrize("name", ["response", "limits", "steps", "function", "sense", "follower"])
def test_plain_names_are_left_to_its_components(name):
    plain, ours = pyo.Block(concrete=True), LowerLevel(concrete=True)
    assert {n for n in set(dir(ours)) - set(dir(plain)) if not n.startswith("_")} == set()
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.lower = LowerLevel()
    model.lower.add_component(name, pyo.Var(bounds=(0, 9)))
    y = model.lower.component(name)
    model.lower.obj = pyo.Objective(expr=(y - model.x) ** 2)
    model.obj = pyo.Objective(expr=(y - 3) ** 2)
    assert bilevel.solve(model).upper["x"] == pytest.approx(3.0, abs=1e-5)


@pytest.mark.parametrize(
    "copy", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))], ids=["clone", "pickle"]
)
@pytest.mark.parametrize("make", [toy, family])
def test_copies_are_whole_and_apart(make, copy):
    model = make()
    twin = copy(model)
    one, other = Problem.read(model), Problem.read(twin)
    assert [v.name for v in one.variables] == [v.name for v in other.variables]
    assert [f.name for f in one.followers] == [f.name for f in other.followers]
    for mine, theirs in zip(one.followers, other.followers, strict=True):
        assert [v.name for v in mine.variables] == [v.name for v in theirs.variables]
        assert [c.name for c in mine.constraints] == [c.name for c in theirs.constraints]
        assert {v.name for v in mine.mentioned.values()} == {v.name for v in theirs.mentioned.values()}
        assert not {id(v) for v in mine.variables} & {id(v) for v in theirs.variables}
        assert theirs.block.ctype is LowerLevel
        assert theirs.block.model() is twin
    next(iter(other.followers[0].variables)).set_value(0.25)
    assert one.followers[0].variables[0].value != 0.25


@pytest.mark.parametrize(
    "copy", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))], ids=["clone", "pickle"]
)
def test_copies_keep_the_response_function(copy):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel(response=respond)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    twin = copy(model)
    assert response_of(twin.lower)({"x": 3}) == {"y": 6}
    assert Problem.read(twin).followers[0].response is not None


@pytest.mark.parametrize("suffix", [".nl", ".lp", ".gms"])
@pytest.mark.parametrize("make", [toy, family])
def test_writers_refuse_an_unreformulated_model(tmp_path, make, suffix):
    model = make()
    with pytest.raises((ValueError, RuntimeError), match=r"LowerLevel|lower|fold"):
        model.write(str(tmp_path / f"model{suffix}"))


def test_an_indexed_family_is_many_followers():
    model = family()
    problem = Problem.read(model)
    assert [f.name for f in problem.followers] == ["fold[a]", "fold[b]"]
    assert [f.block.index() for f in problem.followers] == ["a", "b"]
    assert [v.name for v in problem.variables] == ["x[a]", "x[b]"]


def test_a_family_may_be_indexed_by_several_sets():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))

    def build(block, i, j):
        block.y = pyo.Var(bounds=(0, 9))
        block.obj = pyo.Objective(expr=(block.y - i * j * model.x) ** 2)

    model.pair = LowerLevel([1, 2], [3, 4], rule=build)
    model.obj = pyo.Objective(expr=sum(block.y for block in model.pair.values()))
    assert len(Problem.read(model).followers) == 4


def test_a_member_may_be_deactivated():
    model = family()
    model.fold["a"].deactivate()
    model.obj.set_value(model.fold["b"].y)
    problem = Problem.read(model)
    assert [f.name for f in problem.followers] == ["fold[b]"]
    assert [v.name for v in problem.variables] == ["x[b]"]


def test_the_decorator_builds_it():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))

    @model.LowerLevel()
    def lower(block):
        block.y = pyo.Var(bounds=(0, 1))
        block.obj = pyo.Objective(expr=(block.y - model.x) ** 2)

    @model.LowerLevel([1, 2])
    def many(block, k):
        block.y = pyo.Var(bounds=(0, 1))
        block.obj = pyo.Objective(expr=(block.y - k * model.x) ** 2)

    model.obj = pyo.Objective(expr=model.lower.y + model.many[1].y)
    assert model.lower.ctype is LowerLevel
    assert model.many.ctype is LowerLevel
    assert [f.name for f in Problem.read(model).followers] == ["lower", "many[1]", "many[2]"]


def test_blocks_inside_a_lower_level_belong_to_the_follower():
    model = toy()
    model.lower.inner = pyo.Block([1, 2])
    for k in (1, 2):
        model.lower.inner[k].z = pyo.Var(bounds=(0, 1))
        model.lower.inner[k].tie = pyo.Constraint(expr=model.lower.inner[k].z + model.lower.y >= model.x)
    (follower,) = Problem.read(model).followers
    assert [v.name for v in follower.variables] == ["lower.y", "lower.inner[1].z", "lower.inner[2].z"]
    assert [c.name for c in follower.constraints] == ["lower.cap", "lower.inner[1].tie", "lower.inner[2].tie"]


def test_a_lower_level_inside_a_block_of_the_leader():
    model = pyo.ConcreteModel()
    model.part = pyo.Block()
    model.part.x = pyo.Var(bounds=(0, 1))
    model.part.lower = LowerLevel()
    model.part.lower.y = pyo.Var(bounds=(0, 1))
    model.part.lower.obj = pyo.Objective(expr=(model.part.lower.y - model.part.x) ** 2)
    model.obj = pyo.Objective(expr=model.part.lower.y)
    problem = Problem.read(model)
    assert [v.name for v in problem.variables] == ["part.x"]
    assert [v.name for v in problem.followers[0].variables] == ["part.lower.y"]


def test_a_rule_may_build_a_scalar_one():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))

    def build(block):
        block.y = pyo.Var(bounds=(0, 1))
        block.obj = pyo.Objective(expr=(block.y - block.model().x) ** 2)

    model.lower = LowerLevel(rule=build)
    model.obj = pyo.Objective(expr=model.lower.y)
    assert response_of(model.lower) is None
    assert len(Problem.read(model).followers) == 1


def test_an_abstract_model_is_read_once_it_is_constructed():
    model = pyo.AbstractModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel(rule=lambda b: b.add_component("y", pyo.Var(bounds=(0, 1))))
    model.obj = pyo.Objective(rule=lambda m: m.lower.y + m.x)
    with pytest.raises(ModelError, match="create_instance"):
        Problem.read(model)
    instance = model.create_instance()
    instance.lower.obj = pyo.Objective(expr=(instance.lower.y - instance.x) ** 2)
    assert len(Problem.read(instance).followers) == 1


@pytest.mark.parametrize("wrong", [3, "function", {"y": 1}])
def test_a_response_must_be_a_function(wrong):
    with pytest.raises(TypeError, match="response"):
        LowerLevel(response=wrong)


def test_an_unknown_argument_is_refused():
    with pytest.raises(ValueError, match="responce"):
        LowerLevel(responce=respond)


def test_a_response_and_algebra_are_two_followers_in_one():
    for add in (
        lambda b: b.add_component("c", pyo.Constraint(expr=b.y <= 1)),
        lambda b: b.add_component("o", pyo.Objective(expr=b.y)),
    ):
        model = pyo.ConcreteModel()
        model.x = pyo.Var(bounds=(0, 1))
        model.lower = LowerLevel(response=respond)
        model.lower.y = pyo.Var()
        add(model.lower)
        model.obj = pyo.Objective(expr=model.lower.y)
        with pytest.raises(ModelError, match="keep one of the two"):
            Problem.read(model)
