"""Conditional variables: what is active where, one point for what is the same, and who refuses them."""

from __future__ import annotations

import pickle

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import ActiveWhen, LowerLevel
from bilevel.errors import ModelError, RefusedError, SpaceError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.upper.space import Space


def kernels(*extra):
    """A degree for poly, a width for rbf and poly; F wants poly of degree 4 and width 0.25."""
    model = pyo.ConcreteModel()
    model.kernel = pyo.Var(within=pyo.Set(initialize=["linear", "rbf", "poly"]))
    model.degree = pyo.Var(within=pyo.Integers, bounds=(2, 5))
    model.width = pyo.Var(bounds=(0, 1))
    model.only = ActiveWhen(model.degree, model.kernel, ["poly"])
    model.scaled = ActiveWhen([model.width], model.kernel, ["rbf", "poly"])
    model.lower = LowerLevel(response=answer)
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return model


def answer(x):
    wide = (x["width"] - 0.25) ** 2
    return {"y": {"linear": 1.0, "rbf": 0.5 + wide, "poly": wide + 0.2 * (x["degree"] - 4) ** 2}[x["kernel"]]}


def space_of(model):
    return Space(Compilation(Problem.read(model)))


def test_inactive_dimensions_rest():
    space = space_of(kernels())
    assert space.names == ("kernel", "degree", "width")
    assert space.canonical((0, 2, 0.1)) == space.canonical((0, 5, 0.9)) == space.from_unit(np.array([0.0, 1.0, 0.0]))
    assert space.canonical((1, 2, 0.1)) == space.canonical((1, 5, 0.1)) != space.canonical((1, 5, 0.2))
    assert space.canonical((2, 5, 0.1)) == (2, 5, 0.1)
    assert space.allows((2, 5, 0.1))
    assert not space.allows((0, 2, 0.1))
    assert space.allows(space.canonical((0, 2, 0.1)))


def test_what_depends_on_an_inactive_variable_is_inactive():
    model = kernels()
    model.rounds = pyo.Var(within=pyo.Integers, bounds=(0, 8))
    model.more = ActiveWhen(model.rounds, model.degree, [3, 4])
    space = space_of(model)
    at = dict(zip(space.names, range(4), strict=True))
    point = [0] * 4
    point[at["kernel"]], point[at["degree"]], point[at["width"]], point[at["rounds"]] = 1, 3, 0.5, 7
    assert space.canonical(tuple(point))[at["rounds"]] == 4
    point[at["kernel"]] = 2
    assert space.canonical(tuple(point))[at["rounds"]] == 7


def test_the_encoding_knows_the_same_points():
    space = space_of(kernels())
    encoding = Encoding(space)
    units = encoding.snap(np.random.default_rng(0).random((200, 3)))
    for unit in units:
        point = tuple(d.from_unit(u) for d, u in zip(space.dimensions, unit, strict=True))
        assert space.canonical(point) == point
        assert np.allclose(encoding.unit(point), unit)


def test_neighbours_of_a_point_are_active_ones():
    space = space_of(kernels())
    rest = space.canonical((0, 2, 0.0))
    assert set(space.neighbours(rest)) == {space.canonical((1, 2, 0.5)), space.canonical((2, rest[1], 0.5))}


@pytest.mark.parametrize("method", ["surrogate", "gp", "rbf", "random", "de", "optuna", "grid"])
def test_no_evaluation_is_wasted(method):
    result = bilevel.solve(kernels(), method, budget=40, seed=1)
    told = {(e.upper["kernel"], *_active(e.upper)) for e in result.history}
    assert len(told) == len(result.history)
    assert len([e for e in result.history if e.upper["kernel"] == "linear"]) <= 1
    if method in ("surrogate", "gp", "rbf"):
        assert result.upper["kernel"] == "poly"
        assert result.upper["degree"] == 4
        assert result.upper_objective < 0.01


def _active(upper):
    return {"linear": (), "rbf": (upper["width"],), "poly": (upper["width"], upper["degree"])}[upper["kernel"]]


