"""Derivatives where the answer has a kink: always those of one of its pieces."""

import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel
from bilevel.response.response import Response


def two_sides(bounds=(-1, 1), objective=lambda a, b: a - b):
    """y = (max(x, 0), max(-x, 0)): at x = 0 both bounds are active with a zero multiplier, but on no side both hold."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=bounds)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2], bounds=(0, None))
    y = model.lower.y
    model.lower.obj = pyo.Objective(expr=(y[1] - model.x) ** 2 + (y[2] + model.x) ** 2)
    model.obj = pyo.Objective(expr=objective(y[1], y[2]))
    return Response(model).gradient([0.0])


def test_a_smooth_function_of_kinks_has_its_derivative():
    found = two_sides()
    assert found.value == pytest.approx([1.0])
    assert not found.smooth


@pytest.mark.parametrize(
    ("bounds", "slope"), [((-1, 0), (0.0, -1.0)), ((0, 1), (1.0, 0.0))], ids=["left of zero", "right of zero"]
)
def test_the_piece_is_one_inside_the_box(bounds, slope):
    assert two_sides(bounds, lambda a, b: a).value == pytest.approx([slope[0]], abs=1e-12)
    assert two_sides(bounds, lambda a, b: b).value == pytest.approx([slope[1]], abs=1e-12)


def cornered(seed, rows, linear):
    """A follower in R^4 whose answer for x = 0 is a corner of so many half-spaces; F and G are linear in it.

    Quadratic: all rows are active with a zero multiplier there. Linear: the cost is a sum of the normals.
    """
    rng = np.random.default_rng(seed)
    A, R = rng.standard_normal((rows, 4)), rng.standard_normal((4, 4))
    A[:, 0] = -0.5 - np.abs(A[:, 0])  # there are points below all of them, wherever they are moved
    H, B, S = R @ R.T + np.eye(4), rng.standard_normal((4, 3)), rng.standard_normal((rows, 3))
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1, 2], bounds=(-1, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(4), bounds=(-50, 50))
    x, y = model.x, model.lower.y
    model.lower.rows = pyo.ConstraintList()
    for i in range(rows):
        body = sum(A[i, j] * y[j] for j in range(4)) - sum(S[i, k] * x[k] for k in range(3))
        model.lower.rows.add(body <= 0 if i % 2 else -body >= 0)
    if linear:
        cost = -rng.random(rows) @ A
        model.lower.obj = pyo.Objective(expr=sum(cost[j] * y[j] for j in range(4)))
    else:
        z = [y[j] - sum(B[j, k] * x[k] for k in range(3)) for j in range(4)]
        model.lower.obj = pyo.Objective(expr=sum(H[i, j] * z[i] * z[j] for i in range(4) for j in range(4)))
    model.obj = pyo.Objective(expr=sum(rng.standard_normal() * y[j] for j in range(4)))
    model.coupling = pyo.ConstraintList(
        rule=[sum(rng.standard_normal() * y[j] for j in range(4)) <= 100 for _ in range(4)]
    )
    return Response(model)


@pytest.mark.parametrize(
    ("rows", "linear"), [(3, False), (6, False), (5, True), (7, True)], ids=["qp", "qp, dependent", "lp", "lp, more"]
)
@pytest.mark.parametrize("seed", range(8))
def test_at_a_corner_the_derivative_is_that_of_the_piece_ahead(seed, rows, linear):
    response = cornered(seed, rows, linear)
    here = response.gradient(np.zeros(3))
    ahead = response.gradient(1e-3 * np.cos([1.0, 2.0, 3.0]))
    assert ahead.smooth
    assert not here.smooth
    np.testing.assert_allclose(here.value, ahead.value, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(here.jacobian, ahead.jacobian, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("x", "slope"), [(0.2, 2.0), (0.8, -1.0)])
def test_where_the_leader_chooses_among_optima_the_derivative_is_that_of_his_choice(x, slope):
    """y2 is the leader's: as large as y2 <= 2x and y2 <= 2 - x let it be."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2], bounds=(0, 5))
    y = model.lower.y
    model.lower.rows = pyo.ConstraintList(rule=[y[2] <= 2 * model.x, y[2] <= 2 - model.x, y[1] >= 1])
    model.lower.obj = pyo.Objective(expr=y[1])
    model.obj = pyo.Objective(expr=y[2], sense=pyo.maximize)
    response = Response(model)
    assert response([x]).cost == pytest.approx(-min(2 * x, 2 - x))
    found = response.gradient([x])
    assert found.value == pytest.approx([-slope], abs=1e-6)
    assert not found.smooth


def test_redundant_rows_do_not_matter():
    """The same row three times, one of them scaled: y = (x + 1) / 2 on it."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2])
    y, x = model.lower.y, model.x
    rows = [y[1] + y[2] <= x + 1, y[1] + y[2] <= x + 1, -3 * y[1] - 3 * y[2] >= -3 * x - 3]
    model.lower.rows = pyo.ConstraintList(rule=rows)
    model.lower.obj = pyo.Objective(expr=(y[1] - 4) ** 2 + (y[2] - 4) ** 2)
    model.obj = pyo.Objective(expr=y[1] + 3 * y[2])
    assert Response(model).gradient([0.3]).value == pytest.approx([2.0])
