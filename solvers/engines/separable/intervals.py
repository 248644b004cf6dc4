"""Interval arithmetic on arrays: many short intervals, and many terms, at once.

As in :mod:`bilevel.graphs.intervals`; every result is a hair wider than computed, for NumPy's exp, log and powers are
right to a unit or two in the last place. Where nothing is known an end is infinite.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bilevel.arrays import Array

_MARGIN = 4.0 * np.finfo(float).eps


class Interval:
    """Arrays of lower and upper ends.

    Parameters
    ----------
    low, high : ndarray
        Of shapes that fit together.
    """

    __slots__ = ("high", "low")

    def __init__(self, low: Array, high: Array) -> None:
        low, high = np.asarray(low), np.asarray(high)
        self.low = np.where(np.isnan(low), -np.inf, low - _MARGIN * np.abs(low))
        self.high = np.where(np.isnan(high), np.inf, high + _MARGIN * np.abs(high))

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __mul__(self, other: Any) -> Interval:
        """By an interval, or by numbers."""
        if not isinstance(other, Interval):
            a, b = _zero(self.low * other), _zero(self.high * other)
            return Interval(np.minimum(a, b), np.maximum(a, b))
        ends = [_zero(p * q) for p in (self.low, self.high) for q in (other.low, other.high)]
        return Interval(np.minimum.reduce(ends), np.maximum.reduce(ends))

    def __pow__(self, exponent: Any) -> Interval:
        """A power, the same for all where a base may be negative."""
        n = float(np.ravel(exponent)[0])
        whole = n.is_integer() and bool((np.asarray(exponent) == n).all())
        if whole and n < 0.0:
            return (self ** np.asarray(-exponent)).inverse()
        if whole and n % 2 == 0:
            size = np.abs(self.low), np.abs(self.high)
            across = (self.low < 0.0) & (self.high > 0.0)
            return Interval(np.where(across, 0.0, np.minimum(*size) ** n), np.maximum(*size) ** n)
        if whole:
            return Interval(self.low**n, self.high**n)
        a, b = np.maximum(self.low, 0.0) ** exponent, np.maximum(self.high, 0.0) ** exponent
        outside = self.high < 0.0
        return Interval(np.where(outside, -np.inf, np.minimum(a, b)), np.where(outside, np.inf, np.maximum(a, b)))

    def inverse(self) -> Interval:
        """One over it."""
        low, high = self.low, self.high
        apart = (low > 0.0) | (high < 0.0)
        return Interval(
            np.where(apart | ((low == 0.0) & (high > 0.0)), 1.0 / high, -np.inf),
            np.where(apart | ((high == 0.0) & (low < 0.0)), 1.0 / low, np.inf),
        )

    def exp(self) -> Interval:
        """Its exponential."""
        return Interval(np.exp(self.low), np.exp(self.high))

    def log(self) -> Interval:
        """Its logarithm, where it has one."""
        return Interval(
            np.where(self.low > 0.0, np.log(self.low), -np.inf), np.where(self.high > 0.0, np.log(self.high), np.inf)
        )

    def tanh(self) -> Interval:
        """Its hyperbolic tangent."""
        return Interval(np.tanh(self.low), np.tanh(self.high))

    def meet(self, other: Interval) -> Interval:
        """What both hold."""
        return Interval(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def summed(self) -> Interval:
        """Over the first axis."""
        return Interval(self.low.sum(axis=0), self.high.sum(axis=0))


def _zero(product: Array) -> Array:
    """Zero times infinity is zero, because infinity is only ever approached."""
    return np.where(np.isnan(product), 0.0, product)
