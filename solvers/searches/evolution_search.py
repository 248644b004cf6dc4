"""Differential evolution, asked and told; a genetic search is the optuna search with sampler="nsga2".

For lower levels that are cheap or upper levels that no model fits. SciPy's differential evolution wants to call the
function itself, so the few lines of its rand-to-best/1/bin strategy stand here (Storn and Price 1997, J. Global
Optim. 11).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.contracts.search import Search
from bilevel.registry import register
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.initial_design import initial_design
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.pool import Pool

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space

__all__ = ["DifferentialEvolutionSearch"]

_TRIES = 50
_SMALLEST = 8


@register("de")
class DifferentialEvolutionSearch(Search):
    """Differential evolution (rand-to-best/1/bin) on the lattice.

    Parameters
    ----------
    population : int, optional
        By default four per dimension, at least 8 and at most a fifth of the budget.
    crossover : float
        Probability that a coordinate comes from the mutant.

    Notes
    -----
    Take it when F jumps or has many valleys and thousands of evaluations can be afforded; with fewer, ``surrogate``
    gets further.
    """

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        budget: int | None = None,
        *,
        population: int | None = None,
        crossover: float = 0.7,
    ) -> None:
        super().__init__(space, rng, budget)
        self._encoding = Encoding(space)
        self._memory = Memory(self._encoding)
        self._pool = Pool(self._encoding, self._memory, rng)
        self._size = population or max(_SMALLEST, min(4 * len(self._encoding), (budget or 10**6) // 5))
        self._crossover = crossover
        self._design = initial_design(self._encoding, self._size, rng)
        self._members: list[tuple[float, Array]] = []
        self._target: dict[Point, int] = {}
        self._turn = 0

    def ask(self, count: int = 1) -> list[Point]:
        return self._memory.gather(count, self._next)

    def _next(self) -> Point | None:
        if len(self._memory.seen) < self._size:
            for point in self._design:
                if point not in self._memory.seen:
                    return point
        if len(self._members) < 4:
            return self._pool.any()
        place = self._turn % len(self._members)
        self._turn += 1
        for _ in range(_TRIES):
            drawn = self.space.draw(self._encoding.snap(self._trial(place)[None])[0])
            if drawn is not None and drawn not in self._memory.seen:
                self._target[drawn] = place
                return drawn
        return self._pool.any()

    def _trial(self, place: int) -> Array:
        """A member moved towards the best and along the difference of two others, crossed with itself."""
        rng, members = self.rng, self._members
        one, other = rng.choice(np.delete(np.arange(len(members)), place), 2, replace=False)
        here, best = members[place][1], min(members, key=lambda m: m[0])[1]
        weight = rng.uniform(0.5, 1.0)
        mutant = here + weight * (best - here) + weight * (members[one][1] - members[other][1])
        # A category has no differences: its level comes whole from one of the three parents.
        parent = np.array([here, best, members[one][1]])[rng.integers(3, size=len(here)), np.arange(len(here))]
        mutant = np.where(self._encoding.categorical, parent, mutant)
        mutant = np.where((mutant < 0) | (mutant > 1), rng.random(len(here)), mutant)
        crossed = rng.random(len(here)) < self._crossover
        crossed[rng.integers(len(here))] = True
        return np.where(crossed, mutant, here)

    def tell(self, evaluation: Evaluation) -> None:
        if not self._memory.tell(evaluation):
            return
        merit = evaluation.cost if evaluation.feasible else math.inf
        if evaluation.answered and not evaluation.feasible:
            merit = 1e100 * (1.0 + evaluation.upper_violation)
        place = self._target.pop(evaluation.point, None)
        member = (merit, self._encoding.unit(evaluation.point))
        if place is None and len(self._members) >= self._size:
            place = int(np.argmax([m[0] for m in self._members]))
        if place is None:
            self._members.append(member)
        elif merit <= self._members[place][0]:
            self._members[place] = member
