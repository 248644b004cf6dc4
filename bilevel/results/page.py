"""The report as one HTML page: verdict, table, values, notes, pictures, and how to have it all again.

The page is one file that loads nothing: style and pictures stand in it. Numbers and words are those of
:mod:`bilevel.results.text`, the pictures those of :mod:`bilevel.results.plots.comparison`.
"""

from __future__ import annotations

import base64
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from html import escape
from importlib import metadata
from typing import Any

from bilevel.contracts.finding import Verdict
from bilevel.results.outcome import Outcome, Ranking
from bilevel.results.plots.comparison import plot_comparison
from bilevel.results.plots.incumbents import as_png
from bilevel.results.plots.own import plot_own
from bilevel.results.plots.slices import plot_result
from bilevel.results.points_table import SORTING, points_table
from bilevel.results.text import (
    COLUMNS,
    LOWER_SHOWN,
    UPPER_SHOWN,
    among,
    cells_of,
    facts_of,
    footnotes,
    meaning_of,
    value_text,
    verdict_word,
)
from bilevel.version import __version__

_REASONS = 6  # why points failed, the commonest first
_LIBRARIES = ("pyomo", "casadi", "numpy", "scipy", "highspy", "pyscipopt", "daqp", "optuna")
_COLOUR = {Verdict.CERTIFIED_GLOBAL: "good", Verdict.VERIFIED_LOCAL: "local", Verdict.BEST_FOUND: "open"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; color: #666; } td.number { text-align: right; }
th.sorts { cursor: pointer; } th.sorts:hover { color: #000; }
.wide { overflow-x: auto; } .wide td, .wide th { white-space: nowrap; }
.verdict { font-weight: 600; } .good { color: #00704f; } .local { color: #0060a0; } .open { color: #9a6a00; }
.none { color: #b02a00; } summary { cursor: pointer; margin: .5rem 0; } img { max-width: 100%; height: auto; }
code, pre { font: 13px/1.5 ui-monospace, monospace; background: #f5f5f5; padding: .1rem .3rem; }
pre { padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; } li { overflow-wrap: anywhere; }
"""


def result_page(result: Outcome, asked: str = "", command: str = "") -> str:
    """The page on one result.

    Parameters
    ----------
    result : Outcome
        What was found.
    asked : str
        What was asked: the model, the method and its settings, in one line.
    command : str
        What to type to have it again.
    """
    return page_of(asked or f"{result.method}: {result.verdict}", [*_body(result), again(command)])


def comparison_page(comparison: Ranking[Any], asked: str = "", command: str = "") -> str:
    """The page on a comparison: its table, its picture, and what each method found; arguments as above."""
    parts = [_table(comparison), as_list(footnotes(comparison))]
    if any(result.history or result.verdict.holds_a_point for result in comparison.results):
        parts.append(picture(plot_comparison(comparison.results)))
    for result in comparison.results:
        parts += [f"<h2>{escape(result.method)}</h2>", *_body(result)]
    return page_of(asked or "Comparison", [*parts, again(command)])


def page_of(title: str, parts: Iterable[str]) -> str:
    """A whole page."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style><script>{SORTING}</script>'
    body = "\n".join(filter(None, [f"<h1>{escape(title)}</h1>", *parts]))
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _body(result: Outcome) -> Iterator[str]:
    """What one method found."""
    yield f"<p>{verdict_span(result)}: {escape(meaning_of(result))}</p>"
    yield pairs_table(facts_of(result))
    yield from _values("Upper variables", result.upper, UPPER_SHOWN)
    yield from _values("Lower variables", result.lower, LOWER_SHOWN)
    if result.notes:
        yield f"<h3>Notes</h3>{as_list(result.notes)}"
    reasons = reasons_list(result)
    if reasons:
        yield f"<h3>Points without an answer, or infeasible</h3>{as_list(reasons)}"
    for name in result.pictures:
        yield f"<h3>{escape(name.capitalize())}</h3>{picture(plot_own(result, name), name)}"
    if len(result.history) > 1:
        yield picture(plot_result(result))
        yield points_table(result.history)


def verdict_span(result: Outcome) -> str:
    """The verdict in its colour."""
    return f'<span class="verdict {_COLOUR.get(result.verdict, "none")}">{verdict_word(result)}</span>'


def pairs_table(pairs: Iterable[tuple[str, str]], kind: str = "") -> str:
    """Names and values."""
    rows = (f"<tr><th>{escape(name)}</th><td{kind}>{escape(value)}</td></tr>" for name, value in pairs)
    return f"<table>{''.join(rows)}</table>"


def _values(title: str, values: Mapping[str, Any], limit: int) -> Iterator[str]:
    """Names and values, folded where there are many."""
    if values:
        table = pairs_table(((name, value_text(among(values, v))) for name, v in values.items()), ' class="number"')
        opened = " open" if len(values) <= limit else ""
        yield f"<details{opened}><summary>{title} ({len(values)})</summary>{table}</details>"


def as_list(lines: Iterable[str]) -> str:
    """Lines as a list."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def reasons_list(result: Outcome) -> list[str]:
    """Why points of the history are no candidates, the commonest reasons first."""
    lost = [e for e in result.history if not e.feasible]
    reasons = Counter("an upper constraint is broken" if e.answered else e.message or str(e.status) for e in lost)
    found = [f"{count} of {len(result.history)}: {reason}" for reason, count in reasons.most_common(_REASONS)]
    rest = len(reasons) - len(found)
    return [*found, f"and {rest} other reasons"] if rest > 0 else found


def _table(comparison: Ranking[Any]) -> str:
    """One row per method."""
    head = "".join(f"<th>{name}</th>" for name in ("method", "verdict", *COLUMNS))
    rows = []
    for result in comparison.results:
        cells = cells_of(comparison, result)
        numbers = "".join(f'<td class="number">{escape(str(cells[name]))}</td>' for name in COLUMNS)
        rows.append(f"<tr><td>{escape(result.method)}</td><td>{verdict_span(result)}</td>{numbers}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def picture(figure: Any, shown: str = "the run") -> str:
    """A figure, in the page itself."""
    return f'<p><img alt="{escape(shown)}" src="data:image/png;base64,{base64.b64encode(as_png(figure)).decode()}"></p>'


def again(command: str) -> str:
    """How to have it again: the command, and the versions it was run with."""
    known = [f"{name} {version}" for name, version in map(_version, _LIBRARIES) if version]
    versions = ", ".join([f"bilevel {__version__}", f"Python {platform.python_version()}", *known])
    where = f"{platform.system()} {platform.machine()}, {datetime.now().astimezone():%Y-%m-%d %H:%M %z}"
    typed = f"<pre>{escape(command)}</pre>" if command else ""
    return f"<h2>How to have it again</h2>{typed}<p>{escape(versions)}. {escape(where)}.</p>"


def _version(name: str) -> tuple[str, str]:
    try:
        return name, metadata.version(name)
    except metadata.PackageNotFoundError:
        return name, ""
