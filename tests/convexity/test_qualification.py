"""Whether a Slater point is in sight for every x."""

import pyomo.environ as pyo
import pytest
from pyomo.environ import exp, log, sqrt

from bilevel import LowerLevel, Problem, maximum
from bilevel.convexity.examination import convexity_of
from bilevel.programs.compilation import Compilation


def examine(rows, *, objective=None, x=(0, 1), y=(-2, 2)):
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=x)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([0, 1], bounds=y)
    expression = model.lower.y[0] + model.lower.y[1] if objective is None else objective(model.x, model.lower.y)
    model.lower.obj = pyo.Objective(expr=expression)
    model.lower.rows = pyo.ConstraintList()
    for row in rows:
        model.lower.rows.add(row(model.x, model.lower.y))
    model.obj = pyo.Objective(expr=model.x[0] + model.lower.y[0])
    problem = Problem.read(model)
    found = convexity_of(problem, Compilation(problem))["lower"]
    assert found.verdict == "proved", found.reason
    return found


def disc(radius):
    return lambda x, y: y[0] ** 2 + y[1] ** 2 <= radius(x)


QUALIFIED = {
    "affine": ([lambda x, y: x[0] * y[0] + y[1] <= x[1], lambda x, y: y[0] == x[0]], {}),
    "affine without an interior": ([lambda x, y: y[0] <= x[0], lambda x, y: y[0] >= x[0]], {}),
    "fixed disc": ([disc(lambda x: 1)], {}),
    "disc of changing size": ([disc(lambda x: x[0])], {"x": (0.1, 1)}),
    "disc that moves out of any one point": ([lambda x, y: (y[0] - 3 * x[0]) ** 2 + y[1] ** 2 <= 1], {"y": (-5, 5)}),
    "epigraph": ([lambda x, y: exp(y[0]) <= y[1] + x[0] + 2], {}),
    "domain": ([lambda x, y: log(y[0]) + log(y[1]) >= 0], {}),
    "maximum": ([lambda x, y: maximum([y[0], 1 - y[0], x[0]]) <= 2], {}),
    "on an equality": ([disc(lambda x: 4), lambda x, y: y[0] + y[1] == x[0]], {}),
    "infeasible for some x by far": ([disc(lambda x: x[0]), lambda x, y: x[0] >= 0.5], {}),
    "one x alone": ([disc(lambda x: x[0])], {"x": (1, 1)}),
    "unbounded x": ([disc(lambda x: 1 + x[0] ** 2)], {"x": (None, None)}),
    "maximised": ([lambda x, y: -(y[0] ** 2) >= -1], {"objective": lambda x, y: exp(y[0] - x[0])}),
}

NOT_QUALIFIED = {
    "the disc shrinks to a point": ([disc(lambda x: x[0])], {}),
    "a point for every x": ([lambda x, y: (y[0] - x[0]) ** 2 <= 0], {}),
    "two discs touch": ([lambda x, y: (y[0] - 1) ** 2 <= 1, lambda x, y: (y[0] + 1) ** 2 <= 1], {}),
    "an affine row cuts down to the edge": ([disc(lambda x: 1), lambda x, y: y[0] >= 1], {}),
    "an equality on the edge": ([disc(lambda x: 1), lambda x, y: y[0] == x[0]], {}),
    "infeasible from some x on": ([disc(lambda x: x[0] - 0.5)], {}),
    "root": ([], {"objective": lambda x, y: -sqrt(y[0]) + y[1], "y": (0, 2)}),
    "norm": ([], {"objective": lambda x, y: sqrt(y[0] ** 2 + y[1] ** 2)}),
    "norm in a row": ([lambda x, y: sqrt(y[0] ** 2 + y[1] ** 2) <= 1], {}),
}


@pytest.mark.parametrize("name", QUALIFIED)
def test_a_slater_point_is_found_for_every_x(name):
    rows, options = QUALIFIED[name]
    found = examine(rows, **options)
    assert found.qualified, found.reason


@pytest.mark.parametrize("name", NOT_QUALIFIED)
def test_none_is_claimed_where_none_is(name):
    rows, options = NOT_QUALIFIED[name]
    found = examine(rows, **options)
    assert not found.qualified
    assert "but" in found.reason


def test_rows_are_qualified_the_other_way_round():
    assert examine([lambda x, y: -(y[0] ** 2) - y[1] ** 2 >= -1]).qualified
    assert not examine([lambda x, y: -(y[0] ** 2) - y[1] ** 2 >= -x[0]]).qualified
