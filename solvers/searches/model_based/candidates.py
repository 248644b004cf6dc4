"""Candidates by dynamic coordinate search, and what a climb makes of the best of them.

DYCORS (Regis and Shoemaker 2013, Engineering Optimization 45) perturbs few coordinates of good points, fewer as the
budget runs out: each coordinate of the incumbent moves with a probability that falls from min(20/d, 1) like
1 - log n / log N. In many dimensions these local candidates are what finds improvements. Here all lie on the lattice
from the start: rounding a continuous optimum afterwards is clearly worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bilevel.arrays import Array
from bilevel.solvers.searches.model_based.encoding import Encoding, Mask

_LARGEST = 0.2
_SMALLEST = 0.2 / 32
_SUCCESSES = 3


class Dycors:
    """The perturbation's step size, and candidates with it.

    Attributes
    ----------
    sigma : float
        Standard deviation of a step in units of the box: halved after max(5, d) failures, doubled after 3 successes.
    """

    def __init__(self, encoding: Encoding, rng: np.random.Generator) -> None:
        self._encoding = encoding
        self._rng = rng
        self.sigma = _LARGEST
        self._patience = max(5, len(encoding))

    def adapt(self, successes: int, failures: int) -> None:
        """Learn how the last evaluation went: how many in a row made progress, or did not."""
        if failures and failures % self._patience == 0:
            self.sigma = max(self.sigma / 2, _SMALLEST)
        elif successes and successes % _SUCCESSES == 0:
            self.sigma = min(self.sigma * 2, _LARGEST)

    def probability(self, done: float) -> float:
        """How likely a coordinate moves when ``done`` of ``log N`` is spent, between 0 and 1."""
        d = int(self._encoding.movable.sum())
        return max(min(20.0 / max(d, 1), 1.0) * (1.0 - done), 1.0 / max(d, 1))

    def around(self, centres: Array, count: int, probability: float) -> Array:
        """``count`` lattice points around the centres in equal parts, shape (count, d)."""
        encoding, rng = self._encoding, self._rng
        units = centres[np.arange(count) % len(centres)].copy()
        moving = encoding.ordered | encoding.real
        chosen = (rng.random(units.shape) < probability) & moving
        if moving.any():
            idle = ~chosen.any(axis=1)
            chosen[idle, rng.choice(np.flatnonzero(moving), int(idle.sum()))] = True
        step = self.sigma * rng.standard_normal(units.shape)
        sign = np.where(step < 0, -1.0, 1.0)
        least = np.where(encoding.ordered, 1.0 / np.maximum(encoding.steps, 1.0), 0.0)
        step = sign * np.maximum(np.abs(step), least)
        if encoding.space.constrained:
            self._exchange(step, chosen, count // 4)
        units = np.where(chosen, _inside(units + step), units)
        return encoding.snap(self._flipped(units, moving))

    def _exchange(self, step: Array, chosen: Mask, count: int) -> None:
        """Turn the first ``count`` moves into exchanges, one coordinate up as much as another goes down.

        Under a budget or a sum every single move breaks the constraint, and these do not.
        """
        moving = np.flatnonzero(self._encoding.ordered | self._encoding.real)
        if len(moving) < 2:
            return
        for row in range(count):
            one, other = self._rng.choice(moving, 2, replace=False)
            chosen[row] = False
            chosen[row, [one, other]] = True
            step[row, other] = -step[row, one]

    def _flipped(self, units: Array, moving: Mask) -> Array:
        """Give a quarter of the rows (all, if nothing else moves) another level in one category, at times in more."""
        encoding, rng = self._encoding, self._rng
        named = np.flatnonzero(encoding.categorical)
        if not len(named):
            return units
        rows = np.flatnonzero(rng.random(len(units)) < (0.25 if moving.any() else 1.0))
        flips = rng.random((len(rows), len(named))) < 0.25
        flips[np.arange(len(rows)), rng.integers(len(named), size=len(rows))] = True
        for j, k in enumerate(named):
            hit = rows[flips[:, j]]
            levels = encoding.steps[k] + 1
            level = np.rint(units[hit, k] * encoding.steps[k])
            units[hit, k] = (level + rng.integers(1, int(levels), size=len(hit))) % levels / encoding.steps[k]
        return units


def _inside(units: Array) -> Array:
    """Reflect at the box's walls, so that candidates do not pile up on them; beyond the other wall, cut."""
    return np.clip(np.where(units < 0, -units, np.where(units > 1, 2.0 - units, units)), 0.0, 1.0)


def spent(told: int, first: int, budget: int) -> float:
    """``log n / log N`` with both counted from the end of the initial design."""
    return min(math.log(max(told - first, 0) + 1) / math.log(max(budget - first, 1) + 1), 1.0)


def neighbours(encoding: Encoding, unit: Array, reach: int) -> Array:
    """Lattice points up to ``reach`` steps away in one coordinate, and every other level of every category."""
    rows = []
    for k in np.flatnonzero(encoding.ordered | encoding.categorical):
        here, last = round(unit[k] * encoding.steps[k]), int(encoding.steps[k])
        span = range(last + 1) if encoding.categorical[k] else range(max(here - reach, 0), min(here + reach, last) + 1)
        for level in span:
            if level != here:
                row = unit.copy()
                row[k] = level / last
                rows.append(row)
    return encoding.canonical(np.array(rows).reshape(len(rows), len(encoding)))


def climbed(
    encoding: Encoding,
    starts: Array,
    real: NDArray[np.int_],
    columns: NDArray[np.int_],
    slope: Callable[[Array], tuple[float, Array]],
    iterations: int,
) -> Array:
    """One L-BFGS over the continuous coordinates of all starts together: their sum has a maximum where each has.

    Parameters
    ----------
    encoding : Encoding
        Of the space.
    starts : ndarray of shape (k, number of dimensions)
        In the unit box.
    real, columns : ndarray of int
        The continuous coordinates, and where they stand among the features.
    slope : callable
        What is to be large at one row of features, and its gradient there.
    iterations : int
        At most.
    """
    features = encoding.features(starts)
    shape = (len(starts), len(real))

    def loss(flat: Array) -> tuple[float, Array]:
        features[:, columns] = flat.reshape(shape)
        parts = [slope(row) for row in features]
        return -sum(value for value, _ in parts), -np.concatenate([each[columns] for _, each in parts])

    bounds = [(0.0, 1.0)] * (shape[0] * shape[1])
    start = starts[:, real].ravel()
    found = minimize(loss, start, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": iterations})
    ends = starts.copy()
    ends[:, real] = np.clip(found.x.reshape(shape), 0.0, 1.0)
    return ends
