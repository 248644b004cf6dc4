"""Followers with many variables and few nonzeros, each beside what one would write by hand for that one problem.

``banded`` smooths a series, one penalty on its second differences; ``steps`` does so with every step limited; ``arrow``
are groups that share one coefficient; ``blocks`` are groups that share nothing but their penalties. F is the error on
points held back. Each builder gives the model, and a function of x that answers and evaluates F without this package.
"""

from __future__ import annotations

import numpy as np
import piqp
import pyomo.environ as pyo
from scipy import sparse
from scipy.linalg import solveh_banded
from scipy.sparse.linalg import splu

import bilevel

GROUP, ROWS, PENALTIES = 5, 8, 4


def upper_level(count):
    """A model with some penalties."""
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(range(count), bounds=(1e-2, 1e3), initialize=1.0)
    bilevel.set_scale(m.penalty, "log")
    m.lower = bilevel.LowerLevel()
    return m


def series(n):
    """A noisy curve; every fourth point is held back."""
    t = np.linspace(0, 1, n)
    noisy = np.sin(6 * t) + 0.5 * np.abs(t - 0.4) + 0.2 * np.random.default_rng(0).standard_normal(n)
    return noisy, np.arange(n) % 4 != 0


def smoothing(n):
    """``sum (y_i - d_i)^2 + p sum (y_{i-1} - 2 y_i + y_{i+1})^2 + 1e-3 |y|^2``."""
    d, seen = series(n)
    m = upper_level(1)
    y = m.lower.y = pyo.Var(range(n), initialize=0.0)
    rough = sum((y[i - 1] - 2 * y[i] + y[i + 1]) ** 2 for i in range(1, n - 1))
    fit = sum((y[i] - d[i]) ** 2 for i in range(n) if seen[i]) + 1e-3 * sum(y[i] ** 2 for i in y)
    m.lower.obj = pyo.Objective(expr=fit + m.penalty[0] * rough)
    m.obj = pyo.Objective(expr=sum((y[i] - d[i]) ** 2 for i in range(n) if not seen[i]))
    return m, d, seen


def roughness(n):
    """The matrix of the sum of squared second differences."""
    second = sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(n - 2, n))
    return (second.T @ second).tocsc()


def banded(n):
    """One banded system."""
    m, d, seen = smoothing(n)
    full, bands = roughness(n), np.zeros((3, n))
    for k in range(3):
        bands[2 - k, k:] = full.diagonal(k)
    own = np.zeros((3, n))
    own[2] = seen + 1e-3

    def by_hand(x):
        y = solveh_banded(own + x[0] * bands, d * seen, check_finite=False)
        return ((y - d)[~seen] ** 2).sum()

    return m, by_hand


def steps(n, cap=0.02):
    """One quadratic program with n - 1 two-sided rows."""
    m, d, seen = smoothing(n)
    y = m.lower.y
    m.lower.steps = pyo.Constraint(range(1, n), rule=lambda _, i: pyo.inequality(-cap, y[i] - y[i - 1], cap))
    base, curvature = sparse.diags_array(2.0 * (seen + 1e-3), format="csc"), 2.0 * roughness(n)
    rows = sparse.csc_matrix(sparse.diags_array([-1.0, 1.0], offsets=[0, 1], shape=(n - 1, n)))
    solver, limit = piqp.SparseSolver(), np.full(n - 1, cap)
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-9
    solver.setup(sparse.csc_matrix(base + curvature), -2.0 * d * seen, None, None, rows, -limit, limit)

    def by_hand(x):
        solver.update(P=sparse.csc_matrix(base + x[0] * curvature))
        solver.solve()
        return ((solver.result.x - d)[~seen] ** 2).sum()

    return m, by_hand


def arrow(n):
    """One coefficient g in all groups, one of its own in each."""
    d = np.random.default_rng(0).standard_normal((n - 1, 3)) + 1.0
    m = upper_level(2)
    g, w = pyo.Var(), pyo.Var(range(n - 1))
    m.lower.g, m.lower.w = g, w
    fit = sum((g + w[j] - d[j, 0]) ** 2 + (g - d[j, 1]) ** 2 for j in w)
    m.lower.obj = pyo.Objective(expr=fit + m.penalty[0] * sum(w[j] ** 2 for j in w) + m.penalty[1] * g**2)
    m.obj = pyo.Objective(expr=sum((g + w[j] - d[j, 2]) ** 2 for j in w))
    edge = sparse.csc_array(np.ones((1, n - 1)))
    inner = sparse.eye_array(n - 1, format="csc")
    base = sparse.block_array([[sparse.csc_array([[2.0 * (n - 1)]]), edge], [edge.T, inner]], format="csc")
    right = np.concatenate([[d[:, :2].sum()], d[:, 0]])

    def by_hand(x):
        shrinkage = np.full(n, x[0])
        shrinkage[0] = x[1]
        y = splu((base + sparse.diags_array(shrinkage)).tocsc()).solve(right)
        return ((y[0] + y[1:] - d[:, 2]) ** 2).sum()

    return m, by_hand


def blocks(n):
    """Groups of five coefficients, eight rows each."""
    rng, count = np.random.default_rng(0), n // GROUP
    X, t = rng.standard_normal((count, ROWS, GROUP)), rng.standard_normal((count, ROWS))
    v = rng.standard_normal((count, GROUP))
    m = upper_level(PENALTIES)
    w = m.lower.w = pyo.Var(range(count), range(GROUP))
    fit = sum(
        (sum(X[g, i, j] * w[g, j] for j in range(GROUP)) - t[g, i]) ** 2 for g in range(count) for i in range(ROWS)
    )
    m.lower.obj = pyo.Objective(expr=fit + sum(m.penalty[g % PENALTIES] * w[g, j] ** 2 for g, j in w))
    m.obj = pyo.Objective(expr=sum((sum(v[g, j] * w[g, j] for j in range(GROUP)) - t[g, 0]) ** 2 for g in range(count)))
    gram, right, group = np.matmul(X.transpose(0, 2, 1), X), np.einsum("gij,gi->gj", X, t), np.arange(count) % PENALTIES

    def by_hand(x):
        y = np.linalg.solve(gram + np.asarray(x)[group, None, None] * np.eye(GROUP), right[:, :, None])[:, :, 0]
        return (((v * y).sum(axis=1) - t[:, 0]) ** 2).sum()

    return m, by_hand


SIZES = (300, 1000, 3000, 10000)
LINES = {
    "banded follower (smoothing, 1 penalty)": (banded, SIZES),
    "banded follower with inequality rows": (steps, SIZES),
    "arrow follower (one coefficient shared by all groups)": (arrow, SIZES),
    "block follower (independent groups of 5)": (blocks, SIZES),
}
