"""A step towards a front: a Gaussian process for each objective, and the point that is worth most to the front.

With two objectives the ends of the front are sought now and then, each objective by itself: hypervolume counts up to a
reference point just beyond the front that is known, so that nothing else leads out of a corner.

Costs are taken in ranges of the front found so far, unchanged where a point can still matter to the hypervolume and
logarithmic beyond, where a few terrible points would set the scale. A coupling constraint weighs in as it does with one
objective (:mod:`.gaussian_process_step`).
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.solvers.searches.model_based.acquisition import log_improvement_probability
from bilevel.solvers.searches.model_based.candidates import climbed, neighbours
from bilevel.solvers.searches.model_based.encoding import Mask
from bilevel.solvers.searches.model_based.hypervolume import (
    Worth,
    draws_of,
    log_end_improvement,
    log_hypervolume_improvement,
    log_scalarised_improvement,
    slopes,
)
from bilevel.solvers.searches.model_based.pool import Pool
from bilevel.solvers.surrogates.gaussian_process import GaussianProcess
from bilevel.upper.front import REFERENCE, ends, nondominated, ranges_of

_WIDE, _LOCAL, _CENTRES = 256, 768, 12
_STARTS, _ITERATIONS, _REACH = 3, 20, 2
_MOST = 300
_ENDS = 8  # proposals between two that seek an end
_IMPOSSIBLE = 3.0  # what a failed point counts for, in ranges beyond the reference


class FrontStep:
    """Proposes by one Gaussian process per objective.

    Parameters
    ----------
    pool : Pool
        Where candidates come from.
    rng : numpy.random.Generator
        Of the scalarisations.
    count : int
        How many objectives.
    trend : bool
        Whether the processes have a quadratic trend.
    """

    def __init__(self, pool: Pool, rng: np.random.Generator, count: int, trend: bool) -> None:
        self._pool, self._rng, self._count = pool, rng, count
        groups = pool.encoding.groups
        self._models = [GaussianProcess(groups, trend) for _ in range(count)]
        self._breach = GaussianProcess(groups)
        plain = pool.encoding.movable & ~pool.encoding.categorical
        self._real = np.flatnonzero(pool.encoding.real)
        self._columns = np.flatnonzero(pool.encoding.real[plain])
        self._means, self._sizes = np.zeros(count), np.ones(count)
        self._front = np.zeros((0, count))
        self._centres = np.zeros((0, len(pool.encoding)))
        self._weighted = False
        self._worth: Worth | None = None
        self._proposed = 0

    def propose(self) -> Point | None:
        """The next point; None where there is no new one."""
        pool = self._pool
        self._fit()
        self._proposed += 1
        whole = pool.whole()
        units = whole if whole is not None else np.vstack([pool.wide(_WIDE), self._around()])
        if not len(units):
            return None
        scores = self._scores(units)
        if whole is None:
            units, scores = self._improved(units, scores)
        return pool.choose(units, scores)

    def _around(self) -> Array:
        pool = self._pool
        return pool.dycors.around(self._centres, _LOCAL, pool.dycors.probability(pool.done))

    def _fit(self) -> None:
        """Fit to all that was told; pending points are believed."""
        memory, encoding = self._pool.memory, self._pool.encoding
        chosen = memory.telling(_MOST)
        answered, feasible = memory.answered[chosen], memory.feasible[chosen]
        told = [memory.told[k] for k in chosen]
        missing = (math.nan,) * self._count
        costs = np.array([e.costs if ok else missing for e, ok in zip(told, answered, strict=True)], dtype=float)
        known, waiting = encoding.features(memory.units[chosen]), encoding.features(memory.waiting)
        scaled = self._scaled(costs, answered, feasible)
        self._weighted = memory.coupled and bool(feasible.any())
        if memory.coupled:
            self._breach.fit(known, memory.violations()[chosen])
        for j, model in enumerate(self._models):
            self._means[j], self._sizes[j] = scaled[:, j].mean(), float(scaled[:, j].std()) or 1.0
            targets = (scaled[:, j] - self._means[j]) / self._sizes[j]
            model.fit(known, targets)
            if len(waiting):
                everywhere = np.vstack([known, waiting])
                model.condition(everywhere, np.concatenate([targets, model.predict(waiting)[0]]))
        best = feasible if feasible.any() else answered
        if not best.any():
            self._worth, self._centres = None, memory.units[chosen][:1]
            return
        self._front = scaled[best][nondominated(scaled[best])]
        self._centres = self._spread_out(memory.units[chosen][best], scaled[best])
        self._worth = self._chosen_worth() if feasible.any() or not memory.coupled else None

    def _scaled(self, costs: Array, answered: Mask, feasible: Mask) -> Array:
        """Costs in ranges of the front, logarithmic beyond the reference point; failures as bad as the worst."""
        base = costs[feasible] if feasible.any() else costs[answered]
        if not len(base):
            return np.zeros(costs.shape)
        ideal, nadir = ends(base[nondominated(base)])
        spread = np.quantile(base, 0.5, axis=0) - base.min(axis=0)
        scaled = (costs - ideal) / ranges_of(ideal, np.where(nadir > ideal, nadir, ideal + spread))
        beyond = np.maximum(scaled - REFERENCE, 0.0)
        scaled = np.where(beyond > 0, REFERENCE + np.log1p(beyond), scaled)
        below = np.maximum(-REFERENCE - scaled, 0.0)  # points that break a constraint may look better than any
        scaled = np.where(below > 0, -REFERENCE - np.log1p(below), scaled)
        worst = np.nanmax(scaled, axis=0, initial=REFERENCE)
        return np.where(np.isfinite(scaled), scaled, np.minimum(worst, REFERENCE + _IMPOSSIBLE))

    def _spread_out(self, units: Array, scaled: Array) -> Array:
        """Nondominated points to look around, evenly along the front where there are many."""
        rows = np.flatnonzero(nondominated(scaled))
        rows = rows[np.argsort(scaled[rows, 0], kind="stable")]
        places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _CENTRES)).astype(int))
        return np.asarray(units[rows[places]])

    def _chosen_worth(self) -> Worth:
        if self._count == 2:
            turn, rest = divmod(self._proposed, _ENDS)
            if rest == 0 or self._proposed == 1:
                end = turn % 2 if turn else self._proposed
                return log_end_improvement(end, float(self._front[:, end].min()))
            reference = np.full(2, REFERENCE)
            inside = self._front[(self._front < reference).all(axis=1)]
            return log_hypervolume_improvement(inside, reference)
        weights = self._rng.dirichlet(np.ones(self._count))
        return log_scalarised_improvement(self._front, weights, draws_of(self._count, self._rng))

    def _scores(self, units: Array) -> Array:
        there = self._pool.encoding.features(units)
        scores = np.zeros(len(units))
        if self._worth is not None:
            found = [model.predict(there) for model in self._models]
            means = self._means + self._sizes * np.column_stack([mean for mean, _ in found])
            scores = self._worth(means, self._sizes * np.column_stack([deviation for _, deviation in found]))
        if self._weighted or (self._worth is None and self._pool.memory.coupled):
            scores = scores + log_improvement_probability(*self._breach.predict(there), 0.0)[0]
        return np.nan_to_num(scores, nan=-1e300, neginf=-1e300)

    def _improved(self, units: Array, scores: Array) -> tuple[Array, Array]:
        """The best candidates climbed to their tops, on the continuous coordinates and on the lattice."""
        encoding = self._pool.encoding
        starts = units[np.argsort(-scores, kind="stable")[:_STARTS]]
        if len(self._real) and self._worth is not None:
            climbed = self._climbed(starts, self._worth)
            units, scores = np.vstack([units, climbed]), np.append(scores, self._scores(climbed))
        if (encoding.ordered | encoding.categorical).any():
            near = neighbours(encoding, units[int(np.argmax(scores))], _REACH)
            units, scores = np.vstack([units, near]), np.append(scores, self._scores(near))
        return units, scores

    def _climbed(self, starts: Array, worth: Worth) -> Array:
        slope = partial(self._slope, worth=worth)
        return climbed(self._pool.encoding, starts, self._real, self._columns, slope, _ITERATIONS)

    def _slope(self, row: Array, worth: Worth) -> tuple[float, Array]:
        """The worth at one point's features, and its gradient."""
        found = [model.gradient(row) for model in self._models]
        means = self._means + self._sizes * np.array([mean for mean, _, _, _ in found])
        deviations = self._sizes * np.array([deviation for _, deviation, _, _ in found])
        value, by_mean, by_deviation = slopes(worth, means, deviations)
        slope = np.zeros_like(row)
        for j, (_, _, mean_slope, deviation_slope) in enumerate(found):
            slope += self._sizes[j] * (by_mean[j] * mean_slope + by_deviation[j] * deviation_slope)
        if self._weighted:
            mean, deviation, mean_slope, deviation_slope = self._breach.gradient(row)
            more, first, second = log_improvement_probability(np.array([mean]), np.array([deviation]), 0.0)
            value, slope = value + float(more[0]), slope + first[0] * mean_slope + second[0] * deviation_slope
        return value, slope
