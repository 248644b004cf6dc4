"""Newton's method against programs whose optimum is known by other means, and its numeric form against symbols."""

from __future__ import annotations

import casadi as ca
import numpy as np
import pytest
from scipy.optimize import linprog

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.expressions.squares import Places, square_of
from bilevel.language.squared_distance import Factor
from bilevel.programs.affine_arguments import affine_arguments
from bilevel.programs.answer import Status
from bilevel.programs.program import Program
from bilevel.programs.smooth_form import SmoothForm
from bilevel.response.answering import Answering

NONE = np.zeros(1)


def program(f, y, *, p=None, rows=None, low=None, high=None, lower=-np.inf, upper=np.inf, start=None, **more):
    n, rows = int(y.numel()), ca.SX(0, 1) if rows is None else rows
    m = int(rows.numel())
    return Program(
        name="lower",
        parameters=ca.SX.sym("p") if p is None else p,
        variables=y,
        objective=ca.SX(f),
        rows=rows,
        row_lower=np.full(m, -np.inf) if low is None else np.array(low, dtype=float),
        row_upper=np.full(m, np.inf) if high is None else np.array(high, dtype=float),
        lower=np.array(np.broadcast_to(lower, n), dtype=float),
        upper=np.array(np.broadcast_to(upper, n), dtype=float),
        integer=np.zeros(n, dtype=bool),
        names=tuple(f"y[{k}]" for k in range(n)),
        row_names=tuple(f"row {k}" for k in range(m)),
        convex=True,
        start=start,
        **more,
    )


def newton(given):
    engine = registry.get(Engine, "newton")()
    assert engine.suits(given) > 0.8
    return engine.prepare(given)


def optimality(given, y, parameters=NONE):
    """By how much the optimality conditions fail, relative to the gradient's terms: a linear program in multipliers."""
    f = ca.Function("f", [given.parameters, given.variables], [given.gradient, given.jacobian, given.rows])
    slope, jacobian, rows = (np.array(part) for part in f(parameters, y))
    values = np.concatenate([y, rows[:, 0]])
    low, high = np.concatenate([given.lower, given.row_lower]), np.concatenate([given.upper, given.row_upper])
    normals = np.vstack([np.eye(given.n), jacobian])
    near = 1e-8 * np.maximum(1.0, np.abs(values))
    columns = np.vstack([normals[values >= high - near], -normals[values <= low + near]])
    size = max(1.0, np.abs(slope).max())
    if not len(columns):
        return np.abs(slope).max() / size
    n, k = given.n, len(columns)  # the least t with |slope + columns' m| <= t, m >= 0
    sides = np.block([[columns.T, -np.ones((n, 1))], [-columns.T, -np.ones((n, 1))]]) / size
    limits = np.concatenate([-slope[:, 0], slope[:, 0]]) / size
    bounds = [(0, None)] * (k + 1)
    return linprog(np.eye(k + 1)[k], sides, limits, bounds=bounds).x[k]


def regression(kind, n, rng):
    """A loss summed over rows, and its variables."""
    y, A, t = ca.SX.sym("y", n), ca.DM(rng.standard_normal((40, n))), ca.DM(rng.poisson(1.5, 40))
    z = ca.mtimes(A, y)
    loss = {
        "logistic": ca.sum1(ca.log(1 + ca.exp(z))) / 40,
        "poisson": ca.sum1(ca.exp(z) - z * t) / 40,
        "huber": ca.sum1(ca.sqrt(1e-4 + (z - t) ** 2)) / 40,
        "log-sum-exp": ca.log(ca.sum1(ca.exp(z - t))),
    }[kind]
    return loss + 1e-3 * ca.sumsqr(y), y


KINDS = ["logistic", "poisson", "huber", "log-sum-exp"]


