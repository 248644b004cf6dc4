"""Rules of the Taylor arithmetic for losses of a margin ``u = t z``: the loss, its slope and its curvature in u.

From the graph of ``log(1 + exp(-u))`` a model of its curvature, quotients of exponentials, soon knows nothing. With
``q = s (1 - s)``, ``s = 1 / (1 + exp(-u))``, the derivatives of s are ``q``, ``q (1 - 2 s)``, ``q (1 - 6 q)`` and
``q (1 - 2 s) (1 - 12 q)``. As ``q <= exp(-|u|)`` and ``q |1 - 2 s| <= 1 / (6 sqrt 3)``, their sizes on a range are at
most these or what stands below, whichever is less.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.graphs.taylor import Derivatives, Rule

_LARGEST = 0.0963, 0.1251, 0.1926  # of the second to the fourth derivative of s, anywhere
_CURVED = 0.2500001  # q is at most a quarter


def _share(u: Array) -> tuple[Array, Array]:
    """``1 - s`` and q."""
    small = np.exp(-np.abs(u))
    other = small / (1.0 + small)
    return np.where(u >= 0.0, other, 1.0 / (1.0 + small)), other / (1.0 + small)


def _small(low: Array, high: Array, most: float, factor: float) -> Array:
    """The larger of ``factor exp(-|u|)`` on a range, where that is less than ``most``."""
    nearest = np.maximum(np.maximum(low, -high), 0.0)
    return np.minimum(most, factor * np.exp(-nearest) * (1.0 + 1e-12))


def _logistic(c: Array, low: Array, high: Array) -> Derivatives:
    missing, q = _share(c)
    value, top, bottom = (np.log1p(np.exp(-np.abs(u))) - np.minimum(u, 0.0) for u in (c, low, high))
    return _arrays(value, -missing, q, _small(low, high, _LARGEST[0], 1.0), bottom, top)


def _logistic_slope(c: Array, low: Array, high: Array) -> Derivatives:
    missing, q = _share(c)
    third = _small(low, high, _LARGEST[1], 1.0)
    return -missing, q, q * (2.0 * missing - 1.0), third, -_share(low)[0], -_share(high)[0]


def _logistic_curvature(c: Array, low: Array, high: Array) -> Derivatives:
    missing, q = _share(c)
    at_low, at_high = _share(low)[1], _share(high)[1]
    top = np.where((low <= 0.0) & (high >= 0.0), _CURVED, np.maximum(at_low, at_high))
    third = _small(low, high, _LARGEST[2], 2.0)
    return q, q * (2.0 * missing - 1.0), q * (1.0 - 6.0 * q), third, np.minimum(at_low, at_high), top


def _squared_hinge(c: Array, low: Array, high: Array) -> Derivatives:
    short, bottom, top = (np.maximum(1.0 - u, 0.0) for u in (c, high, low))
    return _arrays(short**2, -2.0 * short, 2.0 * (c < 1.0), _crossing(low, high), bottom**2, top**2)


def _squared_hinge_slope(c: Array, low: Array, high: Array) -> Derivatives:
    value, bottom, top = (-2.0 * np.maximum(1.0 - u, 0.0) for u in (c, low, high))
    return _arrays(value, 2.0 * (c < 1.0), np.zeros_like(c), _crossing(low, high), bottom, top)


def _squared_hinge_curvature(c: Array, low: Array, high: Array) -> Derivatives:
    flat = np.zeros_like(c)
    return _arrays(2.0 * (c < 1.0), flat, flat, _crossing(low, high), 2.0 * (high < 1.0), 2.0 * (low <= 1.0))


def _arrays(*parts: Any) -> Derivatives:
    value, slope, bend, third, bottom, top = (np.asarray(part, dtype=np.float64) for part in parts)
    return value, slope, bend, third, bottom, top


def _crossing(low: Array, high: Array) -> Array:
    """Infinite where a range holds the kink of the slope, at 1: there the ends of the function have to do."""
    return np.where((low <= 1.0) & (high >= 1.0), np.inf, 0.0)


RULES: dict[str, tuple[Rule, Rule, Rule]] = {
    "logistic": (_logistic, _logistic_slope, _logistic_curvature),
    "squared_hinge": (_squared_hinge, _squared_hinge_slope, _squared_hinge_curvature),
}
"""The loss, its slope and its curvature in the margin, by the name of the loss."""
