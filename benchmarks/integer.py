"""Integer followers by family and size: values, proofs and seconds, beside a loop of cuts over HiGHS.

    python benchmarks/integer.py [--only knapsack] [--seeds 4] [--limit 60] [--loop-limit 10] [--raw out.json]

Instances are drawn after the literature's recipes:

    knapsack         DeNegre (2011), MibS's interdiction set: profits, weights, prices up to 1000, half of both sums
    correlated       Caprara, Carvalho, Lodi and Woeginger (2016): weights and prices up to 100, profit = weight + 10
    two rows         the first with a second knapsack row of the follower's, numbers up to 100
    assignment       a leader who forbids cells of an assignment problem within a budget (MibS's 2AP set)
    general          the shape of MibS's milp_10_20_50_2310: n + n integers up to 1500, n rows, all of them below
    binary           n + n binaries, n / 2 rows below and one above that couples them

The loop is what anybody writes in twenty lines: a master over x and z, min z, a cut z >= sum d_j y_j (1 - x_j) for each
answer of the follower. It is for leaders who block, and runs on the first seeds alone. Seconds are the processor's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import highspy
import numpy as np
import pyomo.environ as pyo

import bilevel
from bilevel import LowerLevel

INTEGER = highspy.HighsVarType.kInteger


def levels(x, y, top):
    model = pyo.ConcreteModel()
    model.x, model.lower = pyo.Var(range(x), within=pyo.Integers, bounds=(0, top)), LowerLevel()
    model.lower.y = pyo.Var(range(y), within=pyo.Integers, bounds=(0, top))
    return model


def dot(numbers, variables):
    return sum(float(a) * v for a, v in zip(numbers, variables.values(), strict=True) if a)


def blocked(profit, rows, price, budget):
    """The leader blocks within a budget what the follower takes within his rows; and the numbers, for the loop."""
    model = levels(len(profit), len(profit), 1)
    x, y = model.x, model.lower.y
    model.budget = pyo.Constraint(expr=dot(price, x) <= budget)
    model.lower.rows = pyo.ConstraintList()
    for row, most in rows:
        model.lower.rows.add(dot(row, y) <= most)
    model.lower.blocked = pyo.Constraint(range(len(profit)), rule=lambda b, k: b.y[k] <= 1 - model.x[k])
    gain = dot(profit, y)
    model.obj, model.lower.obj = pyo.Objective(expr=gain), pyo.Objective(expr=gain, sense=pyo.maximize)
    return model, (profit, rows, price, budget)


def knapsack(n, rng, largest=1000, rows=1):
    profit, price = (rng.integers(1, largest + 1, n).astype(float) for _ in range(2))
    weights = rng.integers(1, largest + 1, (rows, n)).astype(float)
    return blocked(profit, [(w, float(w.sum() // 2)) for w in weights], price, float(price.sum() // 2))


def correlated(n, rng):
    weight, price = (rng.integers(1, 101, n).astype(float) for _ in range(2))
    return blocked(weight + 10, [(weight, float(weight.sum() // 2))], price, float(price.sum() // 2))


def two_rows(n, rng):
    return knapsack(n, rng, largest=100, rows=2)


def assignment(n, rng):
    """Each row and each column of n x n takes at most one; cells are forbidden at a price."""
    cells = np.arange(n * n).reshape(n, n)
    sides = [*cells, *cells.T]
    rows = [(np.isin(np.arange(n * n), side).astype(float), 1.0) for side in sides]
    price = rng.integers(1, 21, n * n).astype(float)
    return blocked(rng.integers(1, 21, n * n).astype(float), rows, price, float(price.sum() // 4))


def general(n, rng):
    model = levels(n, n, 1500)
    draw = lambda *shape: rng.integers(-50, 51, shape) * (rng.random(shape) < 0.7)  # noqa: E731
    A, B = draw(n, n), draw(n, n)
    room = A @ rng.integers(0, 11, n) + B @ rng.integers(0, 11, n) + rng.integers(0, 101, n)  # a point is there
    model.lower.rows = pyo.ConstraintList()
    for a, b, most in zip(A, B, room, strict=True):
        model.lower.rows.add(dot(a, model.x) + dot(b, model.lower.y) <= float(most))
    model.obj = pyo.Objective(expr=dot(draw(n), model.x) + dot(draw(n), model.lower.y))
    model.lower.obj = pyo.Objective(expr=dot(draw(n), model.lower.y))
    return model, None


def binary(n, rng):
    model = levels(n, n, 1)
    draw = lambda *shape: rng.integers(-50, 51, shape)  # noqa: E731
    model.lower.rows = pyo.ConstraintList()
    for _ in range(n // 2):
        model.lower.rows.add(dot(draw(n), model.x) + dot(draw(n), model.lower.y) <= float(rng.integers(0, 101)))
    model.coupling = pyo.Constraint(expr=dot(draw(n), model.x) + dot(draw(n), model.lower.y) <= 50.0)
    model.obj = pyo.Objective(expr=dot(draw(n), model.x) + dot(draw(n), model.lower.y))
    model.lower.obj = pyo.Objective(expr=dot(draw(n), model.lower.y))
    return model, None


FAMILIES = {
    "knapsack": (knapsack, (10, 20, 30, 40, 50)),
    "correlated": (correlated, (35, 50)),
    "two rows": (two_rows, (10, 20, 30)),
    "assignment": (assignment, (4, 5)),
    "general": (general, (5, 10)),
    "binary": (binary, (10, 15)),
}


def solver(costs, rows):
    """A HiGHS program over binaries, the last variable free where it is one more than the costs."""
    highs = highspy.Highs()
    for option, value in (("output_flag", False), ("threads", 1), ("mip_rel_gap", 0.0), ("mip_abs_gap", 1e-6)):
        highs.setOptionValue(option, value)
    for cost in costs:
        highs.addCol(cost, 0.0, 1.0, 0, [], [])
    highs.changeColsIntegrality(len(costs), np.arange(len(costs), dtype=np.int32), np.array([INTEGER] * len(costs)))
    for row, most in rows:
        highs.addRow(-highspy.kHighsInf, most, len(row), np.arange(len(row), dtype=np.int32), row)
    return highs


def loop(profit, rows, price, budget, limit):
    """The best value and whether it was proved."""
    n, began, best = len(profit), time.process_time(), np.inf
    master, follower = solver(np.zeros(n), [(price, budget)]), solver(-profit, rows)
    master.addCol(1.0, 0.0, float(profit.sum()), 0, [], [])
    while time.process_time() - began < limit:
        master.setOptionValue("time_limit", master.getRunTime() + limit)
        master.run()
        if master.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            break
        bound, x = master.getInfo().objective_function_value, np.round(master.getSolution().col_value[:n])
        follower.changeColsBounds(n, np.arange(n, dtype=np.int32), np.zeros(n), 1.0 - x)
        follower.run()
        y = np.round(follower.getSolution().col_value)
        best = min(best, float(profit @ y))
        if bound >= best - 1e-6:
            return best, True
        cut = np.append(profit * y, 1.0)
        master.addRow(float(profit @ y), highspy.kHighsInf, n + 1, np.arange(n + 1, dtype=np.int32), cut)
    return best, False


def measured(family, n, seed, arguments):
    make, _ = FAMILIES[family]
    model, numbers = make(n, np.random.default_rng([n, seed]))
    began = time.process_time()
    result = bilevel.solve(model, "mixed_integer", time_limit=arguments.limit)
    row = {"family": family, "n": n, "seed": seed, "seconds": time.process_time() - began}
    row |= {"verdict": str(result.verdict), "value": result.upper_objective, "bound": result.bound}
    if numbers is not None and seed < arguments.loop_seeds:
        began = time.process_time()
        value, proved = loop(*numbers, arguments.loop_limit)
        row |= {"loop": proved, "loop value": value, "loop seconds": time.process_time() - began}
        if proved and result.verdict in ("certified_global", "infeasible"):
            assert abs(value - result.upper_objective) <= 1e-6 * max(1.0, abs(value)), row
    return row


def shown(rows):
    settled = [row["verdict"] in ("certified_global", "infeasible") for row in rows]
    seconds, looped = [row["seconds"] for row in rows], [row for row in rows if "loop" in row]
    cells = [rows[0]["family"], str(rows[0]["n"]), f"{sum(settled)} of {len(rows)}"]
    cells += [f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"]
    cells.append(f"{sum(row['loop'] for row in looped)} of {len(looped)}" if looped else "")
    cells.append(f"{statistics.median(row['loop seconds'] for row in looped):.1f}" if looped else "")
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=FAMILIES)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--loop-limit", type=float, default=10.0)
    parser.add_argument("--loop-seeds", type=int, default=2)
    parser.add_argument("--raw", type=Path)
    arguments = parser.parse_args()
    bilevel.solve(bilevel.load_model("moore_bard"))  # what is loaded at the first use is nobody's time
    everything = []
    print("| family | n | settled | median s | longest s | the loop | its median s |")
    print("|---|---:|---|---:|---:|---|---:|")
    for family in [arguments.only] if arguments.only else FAMILIES:
        for n in FAMILIES[family][1]:
            rows = [measured(family, n, seed, arguments) for seed in range(arguments.seeds)]
            everything += rows
            print(shown(rows), flush=True)
    if arguments.raw:
        arguments.raw.write_text(json.dumps(everything, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
