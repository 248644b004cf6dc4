"""``bilevel.optuna.SurrogateSampler`` beside Optuna's own samplers, through Optuna's ``study.optimize``.

    python benchmarks/sampler.py [--seeds 3] [--budget 60] [--only ridge+lasso]

The problems of ``search_gallery.py`` whose spaces Optuna can say (no constraint over x, none that involves y), as
objectives that suggest their parameters; no sampler is told a gradient. A table in Markdown: normalized regret, as
``search.py`` defines it, after 30 evaluations and at the end, the mean over problems and seeds, and CPU milliseconds a
trial beside the evaluation.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
sys.path.insert(0, str(Path(__file__).parent))

import optuna
from search_gallery import GalleryProblem, problems

from bilevel.optuna import SurrogateSampler
from bilevel.reading.problem import Problem

EARLY = 30


def samplers(seed: int) -> dict[str, Any]:
    """By name, those that are installed."""
    found = {
        "SurrogateSampler": SurrogateSampler(seed=seed),
        "TPESampler": optuna.samplers.TPESampler(seed=seed),
        "RandomSampler": optuna.samplers.RandomSampler(seed=seed),
    }
    if importlib.util.find_spec("torch"):
        found["GPSampler"] = optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)
    return found


def run(problem: GalleryProblem, space: Any, sampler: Any, budget: int) -> tuple[list[float], float]:
    """The best F so far after each trial, and CPU milliseconds a trial, evaluations left out."""
    spent, best = 0.0, [float("inf")]

    def objective(trial: Any) -> float:
        nonlocal spent
        point = tuple(suggested(trial, dimension) for dimension in space.dimensions)
        began = time.process_time()
        cost = problem.evaluate(point, trial.number).cost
        spent += time.process_time() - began
        best.append(min(best[-1], cost if cost == cost else best[-1]))
        return cost

    began = time.process_time()
    optuna.create_study(sampler=sampler).optimize(objective, n_trials=budget)
    return best[1:], (time.process_time() - began - spent) / budget * 1e3


def suggested(trial: Any, dimension: Any) -> float:
    """A coordinate, as a user of Optuna would ask for it."""
    low, high = dimension.lower, dimension.upper
    if dimension.categorical:
        return int(trial.suggest_categorical(dimension.name, list(range(int(high) + 1))))
    if dimension.integer:
        return int(trial.suggest_int(dimension.name, int(low), int(high)))
    return float(trial.suggest_float(dimension.name, low, high, log=dimension.scale == "log"))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--only", type=lambda text: text.split("+"))
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a point without an answer is a failed trial
    regrets: dict[str, list[tuple[float, float]]] = {}
    times: dict[str, list[float]] = {}
    for problem in problems():
        space = problem.space()
        coupled = bool(Problem.read(problem.build()).coupling)
        if not problem.rated or space.constrained or coupled or (asked.only and problem.name not in asked.only):
            continue
        runs = {
            name: [run(problem, space, samplers(seed)[name], asked.budget) for seed in range(asked.seeds)]
            for name in samplers(0)
        }
        for k, place in enumerate((EARLY - 1, asked.budget - 1)):
            scale = statistics.median(best[place] for best, _ in runs["RandomSampler"]) - problem.best
            for name, found in runs.items():
                shares = [min(2.0, max(0.0, best[place] - problem.best) / max(scale, 1e-12)) for best, _ in found]
                regrets.setdefault(name, [])
                if k == 0:
                    regrets[name] += [(share, 0.0) for share in shares]
                else:
                    first = regrets[name][-len(shares) :]
                    regrets[name][-len(shares) :] = [(a, b) for (a, _), b in zip(first, shares, strict=True)]
        for name, found in runs.items():
            times.setdefault(name, []).extend(ms for _, ms in found)
        print(f"# {problem.name}: " + ", ".join(f"{n} {regrets[n][-1][1]:.3g}" for n in runs), file=sys.stderr)
    print(f"| sampler | regret after {EARLY} | after {asked.budget} | CPU ms a trial |\n|---|---:|---:|---:|")
    for name, found in sorted(regrets.items(), key=lambda item: statistics.mean(b for _, b in item[1])):
        early, late = (statistics.mean(pair[k] for pair in found) for k in (0, 1))
        print(f"| `{name}` | {early:.3f} | {late:.3f} | {statistics.mean(times[name]):.1f} |")


if __name__ == "__main__":
    main()
