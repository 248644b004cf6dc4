"""Reading a model: which component plays which part, and one clear refusal for each thing it cannot mean."""

from __future__ import annotations

import math

import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel
from bilevel.errors import BilevelError, ModelError, UntranslatableError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.reading.structure import dependence, linking_variables
from bilevel.upper.space import Space


def toy():
    model = pyo.ConcreteModel("toy")
    model.x = pyo.Var(bounds=(0, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.cap = pyo.Constraint(expr=model.lower.y <= model.x)
    model.lower.obj = pyo.Objective(expr=(model.lower.y - 5) ** 2)
    model.obj = pyo.Objective(expr=model.x**2 + model.lower.y**2)
    return model


def refusal(model):
    """The one sentence a user reads."""
    with pytest.raises(ModelError) as caught:
        compile_all(model)
    message = str(caught.value)
    assert "\n" not in message
    return message


def compile_all(model):
    compilation = Compilation(Problem.read(model))
    assert compilation.upper_objective is not None
    compilation.rows(compilation.problem.constraints)
    Space(compilation)


def names(components):
    return [c.name for c in components]


# ---------------------------------------------------------------------------------------------- who plays which part


def test_the_parts_of_the_toy():
    model = toy()
    model.g = pyo.Constraint(expr=model.x + model.lower.y <= 8)
    model.only_x = pyo.Constraint(expr=model.x >= 1)
    problem = Problem.read(model)
    assert names(problem.variables) == ["x"]
    assert names(problem.constraints) == ["g", "only_x"]
    assert (names(problem.coupling), names(problem.x_only)) == (["g"], ["only_x"])
    (follower,) = problem.followers
    assert names(follower.variables) == ["lower.y"]
    assert names(follower.constraints) == ["lower.cap"]
    assert {v.name for v in follower.mentioned.values()} == {"x", "lower.y"}
    assert (problem.sense, follower.sense) == (1, 1)
    assert linking_variables(problem.followers) == {"lower": ["x"]}
    assert Problem.read(problem) is problem


def test_either_level_may_maximise():
    model = toy()
    model.obj.sense = pyo.maximize
    model.lower.obj.sense = pyo.maximize
    problem = Problem.read(model)
    assert (problem.sense, problem.followers[0].sense) == (-1, -1)


def test_variables_nobody_mentions_are_no_decisions():
    model = toy()
    model.idle = pyo.Var()
    model.lower.idle = pyo.Var()
    problem = Problem.read(model)
    assert names(problem.variables) == ["x"]
    assert names(problem.followers[0].variables) == ["lower.y"]


def test_a_lower_variable_only_the_leader_mentions_is_the_followers():
    model = toy()
    model.lower.free = pyo.Var(bounds=(0, 1))
    model.obj.set_value(model.x + model.lower.free)
    assert names(Problem.read(model).followers[0].variables) == ["lower.y", "lower.free"]


def test_fixed_variables_are_data():
    model = toy()
    model.z = pyo.Var(initialize=3.0)
    model.lower.w = pyo.Var(initialize=4.0)
    model.lower.obj.set_value((model.lower.y - model.z * model.lower.w) ** 2)
    model.z.fix()
    model.lower.w.fix()
    problem = Problem.read(model)
    assert names(problem.variables) == ["x"]
    assert names(problem.followers[0].variables) == ["lower.y"]
    value, _ = Compilation(problem).programs["lower"].evaluate([1.0], [2.0])
    assert value[0] == 100.0


def test_a_fixed_bound_of_a_constraint_is_data():
    model = toy()
    model.z = pyo.Var(initialize=3.0)
    model.z.fix()
    model.lower.range = pyo.Constraint(expr=model.lower.y <= model.z)
    program = Compilation(Problem.read(model)).programs["lower"]
    _, rows = program.evaluate([1.0], [7.0])
    assert rows[1] - program.row_upper[1] == 4.0


def test_a_reference_to_the_leaders_variable_is_not_a_declaration():
    """Variables *declared* on a LowerLevel are the follower's; a Reference only points at one."""
    model = toy()
    model.lower.price = pyo.Reference(model.x)
    problem = Problem.read(model)
    assert names(problem.variables) == ["x"]
    assert names(problem.followers[0].variables) == ["lower.y"]


def test_a_reference_to_the_followers_variable_does_not_make_it_the_leaders():
    model = toy()
    model.answer = pyo.Reference(model.lower.y)
    problem = Problem.read(model)
    assert names(problem.variables) == ["x"]
    assert names(problem.followers[0].variables) == ["lower.y"]


def test_a_reference_counts_each_variable_once():
    model = pyo.ConcreteModel()
    model.part = pyo.Block([1, 2])
    for k in (1, 2):
        model.part[k].x = pyo.Var(bounds=(0, 1))
        model.part[k].c = pyo.Constraint(expr=model.part[k].x >= 0.5)
    model.x = pyo.Reference(model.part[:].x)
    model.c = pyo.Reference(model.part[:].c)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x[1] - model.x[2]) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    problem = Problem.read(model)
    assert sorted(names(problem.variables)) == ["part[1].x", "part[2].x"]
    assert sorted(names(problem.constraints)) == ["part[1].c", "part[2].c"]


def test_deactivated_pieces_do_not_count():
    model = toy()
    model.off = pyo.Block()
    model.off.c = pyo.Constraint(expr=model.x >= 9)
    model.off.deactivate()
    model.rival = pyo.Objective(expr=model.x)
    model.rival.deactivate()
    model.lower.off = pyo.Constraint(expr=model.lower.y >= 9)
    model.lower.off.deactivate()
    model.lower.rival = pyo.Objective(expr=model.lower.y)
    model.lower.rival.deactivate()
    model.second = LowerLevel()
    model.second.deactivate()
    problem = Problem.read(model)
    assert (len(problem.followers), names(problem.constraints)) == (1, [])
    assert names(problem.followers[0].constraints) == ["lower.cap"]


def test_harmless_components_are_understood():
    model = toy()
    model.S = pyo.Set(initialize=[1, 2])
    model.R = pyo.RangeSet(3)
    model.p = pyo.Param(model.S, initialize=1.0, mutable=True)
    model.e = pyo.Expression(expr=model.x * model.p[1])
    model.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    model.check = pyo.BuildCheck(rule=lambda m: True)
    model.lower.q = pyo.Param(initialize=2)
    compile_all(model)


# ------------------------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize("thing", [None, 3, "model.py", {}])
def test_not_a_model(thing):
    with pytest.raises(ModelError, match="ConcreteModel"):
        Problem.read(thing)


def test_no_lower_level():
    model = toy()
    model.del_component(model.lower)
    assert "LowerLevel()" in refusal(model)


def test_no_active_lower_level():
    model = toy()
    model.lower.deactivate()
    assert "no active LowerLevel" in refusal(model)


def test_no_upper_objective():
    model = toy()
    model.obj.deactivate()
    assert "upper level of toy has no active Objective; add one" in refusal(model)


def test_two_upper_objectives():
    model = toy()
    model.second = pyo.Objective(expr=model.x)
    assert "2 active Objectives (obj, second); deactivate all but one" in refusal(model)


def test_no_lower_objective():
    model = toy()
    model.lower.obj.deactivate()
    assert "lower of toy has no active Objective; add one" in refusal(model)


def test_two_lower_objectives():
    model = toy()
    model.lower.second = pyo.Objective(expr=model.lower.y)
    assert "lower.obj, lower.second" in refusal(model)


@pytest.mark.parametrize("level", ["upper", "lower"])
def test_an_objective_without_an_expression(level):
    model = toy()
    block = model if level == "upper" else model.lower
    block.del_component(block.obj)
    block.obj = pyo.Objective()
    assert "Objective" in refusal(model)


def test_a_lower_level_without_variables():
    model = toy()
    model.empty = LowerLevel()
    model.empty.obj = pyo.Objective(expr=model.x)
    assert "empty declares no variable" in refusal(model)


def test_a_lower_level_that_has_nothing_to_decide():
    model = toy()
    model.lower.y.fix(1.0)
    assert "lower has no free variable" in refusal(model)


@pytest.mark.parametrize("between", [False, True])
def test_a_lower_level_inside_a_lower_level(between):
    model = toy()
    home = model.lower
    if between:
        model.lower.inner = pyo.Block()
        home = model.lower.inner
    home.third = LowerLevel()
    home.third.z = pyo.Var(bounds=(0, 1))
    home.third.obj = pyo.Objective(expr=(home.third.z - model.lower.y) ** 2)
    assert "three levels are not solved" in refusal(model)


def two_followers():
    model = toy()
    model.other = LowerLevel()
    model.other.z = pyo.Var(bounds=(0, 1))
    model.other.obj = pyo.Objective(expr=(model.other.z - model.x) ** 2)
    return model


def test_independent_followers_are_accepted():
    problem = Problem.read(two_followers())
    assert [f.name for f in problem.followers] == ["lower", "other"]
    assert dependence(problem.followers).number_of_edges() == 0


def test_followers_that_form_a_chain():
    model = two_followers()
    model.other.obj.set_value((model.other.z - model.lower.y) ** 2)
    message = refusal(model)
    assert "other mentions lower.y, a variable of lower" in message
    assert "chain" in message


def test_followers_that_form_a_game():
    model = two_followers()
    model.other.obj.set_value((model.other.z - model.lower.y) ** 2)
    model.lower.cap.set_value(model.lower.y <= model.other.z)
    message = refusal(model)
    assert "Nash" in message
    assert "merge" in message


def test_followers_that_meet_in_a_constraint():
    model = two_followers()
    model.other.shared = pyo.Constraint(expr=model.other.z + model.lower.y <= 1)
    assert "other mentions lower.y" in refusal(model)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["obj", "cap", "lower.obj", "fixed", "parameter"])
