"""Exploit and explore: who goes on from whose state, and with which x.

Truncation selection (Jaderberg et al. 2017, *Population based training of neural networks*, section 4.1.1): at the end
of a leg the worst members take over the state and x of members drawn among the best, and move x a little; all others
go on as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bilevel.arrays import Point
from bilevel.upper.archive import Evaluation
from bilevel.upper.dimension import Dimension
from bilevel.upper.space import Space

_TRIES = 20  # moves of which one has to keep the constraints over x
_ANEW = 0.25  # how often a category is drawn anew


@dataclass(frozen=True)
class Member:
    """What one member is to do next.

    Attributes
    ----------
    point : Point
        With which x.
    after : int or None
        The evaluation whose state it goes on from; None at the beginning.
    """

    point: Point
    after: int | None = None


class Selection:
    """Makes each generation from the outcomes of the one before.

    Parameters
    ----------
    space : Space
        Of x.
    rng : numpy.random.Generator
        The only source of randomness.
    replaced : float
        The share of members that is replaced, and of those that they are replaced by.
    spread : float
        How far x is moved: a standard deviation on the unit scale of each variable, its logarithm where it has one.
    """

    def __init__(self, space: Space, rng: np.random.Generator, replaced: float, spread: float) -> None:
        self._space, self._rng, self._replaced, self._spread = space, rng, replaced, spread

    def after(self, told: list[Evaluation]) -> list[Member]:
        """The next generation, in the order of the members; empty where not one has a state to go on from."""
        order = sorted(range(len(told)), key=lambda k: _merit(told[k]))
        alive = [k for k in order if told[k].answered]
        if not alive:
            return []
        share = round(self._replaced * len(told)) if len(told) > 1 else 0
        share = min(max(share, 1), len(told) // 2)
        best = alive[: max(share, 1)]
        worst = {*order[len(order) - share :], *(k for k in order if not told[k].answered)} - set(best)
        return [self._another(told, best) if k in worst else Member(e.point, e.index) for k, e in enumerate(told)]

    def _another(self, told: list[Evaluation], best: list[int]) -> Member:
        chosen = told[best[int(self._rng.integers(len(best)))]]
        return Member(self._moved(chosen.point), chosen.index)

    def _moved(self, point: Point) -> Point:
        for _ in range(_TRIES):
            unit = self._space.to_unit(point)
            moved = [self._step(d, u) for d, u in zip(self._space.dimensions, unit.tolist(), strict=True)]
            found = self._space.draw(np.array(moved))
            if found is not None:
                return found
        return point

    def _step(self, dimension: Dimension, unit: float) -> float:
        """A coordinate moved on the unit scale and reflected at its ends; discrete ones by one value at least."""
        size = dimension.size
        if dimension.categorical:
            return float(self._rng.random()) if self._rng.random() < _ANEW else unit
        move = float(self._rng.normal(0.0, self._spread))
        if dimension.integer and size > 1:
            step = 1.0 / (size - 1.0)
            move = step * max(1, round(abs(move) / step)) * (1.0 if move > 0 else -1.0)
        moved = abs(unit + move)
        return min(1.0, max(0.0, 2.0 - moved if moved > 1.0 else moved))


def _merit(evaluation: Evaluation) -> tuple[int, float]:
    """Feasible ones by F, then those that break a constraint by how much, then those without an answer."""
    if evaluation.feasible:
        return 0, evaluation.cost
    return (1, evaluation.upper_violation) if evaluation.answered else (2, 0.0)
