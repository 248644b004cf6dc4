"""Few upper variables: branch and bound over x alone beside the KKT path, at the same time limit.

    python benchmarks/upper_boxes.py [--limit 20] [--methods upper_boxes,kkt] [--only adstock]

Ridge regressions with one to three penalties, with signs and folds, smooth elastic nets, carry-over of advertising with
and without saturation, kernels whose width is tuned. All data are drawn with a seed.
"""

from __future__ import annotations

import argparse

import numpy as np
import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel, least_squares


def ridge(p, n, groups=1, nonneg=False, folds=1, smooth=False, low=1e-3, high=1e2, seed=0):
    """A penalty for each group of coefficients; judged on the rows of a fold that the follower does not see."""
    rng = np.random.default_rng(seed)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(groups), bounds=(low, high))
    w0 = rng.normal(size=p) * (rng.random(p) < 0.5)
    X = rng.normal(size=(2 * n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)))
    y = X @ w0 + 3 * rng.normal(size=2 * n)
    X, y, fold = X / X.std(0), y / y.std(), np.arange(2 * n) % max(folds, 2)
    model.lower = LowerLevel(range(folds))
    total = 0.0
    for k in range(folds):
        follower, train, judge = model.lower[k], fold != k, fold == k
        w = follower.w = pyo.Var(range(p), bounds=(0, None) if nonneg else (None, None))
        shrink = sum(model.x[j * groups // p] * w[j] ** 2 for j in range(p))
        if smooth:
            rest = model.x[1] if groups > 1 else 0.1
            shrink = sum(model.x[0] * pyo.sqrt(w[j] ** 2 + 0.01) + rest * w[j] ** 2 for j in range(p))
        follower.obj = pyo.Objective(expr=least_squares(X[train], y[train], w) / (2 * train.sum()) + shrink / 2)
        total += least_squares(X[judge], y[judge], w) / judge.sum()
    model.obj = pyo.Objective(expr=total / folds)
    return model


def adstock(channels, weeks=40, penalty=True, saturation=False, seed=0):
    """Geometric carry-over of each channel; effects and an intercept below."""
    rng = np.random.default_rng(seed)
    model = pyo.ConcreteModel()
    model.theta = pyo.Var(range(channels), bounds=(0, 0.9))
    if penalty:
        model.penalty = pyo.Var(bounds=(1e-3, 10))
    spend = rng.gamma(1.5, size=(channels, weeks)) * (rng.random((channels, weeks)) < 0.6)
    true, kept = rng.uniform(0.2, 0.7, channels), np.zeros((channels, weeks))
    for t in range(weeks):
        kept[:, t] = spend[:, t] + (true * kept[:, t - 1] if t else 0)
    y = kept.T @ rng.uniform(0.5, 2, channels) + rng.normal(size=weeks) + 1
    model.lower = LowerLevel()
    b, c = model.lower.b, model.lower.c = pyo.Var(range(channels), bounds=(0, None)), pyo.Var()
    model.a = pyo.Expression(range(channels), range(weeks))
    for k in range(channels):
        for t in range(weeks):
            model.a[k, t] = float(spend[k, t]) + (model.theta[k] * model.a[k, t - 1] if t else 0.0)
    bent = (lambda a: 1 - pyo.exp(-a / 2)) if saturation else (lambda a: a)
    errors = [sum(b[k] * bent(model.a[k, t]) for k in range(channels)) + c - y[t] for t in range(weeks)]
    fit = 2 * weeks // 3
    shrink = (model.penalty if penalty else 0.01) * (sum(b[k] ** 2 for k in range(channels)) + 0.01 * c**2)
    model.lower.obj = pyo.Objective(expr=sum(e**2 for e in errors[:fit]) / fit + shrink)
    model.obj = pyo.Objective(expr=sum(e**2 for e in errors[fit:]) / (weeks - fit))
    return model


def kernel(n, seed=0):
    """Gaussian kernels: their width and a penalty above, weights below."""
    rng = np.random.default_rng(seed)
    model = pyo.ConcreteModel()
    model.sharpness, model.penalty = pyo.Var(bounds=(0.3, 3)), pyo.Var(bounds=(1e-2, 1))
    u, v = np.sort(rng.uniform(-3, 3, n)), rng.uniform(-3, 3, n)
    t_u, t_v = (np.sin(2 * z) + 0.2 * z + 0.3 * rng.normal(size=n) for z in (u, v))
    a = pyo.Var(range(n))
    model.lower = LowerLevel()
    model.lower.a = a

    def error(points, values):
        fitted = [sum(pyo.exp(-((p - q) ** 2) * model.sharpness) * a[j] for j, q in enumerate(u)) for p in points]
        return sum((f - t) ** 2 for f, t in zip(fitted, values, strict=True))

    model.lower.obj = pyo.Objective(expr=error(u, t_u) + model.penalty * sum(a[j] ** 2 for j in range(n)))
    model.obj = pyo.Objective(expr=error(v, t_v) / n)
    return model


PROBLEMS = {
    "ridge, 100 coefficients": lambda: ridge(100, 200),
    "ridge, 100 coefficients >= 0": lambda: ridge(100, 200, nonneg=True),
    "2 penalties, 20": lambda: ridge(20, 40, 2),
    "2 penalties, 50": lambda: ridge(50, 80, 2),
    "2 penalties, 50 >= 0": lambda: ridge(50, 80, 2, nonneg=True),
    "3 penalties, 30": lambda: ridge(30, 60, 3),
    "3 penalties, 30 >= 0": lambda: ridge(30, 60, 3, nonneg=True),
    "5 folds of 10 >= 0": lambda: ridge(10, 50, folds=5, nonneg=True),
    "5 folds of 10, 2 penalties": lambda: ridge(10, 50, 2, folds=5),
    "smooth absolute values, 10": lambda: ridge(10, 30, smooth=True),
    "smooth elastic net, 10": lambda: ridge(10, 30, 2, smooth=True),
    "adstock, 1 decay": lambda: adstock(1, penalty=False),
    "adstock, 1 decay, penalty": lambda: adstock(1),
    "adstock, 2 decays, penalty": lambda: adstock(2),
    "the same with saturation": lambda: adstock(2, saturation=True),
    "kernel width, penalty, 15": lambda: kernel(15),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=20.0)
    parser.add_argument("--methods", default="upper_boxes,kkt")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print("| problem | method | verdict | F | bound | seconds |")
    print("|---|---|---|---:|---:|---:|")
    for name, build in PROBLEMS.items():
        for method in args.methods.split(",") if args.only in name else ():
            try:
                r = bilevel.solve(build(), method, time_limit=args.limit)
            except bilevel.BilevelError as error:
                print(f"| {name} | `{method}` | refused: {error} | | | |", flush=True)
                continue
            bound = "" if r.bound is None else f"{r.bound:.8g}"
            print(
                f"| {name} | `{method}` | {r.verdict} | {r.upper_objective:.8g} | {bound} | {r.seconds:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
