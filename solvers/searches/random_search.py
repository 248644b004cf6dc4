"""Random search: independent points, or a scrambled Sobol sequence that spreads them.

Bergstra and Bengio (2012), *Random search for hyper-parameter optimization*; Owen (1998) for the scrambling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bilevel.arrays import Point
from bilevel.contracts.search import Search
from bilevel.errors import OptionError
from bilevel.registry import register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space

_PATIENCE = 2000  # draws in a row that bring nothing new
_PROJECTION = 20  # what a projection that found nothing counts for: it takes as long as many draws
_BLOCK = 256


@register("random")
class RandomSearch(Search):
    """Seeded random points, uniform on each variable's scale, or a scrambled Sobol sequence (sampling="sobol").

    Parameters
    ----------
    sampling : {"uniform", "sobol"}
        How the unit box is filled. Points that break a constraint over x are moved onto it where a projection can,
        else drawn again.

    Notes
    -----
    Take it when you want a baseline, or have many cheap evaluations for several workers; where all combinations can be
    afforded, ``grid`` leaves none out.
    """

    learns = False

    def __init__(
        self, space: Space, rng: np.random.Generator, budget: int | None, *, sampling: str = "uniform"
    ) -> None:
        super().__init__(space, rng, budget)
        if sampling not in ("uniform", "sobol"):
            raise OptionError(f"sampling={sampling!r}: it is uniform or sobol")
        self._idle = 0
        self._points = self._drawn(self._sobol() if sampling == "sobol" else self._uniform())
        self._seen: set[Point] = set()
        self._free, self._size = not space.constrained, space.size
        self._discrete = np.array([d.integer for d in space.dimensions])
        self._sizes = np.array([d.size if d.integer else 1.0 for d in space.dimensions])

    def ask(self, count: int = 1) -> list[Point]:
        points: list[Point] = []
        while len(points) < count and self._idle < _PATIENCE and len(self._seen) < self._size:
            drawn = next(self._points)
            point = drawn if self._free else self.space.nearest(drawn)
            if point is None or point in self._seen:
                self._idle += _PROJECTION if point is None and self.space.has_equalities else 1
                continue
            self._idle = 0
            self._seen.add(point)
            points.append(point)
        if points:
            return points
        self._idle = 0
        return self._leftover()

    def tell(self, evaluation: Evaluation) -> None:
        self._seen.add(evaluation.point)

    def _spread(self, unit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give each of K values the share 1/K of the unit interval: rounding to the lattice halves that of the ends."""
        places = np.minimum(np.floor(unit * self._sizes), self._sizes - 1.0)
        return np.where(self._discrete, places / np.maximum(self._sizes - 1.0, 1.0), unit)

    def _leftover(self) -> list[Point]:
        """A point of a small lattice that random draws keep missing."""
        if not self.space.size <= 1_000_000:
            return []
        for point in self.space.lattice():
            if point not in self._seen and self.space.allows(point):
                self._seen.add(point)
                return [point]
        return []

    def _drawn(self, blocks: Iterator[NDArray[np.float64]]) -> Iterator[Point]:
        """The points of blocks of the unit box, before constraints are asked."""
        for block in blocks:
            yield from self.space.from_units(self._spread(block))

    def _uniform(self) -> Iterator[NDArray[np.float64]]:
        while True:
            yield self.rng.random((_BLOCK, len(self.space.dimensions)))

    def _sobol(self) -> Iterator[NDArray[np.float64]]:
        from scipy.stats import qmc

        engine = qmc.Sobol(len(self.space.dimensions), rng=self.rng)
        while True:
            yield engine.random(_BLOCK)
