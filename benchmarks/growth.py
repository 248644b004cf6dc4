"""How the cost of an evaluation grows: with rows, coefficients, upper variables, channels, and sparse followers.

Each line grows one size and holds the others. ``data`` is reading and factorizing the numbers, once per model;
``compile`` what building a Response takes; ``evaluation`` and ``gradient`` one upper point. The exponent is the slope
of the logarithms by least squares over all sizes: 0 is free of the size, 1 is proportional. Of sparse followers the
same evaluation written by hand for that one problem is measured beside (``benchmarks/sparse_followers.py``).

    python benchmarks/growth.py [--quick] [--only follower] [--json growth.json]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import numpy as np
import pyomo.environ as pyo
import sparse_followers

import bilevel
from bilevel.files.model_files import gallery, load_model
from bilevel.upper.space import Space

POINTS = 7


def regression(rows, coefficients, penalties, seed=0):
    """Ridge regression: coefficient j shrunk by penalty j modulo their number."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, coefficients))
    y = X[:, ::5].sum(axis=1) + rng.standard_normal(rows)
    half = rows // 2
    m = pyo.ConcreteModel()
    m.penalty = pyo.Var(range(penalties), bounds=(1e-3, 100.0), initialize=0.1)
    bilevel.set_scale(m.penalty, "log")
    m.lower = bilevel.LowerLevel()
    m.lower.w = pyo.Var(range(coefficients), initialize=0.0)
    w = m.lower.w
    shrinkage = sum(m.penalty[j % penalties] * w[j] ** 2 for j in w)
    m.lower.obj = pyo.Objective(expr=bilevel.least_squares(X[:half], y[:half], w) / (2 * half) + shrinkage / 2)
    m.obj = pyo.Objective(expr=bilevel.least_squares(X[half:], y[half:], w) / half)
    return m


def marketing(channels):
    """The gallery's marketing mix on simulated data."""
    settings = {"channels": channels, "days": 200, "train": 140, "validation": 30}
    return load_model(gallery()["marketing_mix"], settings)


LINES = {
    "rows (100 coefficients, 1 penalty)": (lambda n: regression(n, 100, 1), (4_000, 20_000, 100_000, 500_000)),
    "coefficients (4,000 rows, 1 penalty)": (lambda p: regression(4000, p, 1), (50, 100, 200, 400, 800)),
    "upper variables (4,000 rows, 400 coefficients)": (lambda d: regression(4000, 400, d), (4, 20, 100, 400)),
    "both: one penalty per coefficient": (lambda p: regression(4 * p, p, p), (50, 100, 200, 400, 1000)),
    "channels (200 days, 3 upper variables each)": (marketing, (2, 4, 8, 16)),
    **sparse_followers.LINES,
}
BESIDE = {build for build, _ in sparse_followers.LINES.values()}  # give the model, and the same by hand


def measure(build, size):
    """Seconds of each step at one size."""
    began = time.perf_counter()
    model, by_hand = build(size) if build in BESIDE else (build(size), None)
    built = time.perf_counter()
    response = bilevel.Response(model)
    compiled = time.perf_counter()
    space = Space(response.compilation)
    rng = np.random.default_rng(7)
    xs = [space.vector(space.draw(u)) for u in rng.random((POINTS, len(space.dimensions)))]
    response.gradient(xs[0])
    found = {
        "data": built - began,
        "compile": compiled - built,
        "evaluation": statistics.median(timed(response, x) for x in xs for _ in range(3)),
        "gradient": statistics.median(timed(response.gradient, x) for x in xs for _ in range(3)),
    }
    if by_hand is not None:
        assert abs(by_hand(xs[0]) - response(xs[0]).cost) <= 1e-5 * abs(response(xs[0]).cost)
        found["by hand"] = statistics.median(timed(by_hand, x) for x in xs for _ in range(3))
    return found


def timed(function, x):
    """Seconds of one call."""
    began = time.perf_counter()
    function(x)
    return time.perf_counter() - began


def exponent(sizes, seconds):
    """Slope of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main():
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="leave the largest size of each line out")
    parser.add_argument("--only", default="", metavar="WORD", help="lines whose name holds this word")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    regression(100, 5, 1)  # imports
    found = {}
    print("| grows | sizes | step | at each size, ms | exponent |\n|---|---|---|---|---|")
    for name, (build, sizes) in LINES.items():
        if arguments.only not in name:
            continue
        used = sizes[:-1] if arguments.quick else sizes
        measure(build, used[0])
        lines = [measure(build, size) for size in used]
        found[name] = {"sizes": used, "seconds": lines}
        for step in lines[0]:
            seconds = [line[step] for line in lines]
            listed = ", ".join(f"{1e3 * s:.3g}" for s in seconds)
            print(f"| {name} | {', '.join(map(str, used))} | {step} | {listed} | {exponent(used, seconds):.2f} |")
    found["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"\npeak memory {found['peak_memory_mb']:.0f} MB")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
