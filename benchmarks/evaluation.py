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
from typing import ClassVar

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import casadi as ca
import daqp
import numpy as np
import pyomo.environ as pyo
from scipy.signal import lfilter

import bilevel
from bilevel.upper.space import Space

TUTORIAL_POINTS = 8
LARGE = "marketing_mix, 20 channels x 1,000 days"
WARM = {"marketing_mix": 20.0, LARGE: 90.0}  # seconds: these graphs are large enough for the machine's compiler
FEWER = 10  # times fewer points where there are settings


def load(name, settings=None):
    """A gallery module and its model."""
    from bilevel.files.model_files import gallery, load_model

    source = gallery()[name.partition(",")[0]]
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"_benchmark_{name}", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, load_model(source, settings or {})


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
    settings: ClassVar[dict] = {}

    def __init__(self, module):
        table = module.create_model(**self.settings).mix  # the numbers, and nothing that was made of them
        self.channels = len(table.channels)
        self.spend = np.array([channel.exposure / channel.scale for channel in table.channels.values()])
        controls = table.controls
        self.controls = np.column_stack([self.standardised(v) for v in controls.values()])[: self.weeks]
        self.revenue = self.standardised(table.actual)[: self.weeks]
        judged = self.revenue[self.train :]
        self.range = judged.max() - judged.min()
        low = np.concatenate([np.zeros(self.channels), np.full(len(controls), -1e30)])
        n = len(low)
        self.bounds = np.full(n, 1e30), low
        self.eye, self.none, self.sense = np.eye(n), np.zeros((0, n)), np.zeros(n, dtype=np.int32)

    def standardised(self, column):
        return (column - column[: self.train].mean()) / column[: self.train].std()

    def numpy(self, x):
        theta, alpha, gamma, penalty = *np.split(x[:-1], 3), x[-1]
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
        theta, alpha, gamma, penalty = *np.split(x[:-1], 3), x[-1]
        A = np.array([lfilter([1.0], [1.0, -t], s) for t, s in zip(theta, self.spend, strict=True)])
        ratio = np.log(A[:, : self.weeks] + 1e-26) - np.log(gamma * A.max(axis=1))[:, None]
        S = (1.0 / (1.0 + np.exp(-alpha[:, None] * ratio))).T
        Z = np.hstack([(S - S[: self.train].mean(axis=0)) / S[: self.train].std(axis=0), self.controls])
        model = pyo.ConcreteModel()
        columns = range(len(self.sense))
        model.b = pyo.Var(columns)
        for j in range(self.channels):
            model.b[j].setlb(0.0)
        errors = (sum(Z[t, j] * model.b[j] for j in columns) - self.revenue[t] for t in range(self.train))
        shrinkage = penalty / 2 * sum(model.b[j] ** 2 for j in columns)
        model.loss = pyo.Objective(expr=sum(e**2 for e in errors) / (2 * self.train) + shrinkage)
        pyo.SolverFactory("highs").solve(model)
        r = Z[self.train :] @ [model.b[j].value for j in columns] - self.revenue[self.train :]
        return np.sqrt(r @ r / len(r)) / self.range


class LargeMix(MarketingMix):
    """Twenty channels over 1,000 simulated days."""

    train, weeks = 700, 850
    settings: ClassVar[dict] = {"channels": 20, "days": 1000, "train": 700, "validation": 150}


class Quadratic:
    """A convex quadratic follower of 20 variables with 10 rows and bounds; by hand a call of DAQP per point."""

    n, m = 20, 10

    def __init__(self, _module=None):
        rng = np.random.default_rng(3)
        root = rng.standard_normal((self.n, self.n))
        self.H = root @ root.T / self.n + np.eye(self.n)
        self.C, self.c = rng.standard_normal((self.n, 2)), rng.standard_normal(self.n)
        self.A, self.b = rng.standard_normal((self.m, self.n)), rng.uniform(0.5, 1.0, self.m)
        self.low, self.high = np.full(self.n + self.m, -1e30), np.concatenate([np.full(self.n, 0.6), self.b])
        self.low[: self.n] = -0.6
        self.sense = np.zeros(self.n + self.m, dtype=np.int32)
        self.wanted = rng.uniform(-0.5, 0.5, self.n)

    def model(self):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(2), bounds=(-1, 1), initialize=0.0)
        m.lower = bilevel.LowerLevel()
        m.lower.y = pyo.Var(range(self.n), bounds=(-0.6, 0.6))
        y, K = m.lower.y, range(self.n)
        m.lower.rows = pyo.Constraint(
            range(self.m), rule=lambda _, i: sum(self.A[i, j] * y[j] for j in K) <= self.b[i] + m.x[0]
        )
        slope = [self.c[j] + self.C[j, 0] * m.x[0] + self.C[j, 1] * m.x[1] for j in K]
        curved = sum(self.H[i, j] * y[i] * y[j] for i in K for j in K) / 2
        m.lower.obj = pyo.Objective(expr=curved + sum(slope[j] * y[j] for j in K))
        m.obj = pyo.Objective(expr=sum((y[j] - self.wanted[j]) ** 2 for j in K))
        return m

    def numpy(self, x):
        high = self.high.copy()
        high[self.n :] += x[0]
        y = daqp.solve(self.H, self.c + self.C @ x, self.A, high, self.low, self.sense, primal_tol=1e-9)[0]
        r = y - self.wanted
        return r @ r


