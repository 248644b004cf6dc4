"""Response lost against the proved optimum of a budget's allocation, by the ways in which budgets are allocated today.

    python benchmarks/allocation.py [--instances 50] [--first 0] [--raw out.json]

Instances are random: 3 to 30 channels over 52 weeks of bursts, geometric carry-over, Hill curves with exponents from
0.5 to 3, each channel's budget within half and twice of what it spent, the total as spent; in every third one a channel
or two may be dropped, or spend at least a floor. All evaluate the same response, of the flighting week by week.
Seconds are of processor time.

    slsqp, equal split      SciPy's SLSQP from the total in equal parts (projected into the bounds), ftol 1e-9
    slsqp, current plan     the same from what was spent
    greedy                  steps of a hundredth of the total, each to the channel whose best average return of any
                            number of further steps is largest (Meridian's way)
    augmented Lagrangian    bound-constrained L-BFGS-B on the augmented Lagrangian of the total, from the lower bounds
                            (Robyn's way, NLopt's AUGLAG)
    bilevel                 ``bilevel.solve``, to a proof

Where a channel may be dropped, the other ways keep all channels at their floors or above: they have no word for it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

import bilevel
from bilevel.blocks import ResponseCurve, allocation

WEEKS = 52
STEPS = 100


def instance(seed):
    """Curves, spend by week, and floors of channels that may be dropped."""
    rng = np.random.default_rng(seed)
    spend, fit = {}, {}
    for k in range(int(rng.integers(3, 31))):
        on_air = rng.random(WEEKS) < 0.6
        on_air[int(rng.integers(WEEKS))] = True
        series = rng.uniform(2e4, 3e5) * rng.gamma(1.0, 1.0, WEEKS) * on_air
        decay = rng.uniform(0.0, 0.7)
        peak = ResponseCurve(1.0, 1.0, decay=decay).carried(series).max()
        spend[f"c{k}"] = series
        fit[f"c{k}"] = ResponseCurve(
            effect=rng.uniform(0.5, 3.0) * series.mean() * 3.0,
            half=rng.uniform(0.3, 1.0) * peak,
            exponent=rng.uniform(0.5, 3.0),
            decay=decay,
        )
    floors = {}
    if seed % 3 == 0:
        for channel in rng.choice(sorted(spend), size=min(2, len(spend)), replace=False):
            floors[str(channel)] = 0.8 * float(spend[str(channel)].sum())
    return fit, spend, floors


class Task:
    """One instance as the other ways see it: response and its gradient in the channels' budgets."""

    def __init__(self, fit, spend, model, floors):
        self.names = list(fit)
        self.curves = [fit[name] for name in self.names]
        self.carried = [model.flighting.carried(name, fit[name]) for name in self.names]
        self.now = np.array([spend[name].sum() for name in self.names])
        floor = np.array([floors.get(name, 0.0) for name in self.names])
        self.low, self.high = np.maximum(0.5 * self.now, floor), 2.0 * self.now
        self.total = float(self.now.sum())

    def response(self, s):
        parts = zip(self.curves, self.carried, s, strict=True)
        return sum(float(np.sum(curve.saturated(base + x * unit[0]))) for curve, (base, unit), x in parts)

    def gradient(self, s):
        slopes = []
        for curve, (base, unit), x in zip(self.curves, self.carried, s, strict=True):
            a = np.maximum(base + x * unit[0], 1e-12) / curve.half
            power = a**curve.exponent
            slopes.append(np.sum(curve.effect * curve.exponent * power / (a * (power + 1) ** 2) * unit[0] / curve.half))
        return np.array(slopes)

    def fitted(self, s):
        """The nearest multiple of a plan, in its bounds, that spends the total."""
        low, high = 0.0, 1e3
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if np.clip(middle * s, self.low, self.high).sum() < self.total else (low, middle)
        return np.clip(low * s, self.low, self.high)


