"""One evaluation of the upper level: ours against the tutorial's way and against hand-written numpy.

All three solve the same lower level at the same seeded points in one process with one BLAS thread, in rounds that take
turns; a figure is the median over rounds. ``tutorial`` builds a Pyomo model per point and hands it to HiGHS, as
tutorials of bilevel hyperparameter tuning do. ``numpy`` is what a careful programmer writes for that one problem
(marketing_mix: scipy's lfilter for the adstock and DAQP for the bounded ridge). Before anything is timed, the three
must agree on F.

    python benchmarks/evaluation.py [--points 200] [--rounds 7] [--json results.json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import daqp
import numpy as np
import pyomo.environ as pyo
from scipy.signal import lfilter

import bilevel
from bilevel.space import Space

TUTORIAL_POINTS = 8


def load(name):
    """A gallery module and its model."""
    from bilevel.loading import gallery, load_model

    source = gallery()[name]
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"_benchmark_{name}", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, load_model(source, {})


def line_data():
    """The points of ridge_line, made as the model file makes them."""
    rng = np.random.default_rng(42)
    x = rng.uniform(0, 1, 100)
    y = 2 * x + 1 + rng.normal(0, 0.1, 100)
    return np.column_stack([x, np.ones(100)]), y


class Line:
    """ridge_line by hand."""

    def __init__(self, _module):
        X, y = line_data()
        self.X, self.y = X, y
        self.G, self.c = X[:80].T @ X[:80] / 80, X[:80].T @ y[:80] / 80
        self.shrink = np.diag([1.0, 0.0])

    def numpy(self, x):
        w = np.linalg.solve(self.G + x[0] * self.shrink, self.c)
        r = self.X[80:] @ w - self.y[80:]
        return r @ r / 20 + x[0] * w[0] ** 2

    def tutorial(self, x):
        model = pyo.ConcreteModel()
        model.m, model.b = pyo.Var(), pyo.Var()
        errors = (model.m * self.X[i, 0] + model.b - self.y[i] for i in range(80))
        model.loss = pyo.Objective(expr=sum(e**2 for e in errors) / 80 + x[0] * model.m**2)
        pyo.SolverFactory("highs").solve(model)
        r = self.X[80:] @ [model.m.value, model.b.value] - self.y[80:]
        return r @ r / 20 + x[0] * model.m.value**2


class Ridge:
    """Ridge by hand."""

    def __init__(self, module):
        Z, y = module.standardised_diabetes(265)
        self.Z, self.y, self.Zv, self.yv = Z[:265], y[:265], Z[265:354], y[265:354]
        self.G, self.c, self.eye = self.Z.T @ self.Z / 265, self.Z.T @ self.y / 265, np.eye(10)

    def numpy(self, x):
        w = np.linalg.solve(self.G + x[0] * self.eye, self.c)
        r = self.Zv @ w - self.yv
        return r @ r / len(r)

    def tutorial(self, x):
        model = pyo.ConcreteModel()
        model.w = pyo.Var(range(10))
        errors = (sum(self.Z[i, j] * model.w[j] for j in range(10)) - self.y[i] for i in range(265))
        penalty = x[0] / 2 * sum(model.w[j] ** 2 for j in range(10))
        model.loss = pyo.Objective(expr=sum(e**2 for e in errors) / (2 * 265) + penalty)
        pyo.SolverFactory("highs").solve(model)
        r = self.Zv @ [model.w[j].value for j in range(10)] - self.yv
        return r @ r / len(r)


class MarketingMix:
    """marketing_mix by hand."""

    train, weeks = 145, 176

    def __init__(self, module):
        table = module.read(module.DATA)
        self.spend = np.array([table[c] / table[c].max() for c in module.DECAY])
        controls = module.controls_of(table, 3)
        self.controls = np.column_stack([module.standardised(v, self.train) for v in controls.values()])[: self.weeks]
        self.revenue = module.standardised(table["revenue"], self.train)[: self.weeks]
        judged = self.revenue[self.train :]
        self.range = judged.max() - judged.min()
        self.bounds = np.full(14, 1e30), np.concatenate([np.zeros(5), np.full(9, -1e30)])
        self.eye, self.none, self.sense = np.eye(14), np.zeros((0, 14)), np.zeros(14, dtype=np.int32)

    def numpy(self, x):
        theta, alpha, gamma, penalty = x[:5], x[5:10], x[10:15], x[15]
        A = np.array([lfilter([1.0], [1.0, -t], s) for t, s in zip(theta, self.spend, strict=True)])
        ratio = np.log(A[:, : self.weeks] + 1e-26) - np.log(gamma * A.max(axis=1))[:, None]
        S = (1.0 / (1.0 + np.exp(-alpha[:, None] * ratio))).T
        S = (S - S[: self.train].mean(axis=0)) / S[: self.train].std(axis=0)
        Z = np.hstack([S, self.controls])
        fit = Z[: self.train]
        H, c = fit.T @ fit / self.train + penalty * self.eye, -fit.T @ self.revenue[: self.train] / self.train
        b = daqp.solve(H, c, self.none, *self.bounds, self.sense, primal_tol=1e-9)[0]
        r = Z[self.train :] @ b - self.revenue[self.train :]
        return np.sqrt(r @ r / len(r)) / self.range

    def tutorial(self, x):
        theta, alpha, gamma, penalty = x[:5], x[5:10], x[10:15], x[15]
        A = np.array([lfilter([1.0], [1.0, -t], s) for t, s in zip(theta, self.spend, strict=True)])
        ratio = np.log(A[:, : self.weeks] + 1e-26) - np.log(gamma * A.max(axis=1))[:, None]
        S = (1.0 / (1.0 + np.exp(-alpha[:, None] * ratio))).T
        Z = np.hstack([(S - S[: self.train].mean(axis=0)) / S[: self.train].std(axis=0), self.controls])
        model = pyo.ConcreteModel()
        model.b = pyo.Var(range(14))
        for j in range(5):
            model.b[j].setlb(0.0)
        errors = (sum(Z[t, j] * model.b[j] for j in range(14)) - self.revenue[t] for t in range(self.train))
        shrinkage = penalty / 2 * sum(model.b[j] ** 2 for j in range(14))
        model.loss = pyo.Objective(expr=sum(e**2 for e in errors) / (2 * self.train) + shrinkage)
        pyo.SolverFactory("highs").solve(model)
        r = Z[self.train :] @ [model.b[j].value for j in range(14)] - self.revenue[self.train :]
        return np.sqrt(r @ r / len(r)) / self.range


BY_HAND = {"ridge_line": Line, "ridge": Ridge, "marketing_mix": MarketingMix}


def per_point(function, points):
    """Seconds per call."""
    began = time.perf_counter()
    for x in points:
        function(x)
    return (time.perf_counter() - began) / len(points)


def measure(name, points, rounds):
    """Medians in microseconds, and the ratios of each round's turn."""
    module, model = load(name)
    response = bilevel.Response(model)
    space = Space(response.compilation)
    rng = np.random.default_rng(7)
    xs = [space.vector(space.draw(u)) for u in rng.random((points, len(space.dimensions)))]
    hand = BY_HAND[name](module)
    for x in xs[:5]:
        ours, by_hand = response(x).cost, hand.numpy(x)
        assert abs(ours - by_hand) <= 1e-9 * max(1.0, abs(by_hand)), (name, ours, by_hand)
    pairs = [(per_point(response, xs), per_point(hand.numpy, xs)) for _ in range(rounds)]
    # Apart from the pairs above: HiGHS leaves threads behind that disturb what runs next to it for a while.
    anew = [(per_point(response, xs), per_point(hand.tutorial, xs[:TUTORIAL_POINTS])) for _ in range(rounds)]
    rebuilt = hand.tutorial(xs[0])
    assert abs(response(xs[0]).cost - rebuilt) <= 1e-4 * max(1.0, abs(rebuilt)), (name, rebuilt)
    return {
        "problem": name,
        "ours_us": 1e6 * statistics.median(ours for ours, _ in pairs),
        "numpy_us": 1e6 * statistics.median(by_hand for _, by_hand in pairs),
        "tutorial_us": 1e6 * statistics.median(rebuilt for _, rebuilt in anew),
        "against_numpy": statistics.median(ours / by_hand for ours, by_hand in pairs),
        "faster_than_tutorial": statistics.median(rebuilt / ours for ours, rebuilt in anew),
    }


def main():
    """Measure, print the table of the README, perhaps write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = [measure(name, arguments.points, arguments.rounds) for name in BY_HAND]
    print("| problem | ours | hand-written numpy | ours / numpy | model and solver anew per point | times faster |")
    print("|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| `{r['problem']}` | {r['ours_us']:.1f} µs | {r['numpy_us']:.1f} µs | {r['against_numpy']:.2f} |"
            f" {r['tutorial_us'] / 1000:.1f} ms | {r['faster_than_tutorial']:.0f} |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
