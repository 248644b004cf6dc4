"""Followers with many variables and few nonzeros: banded, arrow and block Hessians, with and without constraints."""

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel

SHAPES = ("banded", "arrow", "blocks")
KINDS = ("free", "tied", "rows", "bounds")


def curved(shape, y, x, rng):
    """A strictly convex quadratic, its weights moved by x."""
    n = len(y)
    target = rng.standard_normal(n)
    fit = sum((1.0 + 0.1 * x[1] * (k % 3)) * (y[k] - target[k]) ** 2 for k in range(n))
    if shape == "banded":
        return fit + x[0] * sum((y[k - 1] - 2 * y[k] + y[k + 1]) ** 2 for k in range(1, n - 1))
    if shape == "arrow":
        return fit + x[0] * sum((y[0] - y[k]) ** 2 for k in range(1, n))
    weights = rng.standard_normal(n)
    return fit + x[0] * sum(sum(weights[j] * y[j] for j in range(k, min(k + 5, n))) ** 2 for k in range(0, n, 5))


def model_of(shape, kind, n, seed=0, units=1.0, bound=0.8):
    """A follower of n variables, each in units of its own where an array is given."""
    rng = np.random.default_rng(seed)
    unit = np.broadcast_to(units, n)
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(0.1, 3.0), initialize=1.0)
    m.lower = LowerLevel()
    m.lower.y = pyo.Var(range(n))
    y = [m.lower.y[k] / float(unit[k]) for k in range(n)]
    m.lower.obj = pyo.Objective(expr=curved(shape, y, m.x, rng))
    if kind == "tied":
        m.lower.sums = pyo.Constraint(range(0, n - 7, 7), rule=lambda _, k: sum(y[k : k + 7]) == m.x[1] * (k % 4 - 1))
    if kind == "rows":
        m.lower.steps = pyo.Constraint(range(1, n), rule=lambda _, k: y[k] - y[k - 1] <= 0.3 * m.x[1])
        m.lower.sums = pyo.Constraint(range(0, n - 7, 14), rule=lambda _, k: sum(y[k : k + 7]) == m.x[1])
    if kind == "bounds":
        for k in range(n):
            m.lower.y[k].setlb(-bound * float(unit[k]))
            m.lower.y[k].setub(bound * float(unit[k]) if k % 3 else None)
    m.obj = pyo.Objective(expr=sum((y[k] - 0.1 * (k % 5)) ** 2 for k in range(n)) / n + 0.01 * m.x[0])
    return m
