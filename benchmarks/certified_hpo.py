"""Hyperparameters with a proof: seconds until F is within 2 %, 0.1 % and 1e-5 of a proved bound.

    python benchmarks/certified_hpo.py [--limit 60] [--only lasso] [--method auto]

One penalty (lasso with folds, logistic ridge), two (elastic net, ridge in groups, logistic ridge in groups) and three.
Seconds are CPU time from the call of ``solve``: imports, reading, compiling and everything else; the last column is the
whole call, verification included. 1e-5 is the certificate's own tolerance. Data are drawn with a seed but for diabetes
and breast cancer, which are the gallery's.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel, least_squares, rows_of
from bilevel.contracts.observer import Observer

WITHIN = (2e-2, 1e-3, 1e-5)
DIABETES = Path(__file__).parent.parent / "models" / "data" / "diabetes.csv"


def drawn(n, p, seed=0):
    """Features, and a response of which a tenth of them know something."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, p)), np.zeros(p)
    w[: max(3, p // 10)] = rng.normal(size=max(3, p // 10))
    return X, X @ w + rng.normal(size=n)


def lasso(p, n=200, folds=10, low=1e-2):
    """One penalty, as many followers as folds."""
    X, y = drawn(n, p)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(low, 1.0))
    model.lower, total = LowerLevel(range(folds)), 0.0
    for k in range(folds):
        out = np.arange(n) % folds == k
        block = model.lower[k]
        block.w = pyo.Var(range(p))
        w = list(block.w.values())
        size = sum(abs(entry) for entry in w)
        block.obj = pyo.Objective(expr=least_squares(X[~out], y[~out], w) / (2 * (~out).sum()) + model.x * size)
        total = total + least_squares(X[out], y[out], w) / n
    model.obj = pyo.Objective(expr=total)
    return model


def diabetes_elastic_net(low=1e-3):
    """Two penalties on the diabetes data, the split of ``models/ridge.py``."""
    rows = np.loadtxt(DIABETES, delimiter=",", skiprows=1)
    rows = (rows - rows[:265].mean(axis=0)) / rows[:265].std(axis=0)
    X, y = rows[:, :-1], rows[:, -1]
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(low, 1.0))
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(X.shape[1]))
    w = list(model.lower.w.values())
    model.lower.obj = pyo.Objective(
        expr=least_squares(X[:265], y[:265], w) / 530
        + model.x[0] * sum(abs(entry) for entry in w)
        + model.x[1] / 2 * sum(entry**2 for entry in w)
    )
    model.obj = pyo.Objective(expr=least_squares(X[265:354], y[265:354], w) / 89)
    return model


def elastic_net(p, n, low=1e-2):
    """The same on drawn data."""
    X, y = drawn(2 * n, p)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(low, 1.0))
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(p))
    w = list(model.lower.w.values())
    shrink = model.x[0] * sum(abs(entry) for entry in w) + model.x[1] / 2 * sum(entry**2 for entry in w)
    model.lower.obj = pyo.Objective(expr=least_squares(X[:n], y[:n], w) / (2 * n) + shrink)
    model.obj = pyo.Objective(expr=least_squares(X[n:], y[n:], w) / n)
    return model


def ridge(p, n, groups):
    """A penalty for each group of coefficients."""
    X, y = drawn(2 * n, p)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(groups), bounds=(1e-3, 1e1))
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(p))
    w = list(model.lower.w.values())
    shrink = sum(model.x[j * groups // p] * w[j] ** 2 for j in range(p)) / 2
    model.lower.obj = pyo.Objective(expr=least_squares(X[:n], y[:n], w) / (2 * n) + shrink)
    model.obj = pyo.Objective(expr=least_squares(X[n:], y[n:], w) / n)
    return model


def logistic(p, n, groups, low=1e-3):
    """The same of a logistic regression."""
    X, y = drawn(2 * n, p)
    y = np.where(y > 0, 1.0, -1.0)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(groups), bounds=(low, 1.0))
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(p))
    w = list(model.lower.w.values())
    shrink = sum(model.x[j * groups // p] * w[j] ** 2 for j in range(p)) / 2
    model.lower.obj = pyo.Objective(expr=rows_of("logistic", X[:n], w, y[:n]) / n + shrink)
    model.obj = pyo.Objective(expr=rows_of("logistic", X[n:], w, y[n:]) / n)
    return model


PROBLEMS = {
    "lasso, 10 coefficients, 10 folds of 200 rows": lambda: lasso(10),
    "lasso, 100 coefficients, 10 folds of 200 rows": lambda: lasso(100),
    "lasso, 500 coefficients, 10 folds of 200 rows": lambda: lasso(500),
    "logistic ridge, breast cancer, 285 x 30": lambda: bilevel.load_model("logistic_ridge"),
    "logistic ridge, 2 groups of 10, 500 rows": lambda: logistic(20, 500, 2),
    "elastic net, diabetes, 2 penalties": diabetes_elastic_net,
    "elastic net, 100 coefficients, 500 rows, 2 penalties": lambda: elastic_net(100, 500),
    "ridge, 2 groups, 100 coefficients, 500 rows": lambda: ridge(100, 500, 2),
    "ridge, 3 groups, 100 coefficients, 500 rows": lambda: ridge(100, 500, 3),
}


class Gaps(Observer):
    """Notes when the gap first was within each limit."""

    def __init__(self):
        self.began, self.last, self.reached = time.process_time(), 0.0, {}

    def bounded(self, incumbent, bound):
        if incumbent is None or bound is None:
            return
        self.last = time.process_time() - self.began
        for limit in WITHIN:
            if abs(incumbent - bound) <= limit * abs(incumbent) and limit not in self.reached:
                self.reached[limit] = time.process_time() - self.began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print("| problem | path | verdict | F | 2 % | 0.1 % | 1e-5 | whole call |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for name, build in PROBLEMS.items():
        if args.only not in name:
            continue
        model, gaps = build(), Gaps()
        began = time.process_time()
        r = bilevel.solve(model, args.method, time_limit=args.limit, observer=gaps)
        whole = time.process_time() - began
        if r.verdict == "certified_global":
            gaps.reached.setdefault(WITHIN[-1], gaps.last)
        times = " | ".join(f"{gaps.reached[limit]:.2f}" if limit in gaps.reached else "-" for limit in WITHIN)
        value = "-" if r.upper_objective is None else f"{r.upper_objective:.8g}"
        print(f"| {name} | `{r.method}` | {r.verdict} | {value} | {times} | {whole:.2f} |", flush=True)


if __name__ == "__main__":
    main()
