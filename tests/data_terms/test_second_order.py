"""Products with the Hessian of F(x, y(x)) against differences of gradients, and the descent that lives on them."""

import numpy as np
import pyomo.environ as pyo
import pytest
from cases import CASES, create

import bilevel
from bilevel import LowerLevel, Response, least_squares, set_scale
from bilevel.sensitivity.hypergradient import Hypergradient
from bilevel.sensitivity.second_order import SecondOrder
from bilevel.solvers.searches.descent.box_newton import minimise
from bilevel.upper.space import Space


def small():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(0.1, 2.0), initialize=0.5)
    m.a, m.b = LowerLevel(), LowerLevel()
    m.a.y, m.b.y = pyo.Var([0, 1]), pyo.Var()
    x, y, z = m.x, m.a.y, m.b.y
    m.a.obj = pyo.Objective(expr=-(pyo.exp(x[0]) * (y[0] - x[1]) ** 2 + (y[1] - x[2] * y[0]) ** 2), sense=pyo.maximize)
    m.b.obj = pyo.Objective(expr=x[2] * (z - x[0] * x[1]) ** 2)
    m.obj = pyo.Objective(expr=pyo.sin(y[0] * z) + x[0] ** 3 * y[1] + pyo.exp(y[1]) + z**2)
    return m


BUILDS = {"small": small} | {
    name: lambda name=name: create(**CASES[name]) for name in ("per_feature", "moved", "maximising", "root")
}


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("point", [(0.5, 1.0, 0.3), (1.7, 0.4, 1.1)])
def test_against_differences(name, point):
    response = Response(BUILDS[name]())
    assert SecondOrder.takes(response.compilation)
    x, h = np.array(point), 1e-5
    product = SecondOrder(response.compilation)(x, response(x).y)
    for direction in np.random.default_rng(0).standard_normal((3, 3)):
        ahead, behind = (response.gradient(x + s * h * direction).value for s in (1, -1))
        np.testing.assert_allclose(product(direction), (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["weighed", "bounded", "tied"])
def test_what_it_does_not_take(name):
    assert not SecondOrder.takes(Response(create(**CASES[name])).compilation)


def test_a_singular_hessian_has_no_product():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.lower = LowerLevel()
    m.lower.y = pyo.Var()
    m.lower.obj = pyo.Objective(expr=m.x * m.lower.y**2)
    m.obj = pyo.Objective(expr=m.lower.y**2 + m.x)
    compilation = Response(m).compilation
    assert SecondOrder(compilation)(np.array([0.0]), np.array([0.0])) is None
    assert SecondOrder(compilation)(np.array([1.0]), np.array([0.0])) is not None


def penalties(count, seed):
    """One penalty per feature, a fifth of the features at work."""
    rng = np.random.default_rng(seed)
    w = np.where(np.arange(count) % 5 == 0, 1.0, 0.0)
    X, V = rng.standard_normal((2 * count, count)), rng.standard_normal((count, count))
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(range(count), bounds=(1e-3, 100.0), initialize=0.1)
    set_scale(m.penalty, "log")
    m.lower = LowerLevel()
    m.lower.w = pyo.Var(range(count), initialize=0.0)
    below = m.lower.w
    fit = least_squares(X, X @ w + rng.standard_normal(2 * count), below) / (4 * count)
    m.lower.obj = pyo.Objective(expr=fit + sum(m.penalty[j] * below[j] ** 2 for j in range(count)) / 2)
    m.obj = pyo.Objective(expr=least_squares(V, V @ w + rng.standard_normal(count), below) / count)
    return m


def stationarity(model, upper):
    """The largest entry of the projected gradient in the unit box."""
    response = Response(model)
    space, x = Space(response.compilation), response.vector(upper)
    point = space.point(upper)
    slope = Hypergradient(response.compilation)(x, response(x).y).value * space.unit_slopes(point)
    unit = space.to_unit(point)
    return np.abs(np.clip(unit - slope, 0.0, 1.0) - unit).max()


@pytest.mark.parametrize("count", [20, 60])
@pytest.mark.parametrize("seed", [0, 1])
def test_as_many_penalties_as_features_reach_a_stationary_point(count, seed):
    model = penalties(count, seed)
    first = stationarity(model, {f"penalty[{j}]": 0.1 for j in range(count)})
    result = bilevel.solve(model, method="gradient", budget=199, seed=1)
    assert stationarity(model, result.upper) <= 1e-6 * first
    assert result.verdict == "best_found"


@pytest.mark.parametrize("seed", range(6))
def test_a_quadratic_in_the_box_is_solved(seed):
    rng = np.random.default_rng(seed)
    n = 12
    root = rng.standard_normal((n, n))
    H, c = root @ root.T + 0.1 * np.eye(n), 5.0 * rng.standard_normal(n)
    looks = []

    def look(u):
        looks.append(u.copy())
        return 0.5 * u @ H @ u + c @ u, H @ u + c, lambda d: H @ d

    minimise(look, np.full(n, 0.5))
    values = [0.5 * u @ H @ u + c @ u for u in looks]
    best = looks[int(np.argmin(values))]
    assert np.abs(np.clip(best - H @ best - c, 0.0, 1.0) - best).max() <= 1e-7
    assert all((u >= 0.0).all() and (u <= 1.0).all() for u in looks)
    assert len(looks) < 40


def test_an_indefinite_function_and_points_without_value():
    def look(u):
        if u[0] > 0.8:
            return None
        wave = np.sin(6.0 * u)
        return float(wave.sum()), 6.0 * np.cos(6.0 * u), lambda d: -36.0 * wave * d

    seen = []
    minimise(lambda u: seen.append(u.copy()) or look(u), np.array([0.4, 0.3, 0.95]))
    best = min((u for u in seen if look(u) is not None), key=lambda u: look(u)[0])
    np.testing.assert_allclose(best, 0.25 * np.pi, atol=1e-6)
