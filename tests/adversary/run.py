"""Random small bilevel problems against every method: ``python tests/adversary/run.py --minutes 60``.

Writes one line of JSON per run into ``runs.jsonl``, a script that stands alone per wrong word, and a summary. Called again
with the same folder it goes on after the last seed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # a checkout needs no installation

from catalogue import FAMILIES, drawn
from contained_run import load_everything, run
from judge import MERE, Fault, faults_of, quality
from stated_problem import Stated
from truth import truth_of

EXACT = "kkt,active_sides,value_function,rational,upper_boxes,answer_cells,mixed_integer,joint,homotopy"
METHODS = f"auto,{EXACT},grid,random,surrogate,gradient"
SEARCHES = {"grid": 40, "random": 40, "surrogate": 20, "gradient": 40}


def tried(problem: Stated, methods: list[str], limit: float) -> Iterator[dict[str, Any]]:
    """Every method on a problem: a record per run."""
    truth = truth_of(problem)
    for method in methods:
        options: dict[str, Any] = {"time_limit": limit, "seed": 1}
        if method in SEARCHES:
            options["budget"] = SEARCHES[method]
        outcome = run(problem, method, options, longest_cpu=3 * limit + 3, longest=10 * limit + 60)
        faults = faults_of(problem, truth, outcome, limit)
        if outcome.said.strip():
            faults.append(Fault("noise", outcome.said.strip().splitlines()[-1][:300]))
        yield {
            "seed": problem.seed,
            "family": problem.family,
            "method": method,
            "truth": truth.value,
            "word": quality(problem, truth, outcome),
            "faults": [asdict(fault) for fault in faults],
            "scripts": [problem.script(method, options, f"{fault.kind}: {fault.sentence}") for fault in faults],
            "cpu": round(outcome.cpu, 2),
            "wall": round(outcome.wall, 2),
            "refusal": outcome.refusal,
            "crash": outcome.crash,
            "said": outcome.said if faults else "",
            "result": outcome.result,
            "problem": asdict(problem) if faults else None,
        }


def _again(file: Path) -> Iterator[tuple[Stated, list[str]]]:
    """The problems of a file of faults, with the methods that spoke."""
    for line in file.read_text().splitlines():
        record = json.loads(line)
        if record["problem"]:
            yield Stated.of_dict(record["problem"]), [record["method"]]


def _drawn(start: int, families: tuple[str, ...], methods: list[str]) -> Iterator[tuple[Stated, list[str]]]:
    return ((drawn(seed, families), methods) for seed in itertools.count(start))


def main() -> None:
    """Run for so many minutes, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument(
        "--start", type=int, help="first seed; the one after the last of the folder where nothing is said"
    )
    parser.add_argument("--seeds", type=int, help="how many at most")
    parser.add_argument("--limit", type=float, default=2.0, help="time_limit of every run, in seconds")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--families", default="")
    parser.add_argument("--out", type=Path, default=Path("build/adversary"))
    parser.add_argument("--again", type=Path, help="instead of drawing: the faults of such a runs.jsonl once more")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    book = asked.out / "runs.jsonl"
    start = asked.start if asked.start is not None else _next_seed(book)
    families = tuple(name for name in asked.families.split(",") if name)
    source = _again(asked.again) if asked.again else _drawn(start, families, asked.methods.split(","))
    load_everything()
    until = time.monotonic() + 60 * asked.minutes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends it finds a summary too
    try:
        for problem, methods in itertools.islice(source, asked.seeds):
            if time.monotonic() > until:
                break
            for record in tried(problem, methods, asked.limit):
                _written(record, book, asked.out)
    finally:
        summary = _summary(book)
        (asked.out / "summary.txt").write_text(summary)
        print(summary)
    sys.exit(any(fault["kind"] not in MERE for record in _records(book) for fault in record["faults"]))


def _records(book: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []


def _next_seed(book: Path) -> int:
    return max((record["seed"] for record in _records(book)), default=-1) + 1


def _written(record: dict[str, Any], book: Path, out: Path) -> None:
    """A record into the book, and a script for every fault."""
    for number, (fault, script) in enumerate(zip(record["faults"], record.pop("scripts"), strict=True)):
        name = f"{fault['kind']}-{record['family']}-{record['method']}-{record['seed']}-{number}.py"
        (out / name).write_text(script)
        print(
            f"{fault['kind']:18} {record['family']:20} {record['method']:14} seed {record['seed']}: {fault['sentence'][:150]}",
            flush=True,
        )
    with book.open("a") as file:
        file.write(json.dumps(record) + "\n")


def _summary(book: Path) -> str:
    """Counts by family and by method, of words and of faults."""
    records = _records(book)
    lines = [f"{len({r['seed'] for r in records})} problems, {len(records)} runs"]
    for column in ("method", "family"):
        lines.append(f"\nby {column}")
        for name in dict.fromkeys(r[column] for r in records):
            mine = [r for r in records if r[column] == name]
            words = Counter(r["word"] for r in mine)
            wrong = Counter(fault["kind"] for r in mine for fault in r["faults"])
            told = ", ".join(f"{count} {word}" for word, count in words.most_common())
            bad = ", ".join(f"{count} {kind}" for kind, count in wrong.most_common())
            lines.append(f"  {name:20} {told}{'   FAULTS: ' + bad if bad else ''}")
    unknown = sorted(set(FAMILIES) - {r["family"] for r in records})
    return "\n".join([*lines, *(["\nnot drawn: " + ", ".join(unknown)] if unknown else [])]) + "\n"


if __name__ == "__main__":
    main()
