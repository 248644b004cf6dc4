"""The exact methods on the shelf of literature problems, models/literature: right, proved, wrong, refused, too slow.

    python benchmarks/exact.py [--limit 20] [--only linear,convex] [--methods auto,kkt:sos1] [--json exact.json]
    python benchmarks/exact.py --peers --blvpy-python PATH        # a plain script and another package beside it

A row is a method (``kkt:name`` with the treatment ``name``). Each problem runs in a process that is ended where a
solver ignores its limit. Every F is judged by the value on the shelf, proved without this package:

    proved    the best F and a proof of it (certified_global), or the true verdict infeasible or unbounded
    right     the best F without a proof
    worse     a feasible point with a worse F, called no more than verified_local or best_found
    WRONG     a claim that is not true: a certificate, a bound, a feasible F, "infeasible" or "unbounded" that cannot be
    refused   the method says that the problem is not for it
    open      neither: time is up, or nothing was verified
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "models" / "literature")]

import shelf

OUTCOMES = ("proved", "right", "worse", "WRONG", "refused", "open")
TOLERANCE = 1e-4
PEERS = ("core.kkt + SCIP", "BLVPY")


def main() -> None:
    arguments = parsed()
    cases = shelf.every_problem()
    groups = arguments.only.split(",") if arguments.only else shelf.FILES
    names = [c.name for c in cases.values() if c.group in groups or c.name in groups]
    methods = (
        arguments.methods.split(",") if arguments.methods else [*every_method(), *(PEERS if arguments.peers else ())]
    )
    board: dict[str, dict[str, list[Any]]] = {}
    for method in methods:
        runner = Runner(arguments.limit, arguments.blvpy_python)
        board[method] = {}
        for name in names:
            outcome = runner(method, cases[name])
            board[method][name] = outcome
            if outcome[0] in ("WRONG", "open", "worse") or arguments.verbose:
                print(f"{method:18} {name:34} {' '.join(map(str, outcome))[:160]}", file=sys.stderr, flush=True)
        runner.close()
    print(scoreboard(board))
    if arguments.json:
        lines = [f"{json.dumps(method)}: {json.dumps(found)}" for method, found in board.items()]
        Path(arguments.json).write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=20.0, help="seconds per problem")
    parser.add_argument("--only", help="groups or problems, by commas")
    parser.add_argument("--methods", help="auto, value_function, kkt:sos1, ..., or peers, by commas")
    parser.add_argument("--peers", action="store_true", help="the plain script and BLVPY too")
    parser.add_argument("--blvpy-python", help="a Python 3.12 that has BLVPY and pyomo")
    parser.add_argument("--json", help="where the outcomes go")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def every_method() -> list[str]:
    """``auto``, ``value_function`` and the KKT path with every treatment there is."""
    from bilevel import registry
    from bilevel.contracts.treatment import Treatment

    return ["auto", "value_function", "kkt:auto", *(f"kkt:{name}" for name in registry.catalogue(Treatment))]


# ---------------------------------------------------------------------------------------------------------- judgement


def judged(case: shelf.Case, verdict: str, objective: float | None, bound: float | None) -> str:
    """The outcome of one run, see the top of the file."""
    if verdict in ("infeasible", "unbounded"):
        return "proved" if verdict == case.status else "WRONG"
    if verdict == "failed" or objective is None:
        return "WRONG" if _too_tight(case, bound) else "open"
    if case.status == "infeasible":
        return "WRONG"
    if case.status == "unbounded":
        return "WRONG" if verdict == "certified_global" else "open"
    excess = (objective - case.value) * _sense(case) / max(1.0, abs(case.value))
    if excess < -TOLERANCE or _too_tight(case, bound):
        return "WRONG"
    if excess <= TOLERANCE:
        return "proved" if verdict == "certified_global" else "right"
    return "WRONG" if verdict == "certified_global" else "worse"


def _too_tight(case: shelf.Case, bound: float | None) -> bool:
    """Whether a claimed bound cuts the true optimum off."""
    if bound is None or case.value is None:
        return False
    return (bound - case.value) * _sense(case) / max(1.0, abs(case.value)) > TOLERANCE


def _sense(case: shelf.Case) -> int:
    return -1 if "maximise above" in case.tags else 1


def scoreboard(board: dict[str, dict[str, list[Any]]]) -> str:
    """The table for docs/benchmarks.md."""
    lines = [f"| method | {' | '.join(OUTCOMES)} | seconds |", f"|---|{'---:|' * (len(OUTCOMES) + 1)}"]
    for method, found in board.items():
        count = Counter(outcome[0] for outcome in found.values())
        seconds = sum(outcome[-1] for outcome in found.values())
        cells = " | ".join(str(count[kind]) for kind in OUTCOMES)
        lines.append(f"| `{method}` | {cells} | {seconds:.0f} |")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------ running


class Runner:
    """Runs one problem after the other in a process of its own, which is replaced where it does not come back."""

    def __init__(self, limit: float, blvpy_python: str | None) -> None:
        self._limit, self._python = limit, blvpy_python
        self._process: Any = None
        self._pipe: Connection | None = None

    def __call__(self, method: str, case: shelf.Case) -> list[Any]:
        began = time.perf_counter()
        answer = self._blvpy(case) if method == "BLVPY" else self._ours(method, case)
        seconds = round(time.perf_counter() - began, 2)
        if isinstance(answer, str):
            kind = answer if answer.startswith("refused") else f"open: {answer}"
            return [*kind.split(": ", 1), seconds]
        verdict, objective, bound = answer
        rounded = [None if v is None else float(f"{v:.8g}") for v in (objective, bound)]
        return [judged(case, verdict, objective, bound), verdict, *rounded, seconds]

    def _ours(self, method: str, case: shelf.Case) -> Any:
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=work, args=(theirs, self._limit), daemon=True)
            self._process.start()
        assert self._pipe is not None
        self._pipe.send((method, case.name))
        if not self._pipe.poll(3 * self._limit + 30):
            self.close()
            return "the process did not come back"
        try:
            return self._pipe.recv()
        except EOFError:
            self.close()
            return "the process died"

    def _blvpy(self, case: shelf.Case) -> Any:
        if not self._python:
            return "refused: no --blvpy-python"
        command = [self._python, str(ROOT / "benchmarks" / "blvpy_runner.py"), case.name]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=3 * self._limit + 30, check=False)
        except subprocess.TimeoutExpired:
            return "time limit"
        found = [line for line in run.stdout.splitlines() if line.startswith("ANSWER ")]
        return json.loads(found[-1][7:]) if found else run.stderr[-200:] or "no answer"

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def work(pipe: Connection, limit: float) -> None:
    """Answer (method, problem) with (verdict, F, bound), or with why there is none."""
    import logging

    logging.getLogger("pyomo").setLevel(logging.CRITICAL)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what SCIP's linear programs have to say is written by C
        os.dup2(silence, stream)
    cases = shelf.every_problem()
    while True:
        try:
            method, name = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_solver(method)(cases[name].create(), limit))
        except Exception as error:
            refused = type(error).__name__ in ("RefusedError", "SpaceError", "ModelError")
            text = " ".join(str(error).split())[:120]
            pipe.send(f"refused: {text}" if refused else f"crash {type(error).__name__}: {text}")


def _solver(method: str) -> Callable[[Any, float], Any]:
    if method == PEERS[0]:
        import plain_kkt

        return plain_kkt.solve
    import bilevel

    name, _, treatment = method.partition(":")
    options = {"complementarity": treatment} if treatment else {}

    def solve(model: Any, limit: float) -> tuple[str, float | None, float | None]:
        result = bilevel.solve(model, name, time_limit=limit, **options)
        return str(result.verdict), result.upper_objective, result.bound

    return solve


if __name__ == "__main__":
    main()
