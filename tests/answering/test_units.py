"""Answers do not depend on the units in which variables and rows are written."""

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, Response
from bilevel.graphs.steepness import scale_of

N, ROWS, DECADES = 4, 3, 5


def program(kind, rng, variables, rows):
    """A definite quadratic follower; variable j in units of ``variables[j]``, row i multiplied with ``rows[i]``."""
    root = rng.standard_normal((N, N))
    hessian, slope = root @ root.T + 0.1 * np.eye(N), rng.standard_normal(N)
    matrix, right = rng.standard_normal((ROWS, N)), rng.random(ROWS)
    low, high = -rng.random(N) * variables, rng.random(N) * variables
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 1))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(range(N))
    y = [m.lower.y[j] / variables[j] for j in range(N)]
    if kind == "bounded":
        for j in range(N):
            m.lower.y[j].setlb(low[j])
            m.lower.y[j].setub(high[j])

    def row(_, i):
        body = rows[i] * sum(matrix[i, j] * y[j] for j in range(N))
        limit = rows[i] * right[i] * (1 + 0.1 * m.x)
        return body <= limit if kind == "bounded" else body == limit

    m.lower.rows = pyo.Constraint(range({"free": 0, "tied": 2, "bounded": ROWS}[kind]), rule=row)
    curved = sum(hessian[i, j] * y[i] * y[j] for i in range(N) for j in range(N)) / 2
    m.lower.obj = pyo.Objective(expr=curved + sum(slope[j] * y[j] for j in range(N)))
    m.obj = pyo.Objective(expr=m.x**2 + sum(y[j] for j in range(N)))
    return Response(m)


@pytest.mark.parametrize("kind", ["free", "tied", "bounded"])
@pytest.mark.parametrize("seed", range(25))
def test_quadratic_followers(kind, seed):
    rng = np.random.default_rng(seed)
    variables = 10.0 ** rng.integers(-DECADES, DECADES + 1, N)
    rows = 10.0 ** rng.integers(-DECADES, DECADES + 1, ROWS)
    usual = program(kind, np.random.default_rng(seed), np.ones(N), np.ones(ROWS))(np.array([0.3]))
    other = program(kind, np.random.default_rng(seed), variables, rows)(np.array([0.3]))
    assert other.status == usual.status == "optimal"
    np.testing.assert_allclose(other.y / variables, usual.y, rtol=1e-7, atol=1e-8)


def test_a_row_with_small_coefficients_is_not_passed_over():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 2e6))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var([1, 2], bounds=(0, 3e6))
    y = m.lower.y
    m.lower.row = pyo.Constraint(expr=(y[1] + y[2]) / 1e6 <= 2.2)
    m.lower.obj = pyo.Objective(expr=(y[1] - m.x) ** 2 + (y[2] - 2 * m.x + y[1]) ** 2)
    m.obj = pyo.Objective(expr=y[2] - y[1])
    np.testing.assert_allclose(Response(m)(np.array([2e6])).y, [2e6, 0.2e6], rtol=1e-9)


def test_an_objective_that_explodes_at_some_points_is_not_flattened_at_the_others():
    y = ca.SX.sym("y")
    assert scale_of((1e3 * y + 25) ** 2 + ca.exp(1e3 * y), y, [-np.inf], [np.inf]) > 1e-9


def test_an_interval_from_zero_to_minus_zero_is_a_point():
    y = ca.SX.sym("y", 2)
    assert scale_of(y[0] ** 2 + y[1] ** 2, y, np.array([0.0, -1.0]), np.array([-0.0, 1.0])) == 1.0
