r"""Asynchronous successive halving (Li et al. 2020, ASHA, algorithm 2, in the form that stops and never pauses).

Rung k is at step :math:`r \eta^{s + k}`. A point that gets there goes on if its value is among the best :math:`1/\eta`
of all that ever got there; the first few only where they are the best of all. The base of ``hyperband``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bilevel.contracts.pruner import Judge, Pruner
from bilevel.errors import OptionError
from bilevel.registry import register
from bilevel.solvers.pruners.curves import Curves, longest
from bilevel.solvers.pruners.rungs import RungJudge, insist_on_rungs

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation

_SHARE = 100  # of the longest curve is the first rung, where nothing is said


@register("halving")
class HalvingPruner(Pruner):
    """Asynchronous successive halving (ASHA): at each rung the best third goes on.

    Parameters
    ----------
    least : float, optional
        Step of the first rung; by default a hundredth of the first finished curve, 1 at least, and the least fidelity
        where one is declared.
    factor : int
        How many of those at a rung stay, one of so many, and how much farther the next rung is.
    skipped : int
        Rungs left out at the beginning.

    Notes
    -----
    Take it when evaluations are many and most are bad; where it is not clear how soon that shows, ``hyperband`` tries
    several first rungs.
    """

    def __init__(
        self, sense: int, seed: int = 0, *, least: float | None = None, factor: int = 3, skipped: int = 0
    ) -> None:
        insist_on_rungs(least, factor, "halving")
        if skipped < 0:
            raise OptionError(f"pruner halving: skipped={skipped}; it is 0 or more")
        self._curves, self._least, self._factor, self._skipped = Curves(sense), least, factor, skipped

    def spans(self, least: float, most: float) -> None:
        self._least = self._least or least

    def tell(self, evaluation: Evaluation) -> None:
        self._curves.tell(evaluation)
        if self._least is None and evaluation.answered and evaluation.reports:
            self._least = max(longest(self._curves.told) // _SHARE, 1.0)

    def judge(self, number: int) -> Judge:
        first = math.inf if self._least is None else self._least * self._factor**self._skipped
        return RungJudge(self._curves.sense, self._curves.told, first, self._factor)
