"""What evaluates points for a run, one after the other or many at once.

An evaluation depends on its point and on the start that goes with it, so who does it cannot be seen in a history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bilevel.arrays import Array, Point
from bilevel.language.trials.trial import Terms
from bilevel.upper.archive import Evaluation
from bilevel.upper.batch import Batch

Arrived = Callable[..., None]
Many = Callable[[list[Point], int], Batch]
Task = tuple[Point, int, Array | None, Terms | None]


class Crew(Protocol):
    """Evaluates points; outcomes come out in the order in which the points went in.

    Attributes
    ----------
    count : int
        How many evaluate at once.
    """

    count: int

    def submit(self, point: Point, index: int, start: Array | None, terms: Terms | None = None) -> None:
        """Take one more point, what its followers start from, and the terms on which it is evaluated."""

    def take(self, deadline: float) -> Evaluation | None:
        """The outcome of the oldest point; None where the deadline, on the monotonic clock, comes first."""

    @property
    def busy(self) -> int:
        """How many of those who evaluate are at it."""

    def finish(self, deadline: float) -> None:
        """Give up what nobody has begun, and wait for the rest."""

    def finished(self) -> list[Evaluation]:
        """Outcomes that are there and were not taken, in the order of their points."""

    def close(self) -> None:
        """Let go of everything; what still runs is stopped."""


class Evaluating(Protocol):
    """What evaluates one point."""

    def __call__(self, point: Point, index: int, start: Array | None = None, terms: Terms | None = None) -> Evaluation:
        """Evaluate one."""

    def close(self) -> None:
        """Let go of everything."""
