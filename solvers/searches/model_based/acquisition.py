r"""What a next point is worth, by the Gaussian posterior at it; larger is better, and every one is smooth.

With posterior mean m, standard deviation s, incumbent b and z = (b - m)/s, for a cost that is minimised:

    log_ei   log E[max(0, b - Y)] = log s + log h(z),   h(z) = phi(z) + z Phi(z)          (Jones et al. 1998)
    pi       log P[Y < b] = log Phi(z)                                                    (Kushner 1964)
    lcb      -(m - 2 s)                                                                   (Cox and John 1992)

Expected improvement is zero in floating point over most of the box once the incumbent is good; its logarithm in the
erfcx form is not, and climbs to the same maximum (Ament et al. 2023, arXiv 2310.20708, eq. 9).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erfcx, log_ndtr

from bilevel.arrays import Array

__all__ = ["ACQUISITIONS", "Acquisition", "log_expected_improvement", "log_improvement_probability", "lower_confidence"]

Acquisition = Callable[[Array, Array, float], tuple[Array, Array, Array]]
"""``(mean, deviation, incumbent) -> (value, its derivative by the mean, by the deviation)``."""

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
_HALF_LOG_HALF_PI = 0.5 * math.log(math.pi / 2)
_FAR = -1e6
"""Below this z, ``h(z) ~ phi(z) / z^2`` to all digits, and the erfcx form loses them."""


def log_h(z: Array) -> Array:
    """``log(phi(z) + z Phi(z))`` to full relative precision for every z."""
    near = np.maximum(z, -1.0)
    plain = np.log(np.exp(-0.5 * near**2 - _HALF_LOG_TWO_PI) + near * np.exp(log_ndtr(near)))
    tail = np.clip(z, _FAR, -1.0)
    share = np.log(erfcx(-tail / math.sqrt(2)) * -tail) + _HALF_LOG_HALF_PI
    remainder = np.log(-np.expm1(np.minimum(share, -1e-300)))
    far = np.where(z < _FAR, -2 * np.log(-np.minimum(z, -1.0)), remainder)
    return np.where(z > -1.0, plain, -0.5 * z**2 - _HALF_LOG_TWO_PI + far)


def log_expected_improvement(mean: Array, deviation: Array, incumbent: float) -> tuple[Array, Array, Array]:
    """Logarithm of the expected improvement and its two derivatives."""
    z = (incumbent - mean) / deviation
    log_excess = log_h(z)
    slope = np.exp(log_ndtr(z) - log_excess)
    return np.log(deviation) + log_excess, -slope / deviation, (1.0 - z * slope) / deviation


def log_improvement_probability(mean: Array, deviation: Array, incumbent: float) -> tuple[Array, Array, Array]:
    """Logarithm of the probability of improvement and its two derivatives."""
    z = (incumbent - mean) / deviation
    value = log_ndtr(z)
    slope = np.exp(-0.5 * z**2 - _HALF_LOG_TWO_PI - value) / deviation
    return value, -slope, -z * slope


def lower_confidence(mean: Array, deviation: Array, incumbent: float) -> tuple[Array, Array, Array]:
    """Two standard deviations below the mean, negated."""
    return 2.0 * deviation - mean, np.full_like(mean, -1.0), np.full_like(mean, 2.0)


ACQUISITIONS: dict[str, Acquisition] = {
    "log_ei": log_expected_improvement,
    "pi": log_improvement_probability,
    "lcb": lower_confidence,
}
