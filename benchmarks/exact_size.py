"""Linear and quadratic levels by size: seconds, gaps, and what others make of them.

    python benchmarks/exact_size.py [--only linear] [--sizes 20,40] [--seeds 5] [--limit 60] [--peers] [--raw out.json]

    linear           n + n variables, 0.4 n rows of whole numbers up to 10 on either level, costs up to 50 (the shape of
                     Xu and Wang's and of Bard and Moore's instances, without the integers)
    dense            n + n variables in [0, 10], n / 2 rows of normal numbers below, a fifth of the entries present
    quadratic        the first with a strongly convex separable f, and F convex in y as well

Peers: Pyomo's ``core.kkt`` with products and SCIP (``plain_kkt.py``), and a big M of 1e4 with HiGHS as textbooks have
it, whose ``optimal`` counts as a claim: *wrong* where its F is not that of a verified point of ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import plain_kkt
import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel


def levels(n, low, high):
    model = pyo.ConcreteModel()
    model.x, model.lower = pyo.Var(range(n), bounds=(0, high)), LowerLevel()
    model.lower.y = pyo.Var(range(n), bounds=(0, low))
    return model


def dot(numbers, variables):
    return sum(float(a) * v for a, v in zip(numbers, variables.values(), strict=True) if a)


def rows(block, x, y, A, B, b):
    block.rows = pyo.ConstraintList()
    for of_x, of_y, limit in zip(A, B, b, strict=True):
        block.rows.add(dot(of_x, x) + dot(of_y, y) <= float(limit))


def linear(n, seed, bend=0.0):
    rng = np.random.default_rng(seed)
    m = max(1, int(0.4 * n))
    A1, B1, A, B = (rng.integers(0, 11, (m, n)) for _ in range(4))
    b1, b = rng.integers(30, 131, m), rng.integers(10, 111, m)
    c, d, e = (rng.integers(-50, 51, n) for _ in range(3))
    model = levels(n, None, 1000)
    x, y = model.x, model.lower.y
    rows(model, x, y, A1, B1, b1)
    rows(model.lower, x, y, A, B, b)
    f, F = dot(e, y), dot(c, x) + dot(d, y)
    if bend:
        f += sum(float(w) / 2 * v**2 for w, v in zip(rng.integers(1, 11, n), y.values(), strict=True))
        F += sum(float(w) / 2 * v**2 for w, v in zip(rng.integers(1, 11, n), y.values(), strict=True))
    model.lower.obj, model.obj = pyo.Objective(expr=f), pyo.Objective(expr=F)
    return model


def quadratic(n, seed):
    return linear(n, seed, bend=1.0)


def dense(n, seed):
    rng = np.random.default_rng(seed)
    m = n // 2
    A, B = (rng.normal(size=(m, n)) * (rng.random((m, n)) < 0.2) for _ in range(2))
    inside = rng.uniform(0, 10, n), rng.uniform(0, 10, n)
    b = A @ inside[0] + B @ inside[1] + rng.uniform(0.1, 1, m) * 3 * np.sqrt(0.2 * n)
    c, d, e = (rng.normal(size=n) for _ in range(3))
    model = levels(n, 10, 10)
    rows(model.lower, model.x, model.lower.y, A, B, b)
    model.lower.obj = pyo.Objective(expr=dot(e, model.lower.y))
    model.obj = pyo.Objective(expr=dot(c, model.x) + dot(d, model.lower.y))
    return model


FAMILIES = {"linear": linear, "dense": dense, "quadratic": quadratic}


def ours(model, limit):
    result = bilevel.solve(model, time_limit=limit)
    return str(result.verdict), result.upper_objective, result.bound


def big_m(model, limit):
    from pyomo.contrib.solver.common.factory import SolverFactory

    plain_kkt.single_level(model, big_m=1e4)
    found = SolverFactory("highs").solve(
        model, time_limit=limit, load_solutions=False, raise_exception_on_nonoptimal_result=False
    )
    done = found.termination_condition.name == "convergenceCriteriaSatisfied"
    return "certified_global" if done else "best_found", found.incumbent_objective, found.objective_bound


METHODS = {"bilevel": ours, "core.kkt, SCIP": plain_kkt.solve, "big M, HiGHS": big_m}


def gap(value, bound):
    if value is None or bound is None or not np.isfinite([value, bound]).all():
        return None
    return abs(value - bound) / max(1.0, abs(value))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(FAMILIES))
    parser.add_argument("--sizes", default="20,40,80,150")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--raw", type=Path)
    asked = parser.parse_args()
    methods = METHODS if asked.peers else {"bilevel": ours}
    raw = []
    print("| family | n + n | method | proved | wrong | no point | gap, median | seconds, median |")
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for family in asked.only.split(","):
        for size in map(int, asked.sizes.split(",")):
            runs = {name: [] for name in methods}
            for seed in range(asked.seeds):
                for name, solve in methods.items():
                    model = FAMILIES[family](size, seed)
                    began = time.process_time()
                    try:
                        verdict, value, bound = solve(model, asked.limit)
                    except Exception as error:  # a peer's
                        verdict, value, bound = f"{type(error).__name__}", None, None
                    runs[name].append((verdict, value, bound, time.process_time() - began))
                    raw.append([family, size, seed, name, *runs[name][-1]])
            show(family, size, runs)
    if asked.raw:
        asked.raw.write_text(json.dumps(raw), encoding="utf-8")


def show(family, size, runs) -> None:
    best = [value for _, value, _, _ in runs["bilevel"]]
    for name, found in runs.items():
        claimed = [k for k, run in enumerate(found) if run[0] == "certified_global"]
        wrong = [k for k in claimed if best[k] is not None and abs(found[k][1] - best[k]) > 1e-4 * max(1, abs(best[k]))]
        gaps = [1.0 if (g := gap(value, bound)) is None else min(g, 1.0) for _, value, bound, _ in found]
        empty = sum(value is None for _, value, _, _ in found)
        seconds = statistics.median(run[3] for run in found)
        counts = f"{len(claimed) - len(wrong)} of {len(found)} | {len(wrong)} | {empty}"
        print(
            f"| {family} | {size} | {name} | {counts} | {100 * statistics.median(gaps):.2g} % | {seconds:.2g} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
