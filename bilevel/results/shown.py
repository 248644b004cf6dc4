"""What shows itself: in a terminal, in a notebook, as one page."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from bilevel.results.text import as_text, in_notebook

if TYPE_CHECKING:
    from rich.console import RenderableType


class Shown(ABC):
    """Whatever has a report for a terminal and a page."""

    @abstractmethod
    def told(self, asked: str = "") -> RenderableType:
        """The report for a terminal, under a line that says what was asked."""

    @abstractmethod
    def page(self, asked: str = "", command: str = "") -> str:
        """The HTML page."""

    def report(self, path: str | Path, asked: str = "", command: str = "") -> None:
        """Write all that was found as one HTML page, pictures included, that needs nothing else.

        Parameters
        ----------
        path : str or Path
            Where to write.
        asked, command : str
            What was asked, in one line, and what to type to have it again.
        """
        Path(path).write_text(self.page(asked, command), encoding="utf-8")

    def __str__(self) -> str:
        return as_text(self.told())

    def _repr_html_(self) -> str:
        return in_notebook(str(self))
