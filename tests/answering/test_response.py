"""y(x) and what the leader gets for it: values, several followers, response functions and whatever goes wrong in them."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.errors import ModelError
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.answering import Answering
from bilevel.response.response import Response


def toy(sense=pyo.minimize, lower_sense=pyo.minimize):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-5, 10))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, None))
    model.lower.cap = pyo.Constraint(expr=model.lower.y <= model.x)
    sign = -1 if lower_sense == pyo.maximize else 1
    model.lower.obj = pyo.Objective(expr=sign * (model.lower.y - 5) ** 2, sense=lower_sense)
    model.obj = pyo.Objective(expr=model.x**2 + model.lower.y, sense=sense)
    return model


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("lower_sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (3.0, 3.0), (8.0, 5.0)])
def test_values(sense, lower_sense, x, y):
    reply = Response(toy(sense, lower_sense))(np.array([x]))
    assert reply.status is Status.OPTIMAL
    assert reply.y == pytest.approx([y], abs=1e-7)
    assert reply.cost == pytest.approx((x**2 + y) * (-1 if sense == pyo.maximize else 1), abs=1e-6)
    assert reply.lower == pytest.approx(((y - 5) ** 2,), abs=1e-6)
    assert (reply.violation, reply.proved) == (0.0, True)


def test_an_infeasible_lower_level_is_data():
    response = Response(toy())
    reply = response(np.array([-1.0]))
    assert reply.status is Status.INFEASIBLE
    assert reply.y is None
    assert reply.proved
    assert "lower" in reply.message
    assert response(np.array([3.0])).y == pytest.approx([3.0], abs=1e-7)


def test_an_unbounded_lower_level_is_data():
    model = toy()
    model.lower.obj.set_value(-model.lower.y * (5 - model.x))
    model.lower.cap.deactivate()
    response = Response(model)
    assert response(np.array([1.0])).status is Status.UNBOUNDED
    assert response(np.array([8.0])).y == pytest.approx([0.0], abs=1e-7)


def test_coupling_constraints_are_measured():
    model = toy()
    model.g = pyo.Constraint(expr=model.lower.y + model.x >= 4)
    model.h = pyo.Constraint(expr=model.lower.y == 3)
    model.r = pyo.Constraint(expr=(-1, model.lower.y - model.x, 1))
    response = Response(model)
    assert response(np.array([3.0])).violation <= 1e-7
    assert response(np.array([1.0])).violation == pytest.approx(2 / 3, abs=1e-6)
    assert response(np.array([8.0])).violation == pytest.approx(2.0, abs=1e-6)


def test_several_followers_answer_apart():
    model = pyo.ConcreteModel()
    model.x = pyo.Var([1, 2, 3], bounds=(0, 1))

    def build(block, k):
        block.y = pyo.Var(bounds=(0, 2))
        block.obj = pyo.Objective(expr=(block.y - k * model.x[k]) ** 2)

    model.fold = LowerLevel([1, 2, 3], rule=build)
    model.obj = pyo.Objective(expr=sum(k * model.fold[k].y for k in (1, 2, 3)))
    response = Response(model)
    reply = response(np.array([0.5, 0.25, 1.0]))
    assert reply.y == pytest.approx([0.5, 0.5, 2.0], abs=1e-7)
    assert reply.cost == pytest.approx(7.5, abs=1e-6)
    assert reply.lower == pytest.approx((0, 0, 1), abs=1e-6)
    assert response.lower_values(reply.y) == pytest.approx({"fold[1].y": 0.5, "fold[2].y": 0.5, "fold[3].y": 2.0})


def test_one_of_several_followers_has_no_answer():
    model = toy()
    model.other = LowerLevel()
    model.other.z = pyo.Var(bounds=(0, 1))
    model.other.obj = pyo.Objective(expr=(model.other.z - model.x) ** 2)
    reply = Response(model)(np.array([-1.0]))
    assert reply.status is Status.INFEASIBLE
    assert reply.message.startswith("lower:")


def test_the_reply_is_a_copy_of_its_own():
    response = Response(toy())
    first = response(np.array([3.0]))
    response(np.array([1.0]))
    assert first.y == pytest.approx([3.0], abs=1e-7)


@pytest.mark.parametrize("warm", [True, False])
def test_the_same_question_has_the_same_answer(warm):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-2, 2))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([0, 1], bounds=(-3, 3))
    y = model.lower.y
    model.lower.obj = pyo.Objective(expr=pyo.exp(y[0]) + (y[0] - model.x * y[1]) ** 2 + y[1] ** 2 + y[1])
    model.obj = pyo.Objective(expr=y[0] + y[1])
    response = Response(model, warm=warm)
    first = response(np.array([0.5])).y
    for x in (-2.0, 2.0, 0.0):
        response(np.array([x]))
    assert response(np.array([0.5])).y == pytest.approx(first, abs=1e-6)
    assert Response(model, warm=warm)(np.array([0.5])).y == pytest.approx(first, abs=1e-6)


def test_where_f_is_no_number_there_is_no_answer():
    model = toy()
    model.obj.set_value(pyo.log(model.lower.y - 4) + model.x)
    response = Response(model)
    reply = response(np.array([3.0]))
    assert reply.status is Status.FAILED
    assert not reply.proved
    assert "upper objective" in reply.message
    assert response(np.array([5.0])).status is Status.OPTIMAL


def test_a_lower_level_that_is_undefined_at_a_point_is_data():
    model = toy()
    model.lower.obj.set_value((model.lower.y - 1 / model.x) ** 2)
    model.lower.cap.deactivate()
    response = Response(model)
    assert response(np.array([2.0])).y == pytest.approx([0.5], abs=1e-6)
    reply = response(np.array([0.0]))
    assert reply.status is Status.FAILED
    assert not reply.proved


def test_a_leader_without_variables():
    """Nothing to search: still a well-posed question, with one answer."""
    model = pyo.ConcreteModel()
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 3))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - 1) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    for method in ("grid", "random"):
        result = bilevel.solve(model, method, budget=3)
        assert result.upper_objective == pytest.approx(1.0, abs=1e-6)
        assert result.evaluations == 1


# ------------------------------------------------------------------------------------------- response functions


def functional(function, **variables):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4), initialize=1.0)
    model.lower = LowerLevel(response=function)
    for name, var in (variables or {"y": pyo.Var()}).items():
        model.lower.add_component(name, var)
    model.obj = pyo.Objective(expr=sum(v for v in model.lower.component_data_objects(pyo.Var)) + model.x)
    return model


def ask(model, x=1.0):
    return Response(model)(np.atleast_1d(np.array(x, dtype=float)))


@pytest.mark.parametrize("key", ["y", "lower.y"])
@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2.0), np.array([2.0]), [2.0]])
def test_names_and_kinds_of_numbers(key, value):
    reply = ask(functional(lambda x: {key: value}))
    assert reply.y == pytest.approx([2.0])
    assert reply.cost == pytest.approx(3.0)
    assert reply.status is Status.OPTIMAL


@pytest.mark.parametrize(
    "answer",
    [
        {"w": [1.0, 2.0, 3.0]},
        {"w": np.array([1, 2, 3])},
        {"w": {"a": 1, "b": 2, "c": 3}},
        {"w": {"c": 3, "a": 1, "b": 2}},
        {"w[a]": 1, "w[b]": 2, "w[c]": 3},
        {"lower.w[a]": 1, "w[b]": 2, "lower.w": {"c": 3}},
        {"lower.w": [1, 2, 3]},
    ],
)
def test_containers(answer):
    assert ask(functional(lambda x: answer, w=pyo.Var(["a", "b", "c"]))).y == pytest.approx([1, 2, 3])


def test_containers_of_two_indices():
    answers = [
        {"w": np.array([[1.0, 2.0], [3.0, 4.0]])},
        {"w": {(i, j): 1.0 + 2 * i + j for i in (0, 1) for j in (0, 1)}},
    ]
    for answer in answers:
        assert ask(functional(lambda x, a=answer: a, w=pyo.Var([0, 1], [0, 1]))).y == pytest.approx([1, 2, 3, 4])


def test_a_function_may_name_the_variables_themselves():
    model = functional(lambda x: pyo.ComponentMap([(model.lower.y, 3.0)]))
    assert ask(model).y == pytest.approx([3.0])


def test_whole_numbers_come_whole():
    """``range(x["n"])`` must work in the search and in the verification alike."""
    model = functional(lambda x: {"y": sum(range(x["n"])) + sum(range(x["s"]))})
    model.n = pyo.Var(within=pyo.Integers, bounds=(1, 3))
    model.s = pyo.Var(within=pyo.Set(initialize=[2, 4, 8]))
    model.x.fix(0)
    result = bilevel.solve(model, "grid", budget=10)
    assert result.verdict == "certified_global", (result.notes, [e.message for e in result.history])
    assert result.upper == {"n": 1, "s": 2}
    assert ask(model, x=[1, 2]).status is Status.OPTIMAL


def test_upper_values_come_by_name():
    seen = []

    def function(x):
        seen.append(dict(x))
        return {"y": 0.0}

    model = functional(function)
    model.k = pyo.Var(within=pyo.Set(initialize=["linear", "rbf"]))
    model.n = pyo.Var(within=pyo.Integers, bounds=(1, 3))
    bilevel.solve(model, "grid", budget=40)
    assert all(set(x) == {"x", "k", "n"} for x in seen)
    assert {x["k"] for x in seen} == {"linear", "rbf"}
    assert {x["n"] for x in seen} == {1, 2, 3}


def test_a_list_of_strings_and_numbers():
    """``max_features`` of a forest is "sqrt" or a number: a category whose values are not all text."""
    seen = set()

    def function(x):
        seen.add(x["k"])
        return {"y": {"none": 3.0, 1: 1.0, 2: 2.0}[x["k"]]}

    model = functional(function)
    model.k = pyo.Var(within=pyo.Set(initialize=["none", 1, 2]))
    model.x.fix(0)
    result = bilevel.solve(model, "grid", budget=10)
    assert seen == {"none", 1, 2}
    assert result.upper == {"k": 1}
    assert result.upper_objective == pytest.approx(1.0)
    assert result.verdict == "certified_global"


def test_an_indexed_family_of_functions():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.fold = LowerLevel(["a", "b"], response=lambda x, k: {"y": x["x"] * {"a": 1, "b": 10}[k]})
    for block in model.fold.values():
        block.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.fold["a"].y + model.fold["b"].y)
    assert ask(model, 2.0).y == pytest.approx([2, 20])


def test_algebra_and_a_function_side_by_side():
    model = functional(lambda x: {"y": x["x"] ** 2})
    model.second = LowerLevel()
    model.second.z = pyo.Var(bounds=(0, 9))
    model.second.obj = pyo.Objective(expr=(model.second.z - 2 * model.x) ** 2)
    model.g = pyo.Constraint(expr=model.second.z >= model.lower.y)
    response = Response(model)
    assert response(np.array([1.5])).y == pytest.approx([2.25, 3.0], abs=1e-6)
    assert response(np.array([3.0])).violation > 1.0
    assert response.engines["lower"] == "response"


def test_an_exception_is_data():
    def function(x):
        if x["x"] > 2:
            raise ZeroDivisionError("no data left")
        return {"y": x["x"]}

    model = functional(function)
    reply = ask(model, 3.0)
    assert reply.status is Status.FAILED
    assert "lower: ZeroDivisionError: no data left" in reply.message
    assert not reply.proved
    result = bilevel.solve(model, "grid", budget=9)
    assert result.verdict == "best_found"
    assert [e.status for e in result.history if e.upper["x"] > 2] == ["failed"] * 4


def test_an_interrupt_is_not_swallowed():
    def function(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(functional(function))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -np.inf, np.float32("nan")])
def test_a_number_that_is_not_finite_fails_the_point(number):
    reply = ask(functional(lambda x: {"w": [1.0, number]}, w=pyo.Var(["a", "b"])))
    assert reply.status is Status.FAILED
    assert "gave no number for lower.w[b]: " in reply.message


@pytest.mark.parametrize("missing", [{}, {"w": {"a": 1.0}}, {"w[a]": 1.0, "w[b]": None}])
def test_a_number_that_is_missing_is_the_users_mistake(missing):
    with pytest.raises(ModelError, match=r"w(\[b\])?.*expected is \{'w': 2 numbers\}"):
        ask(functional(lambda x: missing, w=pyo.Var(["a", "b"])))


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (None, "not None"),
        ((1.0, 2.0), r"not the tuple \(1.0, 2.0\)"),
        ({"y": 1 + 2j}, r"the complex \(1\+2j\) for y"),
        ({"y": "3"}, "the str '3' for y"),
        ({"y": ["3"]}, "for y, which is no number"),
        ({"y": 1.0, "accuracy": 0.9}, "returned 'accuracy'"),
    ],
)
def test_what_came_and_what_is_expected_are_told(wrong, got):
    with pytest.raises(ModelError, match=got + r".*expected is \{'y': a number\}"):
        ask(functional(lambda x: wrong))


def test_the_entries_of_a_matrix_stand_where_they_belong():
    """Six numbers the other way round are six numbers."""
    y = pyo.Var([0, 1, 2], [0, 1])
    with pytest.raises(ModelError, match=r"shape \(2, 3\) for w, not \(3, 2\); expected is \{'w': 3 x 2 numbers\}"):
        ask(functional(lambda x: {"w": np.zeros((2, 3))}, w=y))


def test_many_points_outlive_one_wrong_answer():
    response = Response(functional(lambda x: {"y": x["x"]} if x["x"] < 2 else (x["x"],)))
    replies = response.many(np.array([[3.0], [1.0], [4.0]]))
    assert [str(status) for status in replies.status] == ["failed", "optimal", "failed"]
    with pytest.raises(ModelError, match="must return a dict"):
        response.many(np.array([[3.0], [4.0]]))


@pytest.mark.parametrize("leaves", [SystemExit("no licence"), SystemExit(2), GeneratorExit("done")])
def test_leaving_the_process_is_a_failure_of_the_point(leaves):
    def function(x):
        raise leaves

    reply = ask(functional(function))
    assert reply.status is Status.FAILED
    assert type(leaves).__name__ in reply.message


@pytest.mark.parametrize("wrong", [None, 3.0, [1.0], "y"])
def test_an_answer_that_is_no_dict_is_the_users_mistake(wrong):
    with pytest.raises(ModelError, match="must return a dict"):
        ask(functional(lambda x: wrong))


@pytest.mark.parametrize("key", ["z", "lower.z", "w[3]", "lower"])
def test_an_unknown_name_is_the_users_mistake(key):
    with pytest.raises(ModelError, match=r"its variables are"):
        ask(functional(lambda x: {key: 1.0}, w=pyo.Var([1, 2])))


@pytest.mark.parametrize("numbers", [[1.0], [1.0, 2.0, 3.0], 1.0])
def test_a_wrong_count_is_the_users_mistake(numbers):
    with pytest.raises(ModelError, match="not 2"):
        ask(functional(lambda x: {"w": numbers}, w=pyo.Var([1, 2])))


@pytest.mark.parametrize("value", ["high", [[1.0], [2.0, 3.0]], object()])
def test_what_is_no_number_is_the_users_mistake(value):
    with pytest.raises(ModelError, match="lower"):
        ask(functional(lambda x: {"y": value}))


def test_a_function_that_writes_on_its_argument_does_not_change_the_history():
    def function(x):
        y = x.pop("x")
        x["noise"] = 7
        return {"y": y}

    model = functional(function)
    result = bilevel.solve(model, "grid", budget=3)
    assert [set(e.upper) for e in result.history] == [{"x"}] * 3
    assert set(result.upper) == {"x"}


def test_a_fixed_variable_of_a_functional_follower_is_data():
    model = functional(lambda x: {"y": x["x"]}, y=pyo.Var(), bias=pyo.Var(initialize=5.0))
    model.lower.bias.fix()
    reply = ask(model, 1.0)
    assert reply.status is Status.OPTIMAL
    assert reply.cost == pytest.approx(1.0 + 5.0 + 1.0)


def test_every_upper_variable_is_the_functions_to_read():
    """No expression mentions x, but a function may."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4))
    model.lower = LowerLevel(response=lambda x: {"y": (x["x"] - 3) ** 2})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    result = bilevel.solve(model, "grid", budget=5)
    assert result.upper == {"x": 3.0}


