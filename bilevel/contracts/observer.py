"""Who watches a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bilevel.contracts.settings import Settings
    from bilevel.upper.archive import Archive


class Observer:
    """Watches a run. The default one sees nothing; the command line's draws the progress line."""

    def started(self, method: str, settings: Settings) -> None:
        """A method begins."""

    def evaluated(self, archive: Archive) -> None:
        """One more upper point was evaluated; it is the archive's last."""

    def bounded(self, incumbent: float | None, bound: float | None) -> None:
        """An exact method moved its incumbent or its bound (in the user's sense)."""

    def said(self, message: str) -> None:
        """Something worth a line in the transcript was decided."""

    def finished(self, method: str) -> None:
        """The method ended."""
