"""What a history says about F over the upper space: a Gaussian process fitted to it, and which variables matter.

The process is the search's surrogate (Matern-5/2, one lengthscale per variable) fitted afresh to all that was answered,
whatever method tried the points. Values above the median are bent to logarithms first, as they are in the searches, and
bent back for display, so that bands are wider upwards. Importance is the total Sobol index of the process's mean over
the whole box (Saltelli et al. 2010): the share of its variance that is gone when the variable is known, interactions
included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bilevel import registry
from bilevel.arrays import Array, Point
from bilevel.contracts.surrogate import Surrogate

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.conditions import Condition
    from bilevel.upper.dimension import Dimension

FEWEST = 4
"""Answered points below which there is nothing to fit."""

_MOST = 400
_SAMPLE = 512


class Landscape:
    """F over the unit box of the upper variables, as far as a history tells.

    Parameters
    ----------
    dimensions : sequence of Dimension
        Of the space.
    history : sequence of Evaluation
        At least ``FEWEST`` of them answered; the best and the latest few hundred are used.
    conditions : sequence of Condition
        Which dimensions matter only sometimes: elsewhere F does not move with them.

    Attributes
    ----------
    best : ndarray of shape (d,)
        The incumbent, in unit coordinates.
    free : list of int
        The dimensions that have more than one value.
    """

    def __init__(
        self, dimensions: Sequence[Dimension], history: Sequence[Evaluation], conditions: Sequence[Condition] = ()
    ) -> None:
        self.dimensions, self._conditions = tuple(dimensions), tuple(conditions)
        self.free = [k for k, d in enumerate(dimensions) if d.size > 1]
        answered = [e for e in history if e.answered]
        ranked = sorted(answered, key=lambda e: (not e.feasible, e.cost))
        kept = ranked[: _MOST // 2] + [e for e in answered[-_MOST // 2 :] if e not in ranked[: _MOST // 2]]
        units = np.array([self.unit(e.point) for e in kept])
        self.best = self.unit(ranked[0].point)
        self._bend = Bend(np.array([e.cost for e in kept]))
        self._model = registry.get(Surrogate, "gaussian_process")()
        self._model.fit(self._features(units), self._bend(np.array([e.cost for e in kept])))

    def unit(self, point: Point) -> Array:
        """A point in unit coordinates."""
        return np.array([d.to_unit(c) for d, c in zip(self.dimensions, point, strict=True)])

    def _features(self, units: Array) -> Array:
        """Unit coordinates, those that do not matter where they rest, a category's levels as indicators."""
        units, _ = self._at_rest(units)
        parts = [np.zeros((len(units), 0))]
        for k in self.free:
            d = self.dimensions[k]
            if d.categorical:
                level = np.minimum(np.rint(units[:, k] * (d.size - 1)), d.size - 1)
                parts.append((level[:, None] == np.arange(d.size)) / math.sqrt(2.0))
            else:
                parts.append(units[:, k : k + 1])
        return np.hstack(parts)

    def _at_rest(self, units: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Unit coordinates with the inactive ones at rest, and which those are."""
        units, inactive = units.copy(), np.zeros(units.shape, dtype=bool)
        for condition in self._conditions:
            on, place = self.dimensions[condition.on], self.dimensions[condition.place]
            rests = np.ones(len(units), dtype=bool)
            if condition.when:  # of a variable with a finite domain
                taken = on.lower + np.rint(units[:, condition.on] * (on.size - 1))
                rests = inactive[:, condition.on] | ~np.isin(taken, list(condition.when))
            inactive[:, condition.place] |= rests
            units[rests, condition.place] = place.to_unit(condition.rest)
        return units, inactive

    def matters(self, k: int) -> bool:
        """Whether a dimension is active at the incumbent."""
        return not self._at_rest(self.best[None])[1][0, k]

    def predict(self, units: Array) -> tuple[Array, Array, Array]:
        """The predicted cost, and the ends of the band of two standard deviations, each of shape (m,)."""
        mean, deviation = self._model.predict(self._features(units))
        return self._bend.back(mean), self._bend.back(mean - 2 * deviation), self._bend.back(mean + 2 * deviation)

    def along(self, k: int, places: Array) -> Array:
        """The incumbent with one coordinate moved to each place, shape (m, d)."""
        units = np.repeat(self.best[None], len(places), axis=0)
        units[:, k] = places
        return units

    def importances(self) -> dict[int, float]:
        """Total Sobol index of each free dimension, largest first."""
        from scipy import stats

        if len(self.free) == 1:
            return {self.free[0]: 1.0}

        def mean(sample: Array) -> Array:
            units = np.repeat(self.best[None], sample.shape[1], axis=0)
            units[:, self.free] = sample.T
            predicted: Array = self._model.predict(self._features(units))[0]
            return predicted

        with np.errstate(divide="ignore", invalid="ignore"):
            found = stats.sobol_indices(
                func=mean, n=_SAMPLE, dists=[stats.uniform()] * len(self.free), rng=np.random.default_rng(0)
            )
        totals = np.clip(np.nan_to_num(np.asarray(found.total_order)), 0.0, 1.0)
        order = np.argsort(-totals, kind="stable")
        return {self.free[k]: float(totals[k]) for k in order}


class Bend:
    """Costs above the median as logarithms, standardised, and back.

    Parameters
    ----------
    costs : ndarray of shape (n,)
        They set the median and the scale.
    """

    def __init__(self, costs: Array) -> None:
        self._median = float(np.median(costs))
        self._unit = self._median - float(costs.min()) or float(np.ptp(costs)) or 1.0
        self._shift, self._scale = 0.0, 1.0
        bent = self(costs)
        self._shift, self._scale = float(bent.mean()), float(bent.std()) or 1.0

    def __call__(self, costs: Array) -> Array:
        """The costs bent."""
        scaled = (costs - self._median) / self._unit
        bent = np.where(scaled > 0, np.log1p(np.maximum(scaled, 0.0)), scaled)
        return np.asarray((bent - self._shift) / self._scale)

    def back(self, values: Array) -> Array:
        """The costs that were bent to these values."""
        bent = values * self._scale + self._shift
        scaled = np.where(bent > 0, np.expm1(np.clip(bent, 0.0, 50.0)), bent)
        return np.asarray(self._median + self._unit * scaled)