def test_the_leader_sees_this_x_whoever_answers():
    """F repeats work over x of the follower's data; SCIP, which answers here, never asks their form."""
    n = 45
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3), bounds=(0.1, 2))
    model.lower = LowerLevel()
    y = model.lower.y = pyo.Var(range(n), bounds=(0, 1))
    waves = [sum(pyo.cos(k * model.x[j] + j) * pyo.exp(model.x[j]) for j in range(3)) for k in range(n)]
    model.lower.obj = pyo.Objective(expr=sum(-((y[k] - waves[k]) ** 2) for k in range(n)))
    model.obj = pyo.Objective(expr=sum((waves[k] - 0.5) ** 2 * y[k] for k in range(n)))
    response = Response(model)
    assert response.engines["lower"] == "scip"
    for x in np.random.default_rng(0).uniform(0.1, 2, (2, 3)):
        at = (np.cos(np.arange(n)[:, None] * x + np.arange(3)) * np.exp(x)).sum(axis=1)
        reply = response(x)
        assert reply.cost == pytest.approx((at - 0.5) ** 2 @ reply.y)


def test_a_local_engine_that_starts_on_a_peak_looks_elsewhere(monkeypatch):
    """Where the global engine has no time the answer is unproved, and yet a valley: y = 2 or -2 and not 0."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(initialize=0.0)
    model.lower.obj = pyo.Objective(expr=model.lower.y**4 / 4 - 2 * model.lower.y**2 + 0.1 * model.x * model.lower.y)
    model.obj = pyo.Objective(expr=model.lower.y + model.x)
    program = next(iter(Compilation.of(Problem.read(model)).programs.values()))
    answering = Answering(program)
    monkeypatch.setattr(answering, "_first", lambda *_: Answer(Status.FAILED, message="the time is up"))
    for x in (0.0, 0.5, -0.5):
        answer = answering(np.array([x]))
        assert answer.status is Status.OPTIMAL
        assert not answer.proved
        assert answer.objective < -3.9
