"""Searches on the gallery: ours beside Optuna's samplers and, where they are installed, pySOT and SMAC.

    python benchmarks/search.py [--seeds 3] [--searches gp,optuna:tpe] [--only ridge,lasso] [--json search.json]
    python benchmarks/search.py --peers                 # pySOT and SMAC as well: pip install pySOT smac
    python benchmarks/search.py --read benchmarks/search_results.json       # the published tables, of ten seeds

Two tables in Markdown. The first: normalized regret after 30, 50 and 100 evaluations, the mean over problems and seeds
of

    min(2, (best so far - best known) / (random's median - best known))

so that 0 is the best value known and 1 is random search. The second: evaluations until F is within 1 % of the proved
optimum, the median over seeds. No constant of ours was tuned on the problems (``search_gallery.py``); that
the trend of ``surrogate`` goes once gradients are told was decided by one of them. Optuna's samplers run
behind the same door as ours, which spares them duplicates and points that break a constraint over x; pySOT and SMAC
are asked as they come, and rounded. Evaluations carry dF/dx where ``solve`` gives it, and count the same;
ours alone read it. Every search has the seeds 0, 1, ...; a run is 100 evaluations with one BLAS
thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from search_gallery import GalleryProblem, problems, relative_gap
from search_peers import PEERS

from bilevel import registry
from bilevel.contracts.search import Search

BUDGET = 100
COUNTS = (30, 50, 100)
NEAR = 0.01
OURS = ("surrogate", "gp", "rbf", "random")
OPTUNA = {"optuna:tpe": None, "optuna:cmaes": "cmaes", "optuna:gp": "torch"}


class Run(NamedTuple):
    """The incumbents after each of ``COUNTS``, the evaluation that came near the optimum, CPU milliseconds per ask."""

    incumbents: list[float]
    near: int | None
    ms: float


def available(peers: bool) -> list[str]:
    """The searches that can run here; a line on standard error for each that cannot."""
    wanted = {
        **dict.fromkeys(OURS),
        **OPTUNA,
        **({name: package for name, (package, _) in PEERS.items()} if peers else {}),
    }
    missing = {n: p for n, p in wanted.items() if p is not None and importlib.util.find_spec(p) is None}
    for name, package in missing.items():
        print(f"{name} is left out: {package} is not installed", file=sys.stderr)
    return [name for name in wanted if name not in missing]


def run(problem: GalleryProblem, search: str, seed: int) -> Run:
    """One run."""
    space, best, near, clock = problem.space(), math.inf, None, 0.0
    kept: dict[int, float] = {}
    proposals = PEERS[search][1](space, seed, BUDGET) if search in PEERS else ours(problem, space, search, seed)
    told = None
    for index in range(BUDGET):
        began = time.process_time()
        point = proposals.send(told)
        clock += time.process_time() - began
        if point is None:
            break
        told = problem.evaluate(point, index)
        best = min(best, told.cost) if told.feasible and space.allows(point) else best
        if near is None and relative_gap(problem, best) <= NEAR:
            near = index + 1
        kept[index + 1] = best
    last = max(kept)
    incumbents = [kept.get(min(count, last), math.inf) for count in COUNTS]
    shortened = [float(f"{value:.8g}") for value in incumbents]
    return Run(shortened, near, round(1000 * clock / BUDGET, 1))


def ours(problem: GalleryProblem, space: Any, search: str, seed: int) -> Any:
    """A registered search as a generator: points out, evaluations in."""
    name, _, sampler = search.partition(":")
    options = {"sampler": sampler} if sampler else {}
    part = registry.get(Search, name)(space, np.random.default_rng(seed), BUDGET, **options)
    part.curvature = problem.curvature
    while True:
        points = part.ask(1)
        part.tell((yield points[0] if points else None))


def regrets(problem: GalleryProblem, runs: dict[str, list[Run]]) -> dict[str, list[float]]:
    """Normalized regret of each search after each count, the mean over its seeds."""
    table: dict[str, list[float]] = {}
    for k in range(len(COUNTS)):
        scale = statistics.median(run.incumbents[k] for run in runs["random"]) - problem.best
        for search, found in runs.items():
            each = [run.incumbents[k] - problem.best for run in found]
            table.setdefault(search, []).append(statistics.mean(share(e, scale) for e in each))
    return table


def share(excess: float, scale: float) -> float:
    """Of random search's excess. Where that has none, whoever has none either has no regret."""
    if excess <= 1e-9:
        return 0.0
    return min(2.0, excess / scale) if math.isfinite(excess) and scale > 1e-12 else 2.0


