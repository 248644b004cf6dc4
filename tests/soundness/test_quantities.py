"""The same problem in other units, with constants, in either sense: the same answer, and never a better word.

Truths by a grid and a zoom in numpy, of formulas written here a second time.
"""

import math

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, registry
from bilevel.contracts.engine import Engine
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.results.result import Result

SECONDS = 8
METHODS = ["value_function", "auto"]
SATURATIONS = {
    "reciprocal": (lambda s, _: 4.0 * s / (s + 0.8), 0.1),
    "hill": (lambda s, _: 0.6 * s**2 / (s**2 + 0.05**2), 0.001),
    "exponential": (lambda s, m: 3.0 * (1.0 - m.exp(-s / 0.4)), 0.0),
    "root": (lambda s, _: 2.0 * s**0.6, 0.01),
}


def greatest(function, low, high):
    """The largest value of a function of one variable."""
    for _ in range(6):
        points = np.linspace(low, high, 2001)
        values = function(points)
        k, step = int(np.argmax(values)), points[1] - points[0]
        low, high = max(low, points[k] - 3 * step), min(high, points[k] + 3 * step)
    return float(values[k])


def sound(result: Result, sense: int, truth: float, size: float, *, certified: bool = False) -> None:
    """The verdict holds: no claim that there is no point, no bound beyond the truth, no certificate elsewhere."""
    assert result.verdict not in ("infeasible", "unbounded"), result.notes
    room = 1e-4 * size
    if result.bound is not None:
        assert sense * (result.bound - truth) <= room
    if certified:
        assert result.verdict == "certified_global", result.notes
    if result.verdict == "certified_global":
        assert result.upper_objective == pytest.approx(truth, abs=room)


def budget(kind, unit, money, sense, *, multiples=False, target=0.0):
    """max g(s) - B over B, s = B: ``unit`` of spend, ``money`` of return; the minimising leader takes the negative."""
    response, least = SATURATIONS[kind]
    m = pyo.ConcreteModel()
    if multiples:
        m.k = pyo.Var(within=pyo.Integers, bounds=(1, 10))
        spend = 0.1 * unit * m.k
    else:
        m.B = pyo.Var(bounds=(0.1 * unit, unit))
        spend = m.B
    m.lower = LowerLevel()
    m.lower.s = pyo.Var(bounds=(least * unit, unit))
    m.lower.total = pyo.Constraint(expr=m.lower.s <= spend)
    gain = money * response(m.lower.s / unit, pyo)
    m.lower.obj = pyo.Objective(expr=gain, sense=pyo.maximize)
    net = gain - 0.7 * money / unit * spend
    m.obj = pyo.Objective(expr=-sense * net, sense=pyo.minimize if sense > 0 else pyo.maximize)
    if target:
        m.target = pyo.Constraint(expr=gain >= target * money / unit * spend)

    def value(B):
        back = response(B, np)
        return np.where(back >= target * B, back - 0.7 * B, -np.inf)

    best = float(value(0.1 * np.arange(1, 11)).max()) if multiples else greatest(value, 0.1, 1.0)
    return m, -sense * money * best


SLOW = pytest.mark.slow
CURRENCIES = [
    ("reciprocal", 1e6, 1e6, "value_function"),
    ("hill", 1e6, 1e6, "auto"),
    *(
        pytest.param(kind, unit, money, method, marks=SLOW)
        for kind in SATURATIONS
        for unit, money in ((1.0, 1.0), (1e6, 1e6), (1e9, 1.0))
        for method in METHODS
    ),
]


@pytest.mark.parametrize(("kind", "unit", "money", "method"), CURRENCIES)
def test_a_budget_in_any_currency(kind, unit, money, method):
    model, truth = budget(kind, unit, money, 1)
    sound(bilevel.solve(model, method, time_limit=SECONDS), 1, truth, money, certified=unit == 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sense", [1, -1])
@pytest.mark.parametrize("kind", SATURATIONS)
@pytest.mark.parametrize("target", [0.0, 2.5])
@pytest.mark.parametrize("unit", [1e-3, 1e3, 1e6, 1e8])
def test_a_budget_in_steps_with_a_target(kind, unit, target, sense, method):
    model, truth = budget(kind, unit, unit, sense, multiples=True, target=target)
    if math.isfinite(truth):
        sound(bilevel.solve(model, method, time_limit=SECONDS), sense, truth, unit)


def test_dollars_and_millions_agree():
    found = []
    for unit in (1.0, 1e6):
        model, truth = budget("reciprocal", unit, unit, -1)
        result = bilevel.solve(model, "value_function", time_limit=SECONDS)
        assert result.verdict == "certified_global"
        assert result.upper_objective == pytest.approx(truth, rel=1e-5)
        found.append(result.upper_objective / unit)
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def one(f, F, x, y, *, sense=1, below=1, scale=1.0, constant=0.0, f_scale=1.0, f_constant=0.0):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=x)
    m.low = LowerLevel()
    m.low.y = pyo.Var(bounds=y)
    m.low.obj = pyo.Objective(
        expr=below * (f_scale * f(m.x, m.low.y) + f_constant), sense=pyo.minimize if below > 0 else pyo.maximize
    )
    m.obj = pyo.Objective(
        expr=sense * (scale * F(m.x, m.low.y) + constant), sense=pyo.minimize if sense > 0 else pyo.maximize
    )
    return m


