"""A run as a story that can be read while it happens: what was decided and why, bounds as they move."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import IO

from bilevel import tolerances
from bilevel.contracts.observer import Observer
from bilevel.contracts.settings import Settings
from bilevel.results.text import number
from bilevel.upper.archive import Archive

_WORTH = 1e-4  # relative movement of a bound that gets a line
_PAUSE = 0.5  # seconds between lines about bounds, unless the incumbent moves
_HEADER = f"{'seconds':>9}  {'incumbent F':>14}  {'bound on F':>14}  {'gap':>9}"


class Transcript(Observer):
    """Writes a line for every decision, and for every bound and incumbent that moves by an amount that shows.

    Parameters
    ----------
    stream : file, optional
        Standard error by default, so that a report can be piped on.
    clock : callable
        Seconds; for tests.
    """

    def __init__(self, stream: IO[str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._begun = clock()
        self._rest: tuple[float | None, float | None] | None = None  # seen but not worth a line yet
        self._reset()

    def _reset(self) -> None:
        self._incumbent: float | None = None
        self._bound: float | None = None
        self._last = -_PAUSE
        self._in_table = False

    def preface(self, lines: Iterable[str]) -> None:
        """What was recognised before anything began."""
        for line in lines:
            self._line(line)
        self._line("")

    def started(self, method: str, settings: Settings) -> None:
        """A method begins: its name and what it was given."""
        self._reset()
        self._begun = self._clock()
        given = [f"seed {settings.seed}"]
        given += [f"budget {settings.budget}"] if settings.budget is not None else []
        given += [f"time limit {number(settings.time_limit)} s"] if settings.time_limit is not None else []
        given += [f"{name}={value}" for name, value in settings.options.items()]
        self._line(f"{method}: {', '.join(given)}")

    def evaluated(self, archive: Archive) -> None:
        """A line where the best point known got better."""
        best = archive.incumbent
        value = None if best is None else best.upper_objective
        if value is not None and value != self._incumbent:
            self._incumbent = value
            self._line(f"{self._seconds():9.2f}  evaluation {len(archive)}: F = {number(value)}")

    def bounded(self, incumbent: float | None, bound: float | None) -> None:
        """A row of the table, where it says something new."""
        incumbent = self._incumbent if incumbent is None else incumbent
        bound = self._bound if bound is None else bound
        improved = _moved(self._incumbent, incumbent)
        quiet = self._seconds() - self._last < _PAUSE
        if improved or (_moved(self._bound, bound) and not quiet):
            self._row(incumbent, bound)
        else:
            self._rest = (incumbent, bound)

    def said(self, message: str) -> None:
        """A decision and its reason."""
        self._in_table = False
        self._line(f"{self._seconds():9.2f}  {message}")

    def finished(self, method: str) -> None:
        """The last bounds, and how long it took."""
        if self._rest is not None and _moved(self._bound, self._rest[1]):
            self._row(*self._rest)
        self._line(f"{method} ended after {self._seconds():.2f} s\n")

    def _row(self, incumbent: float | None, bound: float | None) -> None:
        if not self._in_table:
            self._line(_HEADER)
            self._in_table = True
        gap = "-"
        if incumbent is not None and bound is not None:
            gap = number(abs(incumbent - bound) / tolerances.scale(incumbent), 2)
        self._line(f"{self._seconds():9.2f}  {number(incumbent):>14}  {number(bound):>14}  {gap:>9}")
        self._incumbent, self._bound, self._rest, self._last = incumbent, bound, None, self._seconds()

    def _seconds(self) -> float:
        return self._clock() - self._begun

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _moved(old: float | None, new: float | None) -> bool:
    if new is None or old is None:
        return new is not old
    return abs(new - old) > _WORTH * tolerances.scale(old)
