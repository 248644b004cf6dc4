"""A front in words and a table, in words that are never better than what was proved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bilevel.contracts.finding import Verdict
from bilevel.results.fronts.front import FrontOutcome
from bilevel.results.text import LINES, STOPPED, effort_of, listed, number, two_columns, verdict_text
from bilevel.upper.front import REFERENCE

_MEANING = {
    Verdict.CERTIFIED_GLOBAL: "Every point is proved to tolerance: none is better in one objective and as good in the"
    " others. What lies between neighbours is said by the gap.",
    Verdict.VERIFIED_LOCAL: "Every point is at least stationary and verified; better ones elsewhere are not ruled out.",
    Verdict.BEST_FOUND: "Nondominated among what was tried; the follower's answers were computed again and found"
    " optimal. Nothing is claimed about points not tried.",
    Verdict.INFEASIBLE: "Proved: no point meets both levels.",
    Verdict.UNBOUNDED: "Proved: an objective has no finite optimum.",
    Verdict.FAILED: "Nothing was found that could be verified; the notes say why.",
}
_VARIABLES = 4  # shown beside the objectives
_POINTS = 60


def meaning_of_front(result: FrontOutcome) -> str:
    """What its verdict says, in a sentence."""
    return _MEANING[result.verdict]


def facts_of_front(result: FrontOutcome) -> Iterator[tuple[str, str]]:
    """Names and values of all that a front says in a number or a word."""
    yield "stopped", f"{result.termination}: {STOPPED[result.termination]}"
    counts = Counter(str(point.verdict) for point in result.front)
    kinds = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    yield "points", f"{len(result.front)}" + (f"   ({kinds})" if kinds else "")
    if result.front_gap is not None:
        yield "gap", f"{number(result.front_gap, 3)}   (proved: no point beats all of these by more, in ranges of F)"
    if result.hypervolume is not None:
        yield "hypervolume", f"{number(result.hypervolume)}   (ideal 0, nadir 1, reference point {REFERENCE} in each)"
    if result.convexity != "unknown":
        yield "convexity", f"of the lower level: {result.convexity}"
    yield from effort_of(result)


def front_report(result: FrontOutcome, asked: str = "") -> RenderableType:
    """The report on one front.

    Parameters
    ----------
    result : FrontOutcome
        What was found.
    asked : str
        What was asked, in one line.
    """
    facts = two_columns()
    facts.add_row("verdict", verdict_text(result))
    facts.add_row("", meaning_of_front(result))
    for name, value in facts_of_front(result):
        facts.add_row(name, value)
    parts: list[RenderableType] = [Text(asked, "bold"), ""] if asked else []
    parts += [facts]
    if result.front:
        parts += ["", Text("front", "dim"), _table(result)]
        if len(result.front) > _POINTS:
            parts.append(Text(f"  {_POINTS} of {len(result.front)} points are shown; --json holds all", "dim"))
    parts += ["", *listed("notes", result.notes)] if result.notes else []
    return Group(*parts)


def heads_of(result: FrontOutcome) -> list[str]:
    """The objectives with their senses, as columns."""
    return [f"{'max' if sense < 0 else 'min'} {name}" for name, sense in result.senses.items()]


def _table(result: FrontOutcome) -> Table:
    table = Table(box=LINES, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    variables = list(result.front[0].upper)[:_VARIABLES]
    for name in (*heads_of(result), *variables):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    step = max(1.0, len(result.front) / _POINTS)
    shown = [result.front[int(k * step)] for k in range(min(_POINTS, len(result.front)))]
    for point in shown:
        cells = [number(point.upper_objectives[name]) for name in result.senses]
        cells += [number(point.upper[name]) for name in variables]
        table.add_row(*cells, str(point.verdict))
    return table