@pytest.mark.parametrize("limits", ["free", "box", "half lines", "rows", "equalities", "ball", "all"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_optimality_to_rounding(kind, limits, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    f, y = regression(kind, n, rng)
    B, ball = ca.mtimes(ca.DM(rng.standard_normal((2, n))), y), ca.vertcat(ca.sumsqr(y) - 0.05, ca.sum1(ca.exp(y)) - n)
    given = {
        "free": {},
        "box": {"lower": -0.05, "upper": 0.1},
        "half lines": {"lower": np.where(np.arange(n) % 2, 0.0, -np.inf)},
        "rows": {"rows": B, "low": [-np.inf, -0.02], "high": [-0.1, 0.02]},
        "equalities": {"rows": B, "low": [0.1, -0.2], "high": [0.1, -0.2]},
        "ball": {"rows": ball, "high": [0.0, 0.1]},
        "all": {"rows": ca.vertcat(B[0], ball), "low": [0.05, -np.inf, -np.inf], "high": [0.05, 0.0, 0.2], "lower": -0.1},
    }[limits]  # fmt: skip
    asked = program(f, y, **given)
    solver = newton(asked)
    answer = solver(NONE)
    assert answer.status is Status.OPTIMAL
    assert answer.proved
    assert asked.violation(NONE, answer.y) <= 1e-9
    assert optimality(asked, answer.y) <= 1e-10
    assert solver.iterations <= (40 if kind == "huber" else 15)
    away = solver(NONE, answer.y + 0.3 * rng.standard_normal(n))
    assert away.objective == pytest.approx(answer.objective, rel=1e-12, abs=1e-12)
    solver(NONE, answer.y)
    assert solver.iterations <= 1


@pytest.mark.parametrize("decades", [-5, -3, 3, 5])
@pytest.mark.parametrize("limited", [False, True])
def test_units_do_not_matter(decades, limited):
    rng = np.random.default_rng(1)
    A = ca.DM(rng.standard_normal((6, 3)))

    def at(units, weight):
        y = ca.SX.sym("y", 3)
        own = y / units
        rows = ca.vertcat(ca.sumsqr(own - 1) - 0.6, own[1] + own[2]) if limited else None
        f = weight * (ca.sum1(ca.exp(ca.mtimes(A, own))) + ca.sumsqr(own))
        answer = newton(program(f, y, rows=rows, high=[0.0, 1.0] if limited else None))(NONE)
        assert answer.status is Status.OPTIMAL
        assert answer.unique
        return answer.y / units, answer.objective / weight

    y, f = at(np.ones(3), 1.0)
    for units, weight in ((10.0 ** np.array([0, decades, -decades]), 1.0), (np.ones(3), 10.0**decades)):
        other, g = at(units, weight)
        np.testing.assert_allclose(other, y, rtol=1e-7, atol=1e-9)
        assert g == pytest.approx(f, rel=1e-9)


Y = ca.SX.sym("y", 2)
WITHOUT = {
    "falls to a level": ca.exp(Y[0]) + Y[1] ** 2,
    "falls for ever": ca.exp(Y[0]) + Y[1],
    "falls along a curve": -ca.log(Y[0] + 1) + Y[1] ** 2,
    "falls ahead of a kink made smooth": ca.sqrt(ca.sumsqr(Y) + 1e-10) + 2 * Y[0],
    "separable data": ca.log(1 + ca.exp(Y[0])) + ca.log(1 + ca.exp(2 * Y[0] + Y[1])),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_no_optimum_is_none(name):
    """exp(y) has no least value: nothing is proved here, and Ipopt says so in the end."""
    asked = program(WITHOUT[name], Y)
    assert newton(asked)(NONE).status is Status.REFUSED
    assert Answering(asked)(NONE).status in (Status.UNBOUNDED, Status.FAILED)


def test_a_start_outside_the_domain():
    asked = program(-ca.log(Y[0] - 5) + Y[0] + Y[1] ** 2, Y)
    assert newton(asked)(NONE).status is Status.REFUSED
    assert newton(asked)(NONE, np.array([9.0, 1.0])).y == pytest.approx([6.0, 0.0], abs=1e-10)
    assert newton(program(-ca.log(Y[0]) + Y[0] + Y[1] ** 2, Y))(NONE).y == pytest.approx([1.0, 0.0], abs=1e-10)
    within = program(ca.sum1(Y * ca.log(Y)) + Y[0], Y, rows=ca.sum1(Y), low=[1], high=[1], lower=0.0)
    e = np.exp([-1.0, 0.0])
    assert newton(within)(NONE).y == pytest.approx(e / e.sum(), abs=1e-10)


@pytest.mark.parametrize(
    ("f", "rows"),
    [
        (Y[0] ** 2 / 0 + ca.exp(Y[1]), None),
        (ca.exp(Y[0]) + ca.sumsqr(Y), Y[0] ** 2 / 0),
        (ca.exp(Y[0]) + ca.sumsqr(Y), ca.log(Y[1] - 9)),
        (ca.exp(900 + Y[0]), Y[0] + Y[1]),
    ],
)
def test_no_numbers_no_answer(f, rows):
    """Neither a warning nor an optimum of nothing."""
    asked = program(f, Y, rows=rows, high=None if rows is None else [0.0], lower=0.0)
    assert newton(asked)(NONE).status is Status.REFUSED


def test_an_infinite_derivative_at_the_start():
    asked = program(ca.sumsqr(Y) - ca.sqrt(Y[0]), Y, rows=-ca.sqrt(Y[1]), high=[0.0], lower=0.0)
    assert newton(asked)(NONE).y == pytest.approx([0.25 ** (2 / 3), 0.0], abs=1e-9)


def test_several_optima_are_not_taken_for_one():
    share = np.array([0.2, 0.3, 0.5])
    y = ca.SX.sym("y", 3)
    answer = newton(program(ca.log(ca.sum1(ca.exp(y))) - ca.dot(share, y), y))(NONE)
    assert answer.proved
    assert not answer.unique
    assert answer.objective == pytest.approx(-share @ np.log(share), abs=1e-12)


def test_a_flat_optimum():
    answer = newton(program((Y[0] - 1) ** 4 + (Y[1] - 2) ** 4, Y))(NONE)
    assert answer.status is Status.OPTIMAL
    assert answer.objective <= 1e-10


@pytest.mark.parametrize(
    ("rows", "low", "high"),
    [
        (ca.exp(Y[0]) + Y[1] ** 2, [-np.inf], [-1.0]),
        (ca.vertcat(Y[0] + Y[1], 2 * Y[0] + 2 * Y[1]), [1.0, 3.0], [1.0, 3.0]),
    ],
)
def test_no_feasible_point(rows, low, high):
    asked = program(ca.exp(Y[0]) + Y[1] ** 4, Y, rows=rows, low=low, high=high)
    assert newton(asked)(NONE).status is Status.INFEASIBLE
    wider = program(ca.exp(Y[0]) + Y[1] ** 4, Y, rows=rows, low=[-np.inf] * len(low), high=[9.0] * len(high))
    assert newton(wider)(NONE).status is not Status.INFEASIBLE


def test_dependent_equalities():
    asked = program(
        ca.exp(Y[0]) + Y[1] ** 2, Y, rows=ca.vertcat(Y[0] + Y[1], 2 * Y[0] + 2 * Y[1]), low=[1, 2], high=[1, 2]
    )
    answer = newton(asked)(NONE)
    assert answer.status is Status.OPTIMAL
    assert np.exp(answer.y[0]) == pytest.approx(2 * answer.y[1], rel=1e-9)


def test_what_others_do_better_is_left_to_them():
    def suits(n, f, **more):
        y = ca.SX.sym("y", n)
        return registry.get(Engine, "newton")().suits(program(f(y), y, **more))

    def chain(y):
        return ca.sum1(ca.exp(y[1:] - y[:-1])) + ca.sumsqr(y)

    def dense(y):
        return ca.exp(ca.sum1(y)) + ca.sumsqr(y)

    assert suits(50, chain) > 0.8
    assert suits(150, chain) == 0.0
    assert suits(150, dense) > 0.8
    assert suits(300, dense) > 0.8
    assert suits(300, dense, lower=0.0) == 0.0
    assert suits(2, lambda y: ca.fmax(y[0], y[1])) == 0.0
    assert suits(2, lambda y: ca.sumsqr(y)) == 0.0


# ---------------------------------------------------------------------------------------------- the numeric form


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("kind", [*KINDS, "softmax", "crossed"])
def test_derivatives_through_affine_arguments(kind, moving):
    """The same numbers as those of the function written out."""
    rng = np.random.default_rng(0)
    p, y = ca.SX.sym("p", 2), ca.SX.sym("y", 16)
    A = ca.DM(rng.standard_normal((60, 16)))
    z = ca.mtimes(A, y) * (1 + ca.SX(p[0] if moving else 0)) + p[1]
    f = {
        "logistic": ca.sum1(ca.log(1 + ca.exp(z))),
        "poisson": ca.sum1(ca.exp(z)) - 3 * ca.sum1(z),
        "huber": ca.sum1(ca.sqrt(1e-4 + z**2)),
        "log-sum-exp": ca.log(ca.sum1(ca.exp(z[:20]))) + ca.sumsqr(z[20:]),
        "softmax": sum(ca.log(ca.sum1(ca.exp(z[3 * k : 3 * k + 3]))) for k in range(20)),
        "crossed": ca.sum1(ca.exp(z)) + ca.exp(z[0] * y[3]) - ca.sin(z[1]) * y[2],
    }[kind] + p[1] * ca.sumsqr(y) + y[0] * y[1]  # fmt: skip
    rows = ca.vertcat(ca.sumsqr(y[:5]), y[2] + y[3])
    asked = program(f, y, p=p, rows=rows, high=[1.0, 1.0])
    found = affine_arguments(f, p, y)
    assert found.symbols.numel() >= 60
    point, x, weights = rng.standard_normal(16) / 4, np.array([0.3, 0.7]), np.array([0.4, -0.2])
    form = SmoothForm(asked).at(x)
    form(point, weights)
    lagrangian = f + ca.dot(weights, rows)
    outputs = [f, ca.gradient(f, y), ca.hessian(lagrangian, y)[0], rows, ca.jacobian(rows, y)]
    truth = [np.array(value) for value in ca.Function("f", [p, y], outputs)(x, point)]
    ours = [form.objective, form.gradient[:, None], form.hessian, form.rows[:, None], form.jacobian]
    for value, true in zip(ours, truth, strict=True):
        np.testing.assert_allclose(value, true, rtol=1e-12, atol=1e-11)


def test_squares_stay_matrices():
    rng = np.random.default_rng(2)
    n = 30
    p, y = ca.SX.sym("p"), ca.SX.sym("y", n)
    factor = Factor(rng.standard_normal((50, n)), rng.standard_normal(50))
    square = square_of(factor, y.elements()).within(Places(y))
    f = (1 + p) * square.symbol + ca.sum1(ca.exp(y))
    asked = program(f, y, p=p, squares=(square,))
    answer = newton(asked)(np.array([0.5]))
    residual = 1.5 * factor.slope(answer.y) + np.exp(answer.y)
    assert np.abs(residual).max() <= 1e-9
