"""Sums written row by row in Pyomo: the same answers as terms over data, and many affine rows read at once."""

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest

import bilevel
from bilevel.errors import ModelError
from bilevel.expressions.affine_rows import FEWEST, Columns
from bilevel.expressions.rows import column
from bilevel.expressions.rows_as_data import with_data
from bilevel.expressions.translation import to_casadi
from bilevel.response.response import Response

ROWS, P = 2 * FEWEST, 4
RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((ROWS, P)), RNG.standard_normal(ROWS)
TRAIN, TEST = slice(0, FEWEST), slice(FEWEST, ROWS)


def by_rows(rows, w):
    return sum((sum(X[i, j] * w[j] for j in w) - Y[i]) ** 2 for i in range(*rows.indices(ROWS)))


def by_data(rows, w):
    return bilevel.least_squares(X[rows], Y[rows], w)


def model_of(loss, weigh=lambda m, f: f):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0.1, 10.0), initialize=1.0)
    m.lower = bilevel.LowerLevel()
    w = m.lower.w = pyo.Var(range(P), initialize=0.0)
    m.lower.obj = pyo.Objective(expr=weigh(m, loss(TRAIN, w)) + m.x * sum(w[j] ** 2 for j in w))
    m.obj = pyo.Objective(expr=loss(TEST, w) / FEWEST)
    return m


WEIGHTS = {
    "plain": lambda m, f: f,
    "a number": lambda m, f: f / 7.0,
    "the leader's": lambda m, f: f * m.x**2 / 3.0,
    "negated twice": lambda m, f: -(-2.0 * f),
    "beside others": lambda m, f: f + m.lower.w[0] ** 4 + 3.0 * m.lower.w[1],
}


@pytest.mark.parametrize("weight", WEIGHTS)
def test_squares_by_rows_answer_like_least_squares(weight):
    rows, data = (Response(model_of(loss, WEIGHTS[weight])) for loss in (by_rows, by_data))
    for x in (np.array([0.3]), np.array([4.0])):
        one, other = rows(x), data(x)
        np.testing.assert_allclose(one.y, other.y, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(one.cost, other.cost, rtol=1e-10)
        np.testing.assert_allclose(rows.gradient(x).value, data.gradient(x).value, rtol=1e-7, atol=1e-12)


def test_they_cost_their_coefficients_and_are_verified_as_written():
    model = model_of(by_rows)
    response = Response(model)
    graph = response.programs["lower"].graph
    assert graph.n_instructions() < FEWEST
    result = bilevel.solve(model, "random", budget=5, seed=1)
    assert result.verdict == "best_found"
    np.testing.assert_allclose(result.upper_objective, pyo.value(model.obj), rtol=1e-12)


def test_what_is_no_data_stays_as_it_was_written():
    m = model_of(by_rows)
    w, count = m.lower.w, 3 * FEWEST
    long = pyo.Var(range(count))
    long.construct()
    banded = sum((long[i + 1] - long[i]) ** 2 for i in range(count - 1))
    assert with_data(banded, long.values()) is banded
    moving = sum((X[i, 0] * w[0] - m.x) ** 2 for i in range(FEWEST))
    assert with_data(moving, w.values()) is moving
    few = sum((X[i, 0] * w[0] - Y[i]) ** 2 for i in range(FEWEST - 1))
    assert with_data(few, w.values()) is few
    bent = sum((X[i, 0] * w[0] ** 3 - Y[i]) ** 2 for i in range(FEWEST))
    assert with_data(bent, w.values()) is bent


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_number_that_is_none_is_refused_by_name(wrong, monkeypatch):
    broken = X.copy()
    broken[7, 2] = wrong
    monkeypatch.setitem(globals(), "X", broken)
    with pytest.raises(ModelError, match=r"lower\.obj"):
        Response(model_of(by_rows))


def test_logistic_and_poisson_by_rows_answer_like_rows_of():
    n, p = 1000, 21
    rng = np.random.default_rng(2)
    Z, t = rng.standard_normal((n, p)) / 4, rng.choice([-1.0, 1.0], n)
    counts = rng.poisson(1.0, n).astype(float)

    def rows(i, w):
        return sum(Z[i, j] * w[j] for j in w)

    def logistic(w):
        return sum(pyo.log(1 + pyo.exp(-t[i] * rows(i, w))) for i in range(n)) / n

    def poisson(w):
        return sum((pyo.exp(rows(i, w)) - counts[i] * rows(i, w)) / n for i in range(n))

    for written, name, target in ((logistic, "logistic", t), (poisson, "poisson", counts)):
        one, other = (
            Response(model(loss, p))
            for loss in (written, lambda w, name=name, target=target: bilevel.rows_of(name, Z, w, target) / n)
        )
        assert one.programs["lower"].losses
        x = np.array([0.2])
        np.testing.assert_allclose(one(x).y, other(x).y, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(one(x).cost, other(x).cost, rtol=1e-8)


def model(loss, p):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0.1, 10.0), initialize=1.0)
    m.lower = bilevel.LowerLevel()
    w = m.lower.w = pyo.Var(range(p), initialize=0.0)
    m.lower.obj = pyo.Objective(expr=loss(w) + m.x * sum(w[j] ** 2 for j in w))
    m.obj = pyo.Objective(expr=(w[0] - 1.0) ** 2 + w[1] ** 2)
    return m


def test_affine_rows_read_at_once_are_those_translated_one_by_one():
    m = pyo.ConcreteModel()
    m.v = pyo.Var(range(6), initialize=0.5)
    m.fixed = pyo.Var(initialize=3.0)
    m.fixed.fix()
    m.rate = pyo.Param(initialize=2.0, mutable=True)
    m.named = pyo.Expression(expr=m.v[0] + 2 * m.v[3])
    v = m.v
    kinds = [
        v[0] - v[1] + 4.0,
        -(2.0 * v[2] - v[3]) / 5 + v[2],
        3 * (v[0] + 2 * (v[4] - 1.0)) - np.float64(0.25) * v[5],
        v[1] - v[1],
        v[0] * m.fixed + m.rate * v[5] + m.rate,
        m.named + v[0],
        v[0] * v[1] + pyo.sin(v[2]),
        m.fixed + 0 * v[3],
    ]
    expressions = [kinds[k % len(kinds)] for k in range(FEWEST)]
    symbols = ca.SX.sym("v", 6)
    leaves = {id(v[k]): symbols[k] for k in range(6)}
    translator = to_casadi(lambda node: leaves.get(id(node)))
    columns = Columns(symbols, {key: place for place, key in enumerate(leaves)})
    found = column(translator, expressions, ["row"] * FEWEST, columns)
    alone = column(translator, expressions, ["row"] * FEWEST, None)
    difference = ca.Function("difference", [symbols], [found, alone])
    np.testing.assert_allclose(*difference(np.arange(1.0, 7.0) / 3), rtol=1e-14, atol=1e-15)
    slopes = [ca.jacobian(rows, symbols) for rows in (found, alone)]
    assert slopes[0].sparsity() == slopes[1].sparsity()
