"""What ``bilevel.solve`` gives: an outcome that can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilevel.errors import ModelError
from bilevel.results.outcome import Outcome
from bilevel.results.page import result_page
from bilevel.results.plots.own import plot_own
from bilevel.results.plots.schedule import draw_schedule
from bilevel.results.plots.slices import plot_result
from bilevel.results.shown import Shown
from bilevel.results.text import result_report

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import RenderableType

    from bilevel.results.fronts.front import FrontPoint
    from bilevel.results.plots.incumbents import Figure


class Result(Outcome, Shown):
    """The outcome of one run, with what shows it.

    Examples
    --------
    >>> import bilevel
    >>> result = bilevel.solve(bilevel.load_model("toy"), "grid", budget=11)
    >>> print(result.verdict, result.upper_objective, result.upper)
    best_found 0.0 {'x': 0.0}
    >>> len(result.history), max(evaluation.upper["x"] for evaluation in result.history)
    (11, 10.0)
    >>> result.value("lower.reach"), result.value("obj")
    (0.0, 0.0)
    """

    front: Sequence[FrontPoint] = ()
    """The nondominated points where the model has several objectives."""

    front_gap: float | None = None
    """What is proved of how much of that front may be missing."""

    _reader: Callable[[Any], Any] | None = None
    _drawn_for: Any = None

    @property
    def hypervolume(self) -> float | None:
        """Of the front; None of a single objective."""
        return None

    def read_by(self, reader: Callable[[Any], Any], model: Any = None) -> None:
        """Take what reads components of the model at the answer, and the model, which may bring pictures."""
        self._reader, self._drawn_for = reader, model

    @property
    def pictures(self) -> Mapping[str, Callable[[Any], None]]:
        """The model's own, by name, and ``schedule`` where x changed on the way."""
        brought = getattr(self._drawn_for, "pictures", None)
        found: dict[str, Callable[[Any], None]] = {}
        if self.schedule:
            found["schedule"] = partial(draw_schedule, result=self)
        for name, draw in brought.items() if isinstance(brought, Mapping) else ():
            if callable(draw):
                found[name] = partial(draw, result=self, model=self._drawn_for)
        return found

    def __getitem__(self, what: Any) -> Any:
        return self.value(what)

    def value(self, what: Any) -> Any:
        """What a component of the model is worth at the answer; ``result[...]`` is the same.

        Parameters
        ----------
        what : component, expression or str
            A Var, Param, named Expression, Objective or Constraint (its body) of the model, or its name; any expression
            of the model's variables.

        Returns
        -------
        float, str or dict
            ``{index: value}`` of an indexed component.

        Raises
        ------
        BilevelError
            If there is no answer, no such component, or it has no value.
        """
        if self._reader is None:
            why = "it was not found in this process" if self.verdict.holds_a_point else f"the verdict is {self.verdict}"
            raise ModelError(f"there is no answer to read values at: {why}; solve the model here")
        return self._reader(what)

    def frame(self, *what: Any) -> DataFrame:
        """Values of components with the same index as a pandas ``DataFrame``, a column each (needs pandas)."""
        import pandas

        columns = {str(getattr(part, "name", part)): self.value(part) for part in what}
        whole = {name: value if isinstance(value, dict) else {None: value} for name, value in columns.items()}
        return pandas.DataFrame({name: pandas.Series(value) for name, value in whole.items()})

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.__dict__.items() if name not in ("_reader", "_drawn_for")
        }  # it holds the model

    def told(self, asked: str = "") -> RenderableType:
        """The report for a terminal, under a line that says what was asked."""
        return result_report(self, asked)

    def plot(
        self, what: str | Path | None = None, path: str | Path | None = None, known: float | None = None
    ) -> Figure:
        """Draw the run: the incumbent, the surrogate with its uncertainty, which variables matter, slices.

        Parameters
        ----------
        what : str, optional
            The name of a picture that the model brings, or ``schedule`` (``result.pictures``), to be drawn instead;
            anything else is the path.
        path : str or Path, optional
            Where to write; the ending says the format (``.png``, ``.pdf``, ``.svg``).
        known : float, optional
            A value of F to measure by: the exact one, or the best known. A certified bound is drawn by itself.

        Returns
        -------
        Figure
            Made without pyplot.
        """
        if isinstance(what, str) and (what in self.pictures or path is not None):
            return plot_own(self, what, path)
        if isinstance(what, str) and "." not in what:
            return plot_own(self, what)  # which says what there is
        return plot_result(self, path if what is None else what, known)

    def page(self, asked: str = "", command: str = "") -> str:
        """The HTML page."""
        return result_page(self, asked, command)
