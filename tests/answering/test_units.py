"""Answers do not depend on the units in which variables and rows are written."""

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel, Response
from bilevel.graphs.steepness import scale_of
from bilevel.programs.compilation import Compilation
from bilevel.programs.units.scaled_program import scaled
from bilevel.reading.problem import Problem
from bilevel.sensitivity.hypergradient import Hypergradient

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


@pytest.mark.parametrize(("unit", "of_f"), [(1.0, 1.0), (1e-6, 1.0), (1e-6, 1e-5), (1.0, 1e-5), (1e-7, 1e8)])
def test_a_valley_is_as_narrow_in_small_units(unit, of_f):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 1))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(bounds=(-2 * unit, 2 * unit))
    y = m.lower.y / unit
    m.lower.obj = pyo.Objective(expr=of_f * ((y**2 - 1) ** 2 + 0.234 * (m.x - 0.784) * y))
    m.obj = pyo.Objective(expr=(y - 0.323) ** 2 + m.x**2)
    roots = np.roots([4, 0, -4, 0.234 * (0.1 - 0.784)]).real  # f' = 0 at x = 0.1
    least = roots[((roots**2 - 1) ** 2 + 0.234 * (0.1 - 0.784) * roots).argmin()]
    assert Response(m)(np.array([0.1])).y[0] / unit == pytest.approx(least, abs=1e-6)


def budget(unit):
    m = pyo.ConcreteModel()
    m.B = pyo.Var(bounds=(0.01 * unit, 10 * unit))
    m.lower = LowerLevel()
    m.lower.s = pyo.Var(bounds=(0.01 * unit, 10 * unit))
    s, B = m.lower.s / unit, m.B / unit
    m.lower.row = pyo.Constraint(expr=m.lower.s <= m.B)
    m.lower.obj = pyo.Objective(expr=-(1.29 - 0.677 / (s + 0.525)))
    m.obj = pyo.Objective(expr=-(1.29 - 0.677 / (s + 0.525)) + 1.01 * B)
    return m


@pytest.mark.parametrize("unit", [1e-6, 1e-4, 1.0, 1e6])
def test_a_budget_in_any_unit_is_kept_and_verified(unit):
    result = bilevel.solve(budget(unit), "gradient", budget=10, seed=1)
    assert result.verdict == "best_found", result.notes
    best = (0.677 / 1.01) ** 0.5 - 0.525
    assert result.upper["B"] / unit == pytest.approx(best, rel=1e-3)
    assert result.lower["lower.s"] / unit == pytest.approx(result.upper["B"] / unit, rel=1e-8)


@pytest.mark.parametrize("method", ["auto", "random"])
@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e9])
def test_linear_rows_in_any_unit_are_seen(method, unit):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(within=pyo.RangeSet(0, 4))
    m.lower = LowerLevel()
    m.lower.y, m.lower.z = pyo.Var(bounds=(0, 5 * unit)), pyo.Var(bounds=(0, 5 * unit))
    y, z = m.lower.y / unit, m.lower.z / unit
    m.lower.rows = pyo.ConstraintList()
    m.lower.rows.add(y + z <= 5.6)
    m.lower.rows.add(y - 1.54 * z <= m.x - 7.0)
    m.lower.obj = pyo.Objective(expr=-0.329 * y - 1.21 * z)  # z at its end, and y as large as the rows let it be
    m.obj = pyo.Objective(expr=m.x + 1.04 * y - 1.8 * z)
    result = bilevel.solve(m, method, seed=1, budget=5)
    assert result.upper_objective == pytest.approx(1.04 * 0.6 - 1.8 * 5, rel=1e-6)


def test_a_program_in_units_of_its_own_is_the_same():
    small, usual = (Compilation(Problem.read(budget(unit))).programs["lower"] for unit in (2.0**-20, 1.0))
    assert scaled(usual) is None
    found = scaled(small)
    np.testing.assert_array_equal(found.units, 2.0**-17)  # of bounds up to 10 * 2**-20
    x, y = np.array([3e-6]), np.array([2e-6])
    (f, rows), (own_f, own_rows) = small.evaluate(x, y), found.program.evaluate(x, found.inwards(y))
    assert own_f[0] == f[0]  # to the last digit: powers of two
    np.testing.assert_array_equal(own_rows, rows * 2.0**17)
    np.testing.assert_array_equal(found.program.upper, small.upper * 2.0**17)


@pytest.mark.parametrize("binds", [True, False])
def test_the_gradient_is_that_of_units_of_one(binds):
    def gradient(unit):
        m = budget(unit)
        if not binds:
            y = m.lower.s / unit
            m.lower.obj.set_value((y - 0.7 * m.B / unit) ** 2)
        response = Response(m)
        x = np.array([2.0 * unit])
        return Hypergradient(response.compilation)(x, response(x).y)

    usual, small = gradient(1.0), gradient(1e-6)
    assert small.smooth == usual.smooth
    np.testing.assert_allclose(small.value * 1e-6, usual.value, rtol=1e-6)
