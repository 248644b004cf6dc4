"""Rungs that a point climbs: at each the best of all that ever got there go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bilevel.errors import OptionError
from bilevel.solvers.pruners.curves import Curve, CurveJudge

if TYPE_CHECKING:
    from bilevel.language.trials.trial import Reports


@dataclass(frozen=True)
class RungJudge(CurveJudge):
    """Stops a point that is not among the best at a rung.

    Attributes
    ----------
    first : float
        Step of the first rung; infinite where it is not known yet, and then all go on.
    factor : int
        One of so many goes on, and so much farther is the next rung.
    rivals : frozenset of int or None
        Places of the points it is compared with; all where None.
    """

    first: float
    factor: int
    rivals: frozenset[int] | None = None

    def prunes(self, reports: Reports) -> bool:
        here = Curve.of(-1, reports, self.sense)
        if not here.steps[-1] >= self.first:
            return False
        if math.isnan(here.values[-1]):
            return True
        rung = self.first
        while rung <= here.steps[-1]:
            if not self._goes_on(here.from_step(rung), rung):
                return True
            rung *= self.factor
        return False

    def _goes_on(self, value: float | None, rung: float) -> bool:
        if value is None or math.isnan(value):
            return False
        beside = [curve for curve in self.told if self.rivals is None or curve.number in self.rivals]
        there = [v for curve in beside if (v := curve.from_step(rung)) is not None and not math.isnan(v)]
        standing = sorted([*there, value])
        return value <= standing[max(len(standing) // self.factor - 1, 0)]


def insist_on_rungs(least: float | None, factor: int, name: str) -> None:
    """Refuse rungs that cannot be.

    Raises
    ------
    OptionError
        If the first rung is not above 0, or the next no farther.
    """
    if least is not None and not least > 0:
        raise OptionError(f"pruner {name}: least={least}; the first rung is at a step above 0")
    if factor < 2:
        raise OptionError(f"pruner {name}: factor={factor}; at each rung one of 2 or more goes on")
