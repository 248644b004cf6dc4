"""What a reader sees: the report on one result, the table of a comparison, the progress line.

The words of the verdicts are those of :class:`bilevel.contracts.finding.Verdict`; beside each stands a sentence that
says what it means, and no more than that. Numbers have six digits, differences two.
"""

from __future__ import annotations

import html
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import IO, Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bilevel import tolerances
from bilevel.arrays import as_python, is_real
from bilevel.contracts.finding import Termination, Verdict
from bilevel.results.outcome import Outcome, Ranking

PIPE_WIDTH = 120
UPPER_SHOWN, LOWER_SHOWN = 40, 12

_MEANING = {
    Verdict.CERTIFIED_GLOBAL: "No other point can be better, up to the gap: a proved bound on F closes on this point,"
    " and the follower's answer was computed again.",
    Verdict.VERIFIED_LOCAL: "A stationary point; the follower's answer was computed again and found optimal."
    " A better point elsewhere is not ruled out.",
    Verdict.BEST_FOUND: "The best of what was tried; the follower's answer was computed again and found optimal."
    " Nothing is claimed about points not tried.",
    Verdict.INFEASIBLE: "Proved: no point meets both levels.",
    Verdict.UNBOUNDED: "Proved: F has no finite optimum.",
    Verdict.FAILED: "Nothing was found that could be verified; the notes say why.",
}
STOPPED = {
    Termination.OPTIMALITY: "the method reached its own test of optimality",
    Termination.BUDGET: "the evaluations were used up; --budget gives more",
    Termination.TIME_LIMIT: "the time was used up; --time-limit gives more",
    Termination.INTERRUPTED: "by Ctrl-C; this is what was found by then",
    Termination.STALLED: "the method had nothing more to propose",
    Termination.ERROR: "something went wrong; the notes say what",
}
_STYLE = {
    Verdict.CERTIFIED_GLOBAL: "bold green",
    Verdict.VERIFIED_LOCAL: "bold cyan",
    Verdict.BEST_FOUND: "bold yellow",
}


