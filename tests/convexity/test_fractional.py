"""Saturation: the same verdict however it is written, and never one that chords contradict."""

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyomo.environ import exp

from bilevel import LowerLevel
from bilevel.convexity.curvature import curvatures
from bilevel.convexity.examination import convexity_of
from bilevel.graphs.intervals import Graph
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem

SATURATION = {
    "R s/(s + K)": lambda s, R, K: R * s / (s + K),
    "R s/(K + s)": lambda s, R, K: R * s / (K + s),
    "R (s/(s + K))": lambda s, R, K: R * (s / (s + K)),
    "R (1 - K/(s + K))": lambda s, R, K: R * (1 - K / (s + K)),
    "R - R K/(s + K)": lambda s, R, K: R - R * K / (s + K),
    "R/(1 + K/s)": lambda s, R, K: R / (1 + K / s),
    "R s (s + K)^-1": lambda s, R, K: R * s * (s + K) ** -1,
    "(s/K)/(1 + s/K)": lambda s, R, K: R * (s / K) / (1 + s / K),
    "1/(1/R + K/(R s))": lambda s, R, K: 1 / (1 / R + K / (R * s)),
    "a fraction": lambda s, R, K: (R * s + 0.1) / (2 * s + K),
}
HILL = {
    "quotient": lambda s, R, K, a: R * s**a / (s**a + K**a),
    "reciprocal": lambda s, R, K, a: R / (1 + (K / s) ** a),
    "power": lambda s, R, K, a: R / (1 + (s / K) ** (-a)),
}
LOGISTIC = {
    "reciprocal": lambda s, R, K: R / (1 + exp(-(s - K))),
    "quotient": lambda s, R, K: R * exp(s - K) / (1 + exp(s - K)),
}


def verdict(f, low=0.1, high=1000.0, sense=pyo.maximize, moving=False):
    """Of three channels under a budget; K is data, or the leader's."""
    model = pyo.ConcreteModel()
    model.B, model.K = pyo.Var(bounds=(1, 10)), pyo.Var(bounds=(0.5, 2))
    model.lower = LowerLevel()
    model.lower.s = s = pyo.Var([0, 1, 2], bounds=(low, high))
    model.lower.budget = pyo.Constraint(expr=sum(s.values()) <= model.B)
    K = model.K if moving else 0.8
    model.lower.obj = pyo.Objective(expr=sum((i + 1) * f(s[i], 4, K) for i in s), sense=sense)
    model.obj = pyo.Objective(expr=model.B + model.K + s[0])
    problem = Problem.read(model)
    return convexity_of(problem, Compilation.of(problem))["lower"]


@pytest.mark.parametrize("moving", [False, True], ids=["K given", "K the leader's"])
@pytest.mark.parametrize("form", SATURATION)
def test_saturation_is_concave_however_it_is_written(form, moving):
    found = verdict(SATURATION[form], moving=moving)
    assert found.verdict == "proved", found.reason
    assert found.qualified


def test_saturation_is_not_convex():
    assert verdict(SATURATION["R s/(s + K)"], sense=pyo.minimize).verdict == "refuted"


@pytest.mark.parametrize("form", HILL)
def test_hill_is_concave_where_it_is(form):
    assert verdict(lambda s, R, K: HILL[form](s, R, K, 0.7)).verdict == "proved"
    assert verdict(lambda s, R, K: HILL[form](s, R, K, 2), low=3.0, moving=True).verdict == "proved"
    assert verdict(lambda s, R, K: HILL[form](s, R, K, 2)).verdict == "refuted"


def test_a_hill_exponent_of_the_leader():
    model = pyo.ConcreteModel()
    model.a = pyo.Var(bounds=(0.3, 1.0))
    model.lower = LowerLevel()
    model.lower.s = s = pyo.Var([0, 1], bounds=(0.1, 50))
    model.lower.budget = pyo.Constraint(expr=s[0] + s[1] <= 9)
    gain = sum(c * s[i] ** model.a / (s[i] ** model.a + 2.0**model.a) for i, c in enumerate((3, 5)))
    model.lower.obj = pyo.Objective(expr=gain + s[0] ** model.a, sense=pyo.maximize)
    model.obj = pyo.Objective(expr=s[0] + model.a)
    problem = Problem.read(model)
    assert convexity_of(problem, Compilation.of(problem))["lower"].verdict == "proved"


@pytest.mark.parametrize("form", LOGISTIC)
def test_the_logistic_is_concave_beyond_its_middle(form):
    assert verdict(LOGISTIC[form], low=3.0, moving=True).verdict == "proved"
    assert verdict(LOGISTIC[form]).verdict == "refuted"


def test_a_pole_in_the_box_proves_nothing():
    assert verdict(SATURATION["R/(1 + K/s)"], low=0.0).verdict != "proved"


COEFFICIENTS = st.floats(-3, 3).map(lambda v: round(v, 1))
POWERS = st.sampled_from([1.0, 2.0, 3.0, 0.5, -0.5, -1.0, 1.5, None])


@settings(max_examples=300)
@given(st.lists(COEFFICIENTS, min_size=4, max_size=4), POWERS, st.floats(0.1, 3), st.floats(0.1, 4), st.booleans())
def test_what_is_claimed_holds_along_chords(coefficients, exponent, low, width, apart):
    a, b, c, d = coefficients
    x, y = ca.SX.sym("x"), ca.SX.sym("y")
    u = ca.exp(y) if exponent is None else y**exponent
    q = (a * u + b) / (c * u + d * x) if not apart else a + b / (c * u + d * x)
    graph = Graph(x, y, q)
    box = (low, low + width)
    shape = curvatures(graph, graph.enclose([(1.0, 1.2)], [box]))[0]
    if not (shape.convex or shape.concave):
        return
    value = ca.Function("q", [x, y], [q])
    points = np.linspace(*box, 41)
    for at in (1.0, 1.2):
        values = np.array([float(value(at, p)) for p in points])
        if not np.isfinite(values).all():
            continue
        bend = values[2:] - 2 * values[1:-1] + values[:-2]
        slack = 1e-9 * max(1.0, np.abs(values).max())
        assert not shape.convex or bend.min() >= -slack
        assert not shape.concave or bend.max() <= slack
