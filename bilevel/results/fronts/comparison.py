"""``bilevel.compare`` on several objectives: fronts side by side, measured by one hypervolume."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bilevel.arrays import Array
from bilevel.contracts.finding import Verdict
from bilevel.results.comparison import Comparison
from bilevel.results.fronts.page import front_body
from bilevel.results.fronts.result import FrontResult
from bilevel.results.page import again, as_list, page_of, picture, verdict_span
from bilevel.results.plots.fronts import plot_fronts
from bilevel.results.points_table import cell, sortable
from bilevel.results.text import LINES, listed, number, verdict_text
from bilevel.upper.front import REFERENCE, nondominated, normalised_hypervolume

if TYPE_CHECKING:
    from bilevel.results.plots.incumbents import Figure
    from bilevel.results.result import Result

_COLUMNS = ("hypervolume", "points", "gap", "evaluations", "seconds", "stopped")


class FrontComparison(Comparison):
    """What several methods found on one model with several objectives."""

    @property
    def fronts(self) -> list[FrontResult]:
        """The results that hold a front."""
        return [result for result in self.results if isinstance(result, FrontResult) and result.front]

    @property
    def reference(self) -> Array | None:
        """The nondominated points of all fronts together, every objective minimised, shape (n, k)."""
        if not self.fronts:
            return None
        costs = np.vstack([result.costs for result in self.fronts])
        return np.asarray(costs[nondominated(costs)])

    @property
    def hypervolumes(self) -> dict[str, float]:
        """By method: ideal and nadir of :attr:`reference` at 0 and 1, the reference point at 1.1 in each objective."""
        reference = self.reference
        if reference is None:
            return {}
        return {result.method: normalised_hypervolume(result.costs, reference) for result in self.fronts}

    @property
    def best(self) -> Result | None:
        """The result with the largest hypervolume; None where no method found a point."""
        volumes = self.hypervolumes
        return max(self.fronts, key=lambda result: volumes[result.method], default=None)

    @property
    def exact(self) -> float | None:
        """There is no one F."""
        return None

    def distance(self, result: Result) -> float | None:
        """There is no one F."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: ``reference``, ``not_run``, and ``results`` with the ``hypervolume`` of each in this table."""
        reference, volumes = self.reference, self.hypervolumes
        return {
            "reference": None if reference is None else reference.tolist(),
            "not_run": list(self.not_run),
            "results": [{**result.to_dict(), "hypervolume": volumes.get(result.method)} for result in self.results],
        }

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw all fronts in one picture; the file's ending says the format (``.png``, ``.pdf``, ...)."""
        return plot_fronts([result for result in self.results if isinstance(result, FrontResult)], path)

    def told(self, asked: str = "") -> RenderableType:
        """The table, under a line that says what was asked."""
        table = Table(box=LINES, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for name in ("method", "verdict", *_COLUMNS):
            left = name in ("method", "verdict", "stopped")
            table.add_column(name, justify="left" if left else "right", no_wrap=True)
        for result in self.results:
            table.add_row(result.method, verdict_text(result), *(number(v) for v in self._cells(result)))
        parts: list[RenderableType] = [Text(asked, "bold"), ""] if asked else []
        return Group(*parts, table, "", *listed("notes", list(self._footnotes())))

    def page(self, asked: str = "", command: str = "") -> str:
        """All fronts as one HTML page."""
        rows = [[cell(r.method), f"<td>{verdict_span(r)}</td>", *map(cell, self._cells(r))] for r in self.results]
        parts = [sortable(["method", "verdict", *_COLUMNS], rows), as_list(self._footnotes())]
        parts += [picture(self.plot())] if self.fronts else []
        for result in self.fronts:
            parts += [f"<h2>{escape(result.method)}</h2>", *front_body(result)]
        return page_of(asked or "Comparison", [*parts, again(command)])

    def _cells(self, result: Result) -> list[Any]:
        volume = self.hypervolumes.get(result.method)
        stopped = "-" if result.refused else str(result.termination)
        gap = None if result.front_gap is None else round(result.front_gap, 4)
        return [volume, len(result.front), gap, result.evaluations, round(result.seconds, 2), stopped]

    def _footnotes(self) -> Iterator[str]:
        """What the table cannot say."""
        if self.fronts:
            yield (
                "hypervolume: ideal and nadir of all points together that nothing dominates at 0 and 1, the reference"
                f" point at {REFERENCE} in each objective"
            )
        for result in self.results:
            if not result.verdict.holds_a_point:
                yield f"{result.method}: {'; '.join(result.notes) or str(Verdict.FAILED)}"
        if self.interrupted:
            rest = f"; not finished: {', '.join(self.not_run)}" if self.not_run else ""
            yield f"interrupted; the table holds what was found by then{rest}"
