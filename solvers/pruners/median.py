"""Stopping by the median (Golovin et al. 2017, Google Vizier, section 3.2.1), as Optuna's ``MedianPruner`` does.

A point is stopped at a step where the best it has reported is worse than the median of what the points that came to
their end had reported at that very step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bilevel.contracts.pruner import Judge, Pruner
from bilevel.errors import OptionError
from bilevel.registry import register
from bilevel.solvers.pruners.curves import Curve, CurveJudge, Curves

if TYPE_CHECKING:
    from bilevel.language.trials.trial import Reports
    from bilevel.upper.archive import Evaluation


@register("median")
class MedianPruner(Pruner):
    """Stops a point whose best report is worse than the median of the finished ones at that step.

    Parameters
    ----------
    startup : int
        Points that come to their end before any is stopped.
    warmup : int
        Steps before which none is stopped.
    interval : int
        Steps between two looks.
    percentile : float
        Another share than the median's 50: 25 keeps the best quarter.

    Notes
    -----
    Take it when curves are alike and seldom cross; where what looks well at first is often overtaken, ``hyperband``
    gives some points a longer look.
    """

    def __init__(
        self,
        sense: int,
        seed: int = 0,
        *,
        startup: int = 5,
        warmup: int = 0,
        interval: int = 1,
        percentile: float = 50.0,
    ) -> None:
        if not 0.0 <= percentile <= 100.0:
            raise OptionError(f"pruner median: percentile={percentile} is not between 0 and 100")
        if startup < 0 or warmup < 0 or interval < 1:
            raise OptionError("pruner median: startup and warmup are 0 or more, interval 1 or more")
        self._curves = Curves(sense)
        self._rule = (startup, warmup, interval, percentile)

    def tell(self, evaluation: Evaluation) -> None:
        self._curves.tell(evaluation)

    def judge(self, number: int) -> Judge:
        return _MedianJudge(self._curves.sense, self._curves.told, *self._rule)


@dataclass(frozen=True)
class _MedianJudge(CurveJudge):
    startup: int
    warmup: int
    interval: int
    percentile: float

    def prunes(self, reports: Reports) -> bool:
        known = self.complete
        here = Curve.of(-1, reports, self.sense)
        step = here.steps[-1]
        if not known or len(known) < self.startup or step < self.warmup or not self._first_look(here):
            return False
        numbers = [value for value in here.values if not math.isnan(value)]
        if not numbers:
            return True
        there = [value for curve in known if (value := curve.at(step)) is not None and not math.isnan(value)]
        return bool(there) and min(numbers) > float(np.percentile(there, self.percentile))

    def _first_look(self, here: Curve) -> bool:
        """Whether it has not been looked at since the last multiple of the interval."""
        before = here.steps[-2] if len(here.steps) > 1 else -1.0
        return before < (here.steps[-1] - self.warmup) // self.interval * self.interval + self.warmup