def tables(results: dict[str, dict[str, list[Run]]]) -> str:
    """Both, in Markdown."""
    known = {problem.name: problem for problem in problems()}
    rated = {name: regrets(known[name], runs) for name, runs in results.items() if known[name].rated}
    searches = list(dict.fromkeys(search for runs in results.values() for search in runs))
    seeds = max(len(runs) for by_search in results.values() for runs in by_search.values())
    fewer = {s: min(len(runs[s]) for runs in results.values() if s in runs) for s in searches}
    few = ", ".join(f"{s} {count}" for s, count in fewer.items() if count < seeds)
    lines = [f"Normalized regret, {len(rated)} problems, {seeds} seeds{f' ({few})' if few else ''}:", ""]
    lines += [
        f"| search | {' | '.join(f'{count} evaluations' for count in COUNTS)} | CPU ms per ask |",
        "|---|" + "---|" * 4,
    ]
    for search in searches:
        own = [row[search] for row in rated.values() if search in row]
        means = [statistics.mean(row[k] for row in own) for k in range(len(COUNTS))]
        ms = statistics.mean(run.ms for runs in results.values() for run in runs.get(search, []))
        lines.append(f"| `{search}` | {' | '.join(f'{m:.2f}' for m in means)} | {ms:.1f} |")
    lines += ["", "The same after 50 evaluations, problem by problem:", ""]
    lines += [f"| problem | {' | '.join(f'`{s}`' for s in searches)} |", "|---|" + "---|" * len(searches)]
    for name, row in rated.items():
        lines.append(f"| {name} | {' | '.join(f'{row[s][1]:.2f}' if s in row else '-' for s in searches)} |")
    lines += [
        "",
        "Evaluations until F is within 1 % of the proved optimum (median; > 100 where half of the runs are not):",
        "",
    ]
    lines += [f"| problem | {' | '.join(f'`{s}`' for s in searches)} |", "|---|" + "---|" * len(searches)]
    for name, runs in results.items():
        if known[name].proved:
            lines.append(f"| {name} | {' | '.join(shown(runs.get(s, [])) for s in searches)} |")
    return "\n".join(lines)


def merged(files: list[dict[str, dict[str, list[Run]]]]) -> dict[str, dict[str, list[Run]]]:
    """Results of several runs of this program; where two have the same search, the first file's count."""
    together: dict[str, dict[str, list[Run]]] = {}
    for results in files:
        for name, runs in results.items():
            kept = {search: [Run(*row) for row in rows] for search, rows in runs.items()}
            together[name] = {**kept, **together.get(name, {})}
    return together


def shown(runs: list[Run]) -> str:
    """The median number of evaluations."""
    if not runs:
        return "-"
    middle = statistics.median(math.inf if run.near is None else run.near for run in runs)
    return f"{middle:.0f}" if math.isfinite(middle) else f"> {BUDGET}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--searches", help="instead of all that can run here; random is always there")
    parser.add_argument("--only", help="parts of problems' names")
    parser.add_argument("--peers", action="store_true", help="pySOT and SMAC as well")
    parser.add_argument("--json", help="keep the results")
    parser.add_argument("--read", nargs="+", help="print the tables of kept results, of several files together")
    arguments = parser.parse_args()
    if arguments.read:
        print(tables(merged([json.loads(Path(file).read_text()) for file in arguments.read])))
        return
    searches = available(arguments.peers) if arguments.searches is None else arguments.searches.split(",")
    searches = list(dict.fromkeys([*searches, "random"]))
    chosen = [p for p in problems() if not arguments.only or any(part in p.name for part in arguments.only.split(","))]
    results: dict[str, dict[str, list[Run]]] = {}
    for problem in chosen:
        began = time.monotonic()
        results[problem.name] = {s: [run(problem, s, seed) for seed in range(arguments.seeds)] for s in searches}
        print(f"{problem.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(results, separators=(",", ":")))
    print(tables(results))


if __name__ == "__main__":
    main()
