"""Arithmetic with Taylor models: a polynomial of degree 2 on a box plus what it misses, for many boxes at once.

A model of a function g on a box ``x = m + r t``, ``t in [-1, 1]^d``, is a polynomial p in t and a radius R with
``|g(x) - p(t)| <= R`` on the whole box (Makino and Berz 2003, "Taylor models and other validated functional inclusion
methods"). Sums are exact but for rounding; a product keeps the terms of degree 2 and pays for the others with their
largest size; a function ``f(c + u)`` becomes ``f(c) + f'(c) u + f''(c) u^2 / 2`` with ``sup |f'''| |u|^3 / 6`` besides.
Hence R falls with the cube of the box's width wherever the functions are smooth.

A model is an array whose first axis holds, in this order, the constant, the d linear and the ``d (d + 1) / 2``
quadratic coefficients and the radius; the other axes (functions, boxes) are free. Ends are not rounded outwards:
instead every operation adds to the radius more than the rounding of its own terms, library functions taken to be right
to eight units in the last place. A radius that is infinite or no number says that nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bilevel.arrays import Array

_UNIT = 2.0**-52  # twice the unit of rounding
_MANY = 16 * _UNIT  # more than a product or a function is off by, relative to the size of its terms

Derivatives = tuple[Array, Array, Array, Array, Array, Array]
"""f, f' and f'' at the centre, the largest ``|f'''|`` on the range, and the ends of f there."""
Rule = Callable[[Array, Array, Array], Derivatives]
"""From the centre and the ends of the argument's range."""


