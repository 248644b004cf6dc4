"""Costs as the surrogates see them: logarithmic above the median, standardised, failures as bad as the worst.

A few terrible points would otherwise set the scale and flatten all that is worth modelling; below the median, where the
optimum lies, nothing is bent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array

Mask = NDArray[np.bool_]

_HUGE = 1e100


def warp(costs: Array, answered: Mask, feasible: Mask) -> Array:
    """Transformed costs with mean about 0 and deviation about 1; the worst of them where there was no answer.

    Parameters
    ----------
    costs : ndarray of shape (n,)
        To be minimised; ignored where not answered.
    answered, feasible : ndarray of bool, shape (n,)
        Where there is a cost, and where it counts. The feasible ones set the scale: points that break a coupling
        constraint may look far better than any that does not.
    """
    if not answered.any():
        return np.zeros(len(costs))
    base = costs[feasible] if feasible.sum() >= 2 else costs[answered]
    median, low = float(np.median(base)), float(base.min())
    unit = median - low or float(np.abs(base - median).max()) or 1.0
    with np.errstate(over="ignore"):
        scaled = np.clip((np.where(answered, costs, median) - median) / unit, -_HUGE, _HUGE)
    bent = np.where(scaled > 0, np.log1p(np.maximum(scaled, 0.0)), np.maximum(scaled, -1.0))
    bent -= np.log1p(np.maximum(-1.0 - scaled, 0.0))
    known = bent[answered]
    values = (bent - known.mean()) / (float(known.std()) or 1.0)
    return np.asarray(np.where(answered, values, values[answered].max()))


def warped_errors(costs: Array, errors: Array, answered: Mask, feasible: Mask) -> Array:
    """What small errors of the costs come to in the units of :func:`warp`: its slope times them, shape (n,).

    Parameters
    ----------
    costs, errors : ndarray of shape (n,)
        And their standard errors; 0 where there is none.
    answered, feasible : ndarray of bool, shape (n,)
        As there.
    """
    base = costs[feasible] if feasible.sum() >= 2 else costs[answered]
    if not len(base):
        return np.zeros(len(costs))
    median, low = float(np.median(base)), float(base.min())
    unit = median - low or float(np.abs(base - median).max()) or 1.0
    scaled = np.clip((np.where(answered, costs, median) - median) / unit, -_HUGE, _HUGE)
    slopes = 1.0 / np.where(scaled > 0, 1.0 + scaled, np.maximum(1.0, -scaled))
    bent = np.where(scaled > 0, np.log1p(np.maximum(scaled, 0.0)), np.maximum(scaled, -1.0))
    bent -= np.log1p(np.maximum(-1.0 - scaled, 0.0))
    return np.asarray(np.where(answered, errors * slopes / unit / (float(bent[answered].std()) or 1.0), 0.0))


def warp_violation(violations: Array, answered: Mask) -> Array:
    """Transformed violations: positive where a constraint is broken, -1/2 where none is, 1 for the typical violation.

    How far inside a feasible point lies is not reported, hence the constant.
    """
    broken = violations[answered & (violations > 0)]
    unit = float(np.median(broken)) if len(broken) else 1.0
    known = np.where(violations > 0, np.log1p(np.maximum(violations, 0.0) / unit) / np.log(2.0), -0.5)
    worst = float(known[answered].max()) if answered.any() else 1.0
    return np.where(answered, known, worst)