class Nonlinear:
    """A small smooth convex follower; by hand a call of CasADi's nlpsol (Ipopt) per point."""

    n = 6

    def __init__(self, _module=None):
        from bilevel.solvers.engines.ipopt import OPTIONS

        rng = np.random.default_rng(4)
        self.A, self.wanted = rng.standard_normal((8, self.n)) / 2, rng.uniform(-0.5, 0.5, self.n)
        y, x = ca.SX.sym("y", self.n), ca.SX.sym("x", 2)
        f = ca.sum1(ca.exp(ca.mtimes(ca.DM(self.A), y))) + ca.sumsqr(y) - x[0] * ca.sum1(y)
        options = {f"ipopt.{key}": value for key, value in OPTIONS.items()} | {"print_time": False}
        self.solver = ca.nlpsol("f", "ipopt", {"x": y, "p": x, "f": f, "g": ca.sumsqr(y) - x[1]}, options)

    def model(self):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(2), bounds=(0.1, 1), initialize=0.5)
        m.lower = bilevel.LowerLevel()
        m.lower.y = pyo.Var(range(self.n), initialize=0.0)
        y, K = m.lower.y, range(self.n)
        growth = sum(pyo.exp(sum(self.A[i, j] * y[j] for j in K)) for i in range(8))
        m.lower.obj = pyo.Objective(expr=growth + sum(y[j] ** 2 for j in K) - m.x[0] * sum(y[j] for j in K))
        m.lower.ball = pyo.Constraint(expr=sum(y[j] ** 2 for j in K) <= m.x[1])
        m.obj = pyo.Objective(expr=sum((y[j] - self.wanted[j]) ** 2 for j in K))
        return m

    def numpy(self, x):
        y = self.solver(x0=np.zeros(self.n), p=x, lbg=-np.inf, ubg=0.0)["x"].full()[:, 0]
        r = y - self.wanted
        return r @ r


class Logistic:
    """Logistic ridge with 20 coefficients on 500 rows; by hand a call of nlpsol on matrices per point."""

    n, rows = 20, 500

    def __init__(self, _module=None):
        from bilevel.solvers.engines.ipopt import OPTIONS

        rng = np.random.default_rng(5)
        X, truth = rng.standard_normal((self.rows + 100, self.n)), rng.standard_normal(self.n) / 2
        labels = np.where(rng.random(len(X)) < 1 / (1 + np.exp(-X @ truth)), 1.0, -1.0)
        self.Z = -labels[:, None] * X
        y, x = ca.MX.sym("y", self.n), ca.MX.sym("x")
        f = ca.sum1(ca.log(1 + ca.exp(ca.mtimes(ca.DM(self.Z[: self.rows]), y)))) / self.rows + x * ca.sumsqr(y)
        options = {f"ipopt.{key}": value for key, value in OPTIONS.items()} | {"print_time": False}
        self.solver = ca.nlpsol("f", "ipopt", {"x": y, "p": x, "f": f}, options)

    def model(self):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(bounds=(1e-3, 1), initialize=0.1)
        m.lower = bilevel.LowerLevel()
        m.lower.y = pyo.Var(range(self.n), initialize=0.0)
        y, K = m.lower.y, range(self.n)
        losses = [pyo.log(1 + pyo.exp(sum(row[j] * y[j] for j in K))) for row in self.Z]
        m.lower.obj = pyo.Objective(expr=sum(losses[: self.rows]) / self.rows + m.x * sum(y[j] ** 2 for j in K))
        m.obj = pyo.Objective(expr=sum(losses[self.rows :]) / 100)
        return m

    def numpy(self, x):
        y = self.solver(x0=np.zeros(self.n), p=x)["x"].full()[:, 0]
        return np.log(1 + np.exp(self.Z[self.rows :] @ y)).mean()


BY_HAND = {"ridge_line": Line, "ridge": Ridge, "marketing_mix": MarketingMix, LARGE: LargeMix}


AGAINST_SOLVERS = {
    "convex QP, 20 variables (DAQP)": Quadratic,
    "convex NLP, 6 variables (nlpsol)": Nonlinear,
    "logistic ridge, 20 coefficients x 500 rows (nlpsol)": Logistic,
}


def per_point(function, points):
    """Seconds per call."""
    began = time.perf_counter()
    for x in points:
        function(x)
    return (time.perf_counter() - began) / len(points)