def number(value: Any, digits: int = 6) -> str:
    """A value as a reader wants it: six digits, a dash where there is none, text as it is."""
    if value is None or value != value:
        return "-"
    if not is_real(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 10 ** max(digits, 6):
        return str(int(value))
    return f"{float(value):.{digits}g}"


def value_text(value: Any) -> str:
    """A variable's value: a number as above, a category's as the user wrote it."""
    plain = as_python(value)
    return str(plain) if plain is None else number(plain)


def _small(value: Any) -> str:
    return number(value, 2)


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def verdict_word(result: Outcome) -> str:
    """The verdict, or that there is none."""
    return "refused" if result.refused else str(result.verdict)


def verdict_text(result: Outcome) -> Text:
    """The same in its colour."""
    return Text(verdict_word(result), _STYLE.get(result.verdict, "bold red"))


def result_report(result: Outcome, asked: str = "") -> RenderableType:
    """The report on one result.

    Parameters
    ----------
    result : Outcome
        What was found.
    asked : str
        What was asked: the model, the method and its settings, in one line.
    """
    facts = two_columns()
    _verdict_row(facts, result)
    for name, value in facts_of(result):
        facts.add_row(name, Text(value, "bold" if name == "F" else ""))
    parts: list[RenderableType] = [Text(asked, "bold"), ""] if asked else []
    parts += [facts]
    for title, values, limit in (("upper", result.upper, UPPER_SHOWN), ("lower", result.lower, LOWER_SHOWN)):
        parts += ["", *_values(f"{title} variables", values, limit)] if values else []
    parts += ["", *listed("notes", result.notes)] if result.notes else []
    return Group(*parts)


def two_columns(justify: JustifyMethod = "left") -> Table:
    """Two columns: what it is, and its value."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", overflow="fold")
    grid.add_column(overflow="fold", justify=justify)
    return grid


def _indented(grid: Table) -> Padding:
    return Padding(grid, (0, 0, 0, 2), expand=False)


def _verdict_row(facts: Table, result: Outcome) -> None:
    facts.add_row("verdict", verdict_text(result))
    facts.add_row("", meaning_of(result))


def meaning_of(result: Outcome) -> str:
    """What its verdict says, in a sentence."""
    meaning = _MEANING[result.verdict]
    if result.bilevel_gap is None:  # a response function: there is nothing to be optimal for
        again = "given again by its function" if result.noise is None else "asked for again, and was another one"
        meaning = meaning.replace("computed again and found optimal", again)
    return meaning


def facts_of(result: Outcome) -> Iterator[tuple[str, str]]:
    """Names and values of all that a result says in a number or a word, those that are known."""
    yield "stopped", f"{result.termination}: {STOPPED[result.termination]}"
    if result.upper_objective is not None:
        error = result.standard_error
        yield "F", number(result.upper_objective) + ("" if error is None else f"   (standard error {_small(error)})")
    for name, told in schedule_of(result).items():
        yield f"{name} by steps", told
    for name, value in result.reported.items():
        yield name, f"{number(value)}   (evaluated for the answer alone)"
    if result.lower_objective is not None and math.isfinite(result.lower_objective):
        yield "f", number(result.lower_objective)
    if result.bound is not None:
        gap = "" if result.gap is None else f"   (gap {_small(result.gap)})"
        yield "bound on F", number(result.bound) + gap
    if result.bilevel_gap is not None:
        yield "bilevel gap", f"{_small(result.bilevel_gap)}   (f above the best f for this x)"
    if result.upper_violation is not None:
        yield "violations", f"upper {_small(result.upper_violation)}, lower {_small(result.lower_violation)}"
    yield "convexity", f"of the lower level: {result.convexity}"
    yield from effort_of(result)


def schedule_of(result: Outcome) -> dict[str, str]:
    """What each upper variable was from step to step, where the answer was trained with one x after another."""
    found = {}
    for name in result.upper if result.schedule else ():
        spans = [(leg["after"], value_text(leg["upper"][name])) for leg in result.schedule]
        kept = [span for span, after in zip(spans, [*spans[1:], (0, None)], strict=True) if span[1] != after[1]]
        found[name] = ", ".join(f"{value} to {until}" for until, value in kept)
    return found


def effort_of(result: Outcome) -> Iterator[tuple[str, str]]:
    """What it took."""
    yield "evaluations", number(result.evaluations)
    failures = result.failures
    if failures:
        yield "failed points", failed_points(failures, len(result.history))
    saved = result.saved
    if saved:
        yield "saved work", saved_work(saved)
    yield "seconds", _seconds(result.seconds)


def saved_work(saved: Mapping[str, Any]) -> str:
    """How many points were stopped early, and what that spared."""
    share = saved["spared"] / saved["whole"] if saved["whole"] else 0.0
    return (
        f"{saved['pruned']} of {saved['points']} points were pruned: {number(saved['spared'])} of"
        f" {number(saved['whole'])} {saved['unit']} ({share:.0%})"
    )


def failed_points(failures: Mapping[str, int], tried: int) -> str:
    """How many points failed, and the commonest reason."""
    count, (reason, most) = sum(failures.values()), next(iter(failures.items()))
    often = "" if count == 1 else "all for one reason: " if most == count else f"most often ({most}): "
    return f"{count} of {tried}; {often}{reason}"


def _values(title: str, values: Mapping[str, Any], limit: int) -> list[RenderableType]:
    """Names and values, the first few where there are many."""
    grid = two_columns("right")
    for name, value in list(values.items())[:limit]:
        grid.add_row(name, value_text(among(values, value)))
    parts: list[RenderableType] = [Text(title, "dim"), _indented(grid)]
    if len(values) > limit:
        left_out = Counter(name.partition("[")[0] for name in list(values)[limit:])
        listed = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in left_out.items())
        shown = f"the first {limit} of {len(values)} are shown, not {listed}"
        parts.append(Text(f"  {shown}; --json, --report and the Result hold all", "dim"))
    return parts


def among(values: Mapping[str, Any], value: Any) -> Any:
    """A value as it is shown beside others: what is nothing next to the largest, a solver's digits, is zero."""
    if not is_real(value):
        return value
    sizes = (abs(float(v)) for v in values.values() if is_real(v))
    largest = max((size for size in sizes if size < math.inf), default=0.0)
    return 0 if abs(float(value)) <= tolerances.TIE * largest else value


def listed(title: str, lines: Sequence[str]) -> list[RenderableType]:
    """Lines under a title."""
    grid = two_columns()
    for line in lines:
        grid.add_row("-", line)
    return [Text(title, "dim"), _indented(grid)]


COLUMNS = ("F", "f", "bound", "distance", "bilevel gap", "evaluations", "seconds", "stopped")
_ANSWER, _EFFORT = COLUMNS[:4], COLUMNS[4:]
# Plain ASCII: the same on a terminal, in a file and in a pipe of any encoding.
LINES = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


class _Rows:
    """The table of a comparison: in one piece where it fits, else answers above and effort below."""

    def __init__(self, comparison: Ranking[Any]) -> None:
        self._comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._table(("verdict", *COLUMNS))
        if Measurement.get(console, options.update(width=1000), whole).maximum <= options.max_width:
            yield whole
        else:
            yield self._table(("verdict", *_ANSWER))
            yield ""
            yield self._table(_EFFORT)

    def _table(self, columns: Sequence[str]) -> Table:
        table = Table(box=LINES, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("method", no_wrap=True)
        for name in columns:
            table.add_column(name, justify="left" if name in ("verdict", "stopped") else "right", no_wrap=True)
        for result in self._comparison.results:
            cells = cells_of(self._comparison, result)
            table.add_row(result.method, *(cells[name] for name in columns))
        return table


def cells_of(comparison: Ranking[Any], result: Outcome) -> dict[str, Text | str]:
    """One line of a comparison's table, by column."""
    distance = comparison.distance(result)
    nearly = distance is not None and abs(distance) <= tolerances.TIE * tolerances.scale(comparison.exact or 0.0)
    return {
        "verdict": verdict_text(result),
        "F": number(result.upper_objective),
        "f": number(result.lower_objective),
        "bound": number(result.bound),
        "distance": "0" if nearly else number(distance, 3),
        "bilevel gap": _small(result.bilevel_gap),
        "evaluations": number(result.evaluations),
        "seconds": _seconds(result.seconds),
        "stopped": "-" if result.refused else str(result.termination),
    }


def comparison_report(comparison: Ranking[Any], asked: str = "") -> RenderableType:
    """The table of a comparison, the best point, and what the table cannot say.

    Parameters
    ----------
    comparison : Comparison
        What was found.
    asked : str
        What was asked, in one line.
    """
    parts: list[RenderableType] = [Text(asked, "bold"), ""] if asked else []
    parts += [_Rows(comparison), ""]
    best = comparison.best
    if best is not None:
        parts += [*_values(f"upper variables of the best point ({best.method})", best.upper, LOWER_SHOWN), ""]
    return Group(*parts, *listed("notes", list(footnotes(comparison))))


def footnotes(comparison: Ranking[Any]) -> Iterator[str]:
    """What the table of a comparison cannot say."""
    best, exact = comparison.best, comparison.exact
    if exact is None or best is None:
        bounds = [r.bound for r in comparison.results if r.bound is not None]
        tightest = max(bounds, key=lambda bound: comparison.sense * bound, default=None)
        proved = "" if tightest is None else f"; proved is that no F can be better than {number(tightest)}"
        yield f"no method certified its answer, so there is no exact F to measure the distance to{proved}"
    else:
        yield f"distance: how much worse F is than {number(exact)}, which {best.method} certified"
    for result in comparison.results:
        distance = comparison.distance(result)
        if distance is not None and distance < -tolerances.CERTIFICATE * tolerances.scale(exact or 0.0):
            yield f"{result.method} is better than what is certified: one of the two is wrong, please report it"
        if not result.verdict.holds_a_point:
            yield f"{result.method}: {'; '.join(result.notes) or _MEANING[result.verdict]}"
        elif result.failures:
            yield f"{result.method}: failed points: {failed_points(result.failures, len(result.history))}"
    if comparison.interrupted:
        rest = f"; not finished: {', '.join(comparison.not_run)}" if comparison.not_run else ""
        yield f"interrupted; the table holds what was found by then{rest}"


def console(stream: IO[str], **settings: Any) -> Console:
    """Rich's console on a stream, which takes every text as it is."""
    # No markup: x[a] is the name of a variable. Left to itself, rich in a notebook displays instead of writing to the
    # stream, and str(result) is empty.
    return Console(file=stream, markup=False, emoji=False, highlight=False, force_jupyter=False, **settings)


def as_text(report: RenderableType, width: int | None = None) -> str:
    """A report as plain text, for files and pipes; ``width`` is that of ``COLUMNS``, else 120."""
    page = StringIO()
    columns = os.environ.get("COLUMNS", "")
    width = width or (int(columns) if columns.isdigit() and int(columns) > 0 else PIPE_WIDTH)
    console(page, width=width, color_system=None, force_terminal=False).print(report)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def in_notebook(text: str) -> str:
    """A plain report as HTML for notebooks, which would set a plain ``pre`` in letters of different widths."""
    return f'<pre style="font-family: monospace; white-space: pre; overflow-x: auto">{html.escape(text)}</pre>'


def show(report: RenderableType) -> None:
    """Print a report: with colours on a terminal, else plain."""
    terminal = console(sys.stdout)
    if terminal.is_terminal:
        terminal.print(report)
    else:
        print(as_text(report), flush=True)
