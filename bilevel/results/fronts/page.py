"""A front as one HTML page: verdict, facts, picture, and the points in a table that a click on a column sorts."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from bilevel.results.fronts.front import FrontOutcome
from bilevel.results.fronts.words import facts_of_front, heads_of, meaning_of_front
from bilevel.results.page import again, as_list, page_of, pairs_table, picture, reasons_list, verdict_span
from bilevel.results.plots.fronts import plot_front
from bilevel.results.points_table import cell, sortable

_MOST = 2000


def front_page(result: FrontOutcome, asked: str = "", command: str = "") -> str:
    """The page on one front.

    Parameters
    ----------
    result : FrontOutcome
        What was found.
    asked, command : str
        What was asked, in one line, and what to type to have it again.
    """
    return page_of(asked or f"{result.method}: {result.verdict}", [*front_body(result), again(command)])


def front_body(result: FrontOutcome) -> Iterator[str]:
    """What one method found."""
    yield f"<p>{verdict_span(result)}: {escape(meaning_of_front(result))}</p>"
    yield pairs_table(facts_of_front(result))
    if result.front:
        yield picture(plot_front(result))
        yield _front_table(result)
    if result.notes:
        yield f"<h3>Notes</h3>{as_list(result.notes)}"
    reasons = reasons_list(result)
    if reasons:
        yield f"<h3>Points without an answer, or infeasible</h3>{as_list(reasons)}"
    if len(result.history) > 1:
        yield _tried(result)


def _front_table(result: FrontOutcome) -> str:
    """The points of the front."""
    upper, lower = list(result.front[0].upper), list(result.front[0].lower)
    heads = ["#", *heads_of(result), "verdict", *upper, *lower, "violation"]
    rows = []
    for k, point in enumerate(result.front[:_MOST], start=1):
        cells = [k, *(point.upper_objectives[n] for n in result.senses), str(point.verdict)]
        cells += [*(point.upper.get(n) for n in upper), *(point.lower.get(n) for n in lower), point.upper_violation]
        rows.append([cell(value) for value in cells])
    return f"<details open><summary>Front ({len(result.front)})</summary>{sortable(heads, rows)}</details>"


def _tried(result: FrontOutcome) -> str:
    """Every point that was tried."""
    names = list(dict.fromkeys(name for e in result.history for name in e.upper))
    rows = [
        [cell(v) for v in (k, *(e.upper.get(n) for n in names), *(e.upper_objectives.get(n) for n in result.senses))]
        for k, e in enumerate(result.history[:_MOST], start=1)
    ]
    table = sortable(["#", *names, *heads_of(result)], rows)
    return f"<details><summary>Points tried ({len(result.history)})</summary>{table}</details>"
