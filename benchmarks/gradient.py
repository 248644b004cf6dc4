"""Gradients through the lower level: what one costs, and how soon descent arrives.

    python benchmarks/gradient.py [--seeds 3] [--largest 400]

First table: time of one dF/dx in evaluations of F, both by ``Response``, best of several runs, side by side. Second:
evaluations until F of ``marketing_mix`` is within 0.1 % of the best value known, for ``gradient`` (each of its
evaluations has its gradient with it) and Optuna's CMA-ES. Third: one penalty per coefficient of a ridge regression on
random data: evaluations, and the largest component of the projected gradient relative to that at the start.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

import bilevel
from bilevel import LowerLevel, least_squares

BEST = 0.0512602  # of marketing_mix, see its docstring
BUDGETS = {"gradient": 400, "optuna:cmaes": 6000}


def penalties(p: int, rows: int = 2000) -> Any:
    """``min_w ||X w - y||^2 + sum_j x_j w_j^2``, judged on other rows; F has an optimum inside or at the bounds."""
    rng = np.random.default_rng(p)
    X, truth = rng.normal(size=(rows, p)), rng.normal(size=p) * (rng.uniform(size=p) < 0.3)
    y = X @ truth + 3.0 * rng.normal(size=rows)
    half = rows // 2
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(range(p), bounds=(1e-2, 1e5), initialize=10.0)
    for k in range(p):
        bilevel.set_scale(m.penalty[k], "log")
    m.lower = LowerLevel()
    m.lower.w = pyo.Var(range(p))
    w = [m.lower.w[k] for k in range(p)]
    fit = least_squares(X[:half], y[:half], w)
    m.lower.obj = pyo.Objective(expr=fit + sum(m.penalty[k] * w[k] ** 2 for k in range(p)))
    m.obj = pyo.Objective(expr=least_squares(X[half:], y[half:], w))
    return m


def best_time(call: Callable[[], Any], seconds: float = 1.0) -> float:
    """The shortest of many runs."""
    call()
    found, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(found) < 3:
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return min(found)


def costs() -> None:
    print("| problem | upper variables | one evaluation | one gradient | in evaluations |\n|---|---:|---:|---:|---:|")
    cases = {name: bilevel.load_model(name) for name in ("ridge_line", "ridge", "penalty_per_feature", "marketing_mix")}
    cases |= {f"{p} penalties": penalties(p) for p in (20, 100, 400)}
    for name, model in cases.items():
        response = bilevel.Response(model)
        n = len(response.problem.variables)
        rng = np.random.default_rng(0)
        low, high = np.array([var.bounds for var in response.problem.variables], dtype=float).T
        points = low + (high - low) * rng.uniform(0.2, 0.8, (16, n))
        turn = iter(range(10**9))

        def evaluate(points: Any = points, response: Any = response, turn: Any = turn) -> Any:
            return response(points[next(turn) % 16])

        def differentiate(points: Any = points, response: Any = response, turn: Any = turn) -> Any:
            return response.gradient(points[next(turn) % 16])

        one, both = best_time(evaluate), best_time(differentiate)
        print(f"| `{name}` | {n} | {1e6 * one:.1f} µs | {1e6 * both:.1f} µs | {both / one:.1f} |", flush=True)


def arrivals(seeds: int) -> None:
    print("\n| search | evaluations to 0.1 % of the best value known (by seed) | F in the end |\n|---|---|---|")
    for method, budget in BUDGETS.items():
        found, ends = [], []
        for seed in range(seeds):
            result = bilevel.solve(bilevel.load_model("marketing_mix"), method, budget=budget, seed=seed)
            values = np.minimum.accumulate([e.upper_objective or np.inf for e in result.history])
            inside = np.flatnonzero(values <= 1.001 * BEST)
            found.append(int(inside[0]) + 1 if len(inside) else None)
            ends.append(values[-1])
        known = [budget + 1 if k is None else k for k in found]
        middle = statistics.median(known)
        shown = ", ".join(f"> {budget}" if k is None else str(k) for k in found)
        print(
            f"| `{method}` | {'> ' if middle > budget else ''}{min(middle, budget):.0f} ({shown}) |"
            f" {statistics.median(ends):.6f} |",
            flush=True,
        )


def growth(largest: int) -> None:
    print("\n| penalties | evaluations | projected gradient, relative | seconds |\n|---:|---:|---:|---:|")
    for p in (size for size in (10, 100, 400, 1000) if size <= largest):
        began = time.perf_counter()
        model = penalties(p)
        result = bilevel.solve(model, "gradient", budget=200, seed=0)
        seconds = time.perf_counter() - began
        response = bilevel.Response(penalties(p))
        size = [_projected(response, x) for x in (np.full(p, 10.0), np.array(list(result.upper.values())))]
        print(f"| {p} | {len(result.history)} | {size[1] / size[0]:.1e} | {seconds:.1f} |", flush=True)


def _projected(response: Any, x: np.ndarray) -> float:
    """The largest component of dF/dlog x that does not push out of the bounds."""
    slope = response.gradient(x).value * x
    low, high = np.array([var.bounds for var in response.problem.variables], dtype=float).T
    pushed = ((x <= low * (1 + 1e-9)) & (slope > 0)) | ((x >= high * (1 - 1e-9)) & (slope < 0))
    return float(np.abs(np.where(pushed, 0.0, slope)).max())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=400, help="number of penalties in the last table, up to 1000")
    arguments = parser.parse_args()
    costs()
    arrivals(arguments.seeds)
    growth(arguments.largest)
