"""The rational path: F as a rational function of one upper variable."""

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bilevel
from bilevel import LowerLevel, least_squares
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.paths.rational import _lower_bounds, _reduce, refusal_of


def ridge(p=6, n=40, seed=0, low=1e-3, high=1e3, folds=1, penalised=False, sense=pyo.minimize):
    """Ridge regression with a validation loss; the penalty in the leader's objective too where asked."""
    rng = np.random.default_rng(seed)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(low, high))
    model.lower = LowerLevel(range(folds))
    total = 0.0
    for k in range(folds):
        X, w, noise = rng.normal(size=(2 * n, p)), rng.normal(size=p), rng.normal(size=2 * n)
        y = X @ w + 3.0 * noise
        block = model.lower[k]
        block.w = pyo.Var(range(p))
        size = sum(block.w[j] ** 2 for j in range(p))
        block.obj = pyo.Objective(expr=least_squares(X[:n], y[:n], block.w) + model.x * size)
        total = total + least_squares(X[n:], y[n:], block.w) / n + (0.01 * model.x * size if penalised else 0.0)
    model.obj = pyo.Objective(expr=total if sense == pyo.minimize else -total, sense=sense)
    return model


@pytest.mark.parametrize(
    "kind", [{}, {"folds": 3}, {"penalised": True}, {"sense": pyo.maximize}, {"low": -0.5, "high": 4.0}]
)
@pytest.mark.parametrize("seed", range(3))
def test_certified_value_is_the_smallest_of_a_dense_scan(kind, seed):
    model = ridge(seed=seed, **kind)
    result = bilevel.solve(model, "rational")
    response = Response(model)
    low, high = model.x.bounds
    grid = np.geomspace(low, high, 1500) if low > 0 else np.linspace(low, high, 1500)
    scan = min(response(np.array([x])).cost for x in grid)
    sense = -1 if kind.get("sense") == pyo.maximize else 1
    assert result.verdict == "certified_global"
    assert sense * result.upper_objective <= scan + 1e-9 * abs(scan)
    assert sense * result.bound <= sense * result.upper_objective
    assert abs(result.bound - result.upper_objective) <= 1e-5 * max(1.0, abs(result.upper_objective))


@given(seed=st.integers(0, 10_000), u=st.floats(0.0, 1.0), v=st.floats(0.0, 1.0), penalised=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_bound_on_an_interval_is_below_every_value_in_it(seed, u, v, penalised):
    compilation = Compilation(Problem.read(ridge(p=4, n=12, seed=seed, penalised=penalised)))
    reduced = _reduce(compilation, 1e-3, 1e3)
    a, b = sorted(10.0 ** (-3 + 6 * np.array([u, v])))
    points = np.linspace(a, b, 201)
    bound = _lower_bounds(reduced, np.array([a]), np.array([b]), np.array([0.5 * (a + b)]))[0]
    values = reduced.value(points)[0]
    assert bound <= values.min() + 1e-9 * max(1.0, abs(values).max())


def test_derivatives_agree_with_differences():
    reduced = _reduce(Compilation(Problem.read(ridge(penalised=True))), 1e-3, 1e3)
    x, h = np.array([0.7, 12.0]), 1e-4
    _, first, second = reduced.value(x)
    up, down = reduced.value(x + h), reduced.value(x - h)
    np.testing.assert_allclose(first, (up[0] - down[0]) / (2 * h), rtol=1e-6)
    np.testing.assert_allclose(second, (up[1] - down[1]) / (2 * h), rtol=1e-5)


def bounded_follower(model):
    model.lower[0].w[0].setlb(0.0)


def coupled(model):
    model.limit = pyo.Constraint(expr=model.lower[0].w[0] <= 1)


def indefinite(model):
    model.x.setlb(-1e6)


def integer(model):
    model.x.domain = pyo.Integers


def nonlinear(model):
    model.obj.expr = model.obj.expr + pyo.exp(model.x)


@pytest.mark.parametrize("spoil", [bounded_follower, coupled, indefinite, integer, nonlinear])
def test_refuses_what_it_cannot_prove(spoil):
    model = ridge()
    spoil(model)
    assert refusal_of(Compilation(Problem.read(model))) is not None
    with pytest.raises(RefusedError):
        bilevel.solve(model, "rational")
