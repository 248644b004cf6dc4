"""What ``bilevel.solve`` gives: an outcome that can be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bilevel.results.outcome import Outcome
from bilevel.results.page import result_page
from bilevel.results.plots.slices import plot_result
from bilevel.results.text import as_text, result_report


class Result(Outcome):
    """The outcome of one run, with what shows it."""

    def __str__(self) -> str:
        return as_text(result_report(self))

    def plot(self, path: str | Path | None = None, known: float | None = None) -> Any:
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
