"""What ``bilevel.solve`` gives: an outcome that can be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bilevel.results.outcome import Outcome
from bilevel.results.page import result_page
from bilevel.results.plots.slices import plot_result
from bilevel.results.text import as_text, in_notebook, result_report

if TYPE_CHECKING:
    from bilevel.results.plots.incumbents import Figure


class Result(Outcome):
    """The outcome of one run, with what shows it.

    Examples
    --------
    >>> import bilevel
    >>> result = bilevel.solve(bilevel.load_model("toy"), "grid", budget=11)
    >>> print(result.verdict, result.upper_objective, result.upper)
    best_found 0.0 {'x': 0.0}
    >>> len(result.history), max(evaluation.upper["x"] for evaluation in result.history)
    (11, 10.0)
    """

    def __str__(self) -> str:
        return as_text(result_report(self))

    def _repr_html_(self) -> str:
        return in_notebook(str(self))

    def plot(self, path: str | Path | None = None, known: float | None = None) -> Figure:
        """Draw the run: the incumbent, the surrogate with its uncertainty, which variables matter, slices.

        Parameters
        ----------
        path : str or Path, optional
            Where to write; the ending says the format (``.png``, ``.pdf``, ``.svg``).
        known : float, optional
            A value of F to measure by: the exact one, or the best known. A certified bound is drawn by itself.

        Returns
        -------
        Figure
            Made without pyplot.
        """
        return plot_result(self, path, known)

    def report(self, path: str | Path) -> None:
        """Write all that was found as one HTML page, pictures included, that needs nothing else."""
        Path(path).write_text(result_page(self), encoding="utf-8")