def drawn(model, points):
    """A response, and seeded upper points as arrays, shape (points, number of upper variables)."""
    response = bilevel.Response(model)
    space = Space(response.compilation)
    rng = np.random.default_rng(7)
    return response, np.array([space.vector(space.draw(u)) for u in rng.random((points, len(space.dimensions)))])


def turns(response, hand, xs, rounds, tolerance=1e-9):
    """Seconds per point, (ours, by hand) in each round, after both agreed on F."""
    for x in xs[:5]:
        ours, by_hand = response(x).cost, hand.numpy(x)
        assert abs(ours - by_hand) <= tolerance * max(1.0, abs(by_hand)), (hand, ours, by_hand)
    return [(per_point(response, xs), per_point(hand.numpy, xs)) for _ in range(rounds)]


def warm(response, xs, seconds):
    """Evaluate for a while: machine code comes for graphs where it pays, as in any long search."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        per_point(response, xs)


def measure(name, points, rounds):
    """Medians in microseconds, and the ratios of each round's turn."""
    settings = getattr(BY_HAND[name], "settings", {})
    module, model = load(name, settings)
    began = time.perf_counter()
    response, xs = drawn(model, points // FEWER if settings else points)
    compiled = time.perf_counter() - began
    hand = BY_HAND[name](module)
    warm(response, xs, WARM.get(name, 0.1))
    pairs = turns(response, hand, xs, rounds)
    # Apart from the pairs above: HiGHS leaves threads behind that disturb what runs next to it for a while.
    anew = [(per_point(response, xs), per_point(hand.tutorial, xs[:TUTORIAL_POINTS])) for _ in range(rounds)]
    rebuilt = hand.tutorial(xs[0])
    assert abs(response(xs[0]).cost - rebuilt) <= 1e-4 * max(1.0, abs(rebuilt)), (name, rebuilt)
    return {
        "problem": name,
        "compile_s": compiled,
        "ours_us": 1e6 * statistics.median(ours for ours, _ in pairs),
        "numpy_us": 1e6 * statistics.median(by_hand for _, by_hand in pairs),
        "tutorial_us": 1e6 * statistics.median(rebuilt for _, rebuilt in anew),
        "against_numpy": statistics.median(ours / by_hand for ours, by_hand in pairs),
        "faster_than_tutorial": statistics.median(rebuilt / ours for ours, rebuilt in anew),
    }


def measure_solver(name, points, rounds):
    """The same against a bare call of the solver."""
    hand = AGAINST_SOLVERS[name]()
    response, xs = drawn(hand.model(), points)
    pairs = turns(response, hand, xs, rounds, 1e-6)
    return {
        "problem": name,
        "ours_us": 1e6 * statistics.median(ours for ours, _ in pairs),
        "solver_us": 1e6 * statistics.median(by_hand for _, by_hand in pairs),
        "against_solver": statistics.median(ours / by_hand for ours, by_hand in pairs),
    }


def measure_batch(name, points, rounds):
    """Many points in one call of ``response.many`` against one call each."""
    response, xs = drawn(load(name)[1], points)
    many = []
    for _ in range(rounds):
        began = time.perf_counter()
        replies = response.many(xs)
        many.append(((time.perf_counter() - began) / points, per_point(response, xs)))
    assert max(abs(replies[k].cost - response(xs[k]).cost) for k in range(0, points, 97)) <= 1e-12
    return {
        "problem": name,
        "points": points,
        "many_us": 1e6 * statistics.median(m for m, _ in many),
        "single_us": 1e6 * statistics.median(s for _, s in many),
    }


def main():
    """Measure, print the tables of docs/benchmarks.md, perhaps write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = [measure(name, arguments.points, arguments.rounds) for name in BY_HAND]
    print("| problem | compiled in | ours | hand-written numpy | ours / numpy | model and solver anew | times faster |")
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| `{r['problem']}` | {r['compile_s']:.2f} s | {r['ours_us']:.1f} µs | {r['numpy_us']:.1f} µs |"
            f" {r['against_numpy']:.2f} |"
            f" {r['tutorial_us'] / 1000:.1f} ms | {r['faster_than_tutorial']:.0f} |"
        )
    solvers = [measure_solver(name, arguments.points, arguments.rounds) for name in AGAINST_SOLVERS]
    print("\n| lower level | ours | a bare call of the solver | ours / bare |\n|---|---|---|---|")
    for r in solvers:
        print(f"| {r['problem']} | {r['ours_us']:.1f} µs | {r['solver_us']:.1f} µs | {r['against_solver']:.2f} |")
    batches = [measure_batch(name, 10_000, arguments.rounds) for name in ("ridge_line", "ridge")]
    print("\n| problem | points | one call for all, per point | one call each |\n|---|---|---|---|")
    for r in batches:
        print(f"| `{r['problem']}` | {r['points']} | {r['many_us']:.1f} µs | {r['single_us']:.1f} µs |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"numpy": rows, "solvers": solvers, "batches": batches}, indent=1) + "\n")


if __name__ == "__main__":
    main()