def test_the_declaration_pays():
    """A category of many levels of which one alone has parameters: without a word nearly all is tried again and again."""

    def found(declared, seed):
        model = kernels()
        if not declared:
            model.only.deactivate()
            model.scaled.deactivate()
        return bilevel.solve(model, "random", budget=30, seed=seed)

    distinct = [
        [len({(e.upper["kernel"], *_active(e.upper)) for e in found(declared, seed).history}) for seed in range(3)]
        for declared in (True, False)
    ]
    assert min(distinct[0]) == 30
    assert max(distinct[1]) < 30


def test_a_fixed_condition_is_settled():
    model = kernels()
    model.kernel.fix("rbf")
    space = space_of(model)
    assert space.names == ("degree", "width")
    assert space.canonical((5, 0.3)) == space.canonical((2, 0.3)) != space.canonical((2, 0.4))
    model.kernel.fix("poly")
    assert space_of(model).canonical((5, 0.3)) == (5, 0.3)


def test_clone_and_pickle_keep_it():
    for copy in (kernels().clone(), pickle.loads(pickle.dumps(kernels()))):
        assert len(space_of(copy).conditions) == 2
        assert copy.only.on is copy.kernel
        assert copy.only.variables[0] is copy.degree


def wrong():
    model = kernels()
    model.w = pyo.Var(bounds=(0, 1))
    return model


def circle():
    model = wrong()
    model.back = ActiveWhen(model.kernel, model.degree, [3])
    return model


def continuous():
    model = wrong()
    model.bad = ActiveWhen(model.degree, model.w, [0.5])
    return model


def never():
    model = wrong()
    model.bad = ActiveWhen(model.w, model.kernel, ["sigmoid"])
    return model


def below():
    model = wrong()
    model.bad = ActiveWhen(model.lower.y, model.kernel, ["rbf"])
    return model


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (circle, "circle"),
        (continuous, "w is continuous"),
        (never, "never takes"),
        (below, "lower.y is not a free upper"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(build, words):
    with pytest.raises(SpaceError, match=words):
        space_of(build())


def test_below_it_is_refused():
    model = switch()
    model.lower.when = ActiveWhen(model.size, model.use, [1])
    with pytest.raises(ModelError, match="ActiveWhen inside a LowerLevel"):
        space_of(model)


@pytest.mark.parametrize("values", ["rbf", []])
def test_values_are_a_list(values):
    model = kernels()
    with pytest.raises(SpaceError, match="give a list"):
        ActiveWhen(model.degree, model.kernel, values)


def switch():
    """A mathematical program below."""
    model = pyo.ConcreteModel()
    model.use = pyo.Var(within=pyo.Binary)
    model.size = pyo.Var(bounds=(0, 1))
    model.when = ActiveWhen(model.size, model.use, [1])
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(-9, 9))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.use) ** 2)
    model.obj = pyo.Objective(expr=(model.lower.y - 1) ** 2 + model.use * (model.size - 0.3) ** 2)
    return model


@pytest.mark.parametrize("method", ["kkt", "value_function", "auto"])
def test_an_exact_path_proves_it_without(method):
    result = bilevel.solve(switch(), method)
    assert result.verdict == "certified_global"
    assert result.upper_objective == pytest.approx(0.0, abs=1e-6)
    assert any("when not needed" in note for note in result.notes)
    searched = bilevel.solve(switch(), "gp", budget=25)
    assert searched.upper_objective == pytest.approx(result.upper_objective, abs=1e-4)


@pytest.mark.parametrize("method", ["kkt", "value_function"])
def test_an_exact_path_refuses_where_rest_makes_a_difference(method):
    model = switch()
    model.row = pyo.Constraint(expr=model.size + model.use <= 1.4)
    with pytest.raises(RefusedError, match=r"size of when.*fix use and deactivate when"):
        bilevel.solve(model, method)
    assert bilevel.solve(model, "auto", budget=25).upper["size"] == pytest.approx(0.3, abs=1e-2)