def slsqp(task, start):
    unit = task.total
    found = minimize(
        lambda z: -task.response(z * unit) / unit,
        start / unit,
        jac=lambda z: -task.gradient(z * unit),
        bounds=list(zip(task.low / unit, task.high / unit, strict=True)),
        constraints={"type": "eq", "fun": lambda z: z.sum() - 1.0, "jac": lambda z: np.ones(len(z))},
        method="SLSQP",
        options={"ftol": 1e-9, "maxiter": 1000},
    )
    return task.fitted(np.clip(found.x * unit, task.low, task.high))


def greedy(task):
    plan, step = task.low.copy(), task.total / STEPS
    while plan.sum() < task.total - 1e-9 * task.total:
        left, best = task.total - plan.sum(), (-np.inf, 0, 0.0)
        for k in range(len(plan)):
            at = plan.copy()
            before = task.response(at)
            for count in range(1, STEPS + 1):
                more = min(count * step, left, task.high[k] - plan[k])
                if more <= 0.0:
                    break
                at[k] = plan[k] + more
                best = max(best, ((task.response(at) - before) / more, k, min(step, more)))
                if more < count * step:
                    break
        if best[0] == -np.inf:
            break
        plan[best[1]] += best[2]
    return plan


def augmented(task):
    unit, s, multiplier, weight = task.total, task.low / task.total, 0.0, 10.0
    bounds = list(zip(task.low / unit, task.high / unit, strict=True))

    def lagrangian(z):
        off = z.sum() - 1.0
        value = -task.response(z * unit) / unit + multiplier * off + 0.5 * weight * off**2
        return value, -task.gradient(z * unit) + multiplier + weight * off

    for _ in range(30):
        s = minimize(lagrangian, s, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 1000}).x
        multiplier += weight * (s.sum() - 1.0)
        if abs(s.sum() - 1.0) < 1e-8:
            break
        weight *= 2.0
    return task.fitted(s * unit)


def measured(seed):
    fit, spend, floors = instance(seed)
    began = time.process_time()
    model = allocation(fit, spend, none_or_at_least=floors, bounds=(0.5, 2.0))
    result = bilevel.solve(model, time_limit=60)
    seconds = time.process_time() - began
    task = Task(fit, spend, model, floors)
    proved = np.nan if result.bound is None else result.bound + task.total
    found = np.nan if result.upper_objective is None else result.upper_objective + task.total
    rows = {"bilevel": (found, seconds, str(result.verdict))}
    ways = {
        "slsqp, equal split": lambda: slsqp(task, task.fitted(np.full(len(task.now), task.total / len(task.now)))),
        "slsqp, current plan": lambda: slsqp(task, task.now),
        "greedy": lambda: greedy(task),
        "augmented Lagrangian": lambda: augmented(task),
    }
    for name, way in ways.items():
        began = time.process_time()
        plan = way()
        rows[name] = (task.response(plan), time.process_time() - began, "")
    rows["current plan"] = (task.response(task.now), 0.0, "")
    return {"seed": seed, "channels": len(fit), "floors": len(floors), "bound": proved, "found": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--raw", type=Path)
    options = parser.parse_args()
    measured(1_000_000)  # imports and first compilations belong to nobody
    raw = [measured(seed) for seed in range(options.first, options.first + options.instances)]
    if options.raw:
        options.raw.write_text(json.dumps(raw, indent=1) + "\n")
    print(f"{'way':22} {'lost, median':>13} {'worst':>8} {'within 0.1 %':>13} {'seconds, median':>16}")
    for name in raw[0]["found"]:
        lost = np.array([1.0 - row["found"][name][0] / row["bound"] for row in raw])
        seconds = np.median([row["found"][name][1] for row in raw])
        print(
            f"{name:22} {100 * np.median(lost):12.3f}% {100 * lost.max():7.2f}% {np.sum(lost <= 1e-3):8}"
            f" of {len(raw):2} {seconds:16.2f}"
        )
    certified = sum(row["found"]["bilevel"][2] == "certified_global" for row in raw)
    print(f"bilevel certified {certified} of {len(raw)}")


if __name__ == "__main__":
    main()
