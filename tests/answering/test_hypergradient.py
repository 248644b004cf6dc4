"""dF/dx through the lower level, against central differences of the response."""

import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel import LowerLevel
from bilevel.errors import RefusedError
from bilevel.response.response import Response
from bilevel.sensitivity.hypergradient import Hypergradient


def base():
    model = pyo.ConcreteModel()
    model.x = pyo.Var([1, 2], bounds=(0.2, 2.0))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var([1, 2, 3])
    return model, model.x, model.lower.y


def finish(model, objective, sense=pyo.minimize):
    y, x = model.lower.y, model.x
    model.lower.obj = pyo.Objective(expr=objective, sense=sense)
    model.obj = pyo.Objective(expr=(y[1] - 0.3) ** 2 + x[1] * y[2] + pyo.sin(y[3]) + x[2] ** 2 * y[1])
    return model


def quadratic(x, y):
    return (y[1] - x[1]) ** 2 + x[2] * y[2] ** 2 + (y[3] - x[1] * x[2]) ** 2 + 0.3 * y[1] * y[3] - y[2]


def unconstrained():
    model, x, y = base()
    return finish(model, quadratic(x, y))


def maximised():
    model, x, y = base()
    return finish(model, -quadratic(x, y), pyo.maximize)


def equality():
    model, x, y = base()
    model.lower.balance = pyo.Constraint(expr=y[1] + x[1] * y[2] + y[3] == x[2])
    return finish(model, quadratic(x, y))


def bounds_and_rows():
    model, x, y = base()
    y[2].setub(0.1)
    model.lower.cap = pyo.Constraint(expr=y[1] + y[3] <= 0.5 * x[1])
    model.lower.slack = pyo.Constraint(expr=y[1] >= -50)
    return finish(model, quadratic(x, y))


def linear():
    model, x, y = base()
    for k in y:
        y[k].setlb(0.0)
    model.lower.a = pyo.Constraint(expr=y[1] + 2 * y[2] <= 2 + x[1])
    model.lower.b = pyo.Constraint(expr=3 * y[1] + y[2] <= 3 + x[2] ** 2)
    model.lower.c = pyo.Constraint(expr=y[3] <= x[1] * x[2])
    return finish(model, 3 * y[1] + 2 * y[2] + y[3], pyo.maximize)


def nonlinear():
    model, x, y = base()
    model.lower.ball = pyo.Constraint(expr=y[1] ** 2 + y[2] ** 2 <= x[1])
    return finish(model, pyo.exp(y[1] - x[2]) - 2 * y[1] + (y[2] - 1) ** 2 + pyo.exp(-y[3]) + x[1] * y[3])


CASES = [unconstrained, maximised, equality, bounds_and_rows, linear, nonlinear]


