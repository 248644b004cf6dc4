"""How large an objective's derivatives are: whether it is written in units in which tolerances mean something."""

from __future__ import annotations

import math
from dataclasses import dataclass

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array

SMALL, LARGE = 0.1, 1e4
"""Of derivatives: an objective is flat where all are below the first, steep where all are above the second."""

_EXPLODING = 1e15  # derivatives beyond say that f explodes there, exp(1000 y) say, and nothing of its units
_POINTS = 7  # at which they are looked at
_SAMPLES = 32  # where values are looked at, twice: near zero and all over
_DWARFED = 1.0
_ROUNDING = 1e-13  # relative: what varies by less is constant
_REACH = 2.0  # how far these points are from zero or from a bound


def scale_of(f: ca.SX, variables: ca.SX, low: Array, high: Array, own: ca.SX | None = None) -> float:
    """The power of two that brings the derivatives of f to about one; 1 where f is neither flat nor steep.

    What is flat is measured by the largest derivative, what is steep by the smallest there is, so that none gets lost:
    ``y^2 + exp(1000 y)`` is steep at some points only. Looked at are a few points, the same each time. And f never
    varies by much less than one over its box: where y is measured in 1e-6 no f is flat by its derivatives, but one that
    varies by 1e-5 lets y move as far as it likes within the tolerances of f.

    Parameters
    ----------
    f : SX scalar
        The objective.
    variables : SX of shape (n, 1)
        Its symbols.
    low, high : ndarray of shape (n,)
        Their bounds, infinite where there is none.
    own : SX of shape (m, 1), optional
        Those in which to differentiate; all of them if not given.
    """
    slopes = ca.Function("slopes", [variables], [ca.densify(ca.gradient(f, variables if own is None else own))])
    first, last = _reach(low, high)
    # Not Generator.uniform, which refuses the interval from 0.0 to -0.0.
    points = first + (last - first) * np.random.default_rng(0).random((_POINTS, len(first)))
    values = np.abs([slopes(point).full()[:, 0] for point in points])
    known = np.isfinite(values) & (values <= _EXPLODING)
    largest = values.max(axis=0, initial=0.0, where=known)
    smallest = values.min(axis=0, initial=math.inf, where=known & (values > 0.0))[largest > 0.0]
    largest = largest[largest > 0.0]
    if not largest.size:
        return 1.0
    scale = 1.0
    if largest.max() < SMALL:
        scale = _inverse(float(largest.max()))
    elif smallest.min() > LARGE:
        scale = _inverse(float(smallest.min()))
    width = spread_of(f, variables, low, high).width
    return scale if not scale * width < SMALL else _inverse(width)


def _inverse(size: float) -> float:
    """The power of two next to ``1 / size``."""
    return float(2.0 ** round(-math.log2(size)))


@dataclass(frozen=True)
class Spread:
    """What a function comes to at some points of a box.

    Attributes
    ----------
    middle : float
        The median.
    width : float
        Between the least and the largest value; infinite where it has no value at any of the points.
    """

    middle: float
    width: float

    def scale(self, value: float) -> float:
        """What tolerances on this function are relative to, at one of its values: see ``tolerances.size``."""
        return tolerances.size(value, self.middle, self.width)

    @property
    def origin(self) -> float:
        """The middle where that dwarfs the width, else zero."""
        return self.middle if abs(self.middle) > _DWARFED * self.width else 0.0

    @property
    def unit(self) -> float:
        """The power of two next to the width where that is small, else 1."""
        return float(2.0 ** round(math.log2(self.width))) if self.width < 1.0 else 1.0


def spread_of(f: ca.SX, variables: ca.SX, low: Array, high: Array) -> Spread:
    """What a function of some variables varies by: over their box, and near zero or a bound within it."""
    return spreads_of(f, variables, low, high)[0]


def spreads_of(functions: ca.SX, variables: ca.SX, low: Array, high: Array) -> list[Spread]:
    """The same of each of several functions, shape (m, 1)."""
    points = sampled(low, high)
    values = ca.Function("values", [variables], [ca.densify(functions)]).map(len(points))(points.T).full()
    return [spread_among(row) for row in values]


def sampled(low: Array, high: Array) -> Array:
    """Points of a box, shape (k, n): spread over it, and near zero or a bound within it.

    Where a variable has no bound, near zero alone. The same points each time.
    """
    near, wide = _reach(low, high), np.isfinite(low) & np.isfinite(high)
    ends = np.where(wide, low, near[0]), np.where(wide, high, near[1])
    shares = np.random.default_rng(0).random((_SAMPLES, len(low)))
    return np.concatenate([first + (last - first) * shares for first, last in (near, ends)])


def spread_among(values: Array) -> Spread:
    """What is seen in some values of a function, shape (k,)."""
    values = values[np.isfinite(values) & (np.abs(values) < _EXPLODING)]
    if not values.size:
        return Spread(0.0, math.inf)
    middle, width = float(np.median(values)), float(np.ptp(values))
    return Spread(middle, width if width > _ROUNDING * abs(middle) else math.inf)


def _reach(low: Array, high: Array) -> tuple[Array, Array]:
    """Where variables are looked at: near zero, within their bounds."""
    from_above = np.where(np.isfinite(high), np.minimum(high, _REACH) - 2 * _REACH, -_REACH)
    first = np.where(np.isfinite(low), np.maximum(low, -_REACH), from_above)
    return first, np.maximum(first, np.minimum(high, first + 2 * _REACH))