def test_a_coefficient_that_is_no_number(bad, where):
    model = toy()
    model.p = pyo.Param(initialize=0.0, mutable=True, within=pyo.Any)
    model.z = pyo.Var()
    model.z.fix(0.0)
    if where == "obj":
        model.obj.set_value(model.x + bad * model.lower.y)
    elif where == "cap":
        model.g = pyo.Constraint(expr=bad * model.lower.y + model.x <= 1)
    elif where == "lower.obj":
        model.lower.obj.set_value(model.lower.y * bad)
    elif where == "fixed":
        model.lower.obj.set_value(model.lower.y * model.z)
        model.z.fix(bad)
    else:
        model.obj.set_value(model.x * model.p)
        model.p.set_value(bad)
    message = refusal(model)
    assert "finite" in message
    owner = {"cap": "g", "fixed": "lower.obj", "parameter": "obj"}.get(where, where)
    assert message.startswith(f"{owner}: ")


def test_a_bound_that_is_no_number():
    model = toy()
    model.p = pyo.Param(initialize=math.nan, mutable=True, within=pyo.Any)
    model.lower.cap.set_value(model.lower.y <= model.p)
    message = refusal(model)
    assert "lower.cap" in message
    assert "finite" in message


def test_a_variable_bound_that_is_no_number():
    model = toy()
    for var in (model.lower.y, model.x):
        model = toy()
        model.find_component(var.name).setub(math.nan)
        assert var.name in refusal(model)


