"""Followers with an l1 term, written in each of the ways people write one, and what they answer by other means."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares

WAYS = ("abs", "split", "above")


def regression(p, rows=40, seed=0):
    """Correlated features, a sparse truth: training and held-out data."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2 * rows, p)) + 0.5 * rng.normal(size=(2 * rows, 1))
    y = X[:, : max(2, p // 4)].sum(axis=1) + rng.normal(size=2 * rows)
    return X[:rows], y[:rows], X[rows:], y[rows:]


def penalised(data, way="abs", ridge="w", weighted=False, sign="any"):
    """``1/(2n) ||X w - y||^2 + sum_j x_j |w_j| + x_ridge / 2 sum_j w_j^2``, judged on held-out rows."""
    X, y, X_v, y_v = data
    n, p = X.shape
    model = pyo.ConcreteModel()
    model.penalty = pyo.Var(range(p) if weighted else [0], bounds=(0.0, 5.0), initialize=0.1)
    model.lower = lower = LowerLevel()
    cost = [model.penalty[j if weighted else 0] for j in range(p)]
    if way == "split":
        lower.u, lower.v = (pyo.Var(range(p), bounds=(0, None), initialize=0.0) for _ in range(2))
        w = [lower.u[j] - lower.v[j] for j in range(p)]
        bent = sum(cost[j] * (lower.u[j] + lower.v[j]) for j in range(p))
    else:
        bounds = {"any": (None, None), "positive": (0, None), "box": (-0.3, 0.4)}[sign]
        lower.w = pyo.Var(range(p), bounds=bounds, initialize=0.0)
        w = list(lower.w.values())
        if way == "above":
            lower.t = pyo.Var(range(p), initialize=0.0)
            lower.right = pyo.Constraint(range(p), rule=lambda b, j: b.t[j] >= b.w[j])
            lower.left = pyo.Constraint(range(p), rule=lambda b, j: -b.w[j] <= b.t[j])
        bent = sum(cost[j] * (lower.t[j] if way == "above" else abs(w[j])) for j in range(p))
    f = least_squares(X, y, w) / (2 * n) + bent
    if ridge is not None:
        model.ridge = pyo.Var(bounds=(0.0, 5.0), initialize=0.1)
        squares = sum(a**2 for a in (*lower.u.values(), *lower.v.values())) if ridge == "uv" else sum(a**2 for a in w)
        f += model.ridge / 2 * squares
    lower.obj = pyo.Objective(expr=f)
    model.obj = pyo.Objective(expr=least_squares(X_v, y_v, w) / len(y_v))
    return model


def by_coordinates(X, y, penalty, ridge=0.0, low=-np.inf, high=np.inf):
    """Cyclic coordinate descent (Friedman, Hastie and Tibshirani 2010): another algorithm for the same coefficients."""
    n, p = X.shape
    gram, slope, w = X.T @ X / n, -X.T @ y / n, np.zeros(p)
    penalty = np.broadcast_to(penalty, p)
    for _ in range(20_000):
        moved = 0.0
        for j in range(p):
            pull = gram[j, j] * w[j] - slope[j]
            new = np.sign(pull) * max(abs(pull) - penalty[j], 0.0) / (gram[j, j] + ridge)
            new = min(max(new, low), high)
            moved = max(moved, abs(new - w[j]))
            slope += gram[j] * (new - w[j])
            w[j] = new
        if moved < 1e-13:
            break
    return w


def coefficients(reply, p, way):
    """w of an answer."""
    return reply.y[:p] - reply.y[p : 2 * p] if way == "split" else reply.y[:p]
