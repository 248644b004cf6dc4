"""Where candidates come from and how one of them becomes a proposal: new, on the lattice and allowed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.solvers.searches.model_based.candidates import Dycors
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.initial_design import repaired, sobol
from bilevel.solvers.searches.model_based.memory import Memory

_CENTRES = 3
_REFUSALS = 3000
_PROJECTIONS = 8
_WALK = 200_000


class Pool:
    """Candidates for a step, and the choice among them.

    Attributes
    ----------
    encoding, memory, dycors
        The space, what is known about it, and the local perturbation.
    done : float
        How much of the budget is spent, on DYCORS' logarithmic scale.
    relevance : ndarray of shape (p,)
        How much each feature matters, 1 on average, as far as a step has found out.
    """

    def __init__(self, encoding: Encoding, memory: Memory, rng: np.random.Generator) -> None:
        self.encoding, self.memory = encoding, memory
        self.dycors = Dycors(encoding, rng)
        self.done = 0.0
        self.relevance = np.ones(len(encoding.groups))
        self._rng = rng
        self._lattice = encoding.lattice() if encoding.small else None
        self._names = [] if self._lattice is None else [encoding.point(unit) for unit in self._lattice]
        self._walk: Iterator[Point] | None = None

    def centres(self, count: int = _CENTRES) -> Array:
        """The best points told, shape (at most count, d)."""
        return self.memory.units[self.memory.ranked()[:count]]

    def whole(self) -> Array | None:
        """Every point left on a small lattice; None where it is not small."""
        if self._lattice is not None:
            left = np.array([point not in self.memory.seen for point in self._names], dtype=bool)
            self._lattice = self._lattice[left]
            self._names = [point for point, new in zip(self._names, left, strict=True) if new]
        return self._lattice

    def local(self, count: int, centres: int = _CENTRES) -> Array:
        """Candidates around the best points; all that are left of a small lattice."""
        whole = self.whole()
        if whole is not None:
            return whole
        return self.dycors.around(self.centres(centres), count, self.dycors.probability(self.done))

    def wide(self, count: int) -> Array:
        """Candidates all over the box; all that are left of a small lattice."""
        whole = self.whole()
        return self.anywhere(count) if whole is None else whole

    def anywhere(self, count: int) -> Array:
        """Lattice points all over the box, known or not."""
        return self.encoding.snap(sobol(len(self.encoding), count, self._rng))

    def choose(self, units: Array, scores: Array, move: bool = True) -> Point | None:
        """The best-scored candidate that is new and allowed.

        Constraints over x are asked in the order of the scores, so that few points are checked. Where all are refused
        (an equality is never met by chance) the best few are moved onto the constraints, unless ``move`` is false.
        """
        space, refused = self.encoding.space, []
        for k in np.argsort(-scores, kind="stable"):
            point = self.encoding.point(units[k])
            if point in self.memory.seen:
                continue
            if space.allows(point):
                return point
            refused.append(units[k])
            if len(refused) >= _REFUSALS:
                break
        for unit in refused[: _PROJECTIONS * move]:
            moved = repaired(self.encoding, unit, self._rng)
            if moved is not None and moved not in self.memory.seen:
                return moved
        return None

    def any(self) -> Point | None:
        """Some new allowed point: by chance, then by walking the lattice; None once it is exhausted."""
        units = self.wide(256)
        found = self.choose(units, self._rng.random(len(units)))
        if found is not None or not np.isfinite(self.encoding.space.size):
            return found
        if self._walk is None:
            dimensions = self.encoding.space.dimensions
            axes = [range(int(d.lower), int(d.upper) + 1) if d.integer else (d.lower,) for d in dimensions]
            self._walk = itertools.product(*axes)
        for point in itertools.islice(self._walk, _WALK):
            if point not in self.memory.seen and self.encoding.space.allows(point):
                return point
        return None
