"""What was reported so far, as curves to be minimised, and what an unfinished one may be expected to come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bilevel.contracts.pruner import Judge

if TYPE_CHECKING:
    from bilevel.language.trials.trial import Reports
    from bilevel.upper.archive import Evaluation


@dataclass(frozen=True)
class Curve:
    """One point's reports.

    Attributes
    ----------
    number : int
        Its place in the history.
    steps, values : tuple of float
        Values are minimised.
    cost : float
        F, minimised, where the evaluation came to its end; NaN elsewhere.
    """

    number: int
    steps: tuple[float, ...]
    values: tuple[float, ...]
    cost: float = math.nan

    @classmethod
    def of(cls, number: int, reports: Reports, sense: int, cost: float = math.nan) -> Curve:
        """From reports in the user's sense."""
        return cls(number, tuple(s for s, _ in reports), tuple(sense * v for _, v in reports), cost)

    @property
    def complete(self) -> bool:
        """Whether it came to its end."""
        return math.isfinite(self.cost)

    def at(self, step: float) -> float | None:
        """The value reported at a step."""
        return self.values[self.steps.index(step)] if step in self.steps else None

    def from_step(self, step: float) -> float | None:
        """The first value reported at a step or behind it."""
        return next((value for s, value in zip(self.steps, self.values, strict=True) if s >= step), None)


class Curves:
    """The curves told so far, in order; points that reported nothing, or have no answer, leave none."""

    def __init__(self, sense: int) -> None:
        self.sense = sense
        self._told: tuple[Curve, ...] = ()

    def tell(self, evaluation: Evaluation) -> bool:
        """Take an outcome; whether it left a curve."""
        if not evaluation.reports or not (evaluation.answered or evaluation.pruned):
            return False
        cost = evaluation.cost if evaluation.answered else math.nan
        self._told = (*self._told, Curve.of(evaluation.index, evaluation.reports, self.sense, cost))
        return True

    @property
    def told(self) -> tuple[Curve, ...]:
        """All of them; a frozen value."""
        return self._told


@dataclass(frozen=True)
class CurveJudge(Judge):
    """A judge that knows curves.

    Attributes
    ----------
    sense : int
        Of the reports.
    told : tuple of Curve
        What is known.
    """

    sense: int
    told: tuple[Curve, ...]

    @property
    def complete(self) -> list[Curve]:
        """Those that came to their end."""
        return [curve for curve in self.told if curve.complete]

    def expected(self, reports: Reports) -> float:
        """The last value and what others gained from there, no better than the best that came to its end.

        A point that is stopped was judged worse than others; no search is to take it for the best.
        """
        here = Curve.of(-1, reports, self.sense)
        value = _last_number(here.values)
        if math.isnan(value):
            return math.nan
        gains = [c.cost - v for c in self.complete if (v := c.from_step(here.steps[-1])) is not None]
        finite = [gain for gain in gains if math.isfinite(gain)]
        best = min((curve.cost for curve in self.complete), default=-math.inf)
        return max(value + (float(np.median(finite)) if finite else 0.0), best)


def _last_number(values: Sequence[float]) -> float:
    return next((value for value in reversed(values) if math.isfinite(value)), math.nan)


def longest(curves: Iterable[Curve]) -> float:
    """The last step of the longest curve; 0 where there is none."""
    return max((curve.steps[-1] for curve in curves), default=0.0)
