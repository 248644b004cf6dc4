r"""Hyperband (Li et al. 2018, JMLR 18/185): several successive halvings side by side, each with another first rung.

Bracket b begins at rung b, so that its points are looked at later and fewer are stopped. How many points each bracket
is given is the paper's :math:`n_b \propto (B \, \eta^{B-1-b}) / (B - b)` for B brackets; which point goes to which is
a golden-ratio sequence over its place, so that any stretch of the history is shared out alike. With ``surrogate`` this
is a model-based Hyperband (Falkner et al. 2018, BOHB), with ``random`` Hyperband itself.
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

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@register("hyperband")
class HyperbandPruner(Pruner):
    """Hyperband: successive halvings side by side, each with another first rung.

    Parameters
    ----------
    least : float, optional
        Step of the first rung of all; by default 1, or the least fidelity where one is declared.
    most : float, optional
        The last step; by default that of the first finished point, before which none is stopped.
    factor : int
        One of so many goes on at a rung, and so much farther is the next.

    Notes
    -----
    Take it when you do not know how soon a bad point shows; where it shows at once, ``halving`` stops more of them.
    """

    def __init__(
        self, sense: int, seed: int = 0, *, least: float | None = None, most: float | None = None, factor: int = 3
    ) -> None:
        insist_on_rungs(least, factor, "hyperband")
        if most is not None and not most > (least or 1.0):
            raise OptionError(f"pruner hyperband: most={most}; the last step lies behind the first, {least or 1.0:g}")
        self._curves, self._least, self._most, self._factor = Curves(sense), least, most, factor

    def spans(self, least: float, most: float) -> None:
        self._least, self._most = self._least or least, self._most or most

    def tell(self, evaluation: Evaluation) -> None:
        self._curves.tell(evaluation)
        if self._most is None and evaluation.answered and evaluation.reports:
            self._most = longest(self._curves.told)

    def judge(self, number: int) -> Judge:
        told, sense = self._curves.told, self._curves.sense
        if self._most is None:
            return RungJudge(sense, told, math.inf, self._factor)
        mine = self._bracket(number)
        rivals = frozenset(curve.number for curve in told if self._bracket(curve.number) == mine)
        return RungJudge(sense, told, (self._least or 1.0) * self._factor**mine, self._factor, rivals)

    def _bracket(self, number: int) -> int:
        """Which halving a point belongs to."""
        least, most = self._least or 1.0, max(self._most or 1.0, 1.0)
        count = max(math.floor(math.log(max(most / least, 1.0), self._factor) + 1e-9) + 1, 1)
        shares = [math.ceil(count * self._factor ** (count - 1 - b) / (count - b)) for b in range(count)]
        place = (number * _GOLDEN + 0.5) % 1.0 * sum(shares)
        return next((b for b in range(count) if place < sum(shares[: b + 1])), count - 1)
