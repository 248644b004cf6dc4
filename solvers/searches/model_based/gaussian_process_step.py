"""A step by the Gaussian process: the point of largest acquisition, weighted by the probability of being feasible.

Candidates first, then gradients on the continuous coordinates from the best four, then every near neighbour on the
lattice and every level of every category. A coupling constraint has a process of its own, fitted to how far each
point broke it, and log P[feasible] is added (Gardner et al. 2014, eq. 6, in logarithms).
"""

from __future__ import annotations

import math

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.solvers.searches.model_based.acquisition import Acquisition, log_improvement_probability
from bilevel.solvers.searches.model_based.candidates import climbed, neighbours
from bilevel.solvers.searches.model_based.pool import Pool
from bilevel.solvers.surrogates.gaussian_process import GaussianProcess

_WIDE = 256
_LOCAL = 768
_STARTS = 4
_ITERATIONS = 25
_ROUNDS = 6
_REACH = 2
_EXPLORE = 512
_BOLD = 3.0
_MOST = 300
"""The fit takes time like the cube of the points."""


class GaussianProcessStep:
    """Proposes by the Gaussian process.

    Parameters
    ----------
    pool : Pool
        Shared with the other steps.
    acquisition : callable
        What makes a point worth trying.
    trend : bool
        Whether the process has a quadratic trend while evaluations carry values only.

    Attributes
    ----------
    promise : float
        Logarithm of the acquisition at the last proposal, in deviations of the transformed costs.
    """

    def __init__(self, pool: Pool, acquisition: Acquisition, trend: bool = False) -> None:
        self._pool = pool
        self._acquisition = acquisition
        groups = pool.encoding.groups
        self._cost, self._breach = GaussianProcess(groups, trend), GaussianProcess(groups)
        self._trend = trend
        plain = pool.encoding.movable & ~pool.encoding.categorical
        self._real = np.flatnonzero(pool.encoding.real)
        self._columns = np.flatnonzero(pool.encoding.real[plain])
        self._incumbent = 0.0
        self._weighted = False
        self.promise = math.inf

    def propose(self, explore: bool) -> Point | None:
        """The next point; ``explore`` takes the lowest optimistic value all over the box instead."""
        pool = self._pool
        self.fit()
        if explore:
            units = pool.wide(_EXPLORE)
            if not len(units):
                return None
            mean, deviation = self._cost.predict(pool.encoding.features(units))
            return pool.choose(units, _BOLD * deviation - mean)
        whole = pool.whole()
        units = np.vstack([pool.wide(_WIDE), pool.local(_LOCAL)]) if whole is None else whole
        if not len(units):
            return None
        scores = self._worth(units)
        if whole is None:
            units, scores = self._improved(units, scores)
        self.promise = float(scores.max())
        return pool.choose(units, scores)

    def best_of(self, units: Array, incumbent: float | None, climb: bool) -> Point | None:
        """The best new one of some candidates, by what was fitted last.

        Parameters
        ----------
        units : ndarray of shape (m, d)
            Candidates.
        incumbent : float or None
            The transformed cost to improve on; the best one known where None.
        climb : bool
            Climb from the best few on the continuous coordinates as well.
        """
        if incumbent is not None:
            self._incumbent = incumbent
        scores = self._worth(units)
        if climb and len(self._real):
            climbed = self._climbed(units[np.argsort(-scores, kind="stable")[:_STARTS]])
            units, scores = np.vstack([units, climbed]), np.append(scores, self._worth(climbed))
        return self._pool.choose(units, scores)

    def predict(self, units: Array) -> Array:
        """The process's mean at some units, shape (m,)."""
        return self._cost.predict(self._pool.encoding.features(units))[0]

    def fit(self) -> None:
        """Fit to all that was told; pending points are believed."""
        memory, encoding = self._pool.memory, self._pool.encoding
        if self._trend and len(self._real) and np.isfinite(memory.slopes).all(axis=1).any():
            # Descents know which way is down; what is left to the process is where a trend misleads.
            self._trend, self._cost = False, GaussianProcess(encoding.groups)
        chosen = memory.telling(_MOST)
        known, waiting = encoding.features(memory.units[chosen]), encoding.features(memory.waiting)
        feasible = memory.feasible[chosen]
        self._weighted = memory.coupled and bool(feasible.any())
        hunting = memory.coupled and not feasible.any()
        targets = (memory.violations() if hunting else memory.targets())[chosen]
        errors = None if hunting else memory.errors()
        self._cost.fit(known, targets, None if errors is None else errors[chosen] ** 2)
        self._pool.relevance = _relevance(self._cost.lengthscales)
        self._incumbent = float(targets[feasible].min() if feasible.any() else targets.min())
        if errors is not None and feasible.any():  # the luckiest of noisy values is no mark to beat
            self._incumbent = float(self._cost.predict(known[feasible])[0].min())
        if self._weighted:
            self._breach.fit(known, memory.violations()[chosen])
        if len(waiting):
            # Kriging believer (Ginsbourger et al. 2010): pending points are taken to turn out as predicted.
            everywhere = np.vstack([known, waiting])
            self._cost.condition(everywhere, np.concatenate([targets, self._cost.predict(waiting)[0]]))

    def _worth(self, units: Array) -> Array:
        there = self._pool.encoding.features(units)
        worth, _, _ = self._acquisition(*self._cost.predict(there), self._incumbent)
        if self._weighted:
            worth = worth + log_improvement_probability(*self._breach.predict(there), 0.0)[0]
        return worth

    def _improved(self, units: Array, scores: Array) -> tuple[Array, Array]:
        """The candidates with the best ones climbed to their tops, on the continuous coordinates and on the lattice."""
        starts = units[np.argsort(-scores, kind="stable")[:_STARTS]]
        if len(self._real):
            climbed = self._climbed(starts)
            units, scores = np.vstack([units, climbed]), np.append(scores, self._worth(climbed))
        encoding = self._pool.encoding
        if not (encoding.ordered | encoding.categorical).any():
            return units, scores
        for _ in range(_ROUNDS):
            top = int(np.argmax(scores))
            near = neighbours(encoding, units[top], _REACH)
            units, scores = np.vstack([units, near]), np.append(scores, self._worth(near))
            if int(np.argmax(scores)) == top:
                break
        return units, scores

    def _climbed(self, starts: Array) -> Array:
        return climbed(self._pool.encoding, starts, self._real, self._columns, self._slope, _ITERATIONS)

    def _slope(self, row: Array) -> tuple[float, Array]:
        """The acquisition at one point's features, and its gradient."""
        value, slope = _chained(self._acquisition, self._cost, row, self._incumbent)
        if self._weighted:
            more, steeper = _chained(log_improvement_probability, self._breach, row, 0.0)
            return value + more, slope + steeper
        return value, slope


def _relevance(lengthscales: Array) -> Array:
    """Inverse lengthscales for a surrogate that has none, 1 on average.

    Only their square roots, and none below a tenth of the largest: lengthscales from a few dozen points are a hint,
    and a coordinate that is thought not to matter must still be tried.
    """
    inverse = 1.0 / np.clip(lengthscales, 1e-2, 10.0 * float(np.min(lengthscales, initial=1e2)))
    return np.asarray(np.sqrt(inverse / math.sqrt(float(np.mean(inverse**2)) if len(inverse) else 1.0)))


def _chained(acquisition: Acquisition, model: GaussianProcess, row: Array, incumbent: float) -> tuple[float, Array]:
    mean, deviation, mean_slope, deviation_slope = model.gradient(row)
    value, by_mean, by_deviation = acquisition(np.array([mean]), np.array([deviation]), incumbent)
    return float(value[0]), by_mean[0] * mean_slope + by_deviation[0] * deviation_slope
