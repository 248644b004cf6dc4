"""A line on the terminal, or in a notebook's cell, that tells how far a run is."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import IO, Any

from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

from bilevel.contracts.observer import Observer
from bilevel.contracts.settings import Settings
from bilevel.results.text import console, in_notebook, number
from bilevel.upper.archive import Archive

_APART = 0.2  # seconds between two states of a notebook's line


class ProgressLine(Observer):
    """A line that tells how far a method is: on the terminal, in a notebook's cell, else not a character.

    Parameters
    ----------
    stream : file, optional
        Where to draw; standard error by default, so that a report can be piped on and the line still be seen.

    Examples
    --------
    >>> import bilevel
    >>> line = bilevel.ProgressLine()  # not a character here, where standard error is no terminal
    >>> bilevel.solve(bilevel.load_model("toy"), "random", budget=5, seed=1, observer=line).evaluations
    5
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.console = console(stream or sys.stderr)
        self._progress: Progress | None = None
        self._cell: _Cell | None = None
        self._failed = self._pruned = self._seen = 0

    @property
    def takes_batches(self) -> bool:
        """It draws what is known by now."""
        return True

    def started(self, method: str, settings: Settings) -> None:
        """Draw the line."""
        self.finished(method)
        self._failed = self._pruned = self._seen = 0
        if (kernel := _kernel()) is not None:
            self._cell = _Cell(kernel, _State(method, settings))
        elif self.console.is_terminal and not self.console.is_dumb_terminal:
            # What a user's function prints must not break the line, unless standard output goes elsewhere anyway.
            self._progress = Progress(
                SpinnerColumn("line"),
                _State(method, settings),
                console=self.console,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._progress.add_task(method, total=None)
            self._progress.start()

    def evaluated(self, archive: Archive) -> None:
        """Count; the incumbent may be a new one."""
        if self._progress is None and self._cell is None:
            return
        incumbent = None if archive.incumbent is None else archive.incumbent.upper_objective
        new = list(archive.evaluations.singles(self._seen))
        self._failed += sum(not (evaluation.answered or evaluation.pruned) for evaluation in new)
        self._pruned += sum(evaluation.pruned for evaluation in new)
        self._seen = len(archive)
        self._update(evaluations=len(archive), incumbent=incumbent, failed=self._failed, pruned=self._pruned)

    def at_work(self, busy: int, workers: int) -> None:
        """Note who is idle."""
        if workers > 1:
            self._update(busy=f"{busy}/{workers} busy")

    def bounded(self, incumbent: float | None, bound: float | None) -> None:
        """Note the two sides of the gap."""
        self._update(incumbent=incumbent, bound=bound)

    def said(self, message: str) -> None:
        """Print a line above the progress line."""
        if self._progress is not None:
            self._progress.console.print(Text(message, "dim"))

    def finished(self, method: str) -> None:
        """Take the line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if self._cell is not None:
            self._cell.close()
            self._cell = None

    def _update(self, **fields: Any) -> None:
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], **fields)
        if self._cell is not None:
            self._cell.update(fields)


class _State(ProgressColumn):
    """``gp  34/60 evaluations  2 failed  5 pruned  F 0.123  2/2 busy  2.8 a second  12 s, about 9 s left``."""

    def __init__(self, method: str, settings: Settings) -> None:
        super().__init__()
        self._method, self._budget, self._limit = method, settings.budget, settings.time_limit

    def render(self, task: Task) -> Text:
        """One state of the line."""
        return Text(self.words(task.fields, task.elapsed or 0.0), no_wrap=True, overflow="ellipsis")

    def words(self, fields: Mapping[str, Any], elapsed: float) -> str:
        """The same as plain text."""
        count = fields.get("evaluations", 0)
        parts = [self._method]
        if count > (self._budget or 0):
            self._budget = None  # a population's budget is of whole trainings, of which an evaluation is a leg
        if count:
            parts.append(f"{count}/{self._budget} evaluations" if self._budget else f"{count} evaluations")
        parts += [f"{fields[kind]} {kind}" for kind in ("failed", "pruned") if fields.get(kind)]
        for name, key in (("F", "incumbent"), ("bound", "bound")):
            if fields.get(key) is not None:
                parts.append(f"{name} {number(fields[key])}")
        parts += [fields["busy"]] if fields.get("busy") else []
        parts += [f"{count / elapsed:.3g} a second"] if count > 1 and elapsed > 1.0 else []
        left = self._left(count, elapsed)
        parts.append(f"{elapsed:.0f} s" + ("" if left is None else f", about {left:.0f} s left"))
        return "  ".join(parts)

    def _left(self, count: int, elapsed: float) -> float | None:
        """Seconds to go: by the pace so far and by the time limit, whichever is less."""
        ends = [] if self._limit is None else [self._limit - elapsed]
        if self._budget and count:
            ends.append(elapsed / count * (self._budget - count))
        return max(0.0, min(ends)) if ends else None


def _kernel() -> Any:
    """The shell of the notebook that this runs in; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    shell = sys.modules["IPython"].get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


class _Cell:
    """The line in a notebook's cell, changed in place, and taken away at the end."""

    def __init__(self, shell: Any, state: _State) -> None:
        self._publish, self._state = shell.display_pub.publish, state
        self._began = self._shown = time.monotonic()
        self._fields: dict[str, Any] = {}
        self._own = f"bilevel-{id(self)}-{self._began}"
        self._show(state.words({}, 0.0), new=True)

    def update(self, fields: Mapping[str, Any]) -> None:
        """Learn a new state; it is drawn unless one was just now."""
        self._fields |= fields
        now = time.monotonic()
        if now - self._shown >= _APART:
            self._shown = now
            self._show(self._state.words(self._fields, now - self._began))

    def _show(self, line: str, new: bool = False) -> None:
        data = {"text/plain": line, "text/html": in_notebook(line) if line else ""}
        self._publish(data=data, metadata={}, transient={"display_id": self._own}, update=not new)

    def close(self) -> None:
        """Take the line away."""
        self._show("")
