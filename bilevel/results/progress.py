"""A line on the terminal that tells how far a run is."""

from __future__ import annotations

import sys
from typing import IO, Any

from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

from bilevel.contracts.observer import Observer
from bilevel.contracts.settings import Settings
from bilevel.results.text import console, number
from bilevel.upper.archive import Archive


class ProgressLine(Observer):
    """A line on the terminal that tells how far a method is; not a character where there is no terminal.

    Parameters
    ----------
    stream : file, optional
        Where to draw; standard error by default, so that a report can be piped on and the line still be seen.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.console = console(stream or sys.stderr)
        self._progress: Progress | None = None
        self._failed = self._seen = 0

    @property
    def takes_batches(self) -> bool:
        """It draws what is known by now."""
        return True

    def started(self, method: str, settings: Settings) -> None:
        """Draw the line."""
        self.finished(method)
        self._failed = self._seen = 0
        if self.console.is_terminal and not self.console.is_dumb_terminal:
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
        if self._progress is None:
            return
        incumbent = None if archive.incumbent is None else archive.incumbent.upper_objective
        new = archive.evaluations.singles(self._seen)
        self._failed += sum(not (evaluation.answered or evaluation.pruned) for evaluation in new)
        self._seen = len(archive)
        self._update(evaluations=len(archive), incumbent=incumbent, failed=self._failed)

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

    def _update(self, **fields: Any) -> None:
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], **fields)


class _State(ProgressColumn):
    """``gp  34/60 evaluations  2 failed  F 0.123  2/2 busy  2.8 a second  12 s, about 9 s left``."""

    def __init__(self, method: str, settings: Settings) -> None:
        super().__init__()
        self._method, self._budget, self._limit = method, settings.budget, settings.time_limit

    def render(self, task: Task) -> Text:
        """One state of the line."""
        count, elapsed = task.fields.get("evaluations", 0), task.elapsed or 0.0
        parts = [self._method]
        if count > (self._budget or 0):
            self._budget = None  # a population's budget is of whole trainings, of which an evaluation is a leg
        if count:
            parts.append(f"{count}/{self._budget} evaluations" if self._budget else f"{count} evaluations")
        if task.fields.get("failed"):
            parts.append(f"{task.fields['failed']} failed")
        for name, key in (("F", "incumbent"), ("bound", "bound")):
            if task.fields.get(key) is not None:
                parts.append(f"{name} {number(task.fields[key])}")
        parts += [task.fields["busy"]] if task.fields.get("busy") else []
        parts += [f"{count / elapsed:.3g} a second"] if count > 1 and elapsed > 1.0 else []
        left = self._left(count, elapsed)
        parts.append(f"{elapsed:.0f} s" + ("" if left is None else f", about {left:.0f} s left"))
        return Text("  ".join(parts), no_wrap=True, overflow="ellipsis")

    def _left(self, count: int, elapsed: float) -> float | None:
        """Seconds to go: by the pace so far and by the time limit, whichever is less."""
        ends = [] if self._limit is None else [self._limit - elapsed]
        if self._budget and count:
            ends.append(elapsed / count * (self._budget - count))
        return max(0.0, min(ends)) if ends else None
