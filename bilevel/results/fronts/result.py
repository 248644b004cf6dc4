"""What ``bilevel.solve`` gives for several objectives: a front that can be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType

from bilevel.errors import ModelError
from bilevel.results.fronts.front import FrontOutcome
from bilevel.results.fronts.page import front_page
from bilevel.results.fronts.words import front_report
from bilevel.results.plots.fronts import plot_front
from bilevel.results.result import Result

if TYPE_CHECKING:
    from pandas import DataFrame

    from bilevel.results.plots.incumbents import Figure


class FrontResult(FrontOutcome, Result):
    """The outcome of one run on several objectives, with what shows it.

    Examples
    --------
    >>> import bilevel
    >>> import pyomo.environ as pyo
    >>> model = bilevel.load_model("toy")
    >>> model.second = pyo.Objective(expr=model.lower.y, sense=pyo.maximize)
    >>> result = bilevel.solve(model, "kkt", points=5)
    >>> print(result.verdict, len(result.front), round(result.front_gap, 2))
    certified_global 5 0.25
    >>> sorted(round(point.upper_objectives["second"], 3) for point in result.front)
    [0.0, 2.5, 3.75, 4.375, 5.0]
    """

    @property
    def upper_objective(self) -> float | None:
        """There is none: the leader has several objectives.

        Raises
        ------
        ModelError
            Always.
        """
        names = ", ".join(self.senses)
        raise ModelError(f"the model has several upper objectives ({names}), so no one F: look at result.front")

    @upper_objective.setter
    def upper_objective(self, value: float | None) -> None:
        """What the fields of every outcome ask for."""

    def to_frame(self) -> DataFrame:
        """The front as a pandas ``DataFrame``, a row per point: objectives, verdict, variables (needs pandas)."""
        import pandas

        rows = [
            {
                **point.upper_objectives,
                "verdict": str(point.verdict),
                "bound": point.bound,
                **point.upper,
                **point.lower,
            }
            for point in self.front
        ]
        return pandas.DataFrame(rows)

    def told(self, asked: str = "") -> RenderableType:
        """The front in words and a table."""
        return front_report(self, asked)

    def plot(
        self, what: str | Path | None = None, path: str | Path | None = None, known: float | None = None
    ) -> Figure:
        """Draw the front: two objectives against each other, pairs and parallel coordinates where there are more.

        Parameters
        ----------
        what, path : str or Path, optional
            Where to write; the ending says the format (``.png``, ``.pdf``, ``.svg``).
        known : float, optional
            Of no use here.

        Returns
        -------
        Figure
            Made without pyplot.
        """
        return plot_front(self, what if path is None else path)

    def page(self, asked: str = "", command: str = "") -> str:
        """The HTML page."""
        return front_page(self, asked, command)
