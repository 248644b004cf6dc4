"""Ranges hold: no value of a graph leaves the range computed for it."""

import math

import casadi as ca
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.graphs.intervals import ENTIRE, Graph, covered, halves, power, product, quotient, square

X, Y = ca.SX.sym("x", 1), ca.SX.sym("y", 1)

FUNCTIONS = {
    "sum": X + Y,
    "difference": X - 2 * Y,
    "product": X * Y,
    "ratio": X / Y,
    "square": (X - Y) ** 2,
    "cube": X**3,
    "inverse square": X**-2,
    "real power": X**1.5,
    "exponent": X**Y,
    "root": ca.sqrt(X),
    "exponential": ca.exp(-X * Y),
    "logarithm": ca.log(X) + ca.log1p(Y),
    "sine": ca.sin(X),
    "cosine": ca.cos(3 * X),
    "tangent": ca.tan(X),
    "inverse sine": ca.asin(X) - ca.acos(Y),
    "inverse tangent": ca.atan(X),
    "hyperbolic": ca.sinh(X) + ca.tanh(Y),
    "hyperbolic cosine": ca.cosh(X),
    "inverse hyperbolic": ca.asinh(X) + ca.acosh(Y) + ca.atanh(X),
    "error function": ca.erf(X),
    "absolute value": ca.fabs(X) - ca.fmin(X, Y) + ca.fmax(X, 2 * Y),
    "steps": ca.floor(X) + ca.ceil(Y) + ca.sign(X),
    "branch": ca.if_else(X > Y, ca.exp(X), -Y),
    "unknown to us": ca.atan2(X, Y),
}
SIDES = st.tuples(st.floats(-8, 8), st.floats(-8, 8)).map(lambda ends: (min(ends), max(ends)))


def within(value, side):
    slack = 1e-12 * (1 + abs(value))
    return math.isnan(value) or side[0] - slack <= value <= side[1] + slack


@pytest.mark.parametrize("name", FUNCTIONS)
@given(x=SIDES, y=SIDES, seed=st.integers(0, 10**6))
def test_no_value_leaves_its_range(name, x, y, seed):
    graph = Graph(X, Y, FUNCTIONS[name])
    (found,) = (graph.enclose([x], [y])[node] for node in graph.outputs)
    value = ca.Function("value", [X, Y], [FUNCTIONS[name]])
    random = np.random.default_rng(seed)
    points = [*zip(random.uniform(*x, 20), random.uniform(*y, 20), strict=True), (x[0], y[0]), (x[1], y[1])]
    assert all(within(float(value(a, b)), found) for a, b in points)


def test_unbounded_ends():
    assert product((0.0, math.inf), ENTIRE) == ENTIRE
    assert product((0.0, 0.0), ENTIRE) == (0, 0)
    assert quotient((1.0, 1.0), (0.0, 2.0)) == (0.5, math.inf)
    assert quotient((1.0, 1.0), (-1.0, 1.0)) == ENTIRE
    assert quotient((1.0, math.inf), (1.0, math.inf)) == (0, math.inf)
    assert square((-math.inf, 1.0)) == (0, math.inf)
    assert power((-2.0, 1.0), (3.0, 3.0)) == (-8, 1)
    assert power((-2.0, 1.0), (2.0, 2.0)) == (0, 4)
    assert power((-2.0, 1.0), (1.0, 2.0)) == ENTIRE
    assert power((2.0, 4.0), (-1.0, -1.0)) == (0.25, 0.5)


def test_only_what_depends_on_y_has_to_be_smooth():
    def smooth(function, y=(-1.0, 1.0), **options):
        graph = Graph(X, Y, function)
        return graph.smooth(graph.enclose([(-1.0, 1.0)], [y]), **options)

    assert smooth(ca.fabs(X) * Y + ca.log(X) * Y**2)
    assert not smooth(ca.fabs(Y))
    assert smooth(ca.fabs(Y), kinks=True)
    assert not smooth(ca.if_else(Y > 0, Y, 0), kinks=True)
    assert not smooth(1 / Y)
    assert smooth(1 / Y, (0.5, 1.0))
    assert not smooth(ca.log(Y), (0.0, 1.0))
    assert not smooth(ca.sqrt(Y), (0.0, 1.0))
    assert smooth(Y**3)
    assert not smooth(Y**1.5)


@given(st.lists(SIDES, min_size=1, max_size=3))
def test_halves_cover_a_box(box):
    parts = halves(box, [True] * len(box), box)
    if parts is None:
        assert all(low == high for low, high in box)
    else:
        first, second = parts
        k = next(k for k, (low, high) in enumerate(box) if low < high)
        assert (first[k][0], second[k][1]) == box[k]
        assert first[k][1] == second[k][0]
        assert all(first[j] == second[j] == box[j] for j in range(len(box)) if j != k)


@pytest.mark.parametrize("side", [ENTIRE, (3.0, math.inf), (-math.inf, -7.0), (-1.0, math.inf)])
def test_infinite_sides_are_cut_at_a_number_and_in_turn_with_the_others(side):
    first, second = halves([side, (0.0, 1.0)], [True, True], [side, (0.0, 1.0)])
    assert math.isfinite(first[0][1])
    assert first[0][1] == second[0][0]
    assert side[0] < first[0][1] < side[1]
    left, _ = halves(second, [True, True], [side, (0.0, 1.0)])
    assert left == [second[0], (0.0, 0.5)]


def test_covered_splits_until_its_budget_ends():
    assert covered([(0.0, 1.0)], [True], lambda box: box[0][1] - box[0][0] < 0.1, 100)
    assert not covered([(0.0, 1.0)], [True], lambda box: box[0][1] - box[0][0] < 0.1, 10)
    assert not covered([(0.0, 1.0)], [False], lambda box: False, 100)
    assert covered([], [], lambda box: True, 1)


def test_covered_stops_where_no_splitting_helps():
    seen = []
    assert not covered([(0.0, 1.0)], [True], lambda box: seen.append(box), 100)
    assert seen == [[(0.0, 1.0)]]
