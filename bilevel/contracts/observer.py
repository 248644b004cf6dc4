"""Who watches a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bilevel.contracts.settings import Settings
    from bilevel.upper.archive import Archive


class Observer:
    """Watches a run. The default one sees nothing; the command line's draws the progress line."""

    @property
    def takes_batches(self) -> bool:
        """Whether :meth:`evaluated` may be called once for several points; as a matter of course where it does nothing.

        Points that are answered in one call are then recorded in one, and become evaluations when they are read.
        """
        return type(self).evaluated is Observer.evaluated

    def started(self, method: str, settings: Settings) -> None:
        """A method begins."""

    def evaluated(self, archive: Archive) -> None:
        """One more upper point was evaluated; it is the archive's last (of several, where it takes batches)."""

    def at_work(self, busy: int, workers: int) -> None:
        """So many of so many workers evaluate points."""

    def bounded(self, incumbent: float | None, bound: float | None) -> None:
        """An exact method moved its incumbent or its bound (in the user's sense)."""

    def said(self, message: str) -> None:
        """Something worth a line in the transcript was decided."""

    def finished(self, method: str) -> None:
        """The method ended."""
