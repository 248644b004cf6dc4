"""Problems whose follower is piecewise linear in one penalty, in the ways people write them; ties among them."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, least_squares

KINDS = ("real", "integer", "duplicate")


def regression(p, n, seed, kind="real"):
    """Training and held-out data; of integers, or with a column twice, many things happen at once."""
    rng = np.random.default_rng(seed)
    if kind == "integer":
        X, y = rng.integers(-2, 3, size=(2 * n, p)).astype(float), rng.integers(-3, 4, size=2 * n).astype(float)
    else:
        X = rng.normal(size=(2 * n, p))
        y = X[:, :2].sum(axis=1) + rng.normal(size=2 * n)
    if kind == "duplicate":
        X[:, -1] = X[:, 0]
    return X[:n], y[:n], X[n:], y[n:]


def _penalty(model, axis, low, high):
    """The penalty as a function of ``model.x``."""
    ends = {
        "plain": (low, high),
        "ten": (np.log10(low) if low else None, np.log10(high)),
        "exp": (np.log(low) / 2 if low else None, np.log(high) / 2),
        "inverse": (1 / high, 1 / low if low else None),
    }[axis]
    model.x = pyo.Var(bounds=ends)
    return {"plain": model.x, "ten": 10**model.x, "exp": pyo.exp(2 * model.x), "inverse": 1 / model.x}[axis]


def lasso(p=3, n=6, seed=0, kind="real", way="abs", axis="plain", folds=1, low=0.05, high=3.0, ridge=0.0, sense=1):
    """``1/(2n) ||X w - y||^2 + s |w|_1 + ridge ||w||^2``, judged on held-out rows."""
    model = pyo.ConcreteModel()
    s = _penalty(model, axis, low, high)
    model.f, total = LowerLevel(range(folds)), 0.0
    for k in range(folds):
        X, y, held_out, truth = regression(p, n, seed + 100 * k, kind)
        block = model.f[k]
        w, size = _coefficients(block, p, way)
        block.obj = pyo.Objective(
            expr=least_squares(X, y, w) / (2 * n) + s * size + ridge * sum(entry**2 for entry in w)
        )
        total = total + least_squares(held_out, truth, w) / n
    model.obj = pyo.Objective(expr=sense * total, sense=pyo.minimize if sense == 1 else pyo.maximize)
    return model


def _coefficients(block, p, way):
    if way == "split":
        block.u, block.v = (pyo.Var(range(p), bounds=(0, None)) for _ in range(2))
        return [block.u[j] - block.v[j] for j in range(p)], sum(block.u[j] + block.v[j] for j in range(p))
    block.w = pyo.Var(range(p), bounds=(0, 1) if way == "positive" else (None, None))
    w = list(block.w.values())
    if way == "above":
        block.t = pyo.Var(range(p))
        block.right = pyo.Constraint(range(p), rule=lambda b, j: b.t[j] >= b.w[j])
        block.left = pyo.Constraint(range(p), rule=lambda b, j: b.t[j] >= -b.w[j])
        return w, sum(block.t.values())
    return w, sum(w) if way == "positive" else sum(abs(entry) for entry in w)


def machine(p=2, n=8, seed=0, kind="real", low=0.05, high=5.0, ridge=False):
    """A support vector machine: ``1/2 ||w||^2 + C sum_i max(0, 1 - y_i (x_i'w + b))``, or ``C / 2 ||w||^2`` as ridge."""
    X, y, held_out, truth = regression(p, n, seed, kind)
    signs, others = np.where(y > 0, 1.0, -1.0), np.where(truth > 0, 1.0, -1.0)
    model = pyo.ConcreteModel()
    model.C = pyo.Var(bounds=(low, high))
    model.f = block = LowerLevel()
    block.w, block.b, block.short = pyo.Var(range(p)), pyo.Var(), pyo.Var(range(n), bounds=(0, None))
    block.margin = pyo.Constraint(
        range(n), rule=lambda b, i: float(signs[i]) * (_product(X[i], b.w) + b.b) >= 1 - b.short[i]
    )
    size, short = 0.5 * sum(w**2 for w in block.w.values()), sum(block.short.values())
    block.obj = pyo.Objective(expr=model.C * size + short if ridge else size + model.C * short)
    model.obj = pyo.Objective(
        expr=sum((float(t) - _product(row, block.w)) ** 2 for row, t in zip(held_out, others, strict=True)) / n
    )
    return model


def dual_machine(p=2, n=8, seed=0, kind="real", low=0.05, high=5.0):
    """Its dual: ``1/2 ||sum_i a_i y_i x_i||^2 - sum_i a_i`` with ``0 <= a <= C`` and ``y'a = 0``."""
    X, y, held_out, truth = regression(p, n, seed, kind)
    signs = np.where(y > 0, 1.0, -1.0)
    if abs(signs.sum()) == n:
        signs[0] = -signs[0]
    model = pyo.ConcreteModel()
    model.C = pyo.Var(bounds=(low, high))
    model.f = block = LowerLevel()
    block.a = pyo.Var(range(n), bounds=(0, None))
    block.cap = pyo.Constraint(range(n), rule=lambda b, i: b.a[i] <= model.C)
    block.even = pyo.Constraint(expr=sum(float(signs[i]) * block.a[i] for i in range(n)) == 0)
    w = [sum(float(signs[i] * X[i, j]) * block.a[i] for i in range(n)) for j in range(p)]
    block.obj = pyo.Objective(expr=0.5 * sum(entry**2 for entry in w) - sum(block.a.values()))
    model.obj = pyo.Objective(
        expr=sum((float(t) - _product(row, w)) ** 2 for row, t in zip(held_out, truth, strict=True)) / n
    )
    return model


def quantile(p=2, n=7, seed=0, kind="real", low=0.01, high=3.0):
    """The 0.7 quantile with an l1 term: a linear program, whose answer jumps."""
    X, y, held_out, truth = regression(p, n, seed, kind)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(low, high))
    model.f = block = LowerLevel()
    block.w, block.a, block.t = pyo.Var(range(p)), pyo.Var(range(p)), pyo.Var(range(n))
    block.above = pyo.Constraint(range(n), rule=lambda b, i: b.t[i] >= 0.7 * (float(y[i]) - _product(X[i], b.w)))
    block.below = pyo.Constraint(range(n), rule=lambda b, i: b.t[i] >= -0.3 * (float(y[i]) - _product(X[i], b.w)))
    block.right = pyo.Constraint(range(p), rule=lambda b, j: b.a[j] >= b.w[j])
    block.left = pyo.Constraint(range(p), rule=lambda b, j: b.a[j] >= -b.w[j])
    block.obj = pyo.Objective(expr=sum(block.t.values()) + model.x * sum(block.a.values()))
    model.obj = pyo.Objective(
        expr=sum((float(t) - _product(row, block.w)) ** 2 for row, t in zip(held_out, truth, strict=True)) / n
    )
    return model


def pinball(p=2, n=7, seed=0, kind="real", low=0.05, high=3.0, axis="plain"):
    """The 0.7 quantile with a ridge ``s ||w||^2`` and an intercept: piecewise linear in 1 / s."""
    X, y, held_out, truth = regression(p, n, seed, kind)
    model = pyo.ConcreteModel()
    s = _penalty(model, axis, low, high)
    model.f = block = LowerLevel()
    block.w, block.b, block.t = pyo.Var(range(p)), pyo.Var(), pyo.Var(range(n))
    rest = [float(y[i]) - _product(X[i], block.w) - block.b for i in range(n)]
    block.above = pyo.Constraint(range(n), rule=lambda b, i: b.t[i] >= 0.7 * rest[i])
    block.below = pyo.Constraint(range(n), rule=lambda b, i: b.t[i] >= -0.3 * rest[i])
    block.obj = pyo.Objective(expr=sum(block.t.values()) + s * sum(w**2 for w in block.w.values()))
    model.obj = pyo.Objective(
        expr=sum((float(t) - _product(row, block.w)) ** 2 for row, t in zip(held_out, truth, strict=True)) / n
    )
    return model


def program(n=4, m=3, seed=0, rank=4, integers=True):
    """A quadratic program in a box, its costs and limits moving, its Hessian of some rank."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.integers(-2, 3, size=shape).astype(float) if integers else rng.normal(size=shape)

    R, c0, c1, A, room, rate, target = draw(rank, n), draw(n), draw(n), draw(m, n), draw(m), draw(m), draw(n)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 1))
    model.f = block = LowerLevel()
    block.y = pyo.Var(range(n), bounds=(-2, 2))
    block.rows = pyo.Constraint(
        range(m),
        rule=lambda b, i: _product(A[i], b.y) + 0 * b.y[0] <= float(abs(room[i]) + 1) + float(0.5 * rate[i]) * model.x,
    )
    block.obj = pyo.Objective(
        expr=0.5 * sum(_product(row, block.y) ** 2 for row in R)
        + sum((float(c0[j]) + float(c1[j]) * model.x) * block.y[j] for j in range(n))
    )
    model.obj = pyo.Objective(expr=sum((block.y[j] - float(target[j])) ** 2 for j in range(n)) + 0.3 * model.x)
    return model


def _product(row, variables):
    return sum(float(a) * variables[j] for j, a in enumerate(row))
