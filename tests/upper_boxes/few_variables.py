"""Small problems with one or two upper variables and followers that are strongly convex."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares


def regression(seed=0, p=4, n=12, nonnegative=False, penalty="plain", quartic=False, rows=False, moving=False, folds=1):
    """Two penalties for the coefficients of one or more ridge regressions, judged on other rows."""
    rng = np.random.default_rng(seed)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(-2, 2) if penalty == "log" else (0.01, 3))
    weights = [pyo.exp(model.x[j]) if penalty == "log" else model.x[j] for j in range(2)]
    model.lower = LowerLevel(range(folds))
    total = 0.0
    for k in range(folds):
        Z, w0 = rng.normal(size=(2 * n, p)), rng.normal(size=p)
        t = Z @ w0 + 1.5 * rng.normal(size=2 * n)
        follower = model.lower[k]
        follower.w = pyo.Var(range(p), bounds=(0 if nonnegative else None, None))
        w = follower.w
        loss = least_squares(Z[:n], t[:n], w) + sum(weights[j % 2] * w[j] ** 2 for j in range(p))
        if quartic:
            loss = loss + sum((w[j] - model.x[0]) ** 4 for j in range(p))
        follower.obj = pyo.Objective(expr=loss)
        if rows:
            follower.most = pyo.Constraint(expr=sum(w[j] for j in range(p)) <= 0.5)
            follower.equal = pyo.Constraint(expr=w[0] + w[1] == 0.3)
        if moving:
            follower.moves = pyo.Constraint(expr=sum(w[j] for j in range(p)) <= 0.3 * model.x[0] + 0.1)
        total = total + least_squares(Z[n:], t[n:], w) / n
    model.obj = pyo.Objective(expr=total + 0.1 * pyo.exp(model.x[0]) * model.lower[0].w[0] ** 2)
    return model


KINDS = {
    "ridge": {},
    "nonnegative": {"nonnegative": True},
    "logarithmic": {"penalty": "log"},
    "quartic": {"quartic": True},
    "rows": {"rows": True},
    "rows and bounds": {"rows": True, "nonnegative": True},
    "moving rows": {"moving": True},
    "moving rows and bounds": {"moving": True, "nonnegative": True},
    "matrices": {"p": 26, "n": 30, "nonnegative": True},
    "folds": {"folds": 2, "nonnegative": True},
}


def single(f, upper, bounds=(-1.0, 1.0), below=(None, None), sense=pyo.minimize):
    """One x, one y: ``f(x, y)`` below, ``upper(x, y)`` above."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=bounds)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(bounds=below)
    model.lower.obj = pyo.Objective(expr=f(model.x, model.lower.y))
    model.obj = pyo.Objective(expr=upper(model.x, model.lower.y), sense=sense)
    return model


def decay(weeks=24, seed=0):
    """Geometric adstock of one channel: its decay and a penalty above, effect and intercept below."""
    rng = np.random.default_rng(seed)
    spend = rng.gamma(1.5, size=weeks) * (rng.random(weeks) < 0.6)
    model = pyo.ConcreteModel()
    model.theta, model.penalty = pyo.Var(bounds=(0, 0.9)), pyo.Var(bounds=(1e-3, 10))
    carried, true = [float(spend[0])], [float(spend[0])]
    for t in range(1, weeks):
        carried.append(float(spend[t]) + model.theta * carried[-1])
        true.append(float(spend[t]) + 0.45 * true[-1])
    sales = 1.0 + 1.3 * np.array(true) + rng.normal(size=weeks)
    model.lower = LowerLevel()
    model.lower.effect, model.lower.base = pyo.Var(bounds=(0, None)), pyo.Var()
    errors = [model.lower.effect * carried[t] + model.lower.base - sales[t] for t in range(weeks)]
    fit = 2 * weeks // 3
    shrink = model.penalty * (model.lower.effect**2 + 0.01 * model.lower.base**2)
    model.lower.obj = pyo.Objective(expr=sum(e**2 for e in errors[:fit]) / fit + shrink)
    model.obj = pyo.Objective(expr=sum(e**2 for e in errors[fit:]) / (weeks - fit))
    return model


def _term(rng, x):
    """Something nonlinear in x."""
    a, one, other = float(rng.normal()), x[rng.integers(len(x))], x[rng.integers(len(x))]
    terms = [
        lambda: a * one,
        lambda: a * one**2,
        lambda: a * pyo.exp(one),
        lambda: a * pyo.sin(3 * one),
        lambda: a * one * other,
        lambda: a / (2.5 + one),
        lambda: a * pyo.sqrt(1.3 + one),
        lambda: a * pyo.tanh(2 * one + other),
        lambda: a * pyo.log(2.2 + one) * other,
    ]
    return terms[rng.integers(len(terms))]()


def drawn(seed):
    """A problem at random: coefficients nonlinear in x, bounds and rows that become active, coupling, kinks of F."""
    rng = np.random.default_rng(seed)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(int(rng.integers(1, 3))), bounds=(-1, 1))
    x = [model.x[j] for j in model.x]
    n = int(rng.integers(1, 4))
    model.lower = LowerLevel(range(int(rng.integers(1, 3))))
    answers = []
    for k in model.lower:
        follower = model.lower[k]
        bounds = [(None, None), (0, None), (-0.2, 0.4), (None, 0.4)][rng.integers(4)]
        follower.y = pyo.Var(range(n), bounds=bounds)
        y = [follower.y[j] for j in range(n)]
        f = sum((0.3 + 0.2 * x[0] ** 2) * v**2 + _term(rng, x) * v for v in y)
        for _ in range(n + 2):
            weights = [_term(rng, x) if rng.random() < 0.5 else float(rng.normal()) for _ in range(n)]
            f = f + (sum(w * v for w, v in zip(weights, y, strict=True)) - _term(rng, x) - float(rng.normal())) ** 2
        follower.obj = pyo.Objective(expr=f)
        if rng.random() < 0.4:
            moves = 0.3 * x[0] + 0.5 if bounds == (None, None) else 0.3
            follower.row = pyo.Constraint(expr=sum(float(rng.normal()) * v for v in y) <= moves)
        answers += y
    upper = sum(_term(rng, x) * v + (v - float(rng.normal())) ** 2 for v in answers) + _term(rng, x)
    upper = upper + _term(rng, x) * pyo.sin(answers[0]) + (abs(answers[0] - x[0]) if rng.random() < 0.2 else 0.0)
    model.obj = pyo.Objective(expr=upper)
    if rng.random() < 0.3:
        model.limit = pyo.Constraint(expr=answers[0] + _term(rng, x) <= 0.5 * float(rng.normal()))
    return model
