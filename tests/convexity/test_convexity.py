"""Convex, not convex, or not known: a list of followers."""

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.environ import cos, cosh, exp, log, sin, sqrt, tanh

from bilevel import LowerLevel, Problem, maximum
from bilevel.convexity.examination import convexity_of
from bilevel.programs.compilation import Compilation

UNIT, BOTH, POSITIVE, FREE = (0, 1), (-2, 2), (0, 2), (None, None)
INSIDE = (0.1, 2)


def build(objective, rows=(), *, x=UNIT, y=BOTH, n=3, sense=pyo.minimize, within=pyo.Reals):
    """A follower with n variables; the leader has three."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1, 2], bounds=x)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(n), bounds=y, within=within)
    model.lower.obj = pyo.Objective(expr=objective(model.x, model.lower.y), sense=sense)
    model.lower.rows = pyo.ConstraintList()
    for row in rows:
        model.lower.rows.add(row(model.x, model.lower.y))
    model.obj = pyo.Objective(expr=model.x[0] + model.lower.y[0])
    return model


def examine(*args, **kwargs):
    problem = Problem.read(build(*args, **kwargs))
    return convexity_of(problem, Compilation(problem))["lower"]


CONVEX = {
    "residual": (lambda x, y: (y[0] - x[0]) ** 2, {}),
    "residuals with coefficients in x": (
        lambda x, y: (y[0] * sin(x[0]) + y[1] / (x[1] - 0.5) - x[2]) ** 2,
        {"y": FREE},
    ),
    "product of equals": (lambda x, y: (y[0] - 1) * (y[0] - 1), {"y": FREE}),
    "positive definite": (lambda x, y: y[0] ** 2 - y[0] * y[1] + y[1] ** 2, {"y": FREE}),
    "semidefinite": (lambda x, y: y[0] ** 2 - 2 * y[0] * y[1] + y[1] ** 2, {"y": FREE}),
    "quadratic part beside another": (lambda x, y: exp(y[0]) + y[0] ** 2 - 2 * y[0] * y[1] + y[1] ** 2, {}),
    "halved": (lambda x, y: (y[0] ** 2 - 2 * y[0] * y[1] + 3 * y[1] ** 2 - log(y[2])) / 2, {"y": INSIDE}),
    "data of known sign": (lambda x, y: x[0] * (1 + x[1]) * exp(y[0]), {}),
    "data of known sign, found by branching": (lambda x, y: (x[0] ** 2 - x[0] + 0.3) * (y[0] - 1) ** 2, {"y": FREE}),
    "affine in x": (lambda x, y: x[0] * y[0] ** 2 + x[1] * y[0] * y[1] + 2 * x[2] * y[1] ** 2, {"x": (1, 1.5)}),
    "affine in unbounded x": (lambda x, y: (1 + x[0]) * (y[0] ** 2 + y[1] ** 2) + y[0] * y[1], {"x": (0, None)}),
    "not affine in x": (
        lambda x, y: (x[0] * y[0]) ** 2 + (x[1] * y[1]) ** 2 + x[0] * x[1] * y[0] * y[1],
        {"x": (1, 2)},
    ),
    "cube of a positive": (lambda x, y: y[0] ** 3, {"y": POSITIVE}),
    "fourth power": (lambda x, y: (y[0] - x[0]) ** 4, {"y": FREE}),
    "real power": (lambda x, y: y[0] ** 1.5, {"y": POSITIVE}),
    "exponent in x": (lambda x, y: (y[0] + 1) ** (1 + x[0]), {"y": POSITIVE}),
    "base in x": (lambda x, y: (1 + x[0]) ** y[0], {}),
    "barrier": (lambda x, y: -log(y[0]) - log(1 - y[0] - y[1]), {"y": FREE}),
    "inverse": (lambda x, y: 1 / y[0] + y[1] ** -2 + y[2] ** -0.5, {"y": INSIDE}),
    "inverse of a negative": (lambda x, y: -1 / y[0] + y[0] ** -2, {"y": (-2, -0.1)}),
    "entropy": (lambda x, y: y[0] * log(y[0]), {"y": POSITIVE}),
    "relative entropy": (lambda x, y: y[0] * log(y[0] / y[1]), {"y": POSITIVE}),
    "logistic loss": (lambda x, y: log(1 + exp(-x[0] * y[0] - y[1])), {"y": FREE, "x": (-1, 1)}),
    "log-sum-exp": (lambda x, y: log(exp(y[0]) + exp(2 * y[1]) + exp(y[2] - x[0])), {"y": FREE}),
    "norm": (lambda x, y: sqrt(y[0] ** 2 + (y[1] - x[0]) ** 2 + 1), {"y": FREE}),
    "quadratic over linear": (lambda x, y: (y[0] ** 2 + y[1] ** 2) / (y[2] + 1), {"y": POSITIVE}),
    "absolute values": (lambda x, y: abs(y[0] - x[0]) + maximum([y[0], y[1] ** 2]), {"y": FREE}),
    "squared hinge": (lambda x, y: maximum([0, 1 - x[0] * y[0]]) ** 2, {"y": FREE}),
    "hyperbolic cosine": (lambda x, y: cosh(y[0] - x[0]), {}),
    "Cobb-Douglas": (lambda x, y: -(y[0] ** 0.3) * y[1] ** 0.7, {"y": INSIDE}),
    "geometric mean": (lambda x, y: -sqrt(y[0] * y[1]), {"y": INSIDE}),
    "log of a product": (lambda x, y: -log(y[0] * y[1]), {"y": INSIDE}),
    "linear fractional": (lambda x, y: -y[0] / (1 + y[0]), {"y": POSITIVE}),
    "convex only where x >= 0": (lambda x, y: x[0] * y[0] ** 2, {"x": (0, 1)}),
    "convex only on part of the line": (lambda x, y: -sin(y[0]), {"y": (0, 3)}),
    "a little sine": (lambda x, y: y[0] ** 2 + 0.1 * sin(y[0]) * cos(y[1]) + y[1] ** 2, {"y": FREE}),
    "data alone": (lambda x, y: y[0] + x[0] * x[1] - exp(x[2]), {}),
}

NOT_CONVEX = {
    "bilinear": lambda x, y: y[0] * y[1],
    "saddle": lambda x, y: y[0] ** 2 - 3 * y[0] * y[1] + y[1] ** 2,
    "badly scaled": lambda x, y: 1e12 * y[0] ** 2 - y[1] ** 2,
    "x may be negative": lambda x, y: (x[0] - 0.5) * y[0] ** 2,
    "concave": lambda x, y: -exp(y[0]),
    "cube": lambda x, y: y[0] ** 3,
    "sine": lambda x, y: sin(3 * y[0]),
    "two branches": lambda x, y: 1 / (y[0] * y[0]),
    "two branches of a logarithm": lambda x, y: -log(y[0] ** 2),
    "concave kink": lambda x, y: -abs(y[0]),
    "minimum": lambda x, y: -maximum([y[0], 1 - y[0]]),
    "bump": lambda x, y: -exp(-((y[0] - x[0]) ** 2)),
    "sigmoid": lambda x, y: tanh(y[0]),
    "maximum beyond a domain": lambda x, y: maximum([y[0] - y[1], y[0] * log(y[0])]),
}


@pytest.mark.parametrize("name", CONVEX)
def test_proves_convex_objectives_and_rows_in_either_sense(name):
    function, boxes = CONVEX[name]
    for found in (
        examine(function, **boxes),
        examine(lambda x, y: -function(x, y), sense=pyo.maximize, **boxes),
        examine(lambda x, y: y[0], [lambda x, y: function(x, y) <= 1], **boxes),
        examine(lambda x, y: y[0], [lambda x, y: -function(x, y) >= -1], **boxes),
    ):
        assert found.verdict == "proved", found.reason
        assert found.witness is None


@pytest.mark.parametrize("name", NOT_CONVEX)
def test_refutes_what_is_not_convex_in_either_sense(name):
    function = NOT_CONVEX[name]
    for found in (examine(function), examine(lambda x, y: -function(x, y), sense=pyo.maximize)):
        assert found.verdict == "refuted", found.reason
        assert "lower.obj is not con" in found.reason
        assert not found.qualified
    for rows in (
        [lambda x, y: function(x, y) <= y[2]],
        [lambda x, y: -function(x, y) >= y[2]],
        [lambda x, y: function(x, y) == y[2]],
    ):
        assert examine(lambda x, y: y[0], rows).verdict != "proved"
    assert examine(function, x=(-3, 3), y=FREE).verdict != "proved"


SMOOTH = ["bilinear", "saddle", "badly scaled", "x may be negative", "concave", "cube", "sine", "bump", "sigmoid"]


@pytest.mark.parametrize("name", SMOOTH)
def test_the_hessian_is_indefinite_at_a_witness(name):
    problem = Problem.read(build(NOT_CONVEX[name]))
    compilation = Compilation(problem)
    program = compilation.programs["lower"]
    witness = convexity_of(problem, compilation)["lower"].witness
    x = [witness.get(var.name, 0.0) for var in problem.variables]
    y = [witness[name] for name in program.names]
    assert program.violation(x, np.array(y)) == 0
    hessian = ca.Function("hessian", [program.parameters, program.variables], [program.hessian])(x, y).full()
    assert np.linalg.eigvalsh(hessian)[0] < 0


@pytest.mark.parametrize("bounds", [(0, 1), (0.5, 2), (-1, 1)])
def test_sign_of_the_data_decides(bounds):
    found = examine(lambda x, y: x[0] * y[0] ** 2, x=bounds)
    assert found.verdict == ("refuted" if bounds[0] < 0 else "proved")


def test_blames_the_term_and_says_where():
    found = examine(lambda x, y: y[0] ** 2 + y[2] ** 2 - y[1] ** 2, n=3)
    assert found.verdict == "refuted"
    assert "lower.obj is not convex: the term -lower.y[1]**2 bends the wrong way" in found.reason
    assert set(found.witness) == {"lower.y[0]", "lower.y[1]", "lower.y[2]"}


def test_a_row_is_blamed_by_name():
    found = examine(lambda x, y: y[0], [lambda x, y: y[0] + y[1] <= 1, lambda x, y: y[0] * y[1] >= 1])
    assert found.verdict == "refuted"
    assert found.reason.startswith("lower.rows[2] is not concave")
    assert found.witness["lower.y[0]"] * found.witness["lower.y[1]"] >= 1 - 1e-6


def test_integers_are_refuted():
    found = examine(lambda x, y: y[0] ** 2, within=pyo.Integers)
    assert (found.verdict, found.qualified) == ("refuted", False)
    assert "lower.y[0] is integer" in found.reason


def test_a_response_function_is_unknown():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel(response=lambda x: {"y": x["x"]})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.x + model.lower.y)
    problem = Problem.read(model)
    found = convexity_of(problem, Compilation(problem))["lower"]
    assert (found.verdict, found.qualified) == ("unknown", False)
    assert "response function" in found.reason


def test_followers_are_judged_apart():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel([1, -1])
    for sign in (1, -1):
        model.lower[sign].y = pyo.Var(bounds=(0, 1))
        model.lower[sign].obj = pyo.Objective(expr=sign * (model.lower[sign].y - model.x) ** 2)
    model.obj = pyo.Objective(expr=model.x + model.lower[1].y + model.lower[-1].y)
    problem = Problem.read(model)
    found = convexity_of(problem, Compilation(problem))
    assert {name: each.verdict for name, each in found.items()} == {"lower[1]": "proved", "lower[-1]": "refuted"}


def test_affine_equalities_leave_their_null_space():
    rows = [lambda x, y: y[0] + y[1] == x[0]]
    assert examine(lambda x, y: -y[0] * y[1], rows).verdict == "proved"  # y0 (y0 - x0)
    assert examine(lambda x, y: y[0] * y[1], rows).verdict == "refuted"
    twice = [*rows, lambda x, y: 2 * y[0] + 2 * y[1] == 2 * x[0]]  # dependent rows leave no less
    assert examine(lambda x, y: -y[0] * y[1] - y[2] ** 2, twice).verdict == "refuted"
    moving = [lambda x, y: y[0] + (1 + x[0]) * y[1] == 1]  # not constant: not used
    assert examine(lambda x, y: -y[0] * y[1], moving).verdict != "proved"


def test_equalities_have_to_be_affine():
    assert examine(lambda x, y: y[0], [lambda x, y: x[0] * y[0] + sin(x[1]) * y[1] == x[2]]).verdict == "proved"
    assert examine(lambda x, y: y[0], [lambda x, y: (y[0] + 1) ** 2 - y[0] ** 2 == x[0]]).verdict == "proved"
    found = examine(lambda x, y: y[0], [lambda x, y: y[0] ** 2 == x[0]])
    assert found.verdict == "refuted"
    assert "is not affine" in found.reason


def test_an_idle_row_asks_nothing_unless_its_domain_is_odd():
    assert examine(lambda x, y: y[0], [lambda x, y: -(y[0] ** 2) <= 1]).verdict == "proved"
    assert examine(lambda x, y: y[0], [lambda x, y: (-1, y[0] ** 2, 2)]).verdict == "proved"
    assert examine(lambda x, y: y[0], [lambda x, y: (1, y[0] ** 2, 2)]).verdict != "proved"
    assert examine(lambda x, y: y[0], [lambda x, y: log(y[0]) <= 100]).verdict == "proved"
    assert examine(lambda x, y: y[0], [lambda x, y: log(y[0] ** 2 - 1) <= 100]).verdict != "proved"


def test_nonconvexity_outside_the_rows_is_unknown():
    assert examine(lambda x, y: y[0] ** 3, [lambda x, y: y[0] >= 0.5]).verdict == "unknown"


def test_upper_values_are_taken_from_their_domain():
    model = build(lambda x, y: (x[0] - 2.5) * y[0] ** 2, x=(1, 4))
    model.x[0].domain = pyo.Set(initialize=[1, 3, 4])
    model.x[0].domain.construct()
    problem = Problem.read(model)
    found = convexity_of(problem, Compilation(problem))["lower"]
    assert found.verdict == "refuted"
    assert found.witness["x[0]"] == 1


@pytest.mark.parametrize(
    ("function", "smooth"),
    [
        (lambda x, y: (y[0] - x[0]) ** 2, True),
        (lambda x, y: abs(y[0]), True),  # an epigraph
        (lambda x, y: maximum([exp(y[0]), 1]), False),
        (lambda x, y: abs(x[0]) * y[0] ** 2, True),
        (lambda x, y: abs(y[0] + 3), True),
        (lambda x, y: maximum([y[0], 0]), True),
        (lambda x, y: sqrt(y[0] ** 2 + y[1] ** 2), False),
        (lambda x, y: sqrt(y[0] ** 2 + y[1] ** 2 + 1), True),
    ],
)
def test_smooth_where_no_kink_depends_on_y(function, smooth):
    assert examine(function).smooth is smooth
