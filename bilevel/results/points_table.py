"""Every point that was tried as a table of the page: sortable by a click, failures with their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from bilevel.arrays import is_real
from bilevel.results.text import number
from bilevel.upper.archive import Evaluation

MOST = 2000
"""Points that are listed; a page of more is slow to open, and ``--json`` holds them all."""

SORTING = """
function sortBy(head) {
  const table = head.closest("table"), column = head.cellIndex, up = head.dataset.up !== "1";
  const key = row => { const c = row.cells[column], v = c.dataset.v; return v === undefined ? c.textContent : +v; };
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const p = key(a), q = key(b), n = typeof p === "number", m = typeof q === "number";
    if (n !== m) return n ? -1 : 1;
    return (up ? 1 : -1) * (n ? p - q : p.localeCompare(q));
  });
  for (const other of table.tHead.rows[0].cells) delete other.dataset.up;
  head.dataset.up = up ? "1" : "0";
  table.tBodies[0].append(...rows);
}
"""


def points_table(history: Sequence[Evaluation]) -> str:
    """The table, folded."""
    names = list(dict.fromkeys(name for e in history for name in e.upper))
    rows = [
        [
            cell(k),
            *(cell(e.upper.get(name)) for name in names),
            cell(e.upper_objective),
            f"<td>{escape(_became(e))}</td>",
        ]
        for k, e in enumerate(history[:MOST], start=1)
    ]
    more = f", the first {MOST} are listed" if len(history) > MOST else ""
    table = sortable(["#", *names, "F", "what became of it"], rows)
    return f"<details><summary>Points tried ({len(history)}{more})</summary>{table}</details>"


def sortable(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that a click on a head sorts."""
    head = "".join(f'<th class="sorts" onclick="sortBy(this)">{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _became(evaluation: Evaluation) -> str:
    if evaluation.feasible:
        return "answered"
    if evaluation.pruned:
        return evaluation.message if evaluation.spared else f"pruned at step {number(_last_step(evaluation))}"
    return "an upper constraint is broken" if evaluation.answered else evaluation.message or str(evaluation.status)


def _last_step(evaluation: Evaluation) -> float | None:
    return evaluation.reports[-1][0] if evaluation.reports else None


def cell(value: Any) -> str:
    """A number that sorts as one, or a text."""
    plain = not is_real(value) or value != value
    key = "" if plain else f' data-v="{float(value)!r}"'
    return f'<td class="number"{key}>{escape(number(value))}</td>'
