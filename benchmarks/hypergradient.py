"""Hyperparameters by gradient: seconds until F is within 1e-3 and 1e-6 of the best value, beside JAXopt and diffcp.

    python benchmarks/hypergradient.py [--only lasso] [--peers-python PYTHON] [--limit 30] [--raw FILE]

One start for all, the middle of the bounds, and 60 evaluations of F with its gradient. Seconds are of processor time,
from the arrays to the point: models, compiling (ours, and JAX's of its functions) and evaluations; imports and what a
library does once in a process are not counted. Tools that answer the lower level roughly see an F that is not true:
F at every x that any of them was at is what ours says of it, with the lower level solved exactly, and the best value
is the lowest of all. PYTHON has jaxopt, cvxpy and diffcp; without it ours runs alone. Problems stand in
``hypergradient_problems``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
from hypergradient_problems import PROBLEMS, Quadratics, Regression, regression

import bilevel
from bilevel import LowerLevel, Response, least_squares, rows_of
from bilevel.contracts.observer import Observer

HERE = Path(__file__).parent
PEERS = ("jaxopt", "jaxopt-exact", "diffcp", "diffcp-exact")
WITHIN = (1e-3, 1e-6)
EVALUATIONS = 60
Trace = list[tuple[float, list[float]]]


def model_of(problem: Any) -> pyo.ConcreteModel:
    """As a user writes it."""
    return quadratic_model(problem) if isinstance(problem, Quadratics) else regression_model(problem)


def regression_model(problem: Regression) -> pyo.ConcreteModel:
    """Penalties exp(x), weights x."""
    n, p = problem.X.shape
    model = pyo.ConcreteModel()
    limits = problem.bounds
    model.x = pyo.Var(range(len(limits)), bounds=lambda _, i: limits[i], initialize=lambda _, i: sum(limits[i]) / 2)
    model.lower = LowerLevel()
    model.lower.w = pyo.Var(range(p), initialize=0.0)
    w = list(model.lower.w.values())
    absolute, square, weights = problem.parts(list(model.x.values()))
    if problem.loss == "squares":
        below, above = (
            least_squares(problem.X, problem.y, w) / (2 * n),
            least_squares(problem.X_held, problem.y_held, w) / 2,
        )
    else:
        below = rows_of("logistic", problem.X, w, problem.y, weights=weights or None) / n
        above = rows_of("logistic", problem.X_held, w, problem.y_held)
    for penalties, size in ((absolute, abs), (square, lambda entry: entry**2 / 2)):
        if len(penalties) == 1:
            below = below + pyo.exp(penalties[0]) * sum(size(entry) for entry in w)
        elif penalties:
            below = below + sum(pyo.exp(penalty) * size(entry) for penalty, entry in zip(penalties, w, strict=True))
    if problem.fixed_square:
        below = below + problem.fixed_square / 2 * sum(entry**2 for entry in w)
    model.lower.obj = pyo.Objective(expr=below)
    model.obj = pyo.Objective(expr=above / len(problem.y_held))
    return model


def quadratic_model(problem: Quadratics) -> pyo.ConcreteModel:
    """Both levels written out, term by term."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(problem.n), bounds=problem.bounds[0], initialize=0.0)
    model.lower = LowerLevel()
    model.lower.y = pyo.Var(range(problem.n), initialize=0.0)
    z = [*model.x.values(), *model.lower.y.values()]

    def written(H: Any, d: Any) -> Any:
        H, d = H.tolist(), d.tolist()
        squares = [H[i][i] / 2 * v**2 for i, v in enumerate(z)]
        products = [H[i][j] * z[i] * z[j] for i in range(len(z)) for j in range(i)]
        return pyo.quicksum(squares) + pyo.quicksum(products) + pyo.quicksum(c * v for c, v in zip(d, z, strict=True))

    model.lower.obj = pyo.Objective(expr=written(*problem.below))
    model.obj = pyo.Objective(expr=written(*problem.above))
    return model


class Clock(Observer):
    """When each point was answered."""

    def __init__(self, began: float) -> None:
        self.began, self.trace = began, []

    def evaluated(self, archive: Any) -> None:
        point = archive.evaluations[-1].point
        self.trace.append((time.process_time() - self.began, [float(v) for v in point]))


def ours(problem: Any, limit: float) -> Trace:
    """``gradient`` with one start; libraries are loaded before."""
    loss = problem.loss if isinstance(problem, Regression) else "squares"
    bilevel.solve(model_of(regression(loss, 3, 20, square=1)), "gradient", budget=2)
    began = time.process_time()
    clock = Clock(began)
    bilevel.solve(model_of(problem), "gradient", budget=EVALUATIONS, seed=0, time_limit=limit, observer=clock, starts=1)
    return clock.trace


def peer(python: str, tool: str, name: str, limit: float) -> tuple[Trace, str]:
    """The same by another tool, in its own environment."""
    command = [python, str(HERE / "hypergradient_peers.py"), tool, name, str(limit), str(EVALUATIONS)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=4 * limit + 30, env=environment)
    except subprocess.TimeoutExpired:
        return [], "no end"
    for line in done.stdout.splitlines():
        if line.startswith("TRACE "):
            found = json.loads(line[6:])
            return found["trace"], found["said"]
    return [], (done.stderr.splitlines() or ["died"])[-1][:120]


def true_values(problem: Any, traces: dict[str, Trace]) -> dict[str, list[float]]:
    """F at each x, its lower level solved exactly; infinite where there is no answer."""
    model = model_of(problem)
    response, x = Response(model), list(model.x.values())
    values: dict[str, list[float]] = {}
    for tool, trace in traces.items():
        values[tool] = []
        for _, point in trace:
            inside = [min(max(v, low), high) for v, (low, high) in zip(point, problem.bounds, strict=True)]
            reply = response({var.name: v for var, v in zip(x, inside, strict=True)})
            values[tool].append(float("inf") if reply.y is None else reply.cost)
    return values


def reached(trace: Trace, values: list[float], level: float) -> float | None:
    """Seconds until F was as low."""
    return next((seconds for (seconds, _), value in zip(trace, values, strict=True) if value <= level), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers-python")
    parser.add_argument("--limit", type=float, default=30.0)
    parser.add_argument("--raw", type=Path)
    args = parser.parse_args()
    raw = json.loads(args.raw.read_text()) if args.raw and args.raw.exists() else {}
    tools = ("ours", *PEERS) if args.peers_python else ("ours",)
    print("| problem | best F | " + " | ".join(tools) + " |\n|---|---:|" + "---:|" * len(tools))
    for name, build in PROBLEMS.items():
        if args.only not in name:
            continue
        problem = build()
        traces, said = {"ours": ours(problem, args.limit)}, {}
        for tool in tools[1:]:
            traces[tool], said[tool] = peer(args.peers_python, tool, name, args.limit)
        values = true_values(problem, traces)
        best = min(value for each in values.values() for value in each)
        cells, raw[name] = [], {"best": best, "tools": {}}
        for tool, trace in traces.items():
            times = [reached(trace, values[tool], best + within * abs(best)) for within in WITHIN]
            cells.append(" / ".join("-" if t is None else f"{t:.3g}" for t in times))
            lowest = min(values[tool], default=None)
            raw[name]["tools"][tool] = {
                "seconds": times,
                "lowest": lowest if lowest is None or np.isfinite(lowest) else None,
                "evaluations": len(trace),
                "said": said.get(tool, ""),
                "whole": trace[-1][0] if trace else None,
            }
        print(f"| {name} | {best:.8g} | " + " | ".join(cells) + " |", flush=True)
        if args.raw:
            args.raw.write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
