"""Models whose lower level holds a squared distance too large to be written out."""

import casadi as ca
import numpy as np
import pyomo.environ as pyo
import pytest

from bilevel import LowerLevel, least_squares

P = 30


def data(rows=80, seed=0):
    """Training and validation data."""
    rng = np.random.default_rng(seed)
    X, V = rng.standard_normal((rows, P)), rng.standard_normal((rows // 2, P))
    w = rng.standard_normal(P)
    return X, X @ w + rng.standard_normal(rows), V, V @ w + rng.standard_normal(rows // 2)


def per_feature(m, w, square):
    """One penalty for every other coefficient, the rest share theirs."""
    return square / 80 + sum(m.x[j % 3] * w[j] ** 2 for j in range(P))


def weighed(m, w, square):
    """The data term weighed by the leader, beside a constant one."""
    return m.x[0] * square + m.x[1] * sum(w[j] ** 2 for j in range(P)) + m.x[2] * w[0] * w[1]


def moved(m, w, square):
    """The leader pulls at the linear part alone: a constant Hessian."""
    return square / 80 + sum(w[j] ** 2 for j in range(P)) + m.x[0] * w[0] + pyo.exp(m.x[1]) * w[3] + m.x[2]


def create(below=per_feature, bounded=False, tied=False, maximise=False, above=None):
    """A model: the lower objective, bounds on w, an equality over w, the leader's function of the validation term."""
    X, y, V, v = data()
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(0.1, 2.0), initialize=0.5)
    m.lower = LowerLevel()
    m.lower.w = pyo.Var(range(P), bounds=(-0.4, 0.4) if bounded else (None, None))
    w = m.lower.w
    objective = below(m, w, least_squares(X, y, w))
    m.lower.obj = pyo.Objective(
        expr=-objective if maximise else objective, sense=pyo.maximize if maximise else pyo.minimize
    )
    if tied:
        m.lower.sum = pyo.Constraint(expr=sum(w[j] for j in range(P)) == m.x[2])
    judged = least_squares(V, v, w) / len(v)
    m.obj = pyo.Objective(expr=(judged if above is None else above(m, judged)) + 0.1 * m.x[0] ** 2)
    return m


CASES = {
    "per_feature": {},
    "weighed": {"below": weighed},
    "moved": {"below": moved},
    "bounded": {"bounded": True},
    "bounded_weighed": {"bounded": True, "below": weighed},
    "tied": {"tied": True},
    "tied_moved": {"tied": True, "below": moved},
    "maximising": {"maximise": True},
    "root": {"above": lambda m, judged: pyo.sqrt(judged) * m.x[1] + judged**2},
}


def assert_same_function(kept, written, x, y):
    """Two programs: objective, gradient and Hessian in symbols, and the objective as it is evaluated."""
    values = [
        ca.Function("f", [p.parameters, p.variables], [p.objective, p.gradient, p.hessian])(x, y)
        for p in (kept, written)
    ]
    for a, b in zip(*values, strict=True):
        np.testing.assert_allclose(a.full(), b.full(), rtol=1e-9, atol=1e-9)
    assert float(kept.evaluate(x, y)[0][0]) == pytest.approx(float(written.evaluate(x, y)[0][0]), rel=1e-10)
