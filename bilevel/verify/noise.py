"""Response functions that answer differently when they are asked again at the same point.

What counts is what the difference means for F: digits of y that F does not see are no noise. Nothing follows about
points from F at random, so an enumeration of such values proves nothing, and a bound is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bilevel import tolerances
from bilevel.reading.problem import Problem


@dataclass(frozen=True)
class Noise:
    """Several values of F at one point.

    Attributes
    ----------
    values : tuple of float
        F in the user's sense, in the order asked for.
    names : str
        Of the followers whose functions differed.
    """

    values: tuple[float, ...]
    names: str

    @property
    def size(self) -> float:
        """The largest difference, relative to ``max(1, |F|)``."""
        return (max(self.values) - min(self.values)) / tolerances.scale(*self.values)

    def __str__(self) -> str:
        spread = max(self.values) - min(self.values)
        listed = ", ".join(f"{value:.6g}" for value in self.values)
        return (
            f"the response function of {self.names} is noisy: at the same point F was {listed} (a difference of"
            f" {spread:.2g}), so that nothing is proved and differences in F below that mean little; make the same x"
            " give the same answer (a fixed seed inside the function, or trial.seed), or let it average: repeats=3"
        )


class Functions:
    """The followers of a problem that are functions; false where there are none.

    Parameters
    ----------
    problem : Problem
        Whose followers they are.
    costs : iterable of float
        F at points that were evaluated. A loss that varies by 1e-5 in all is noisy at a tenth of that; one that varies
        by 1 is not, and neither is any whose digits are those of rounding.
    """

    def __init__(self, problem: Problem, costs: Iterable[float] = ()) -> None:
        known = [cost for cost in costs if math.isfinite(cost)]
        self._unit = min(1.0, max(known) - min(known) or 1.0) if known else 1.0
        followers = [follower for follower in problem.followers if follower.response is not None]
        self._variables = {follower.name: [var.name for var in follower.variables] for follower in followers}
        self._sense = problem.sense
        self.are_all = len(followers) == len(problem.followers)

    def __bool__(self) -> bool:
        return bool(self._variables)

    def moved(self, one: Mapping[str, float], other: Mapping[str, float]) -> list[str]:
        """Whose answers differ by more than rounding."""
        return [
            follower
            for follower, names in self._variables.items()
            if any(abs(one[n] - other[n]) > tolerances.SAME * tolerances.scale(one[n], other[n]) for n in names)
        ]

    def noise(self, answers: Sequence[Mapping[str, float]], costs: Sequence[float]) -> Noise | None:
        """The noise in several answers at one point, given F minimised at each; None where F does not see it."""
        first, *others = answers
        moved = dict.fromkeys(name for other in others for name in self.moved(first, other))
        spread, size = max(costs) - min(costs), max(self._unit, *map(abs, costs))
        if not moved or not spread > tolerances.OPTIMALITY * size:
            return None
        return Noise(tuple(self._sense * cost for cost in costs), ", ".join(moved))
