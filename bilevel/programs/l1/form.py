"""Least squares in coefficients w with a penalty, a kink and bounds of its own on each: the lasso and its relatives.

    min_w  c(x) ||R w - t||^2 + q(x)'w + 1/2 sum_j d_j(x) w_j^2
           + sum_j (a_j(x) max(w_j, 0) + b_j(x) max(-w_j, 0)) + k(x)
    s.t.   lower <= w <= upper                  with  lower <= 0 <= upper  and  a_j + b_j >= 0.

R and t are arrays; of x are the weights alone, so that nothing symbolic grows with R. This holds the lasso (Tibshirani
1996), the elastic net (Zou and Hastie 2005), adaptive weights, quantiles of a prior, and non-negative least squares.

Users write |w| as ``abs(w)``, as ``t >= w, t >= -w``, or split w into ``u - v``. Which variable of the program plays
which part is known here, what it follows from in :mod:`bilevel.programs.l1.recognition`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled

_SAME = 1e-11  # two entries this close, relative to the largest, are one


@dataclass(frozen=True, eq=False, slots=True)
class Weights:
    """What depends on x, at one x.

    Attributes
    ----------
    scale : float
        c, above zero.
    linear, ridge, above, below : ndarray of shape (p,)
        q, d, a and b.
    constant : float
        k.
    single : bool
        Whether the program's own variables are the only ones that give w: not where a split or a bound above ``|w|``
        costs nothing.
    """

    scale: float
    linear: Array
    ridge: Array
    above: Array
    below: Array
    constant: float
    single: bool


@dataclass(frozen=True, eq=False)
class Tops:
    """Variables above ``max(up w, -down w)``, written as rows.

    Attributes
    ----------
    places, owners : ndarray of int, shape (k,)
        Where they stand in y, and which coefficient they are above.
    up, down : ndarray of shape (k,)
        Their slopes.
    written : ndarray of bool, shape (k,)
        Whether the user wrote them: then he sees them where they cost nothing.
    """

    places: NDArray[np.int_]
    owners: NDArray[np.int_]
    up: Array
    down: Array
    written: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Curvatures:
    """Where the entries of the Hessian that move, or stand beside the squares, go.

    Attributes
    ----------
    entries : ndarray of int, shape (k,)
        Kind of each: 0 on the diagonal of ``plus``, 1 on that of ``minus``, 2 between the two.
    owners : ndarray of int, shape (k,)
        The coefficient it belongs to.
    still : ndarray of shape (3, p)
        What does not move, by kind.
    """

    entries: NDArray[np.int_]
    owners: NDArray[np.int_]
    still: Array


@dataclass(frozen=True, eq=False)
class L1Form:
    """A program in this form.

    Attributes
    ----------
    n : int
        Number of the program's variables.
    matrix, target : ndarray of shape (k, p), (k,)
        R and t.
    lower, upper : ndarray of shape (p,)
        Bounds of the coefficients.
    plus, minus : ndarray of int, shape (p,)
        Where w, or its positive and its negative part, stand in y; minus is -1 where w is not split.
    tops : Tops
        The variables above ``|w|``.
    curvatures : Curvatures
        The Hessian beside the squares.
    offset : ndarray of shape (p,)
        What of q is in t already.
    compiled : Compiled
        The scale, the constant, the linear costs of y, then the moving entries of the Hessian.
    level : float
        What of k is in t already.
    """

    n: int
    matrix: Array
    target: Array
    lower: Array
    upper: Array
    plus: NDArray[np.int_]
    minus: NDArray[np.int_]
    tops: Tops
    curvatures: Curvatures
    offset: Array
    compiled: Compiled
    level: float

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return len(self.plus)

    def at(self, parameters: Array) -> Weights | None:
        """The weights at a value of the parameters; None where the program is not of this form, or not convex, there.

        Raises
        ------
        FloatingPointError
            If they are no numbers.
        """
        (values,) = self.compiled(parameters)
        if not np.isfinite(values).all():
            raise FloatingPointError("a weight of the penalty or of the data is no number at this point")
        costs = values[2 : 2 + self.n]
        split = self.minus >= 0
        of_plus, of_minus = costs[self.plus], np.where(split, costs[self.minus], 0.0)
        half = np.where(split, 0.5 * (of_plus + of_minus), 0.0)
        linear = np.where(split, 0.5 * (of_plus - of_minus), of_plus) - self.offset
        above, below = half, half.copy()
        of_tops = costs[self.tops.places]
        np.add.at(above, self.tops.owners, of_tops * self.tops.up)
        np.add.at(below, self.tops.owners, of_tops * self.tops.down)
        kinds = self.curvatures.still.copy()
        np.add.at(kinds, (self.curvatures.entries, self.curvatures.owners), values[2 + self.n :])
        ridge, product = kinds[0], np.where(split, kinds[0] + kinds[2], 0.0)
        slack = _SAME * float(np.abs(kinds).max(initial=0.0))
        if (np.abs(kinds[1] - ridge)[split] > slack).any() or (ridge < -slack).any() or (product < -slack).any():
            return None
        size = _SAME * max(float(np.abs(costs).max(initial=0.0)), float(np.abs(self.offset).max(initial=0.0)))
        if values[0] <= 0.0 or (of_tops < 0.0).any() or (half < -size).any():
            return None
        loose = (half <= size) & split
        single = not (loose & (product <= slack)).any() and not (self.tops.written & (of_tops <= 0.0)).any()
        half[loose] = np.maximum(half[loose], 0.0)
        return Weights(
            float(values[0]),
            linear,
            np.maximum(ridge, 0.0),
            above,
            below,
            float(values[1]) - float(values[0]) * self.level,
            single,
        )

    def coefficients(self, y: Array) -> Array:
        """W of a point y."""
        return np.where(self.minus >= 0, y[self.plus] - y[self.minus], y[self.plus])

    def point(self, w: Array) -> Array:
        """The point y of coefficients w at which the program's other variables are at their least."""
        y = np.zeros(self.n)
        split = self.minus >= 0
        y[self.plus] = np.where(split, np.maximum(w, 0.0), w)
        y[self.minus[split]] = np.maximum(-w[split], 0.0)
        of_tops, tops = w[self.tops.owners], self.tops
        y[tops.places] = tops.up * np.maximum(of_tops, 0.0) + tops.down * np.maximum(-of_tops, 0.0)
        return y

    def lowered(self, y: Array) -> Array:
        """A point with the variables that nobody wrote at their least."""
        tops, found = self.tops, y.copy()
        w = self.coefficients(y)[tops.owners]
        least = tops.up * np.maximum(w, 0.0) + tops.down * np.maximum(-w, 0.0)
        found[tops.places] = np.where(tops.written, y[tops.places], least)
        return found

    def drawn(self, slope: Array, sides: Array) -> Array:
        """Of a function of y with this gradient: its gradient in w, each coefficient on one side of zero."""
        split = self.minus >= 0
        found = np.where(split & (sides < 0), -slope[self.minus], slope[self.plus])
        tops, side = self.tops, sides[self.tops.owners]
        np.add.at(found, tops.owners, slope[tops.places] * np.where(side < 0, -tops.down, tops.up))
        return found

    def spread(self, motion: Array, sides: Array) -> Array:
        """The motion of y that goes with one of w, each coefficient on one side of zero."""
        y = np.zeros(self.n)
        split = self.minus >= 0
        negative = split & (sides < 0)
        y[self.plus] = np.where(negative, 0.0, motion)
        y[self.minus[negative]] = -motion[negative]
        tops, side = self.tops, sides[self.tops.owners]
        y[tops.places] = motion[tops.owners] * np.where(side < 0, -tops.down, tops.up)
        return y

    def objective(self, weights: Weights, w: Array) -> float:
        """F at w."""
        residual = self.matrix @ w - self.target
        bent = weights.above @ np.maximum(w, 0.0) + weights.below @ np.maximum(-w, 0.0)
        smooth = weights.linear @ w + 0.5 * (weights.ridge @ (w * w))
        return weights.scale * float(residual @ residual) + float(smooth + bent) + weights.constant

    def slope(self, weights: Weights, w: Array) -> Array:
        """The gradient of the smooth part at w."""
        residual = self.matrix @ w - self.target
        return (2.0 * weights.scale) * (residual @ self.matrix) + weights.linear + weights.ridge * w

    def slopes_around(self, weights: Weights, w: Array) -> tuple[Array, Array]:
        """The derivatives of the penalties to the left and to the right of w, infinite beyond a bound."""
        right = np.where(w >= self.upper, np.inf, np.where(w >= 0.0, weights.above, -weights.below))
        left = np.where(w <= self.lower, -np.inf, np.where(w <= 0.0, -weights.below, weights.above))
        return left, right