class Taylor:
    """The arithmetic in d variables.

    Parameters
    ----------
    d : int
        Number of variables t.
    """

    def __init__(self, d: int) -> None:
        first, second = np.triu_indices(d)
        self.d, self.size = d, 1 + d + len(first) + 1
        self.linear, self.quadratic = slice(1, 1 + d), slice(1 + d, self.size - 1)
        self._first, self._second = 1 + first, 1 + second
        self._twice = first != second
        self.squares = np.flatnonzero(~self._twice) + 1 + d
        self.pairs = list(zip(first.tolist(), second.tolist(), strict=True))

    def constant(self, values: Array) -> Array:
        """The models of numbers, shape ``(size, *values.shape)``."""
        model = np.zeros((self.size, *values.shape))
        model[0] = values
        return model

    def coordinates(self, low: Array, high: Array) -> Array:
        """The models of x itself on boxes ``[low, high]`` of shape (d, boxes): shape (size, d, boxes)."""
        middle = 0.5 * (low + high)
        model = self.constant(middle)
        reach = np.maximum(middle - low, high - middle) * (1.0 + _UNIT)
        for k in range(self.d):
            model[1 + k, k] = reach[k]
        model[-1] = _UNIT * (np.abs(middle) + reach)
        return model

    def reach(self, model: Array) -> Array:
        """How far p(t) can be from its constant."""
        total: Array = np.abs(model[1:-1]).sum(axis=0)
        return total

    def ranges(self, model: Array) -> tuple[Array, Array]:
        """Ends of the function's range on each box."""
        squares = model[self.squares]
        spread = np.abs(model[1:]).sum(axis=0) - 0.5 * np.abs(squares).sum(axis=0)
        middle = model[0] + 0.5 * squares.sum(axis=0)
        slack = _UNIT * (self.size * np.abs(middle) + np.abs(model).sum(axis=0))
        return middle - spread - slack, middle + spread + slack

    def add(self, a: Array, b: Array) -> Array:
        """``a + b``."""
        total: Array = a + b
        return _rounded(total)

    def subtract(self, a: Array, b: Array) -> Array:
        """``a - b``."""
        total: Array = a - b
        total[-1] = a[-1] + b[-1]
        return _rounded(total)

    def shifted(self, a: Array, number: Array | float) -> Array:
        """``a + number``."""
        total = a.copy()
        total[0] += number
        return _rounded(total)

    def scaled(self, a: Array, number: Array | float) -> Array:
        """``number a``."""
        product: Array = a * number
        product[-1] = np.abs(product[-1])
        return _rounded(product)

    def multiply(self, a: Array, b: Array) -> Array:
        """``a b``."""
        product: Array = a[0] * b + b[0] * a
        product[0] = a[0] * b[0]
        product[self.quadratic] += self._outer(a, b)
        sizes_a, sizes_b = np.abs(a), np.abs(b)
        linear_a, linear_b = sizes_a[self.linear].sum(axis=0), sizes_b[self.linear].sum(axis=0)
        far_a = sizes_a[self.quadratic].sum(axis=0) + a[-1]
        far_b = sizes_b[self.quadratic].sum(axis=0) + b[-1]
        radius = sizes_a[0] * b[-1] + sizes_b[0] * a[-1]
        radius += linear_a * far_b + far_a * linear_b + far_a * far_b
        radius += _MANY * (sizes_a[0] + linear_a + far_a) * (sizes_b[0] + linear_b + far_b)
        product[-1] = radius
        return product

    def mapped(self, matrix: Array, a: Array) -> Array:
        """``M a`` with a constant matrix of shape (q, p), for models of shape (size, p, boxes)."""
        image: Array = matrix @ a
        rounding = matrix.shape[1] * _UNIT * np.abs(a).sum(axis=0)
        image[-1] = np.abs(matrix) @ (a[-1] + rounding)
        return image

    def _outer(self, a: Array, b: Array) -> Array:
        """The quadratic coefficients of the product of two linear parts."""
        product: Array = a[self._first] * b[self._second]
        twice = self._twice
        product[twice] += a[self._second[twice]] * b[self._first[twice]]
        return product

    def composed(self, a: Array, rule: Rule) -> Array:
        """``f(a)``; the constant hull of f's range where that is better than the polynomial's remainder."""
        low, high = self.ranges(a)
        value, slope, bend, third, bottom, top = rule(a[0], low, high)
        sizes = np.abs(a)
        linear = sizes[self.linear].sum(axis=0)
        far = sizes[self.quadratic].sum(axis=0) + a[-1]
        reach = linear + far
        found: Array = slope * a
        found[0] = value
        found[self.quadratic] += 0.5 * bend * self._outer(a, a)
        radius = np.abs(slope) * a[-1] + 0.5 * np.abs(bend) * far * (2.0 * linear + far) + third * reach**3 / 6.0
        found[-1] = radius * (1.0 + _MANY) + _MANY * (np.abs(value) + np.abs(slope) * reach + np.abs(bend) * reach**2)
        return self._or_hull(found, bottom, top)

    def hull(self, bottom: Array, top: Array) -> Array:
        """The models of functions of which only ranges are known."""
        middle = 0.5 * (bottom + top)
        known = np.isfinite(middle)
        model = self.constant(np.where(known, middle, 0.0))
        spread = 0.5 * (top - bottom) * (1.0 + _MANY) + _MANY * (np.abs(bottom) + np.abs(top))
        model[-1] = np.where(known, spread, np.inf)
        return model

    def _or_hull(self, found: Array, bottom: Array, top: Array) -> Array:
        hull = self.hull(bottom, top)
        worse = ~(found[-1] <= hull[-1]) | ~np.isfinite(found[:-1]).all(axis=0)
        return np.where(worse, hull, found) if worse.any() else found

    def absolute(self, a: Array) -> Array:
        """``|a|``: one of its branches where the sign is known, else the hull."""
        low, high = self.ranges(a)
        hull = self.hull(np.zeros_like(low), np.maximum(-low, high))
        return np.where(low >= 0.0, a, np.where(high <= 0.0, _negative(a), hull))

    def larger(self, a: Array, b: Array) -> Array:
        """``max(a, b) = (a + b + |a - b|) / 2``, or the one of the two that is larger throughout."""
        low, high = self.ranges(self.subtract(a, b))
        hull = self.hull(np.zeros_like(low), np.maximum(-low, high))
        both = self.scaled(self.add(self.add(a, b), hull), 0.5)
        return np.where(low >= 0.0, a, np.where(high <= 0.0, b, both))

    def step(self, a: Array, below: float, at: float) -> Array:
        """1 where ``a > 0``, ``at`` where ``a == 0``, ``below`` where ``a < 0``."""
        low, high = self.ranges(a)
        values = np.array([below, at, 1.0])[:, None]
        met = np.stack([low < 0.0, (low <= 0.0) & (high >= 0.0), high > 0.0])
        values = values.reshape(3, *([1] * low.ndim))
        return self.hull(np.where(met, values, np.inf).min(axis=0), np.where(met, values, -np.inf).max(axis=0))


def _negative(a: Array) -> Array:
    found: Array = -a
    found[-1] = a[-1]
    return found


def _rounded(model: Array) -> Array:
    """Add to the radius what the last operation may have rounded away."""
    model[-1] += _UNIT * np.abs(model).sum(axis=0)
    return model