@pytest.mark.parametrize("method", METHODS)
def test_what_only_the_followers_objective_mentions_moves_its_rows(method):
    """x stands in f alone: y = 2 - x/2 reaches 1 at x = 2; log(1 + exp(-.33 y)) + x y^2 has y = .1 at x = .8114."""
    kinked = one(lambda x, y: (y - 2) ** 2 + x * abs(y), lambda x, y: (y - 1) ** 2 + 100, (0, 5), (0, 20))
    sound(bilevel.solve(kinked, method, time_limit=SECONDS), 1, 100.0, 300.0)
    smooth = one(lambda x, y: pyo.log(1 + pyo.exp(-0.33 * y)) + x * y**2, lambda x, y: (y - 0.1) ** 2, (0, 2), (-4, 4))
    sound(bilevel.solve(smooth, method, time_limit=SECONDS), 1, 0.0, 16.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("f_scale", "f_constant"),
    [(1.0, 1e6), pytest.param(1.0, -1e8, marks=SLOW), pytest.param(1e-3, 1e4, marks=SLOW)],
)
@pytest.mark.parametrize("below", [1, pytest.param(-1, marks=SLOW)])
def test_a_constant_in_f_hides_no_moves_of_y(f_scale, f_constant, below, method):
    """x + 2 > 0, hence the follower stays in the left well, 4 y (y^2 - 1) + .05 (x + 2) = 0; F by Newton's method."""
    y = -1.0
    x = np.linspace(-1, 1, 20001)
    for _ in range(30):
        y = y - (4 * y * (y**2 - 1) + 0.05 * (x + 2)) / (12 * y**2 - 4)
    truth = float(((y - 1) ** 2 + x**2).min())
    model = one(
        lambda x, y: (y**2 - 1) ** 2 + 0.05 * (x + 2) * y,
        lambda x, y: (y - 1) ** 2 + x**2,
        (-1, 1),
        (-2, 2),
        below=below,
        f_scale=f_scale,
        f_constant=f_constant,
    )
    sound(bilevel.solve(model, method, time_limit=SECONDS), 1, truth, 10.0)


@pytest.mark.parametrize("method", ["kkt", *METHODS])
@pytest.mark.parametrize("sense", [1, pytest.param(-1, marks=SLOW)])
@pytest.mark.parametrize(
    ("scale", "constant"),
    [(1e-5, 0.0), (1.0, 1e6), *(pytest.param(*p, marks=SLOW) for p in ((1e-6, 1.0), (1e6, 1e9)))],
)
def test_a_gap_closes_relative_to_what_the_leader_can_gain(scale, constant, sense, method):
    """F = x - 10 y with y = min(1, x) below: -9 at x = 1, in units of F and beside constants that say nothing."""
    model = one(lambda x, y: -y, lambda x, y: x - 10 * y, (0, 2), (0, 1), sense=sense, scale=scale, constant=constant)
    model.low.row = pyo.Constraint(expr=model.low.y <= model.x)
    truth = sense * (-9.0 * scale + constant)
    sound(bilevel.solve(model, method, time_limit=SECONDS), sense, truth, 10.0 * scale, certified=method == "kkt")


def test_scip_proves_nothing_of_a_term_that_its_tolerance_hides():
    """log(y) moves by 1e-9 in all where y is a billion: the point stands, without a bound, and why is said."""
    program = Compilation.of(Problem.read(one(lambda x, y: y**2, lambda x, y: y, (0, 1), (1e9, 1e9 + 1)))).programs[
        "low"
    ]
    hidden = program.but(objective=ca.log(program.variables))
    answer = registry.get(Engine, "scip")().prepare(hidden)(np.zeros(1))
    assert answer.bound == -math.inf
    assert "a term of the objective ranges over" in answer.message