@pytest.mark.parametrize("create", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("point", [(0.7, 1.3), (1.6, 0.5)])
def test_agrees_with_differences(create, point):
    response = Response(create())
    x, h = np.array(point), 1e-5
    found = response.gradient(x)
    steps = h * np.eye(2)
    differences = [(response(x + step).cost - response(x - step).cost) / (2 * h) for step in steps]
    np.testing.assert_allclose(found.value, differences, rtol=2e-5, atol=2e-6)
    assert found.smooth


def coupled(create, count):
    """The same with so many constraints of the leader's that involve y, of every form; most with squares of it."""
    model = create()
    x, y = model.x, model.lower.y
    bodies = [y[1] ** 2 + x[2] * y[3], pyo.exp(y[2]) - x[1], sum(y[k] ** 2 for k in y), x[1] * y[1] + y[2] * y[3]]
    bounds = [(None, 9), (-9, None), (-9, 9), (0.3, 0.3)]
    rows = [(low, body, high) for (low, high), body in zip(bounds, bodies, strict=True)]
    model.coupling = pyo.ConstraintList(rule=rows[:count])
    return model


@pytest.mark.parametrize("create", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("count", [1, 4])  # an adjoint each; and more of them than upper variables: the motion of y
def test_coupling_constraints_agree_with_differences(create, count):
    response = Response(coupled(create, count))
    x, h = np.array([0.7, 1.3]), 1e-5

    def rows(point):
        values = response.lower_values(response(point).y)
        y = [values[f"lower.y[{k}]"] for k in (1, 2, 3)]
        squares = y[0] ** 2 + y[1] ** 2 + y[2] ** 2
        every = [y[0] ** 2 + point[1] * y[2], np.exp(y[1]) - point[0], squares, point[0] * y[0] + y[1] * y[2]]
        return np.array(every[:count])

    found = response.gradient(x)
    differences = np.array([(rows(x + step) - rows(x - step)) / (2 * h) for step in h * np.eye(2)]).T
    np.testing.assert_allclose(found.coupling, rows(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.jacobian, differences, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(found.value, Response(create()).gradient(x).value, rtol=1e-7, atol=1e-9)
    assert found.smooth


def test_without_coupling_there_are_no_rows():
    found = Response(unconstrained()).gradient([0.7, 1.3])
    assert found.coupling.shape == (0,)
    assert found.jacobian.shape == (0, 2)


def test_several_followers_move_a_coupling_constraint_together():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0.5, 2.0))
    model.a, model.b = LowerLevel(), LowerLevel()
    model.a.y, model.b.y = pyo.Var(), pyo.Var(bounds=(0, 10))
    model.a.obj = pyo.Objective(expr=(model.a.y - model.x**2) ** 2)
    model.b.obj = pyo.Objective(expr=model.x * model.b.y**2 - model.b.y)
    model.both = pyo.Constraint(expr=model.a.y * model.b.y <= 3)
    model.more = pyo.ConstraintList(rule=[model.a.y <= 5, model.b.y >= 0.1])
    model.obj = pyo.Objective(expr=model.a.y + model.b.y)
    found = Response(model).gradient([1.5])  # answers x^2 and 1 / (2x), their product x / 2
    np.testing.assert_allclose(found.coupling, [0.75, 2.25, 1 / 3], rtol=1e-9)
    np.testing.assert_allclose(found.jacobian[:, 0], [0.5, 3.0, -1 / (2 * 1.5**2)], rtol=1e-9)
    assert found.value == pytest.approx([3.0 - 1 / (2 * 1.5**2)])


def test_by_name_and_of_cost_minimised():
    model = maximised()
    model.obj.sense = pyo.maximize
    ours, theirs = Response(model).gradient({"x[1]": 0.7, "x[2]": 1.3}), Response(maximised()).gradient([0.7, 1.3])
    np.testing.assert_allclose(ours.value, -theirs.value, rtol=1e-12)


def test_no_gradient_where_there_is_no_answer():
    model, x, y = base()
    y[1].setub(0.0)
    model.lower.above = pyo.Constraint(expr=y[1] >= x[1] - 1)
    response = Response(finish(model, quadratic(x, y)))
    assert response.gradient(np.array([0.5, 1.0])).smooth
    with pytest.raises(RefusedError, match="infeasible"):
        response.gradient(np.array([1.5, 1.0]))


def test_a_weakly_active_bound_is_told():
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=(0, 1))
    model.lower.obj = pyo.Objective(expr=(model.lower.y - model.x) ** 2)
    model.obj = pyo.Objective(expr=model.lower.y)
    response = Response(model)
    gradient = Hypergradient(response.compilation)
    assert not gradient(np.zeros(1), response(np.zeros(1)).y).smooth  # y = max(x, 0) has a kink at 0
    assert gradient(np.array([0.5]), response(np.array([0.5])).y).value == pytest.approx([1.0])
    assert gradient(np.array([-0.5]), response(np.array([-0.5])).y).value == pytest.approx([0.0], abs=1e-12)


def test_refuses_integers_below():
    model, x, y = base()
    y[1].domain = pyo.Integers
    finish(model, quadratic(x, y))
    with pytest.raises(RefusedError, match="integer"):
        bilevel.solve(model, "gradient", budget=5)


@pytest.mark.parametrize("create", [unconstrained, bounds_and_rows], ids=lambda case: case.__name__)
def test_the_search_ends_no_worse_than_a_dense_grid(create):
    result = bilevel.solve(create(), "gradient", budget=60, seed=3)
    response = Response(create())
    axis = np.linspace(0.2, 2.0, 41)
    best = min(response(np.array([a, b])).cost for a in axis for b in axis)
    assert result.upper_objective <= best + 1e-6


def test_constraints_over_x_are_kept_and_reached():
    model = unconstrained()
    model.budget = pyo.Constraint(expr=model.x[1] + model.x[2] == 1.5)
    model.share = pyo.Constraint(expr=model.x[1] <= 0.6)
    result = bilevel.solve(model, "gradient", budget=40, seed=1)
    response = Response(unconstrained())
    best = min(response(np.array([a, 1.5 - a])).cost for a in np.linspace(0.2, 0.6, 2001))
    assert all(abs(e.upper["x[1]"] + e.upper["x[2]"] - 1.5) <= 1e-6 for e in result.history)
    assert result.upper_objective == pytest.approx(best, abs=1e-5)


def test_same_seed_same_history():
    runs = [bilevel.solve(bounds_and_rows(), "gradient", budget=30, seed=5) for _ in range(2)]
    assert [e.point for e in runs[0].history] == [e.point for e in runs[1].history]
