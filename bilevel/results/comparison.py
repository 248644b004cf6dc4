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
from bilevel.results.text import as_text, comparison_report, in_notebook

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bilevel.results.plots.incumbents import Figure


class Comparison(Ranking[Result]):
    """What several methods found on one model, with what shows it."""

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the incumbents against the evaluations; the file's ending says the format (``.png``, ``.pdf``, ...)."""
        return plot_comparison(self.results, path)

    def told(self, asked: str = "") -> RenderableType:
        """The report for a terminal, under a line that says what was asked."""
        return comparison_report(self, asked)

    def report(self, path: str | Path, asked: str = "", command: str = "") -> None:
        """Write all that was found as one HTML page, pictures included, that needs nothing else.

        Parameters
        ----------
        path : str or Path
            Where to write.
        asked, command : str
            What was asked, in one line, and what to type to have it again.
        """
        Path(path).write_text(comparison_page(self, asked, command), encoding="utf-8")

    def __str__(self) -> str:
        return as_text(self.told())

    def _repr_html_(self) -> str:
        return in_notebook(str(self))