def test_a_parameter_without_a_value():
    model = toy()
    model.p = pyo.Param(mutable=True)
    model.lower.obj.set_value((model.lower.y - model.p) ** 2)
    message = refusal(model)
    assert "lower.obj" in message
    assert "p" in message


def test_a_fixed_variable_without_a_value():
    model = toy()
    model.z = pyo.Var()
    model.z.fixed = True
    model.lower.obj.set_value((model.lower.y - model.z) ** 2)
    message = refusal(model)
    assert message.startswith("lower.obj: z has no value")


def test_an_expression_without_a_compiled_form():
    model = toy()
    model.e = pyo.Expression()
    model.obj.set_value(model.x + model.e)
    with pytest.raises(UntranslatableError, match=r"^obj: .*e has no expression"):
        compile_all(model)


def test_a_category_in_algebra():
    model = toy()
    model.kernel = pyo.Var(within=pyo.Set(initialize=["a", "b"]))
    model.obj.set_value(model.x + model.kernel)
    message = refusal(model)
    assert message.startswith("obj: ")
    assert "kernel" in message
    assert "category" in message


def test_another_models_variable():
    model, stranger = toy(), pyo.ConcreteModel()
    stranger.far = pyo.Var()
    model.obj.set_value(model.x + stranger.far)
    message = refusal(model)
    assert "far" in message
    assert "belongs to no active level" in message


def test_a_deactivated_followers_variable():
    model = two_followers()
    model.obj.set_value(model.x + model.other.z)
    model.other.deactivate()
    message = refusal(model)
    assert "other.z" in message
    assert "activate its LowerLevel, or fix it" in message


def test_every_refusal_is_a_bilevel_error():
    assert issubclass(UntranslatableError, ModelError)
    assert issubclass(ModelError, BilevelError)
