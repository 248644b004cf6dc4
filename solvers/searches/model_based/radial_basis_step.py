"""A step by the radial basis surrogate: low predicted value against distance from what is known.

The weighted score of Regis and Shoemaker (2007, INFORMS J. Comput. 19), cycling from exploring to exploiting. It
trusts no variance estimate, which is why it is hard to beat on few evaluations in many dimensions. Where a Gaussian
process takes turns with it, distances are measured in the process's metric.
"""

from __future__ import annotations

import math

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.solvers.searches.model_based.pool import Pool
from bilevel.solvers.surrogates.radial_basis import RadialBasis

_WEIGHTS = (0.3, 0.5, 0.8, 0.95)
_PER_DIMENSION = 100
_MOST = 2000
_WIDE = 512
_BREACH = 2.0
"""What a typical predicted violation costs, in units of the whole range of scores."""


class RadialBasisStep:
    """Proposes by the radial basis surrogate."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turn = 0
        self.promise = math.inf

    def propose(self, explore: bool) -> Point | None:
        """The next point; ``explore`` looks all over the box with the most adventurous weight."""
        pool = self._pool
        count = min(_PER_DIMENSION * len(pool.encoding), _MOST)
        units = pool.wide(_WIDE) if explore else pool.local(count)
        if not len(units):
            return None
        weight = _WEIGHTS[0] if explore else _WEIGHTS[self._turn % len(_WEIGHTS)]
        self._turn += 1
        return pool.choose(units, self._scores(units, weight))

    def _scores(self, units: Array, weight: float) -> Array:
        memory, encoding = self._pool.memory, self._pool.encoding
        relevance = self._pool.relevance
        known, there = encoding.features(memory.units) * relevance, encoding.features(units) * relevance
        waiting = encoding.features(memory.waiting) * relevance
        model = RadialBasis()
        model.fit(known, memory.targets())
        if len(waiting):
            believed = np.concatenate([memory.targets(), model.predict(waiting)[0]])
            model.fit(np.vstack([known, waiting]), believed)
        mean, distance = model.predict(there)
        scores = -weight * _unit(mean) + (1.0 - weight) * _unit(distance)
        if not memory.coupled:
            return scores
        breach = RadialBasis()
        breach.fit(known, memory.violations())
        excess = breach.predict(there)[0]
        if not memory.feasible.any():
            return -weight * _unit(excess) + (1.0 - weight) * _unit(distance)
        return np.asarray(scores - _BREACH * np.maximum(excess, 0.0))


def _unit(values: Array) -> Array:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
