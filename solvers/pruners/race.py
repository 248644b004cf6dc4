"""A race among followers (Maron and Moore 1997, Hoeffding races; here with proofs in place of confidence).

F is a sum of parts, one for each fold, that cannot be negative. A point whose parts so far are together worse than the
best point known is proved worse, and the folds that are left need no answer. Which folds come first is what spares
most: those whose parts were largest so far, on the points that answered them, bring the sum up soonest.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bilevel import tolerances
from bilevel.contracts.pruner import Judge, Pruner
from bilevel.registry import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bilevel.language.trials.trial import Reports
    from bilevel.upper.archive import Evaluation


_FIRST, _SHARE = 64, 8  # points that are answered whole to begin with, and of a list's values one in so many
_USE = 4  # and after that as long as one point in so many is stopped at once


@register("race")
class RacePruner(Pruner):
    """Stops a point once some followers' answers prove F worse than the best known: no answer is lost.

    Notes
    -----
    Take it when F is a sum over followers, folds for one, that are solved one by one; ``median`` and the others go by
    what a training function reports, and prove nothing.
    """

    exact = True

    def __init__(self, sense: int, seed: int = 0) -> None:
        self._sense, self._best = sense, math.inf
        self._given: dict[int, tuple[int, ...]] = {}
        self._sums: dict[int, tuple[float, int]] = {}
        self._place: int | None = None
        self._first, self._last, self._told, self._at_once = 0.0, 0.0, 0, 0
        self._answered: list[tuple[float, tuple[float, ...], tuple[float, ...]]] = []

    def along(self, place: int, values: float) -> None:
        self._place, self._first, self._last = place, min(values / _SHARE, _FIRST), values / 2.0

    def beside(self, x: Sequence[float]) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]:
        if self._place is None:
            return ()
        after = bisect_left(self._answered, (x[self._place],))
        return tuple((there, y) for _, there, y in self._answered[max(after - 1, 0) : after + 1])

    def among(self, followers: int) -> None:
        self._sums = dict.fromkeys(range(followers), (0.0, 0))

    def tell(self, evaluation: Evaluation) -> None:
        order = self._given.pop(evaluation.index, ())
        bounds = [self._sense * value for _, value in evaluation.reports]
        for place, before, after in zip(order, bounds, bounds[1:], strict=False):
            total, count = self._sums[place]
            self._sums[place] = total + after - before, count + 1
        self._told += 1
        self._at_once += evaluation.pruned and len(evaluation.reports) == 1
        if self._place is not None and evaluation.answered and evaluation.proved:
            x, y = (tuple(map(float, values.values())) for values in (evaluation.upper, evaluation.lower))
            insort(self._answered, (x[self._place], x, y))
        if evaluation.feasible:
            self._best = min(self._best, evaluation.cost)

    def judge(self, number: int) -> Judge:
        means = {k: total / count if count else math.inf for k, (total, count) in self._sums.items()}
        order = tuple(sorted(means, key=lambda k: -means[k]))
        self._given[number] = order
        # What is answered whole serves its neighbours, what is stopped on the way nobody. That is worth it as long as
        # neighbours stop points at once, and points have others between them.
        useful = self._told < self._first or self._at_once * _USE >= self._told
        return RaceJudge(self._best, order, useful and self._told < self._last)


@dataclass(frozen=True)
class RaceJudge(Judge):
    """Stops a point that is proved worse than ``best``.

    Attributes
    ----------
    best : float
        The best F known, minimised.
    followers : tuple of int
        Their places in the order in which they are to answer.
    whole : bool
        Whether it is stopped before the first of them answers or not at all.
    """

    best: float
    followers: tuple[int, ...]
    whole: bool = False

    def prunes(self, reports: Reports) -> bool:
        if self.whole and reports[-1][0] > 0:
            return False
        return reports[-1][1] > self.best + tolerances.ENGINE * tolerances.scale(self.best)

    def expected(self, reports: Reports) -> float:
        """As if the others' parts were like those that are known."""
        (_, first), (count, last) = reports[0], reports[-1]
        return first + (last - first) * len(self.followers) / max(count, 1)
