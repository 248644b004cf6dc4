"""Grid search: the full factorial, coarse to fine.

Each stage doubles the number of intervals per variable; a sequence or an integer joins in until all its values are
there. Where the next stage would outgrow the budget, the finest balanced factorial that fits is taken instead. Reals
are laid out on their scale. Equalities over x, which no factorial meets, are met by projection.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from bilevel.arrays import Point
from bilevel.contracts.search import Search
from bilevel.registry import register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bilevel.upper.archive import Evaluation
    from bilevel.upper.dimension import Dimension
    from bilevel.upper.space import Space

_LISTED = 1_000_000
_PROJECTIONS = 300


@register("grid")
class GridSearch(Search):
    """The full factorial of the sequences, coarse to fine where the budget does not cover it.

    Take it when all combinations of few values can be afforded; in more than two or three dimensions ``random`` sees
    more values of each variable for the same budget.
    """

    learns = False

    def __init__(self, space: Space, rng: np.random.Generator, budget: int | None) -> None:
        super().__init__(space, rng, budget)
        self._seen: set[Point] = set()
        self._moved: set[tuple[float, ...]] = set()
        self._points = self._unseen()

    def ask(self, count: int = 1) -> list[Point]:
        return list(itertools.islice(self._points, count))

    def _unseen(self) -> Iterator[Point]:
        """Points of all stages, each once."""
        idle, patience, free = 0, self._patience(), not self.space.constrained
        for counts in self._stages():
            axes = [_axis(d, n) for d, n in zip(self.space.dimensions, counts, strict=True)]
            product = itertools.product(*axes)
            for point in product if free else map(self.space.canonical, product):
                if point in self._seen:
                    continue
                self._seen.add(point)
                found = point if free else self._allowed(point)
                idle = 0 if found is not None else idle + 1
                if found is not None:
                    yield found
                elif idle > patience:
                    return

    def _allowed(self, point: Point) -> Point | None:
        """The point where it is allowed; with equalities, which a lattice misses, the nearest one that is new."""
        if not self.space.has_equalities:
            return point if self.space.allows(point) else None
        found = point if self.space.allows(point) else self.space.nearest(point)
        place = None if found is None else tuple(round(float(u), 6) for u in self.space.to_unit(found))
        if place is None or place in self._moved:
            return None
        self._moved.add(place)
        return found

    def _patience(self) -> float:
        """How many points in a row may be ruled out: all, where the space can be listed."""
        if self.space.size <= _LISTED:
            return math.inf
        return _PROJECTIONS if self.space.has_equalities else _LISTED

    def tell(self, evaluation: Evaluation) -> None:
        self._seen.add(evaluation.point)

    def _stages(self) -> Iterator[list[int]]:
        """How many values each dimension takes, stage by stage."""
        budget = math.inf if self.budget is None else self.budget
        dimensions = self.space.dimensions
        known = self.budget or 0  # in a run that may go on and on the whole lattice is the last stage, not the first
        whole = self.space.size <= known or (self.space.constrained and self.space.size <= 100 * known)
        if whole and not self.coarse_first:
            yield [int(d.size) for d in dimensions]
            return
        for level in itertools.count(1):
            counts = [int(min(d.size, 2**level + 1)) for d in dimensions]
            if math.prod(counts) > budget and not whole:
                yield self._balanced(int(budget))
            yield counts
            if all(n == d.size for n, d in zip(counts, dimensions, strict=True)):
                return

    def _balanced(self, budget: int) -> list[int]:
        """The finest factorial of at most ``budget`` points, its counts as equal as the sizes allow."""
        equal = max(1, int(budget ** (1.0 / len(self.space.dimensions))) - 1)  # which leaves a few steps to take
        counts = [int(min(equal, d.size)) for d in self.space.dimensions]
        while True:
            growing = [
                k
                for k, d in enumerate(self.space.dimensions)
                if counts[k] < d.size and math.prod(counts) // counts[k] * (counts[k] + 1) <= budget
            ]
            if not growing:
                return counts
            counts[min(growing, key=lambda k: counts[k])] += 1


def _axis(dimension: Dimension, count: int) -> list[float]:
    """``count`` coordinates from end to end, evenly spaced on the dimension's scale; the middle where there is one."""
    units = np.array([0.5]) if count == 1 else np.arange(count) / (count - 1)
    return list(dict.fromkeys(dimension.from_units(units)))
