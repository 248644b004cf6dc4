"""Followers that are sums of hinges, written in each of the ways people write one."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel

WAYS = ("machine", "squared", "tube", "two_slacks", "absolute", "quantile", "split_quantile", "shared_slack")


def rows(n, p, seed=0, classes=False):
    """Features with a column of ones, and targets."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n, p)), np.ones(n)])
    y = X[:, :-1] @ rng.normal(size=p) / np.sqrt(p) + 0.5 * rng.normal(size=n)
    return X, (np.where(y > 0.0, 1.0, -1.0) if classes else y)


def written(way, n=40, p=3, seed=0, ridge=1.0):
    """``ridge / 2 ||w||^2 + x sum_i loss(X_i w, y_i)``, the last entry of w not penalised, judged on other rows."""
    X, y = rows(2 * n, p, seed, way in ("machine", "squared"))
    model = pyo.ConcreteModel()
    model.cost = pyo.Var(bounds=(1e-3, 50.0), initialize=0.3)
    model.width = pyo.Var(bounds=(0.0, 1.0), initialize=0.1)
    model.lower = lower = LowerLevel()
    lower.w = pyo.Var(range(p + 1), initialize=0.0)
    every = range(n)
    z = [sum(float(a) * lower.w[j] for j, a in enumerate(row)) for row in X]
    t = y.tolist()
    lower.s = pyo.Var(every, bounds=(None if way in ("absolute", "quantile") else 0, None), initialize=0.0)
    paid = sum(lower.s[i] ** 2 if way == "squared" else lower.s[i] for i in every)
    if way in ("machine", "squared"):
        lower.rows = pyo.Constraint(every, rule=lambda b, i: t[i] * z[i] >= 1.0 - b.s[i])
    elif way in ("tube", "shared_slack"):
        lower.over = pyo.Constraint(every, rule=lambda b, i: t[i] - z[i] <= model.width + b.s[i])
        lower.under = pyo.Constraint(every, rule=lambda b, i: -b.s[i] - model.width <= t[i] - z[i])
    elif way == "two_slacks":
        lower.r = pyo.Var(every, bounds=(0, None), initialize=0.0)
        lower.over = pyo.Constraint(every, rule=lambda b, i: t[i] - z[i] <= model.width + b.s[i])
        lower.under = pyo.Constraint(every, rule=lambda b, i: z[i] - t[i] <= model.width + b.r[i])
        paid = paid + sum(lower.r[i] for i in every)
    elif way == "absolute":
        lower.over = pyo.Constraint(every, rule=lambda b, i: t[i] - z[i] <= b.s[i])
        lower.under = pyo.Constraint(every, rule=lambda b, i: z[i] - t[i] <= b.s[i])
    elif way == "quantile":
        lower.over = pyo.Constraint(every, rule=lambda b, i: b.s[i] >= 0.3 * (t[i] - z[i]))
        lower.under = pyo.Constraint(every, rule=lambda b, i: b.s[i] >= -0.7 * (t[i] - z[i]))
    else:
        lower.r = pyo.Var(every, bounds=(0, None), initialize=0.0)
        lower.split = pyo.Constraint(every, rule=lambda b, i: b.s[i] - b.r[i] == t[i] - z[i])
        paid = sum(0.3 * lower.s[i] + 0.7 * lower.r[i] for i in every)
    lower.obj = pyo.Objective(expr=0.5 * ridge * sum(lower.w[j] ** 2 for j in range(p)) + model.cost * paid)
    model.obj = pyo.Objective(expr=sum((z[i] - t[i]) ** 2 for i in range(n, 2 * n)) / n + model.width**2)
    return model
