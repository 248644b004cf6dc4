"""``bilevel.compare``: several methods on the same model, side by side.

Every method starts from the values that the model held before, whatever the one before it left there; a method that
refuses the model is a line of the table, not the end of the comparison. Where one of the methods proved its answer,
every other one is measured by its distance to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bilevel.results.outcome import Ranking
from bilevel.results.page import comparison_page
from bilevel.results.plots.comparison import plot_comparison
from bilevel.results.result import Result
from bilevel.results.shown import Shown
from bilevel.results.text import comparison_report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bilevel.results.plots.incumbents import Figure


class Comparison(Ranking[Result], Shown):
    """What several methods found on one model, with what shows it."""

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the incumbents against the evaluations; the file's ending says the format (``.png``, ``.pdf``, ...)."""
        return plot_comparison(self.results, path)

    def told(self, asked: str = "") -> RenderableType:
        """The report for a terminal, under a line that says what was asked."""
        return comparison_report(self, asked)

    def page(self, asked: str = "", command: str = "") -> str:
        """The HTML page."""
        return comparison_page(self, asked, command)
