"""One form at one x, in units in which the column of every coefficient has length one.

With the lengths ``s_j^2 = 2 c ||R_j||^2 + d_j`` and ``z_j = s_j w_j`` the Hessian has a unit diagonal, so that a
tolerance means the same for coefficients in grams and in tonnes, and a pivot of a Cholesky factor is a column's
distance from the span of the others. Where pivots are small the products have lost half of the digits, and the factor
is that of the columns themselves (Bjorck 1996, "Numerical methods for least squares problems", 6.6: seminormal
equations with refinement).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.linalg.lapack import dpotrf, dpotrs

from bilevel.arrays import Array
from bilevel.programs.l1.form import L1Form, Weights

GRAM = 2000
"""Coefficients up to which all products are kept."""

_SAFE_PIVOT = 1e-4  # above it the factor of the products has digits enough
_DEPENDENT = 1e-10  # a column this close to the span of others is in it
_NOISE = 4e-15  # of a gradient, relative to the lengths of what is multiplied


@dataclass(frozen=True, slots=True)
class Factor:
    """A triangular factor of a block of the Hessian.

    Attributes
    ----------
    upper : ndarray of shape (k, k)
        R with ``R'R`` the block.
    least : float
        Its smallest pivot: the least distance of a column from the span of those before it.
    """

    upper: Array
    least: float

    def solve(self, right: Array) -> Array:
        """The block's inverse times a vector."""
        return np.asarray(dpotrs(self.upper, right)[0])

    @property
    def shaky(self) -> bool:
        """Whether one solve is not to the last digits."""
        return self.least < 0.03


class UnitColumns:
    """A form at one x.

    Parameters
    ----------
    form : L1Form
        The program.
    weights : Weights
        At x.
    gram : ndarray of shape (p, p) or None
        ``R'R`` where it is kept.
    norms : ndarray of shape (p,)
        The squared lengths of R's columns.
    """

    def __init__(self, form: L1Form, weights: Weights, gram: Array | None, norms: Array) -> None:
        self.form, self.weights, self._gram = form, weights, gram
        squares = (2.0 * weights.scale) * norms + weights.ridge
        self.flat: NDArray[np.bool_] = squares == 0.0
        self.lengths = np.where(self.flat, 1.0, np.sqrt(squares))
        self.lower, self.upper = form.lower * self.lengths, form.upper * self.lengths
        self.above, self.below = weights.above / self.lengths, weights.below / self.lengths
        self._ridge = weights.ridge / (self.lengths * self.lengths)
        at_zero = self.slope(np.zeros(form.p))
        self.unit = float(np.abs(at_zero).max(initial=0.0))
        pull = float(np.abs(weights.linear / self.lengths).max(initial=0.0))
        self.noise = _NOISE * (float(np.sqrt(2.0 * weights.scale) * np.linalg.norm(form.target)) + pull)
        self._known: tuple[bytes | None, Factor | None] = None, None

    def slope(self, z: Array) -> Array:
        """The gradient of the smooth part."""
        form, weights = self.form, self.weights
        w = z / self.lengths
        places = np.flatnonzero(w)
        if 4 * len(places) < form.p:
            residual = form.matrix[:, places] @ w[places] - form.target
        else:
            residual = form.matrix @ w - form.target
        total = (2.0 * weights.scale) * (residual @ form.matrix) + weights.linear + weights.ridge * w
        return np.asarray(total / self.lengths)

    def objective(self, z: Array) -> float:
        """Its value with the penalties."""
        return self.form.objective(self.weights, z / self.lengths)

    def block(self, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Array:
        """Some entries of the Hessian."""
        matrix = self.form.matrix
        products = (
            matrix[:, rows].T @ matrix[:, columns] if self._gram is None else self._gram[rows[:, None], columns[None]]
        )
        found = (2.0 * self.weights.scale / (self.lengths[rows][:, None] * self.lengths[columns][None])) * products
        if rows is columns:
            found[np.arange(len(rows)), np.arange(len(rows))] = 1.0
        else:
            found += np.where(rows[:, None] == columns[None], self._ridge[columns][None], 0.0)
        return np.asarray(found)

    def columns(self, places: NDArray[np.int_]) -> Array:
        """The columns themselves, those of the ridge below: the Hessian's block is ``B'B``."""
        data = np.sqrt(2.0 * self.weights.scale) * self.form.matrix[:, places] / self.lengths[places]
        return np.vstack([data, np.diag(np.sqrt(self._ridge[places]))]) if self._ridge[places].any() else data

    def factor(self, places: NDArray[np.int_]) -> Factor | None:
        """Of the block of some coefficients; None where their columns depend on each other."""
        key = places.tobytes()
        if self._known[0] != key:
            self._known = key, self._factored(places)
        return self._known[1]

    def _factored(self, places: NDArray[np.int_]) -> Factor | None:
        if not len(places):
            return Factor(np.zeros((0, 0)), 1.0)
        if self.flat[places].any():
            return None
        upper, failed = dpotrf(np.asfortranarray(self.block(places, places)))
        least = 0.0 if failed else float(upper.diagonal().min())
        if least > _SAFE_PIVOT:
            return Factor(upper, least)
        columns = self.columns(places)
        if columns.shape[0] < len(places):
            return None
        upper = np.asfortranarray(qr(columns, mode="r", check_finite=False)[0][: len(places)])
        least = float(np.abs(upper.diagonal()).min())
        return Factor(upper, least) if least > _DEPENDENT else None

    def silent(self, places: NDArray[np.int_]) -> Array | None:
        """A direction in dependent coefficients that the data do not see, shape (k,); None where there is none."""
        columns = self.columns(places)
        upper, order = qr(columns, mode="r", pivoting=True, check_finite=False)[:2]
        diagonal = np.abs(upper.diagonal())
        rank = int((diagonal > _DEPENDENT).sum())
        if rank == len(places):
            return None
        direction = np.zeros(len(places))
        direction[order[rank]] = 1.0
        if rank:
            direction[order[:rank]] = np.linalg.lstsq(upper[:rank, :rank], -upper[:rank, rank], rcond=None)[0]
        return direction
