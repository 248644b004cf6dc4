"""What is proved or refuted, against random chords, Hessians and eigenvalues."""

import math

import casadi as ca
import numpy as np
import pyomo.environ as pyo
from hypothesis import given, settings
from hypothesis import strategies as st
from pyomo.environ import cos, exp, log, sin, sqrt

from bilevel import LowerLevel, Problem
from bilevel.convexity.curvature import curvatures
from bilevel.convexity.examination import convexity_of
from bilevel.graphs.intervals import Graph
from bilevel.programs.compilation import Compilation

FREE = (None, None)


def build(objective, *, y=(-2, 2), n=3, sense=pyo.minimize):
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(n), bounds=y)
    model.lower.obj = pyo.Objective(expr=objective(model.x, model.lower.y), sense=sense)
    model.obj = pyo.Objective(expr=model.x[0] + model.lower.y[0])
    return model


def examine(*args, **kwargs):
    problem = Problem.read(build(*args, **kwargs))
    return convexity_of(problem, Compilation(problem))["lower"]


ENTRIES = st.floats(-2, 2).map(lambda v: round(v, 2))


@given(st.integers(1, 4), st.data())
def test_random_gram_matrices_are_proved_and_their_negatives_refuted(n, data):
    factor = np.array(data.draw(st.lists(ENTRIES, min_size=n * n, max_size=n * n))).reshape(n, n)
    factor = factor[: data.draw(st.integers(1, n))]
    gram = factor.T @ factor
    form = lambda x, y: y[0] + sum(gram[i, j] * y[i] * y[j] for i in range(n) for j in range(n))  # noqa: E731
    found = examine(form, n=n, y=FREE)
    assert found.verdict == "proved", found.reason
    if gram.any():
        assert examine(lambda x, y: -form(x, y), n=n, y=FREE).verdict == "refuted"
        assert examine(lambda x, y: -form(x, y), n=n, y=FREE, sense=pyo.maximize).verdict == "proved"


@given(st.lists(ENTRIES, min_size=9, max_size=9))
def test_random_forms_are_judged_by_their_eigenvalues(entries):
    matrix = np.array(entries).reshape(3, 3)
    matrix = (matrix + matrix.T) / 2
    smallest = np.linalg.eigvalsh(matrix)[0]
    found = examine(lambda x, y: y[0] + sum(matrix[i, j] * y[i] * y[j] for i in range(3) for j in range(3)), y=FREE)
    if abs(smallest) > 1e-6:
        assert found.verdict == ("proved" if smallest > 0 else "refuted")


def _trees(y, x):
    """Expressions in two lower and two upper symbols, as CasADi has them; many leave their domains."""
    leaves = st.sampled_from(
        [y[0], y[1], y[0] - y[1], x[0] * y[0] + y[1], x[0], x[1], 1 - y[0], ca.SX(2.0), ca.SX(-0.5)]
    )
    unary = st.sampled_from(
        [
            *(ca.exp, ca.log, ca.sqrt, ca.fabs, ca.sinh, ca.cosh, ca.tanh, ca.sin, ca.cos, ca.atan, ca.log1p),
            *(
                lambda e: -e,
                lambda e: 1 / e,
                lambda e: e**3,
                lambda e: e**2,
                lambda e: e**-2,
                lambda e: e**1.5,
                lambda e: e ** x[0],
            ),
            *(lambda e: e * ca.log(e), lambda e: (2 + x[1]) ** e, lambda e: e * e**2),
        ]
    )
    binary = st.sampled_from(
        [
            *(lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b),
            *(ca.fmax, ca.fmin, lambda a, b: a * ca.log(a / b), lambda a, b: a**2 / b),
        ]
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(lambda f, a: f(a), unary, inner) | st.builds(lambda f, a, b: f(a, b), binary, inner, inner)
        ),
        max_leaves=6,
    )


X, Y = ca.SX.sym("x", 2), ca.SX.sym("y", 2)


@settings(max_examples=200)
@given(_trees(Y, X), st.sampled_from([(-1.0, 1.0), (0.0, 1.0), (0.5, 2.0), (-2.0, 0.0)]), st.integers(0, 10**6))
def test_no_chord_contradicts_composition(function, side, seed):
    graph = Graph(X, Y, function)
    (found,) = curvatures(graph, graph.enclose([(-1.0, 1.0)] * 2, [side] * 2))
    for sign, claimed in ((1, found.convex), (-1, found.concave)):
        if not claimed:
            continue
        value = ca.Function("value", [X, Y], [sign * function])
        random = np.random.default_rng(seed)
        for _ in range(20):
            x, (a, b) = random.uniform(-1, 1, 2), random.uniform(*side, (2, 2))
            weight = random.choice([0.1, 0.5, 0.9])
            one, other, between = (float(value(x, y)) for y in (a, b, weight * a + (1 - weight) * b))
            if math.isfinite(one) and math.isfinite(other):
                assert between <= weight * one + (1 - weight) * other + 1e-9 * (1 + abs(one) + abs(other))


COEFFICIENTS = st.sampled_from(
    [lambda x: 1.0, lambda x: -0.5, lambda x: x[0], lambda x: x[0] * x[1], lambda x: exp(x[0]), lambda x: x[0] - x[1]]
)
TERMS = st.sampled_from(
    [
        *(
            lambda y: y[0] * y[1],
            lambda y: y[0] ** 4,
            lambda y: sin(y[0]),
            lambda y: cos(y[0] - y[1]),
            lambda y: y[1] ** 3,
        ),
        *(lambda y: y[0] / (y[1] + 4), lambda y: log(1 + y[0] ** 2), lambda y: (y[0] - 2 * y[1]) ** 2),
        *(lambda y: sqrt(1 + y[0] ** 2 + y[1] ** 2), lambda y: exp(y[0] * y[1]), lambda y: abs(y[0] - y[1])),
    ]
)


@given(st.lists(st.tuples(COEFFICIENTS, TERMS), min_size=1, max_size=3), st.sampled_from([0.0, 1.0, 5.0]), st.data())
def test_no_hessian_contradicts_a_proof(terms, weight, data):
    def function(x, y):
        return weight * (y[0] ** 2 + y[1] ** 2) + sum(c(x) * f(y) for c, f in terms) + y[0] + y[1]

    problem = Problem.read(build(function, n=2))
    compilation = Compilation(problem)
    found = convexity_of(problem, compilation)["lower"]
    if found.verdict == "proved":
        program = compilation.programs["lower"]
        hessian = ca.Function("hessian", [program.parameters, program.variables], [program.hessian])
        random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
        for _ in range(20):
            values = hessian(random.uniform(0, 1, len(problem.variables)), random.uniform(-2, 2, program.n)).full()
            assert np.linalg.eigvalsh(values)[0] >= -1e-7
