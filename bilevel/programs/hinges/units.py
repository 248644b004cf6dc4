"""One sum of hinges at one x, in units in which its rows, kinks and caps are of magnitude one.

Columns have a root mean square of one, the largest kink is one and so is the median of the finite caps: a tolerance
then means the same for features in grams and in tonnes, and for any C.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.programs.hinges.form import Weights


class Units:
    """The numbers of one form that no x moves, scaled.

    Parameters
    ----------
    matrix : ndarray of shape (m, p)
        A.
    """

    def __init__(self, matrix: Array) -> None:
        lengths = np.sqrt(np.einsum("ij,ij->j", matrix, matrix) / max(len(matrix), 1))
        self._lengths = np.where(lengths > 0.0, lengths, 1.0)
        self._rows = np.ascontiguousarray(matrix / self._lengths)

    def at(self, weights: Weights) -> Scaled:
        """The program at one x."""
        return Scaled(self._rows, self._lengths, weights)


class Scaled:
    """A program whose numbers are of magnitude one.

    Attributes
    ----------
    rows, hessian, linear, caps, kinks, rounding : ndarray
        A, H, q, c, h and g of :mod:`bilevel.programs.hinges.form`.
    bounded : ndarray of bool, shape (m,)
        Whether the caps are finite.
    sizes : ndarray of shape (p,)
        One of these units in the form's own, of each coefficient;
    force, kink : float
        of forces, and of kinks.
    """

    def __init__(self, rows: Array, lengths: Array, weights: Weights) -> None:
        finite = weights.caps[np.isfinite(weights.caps) & (weights.caps > 0.0)]
        self.force = float(np.median(finite)) if len(finite) else 1.0
        self.kink = float(np.abs(weights.kinks).max(initial=0.0)) or 1.0
        self.rows, self.sizes = rows, self.kink / lengths
        self.hessian = weights.hessian * (self.kink / self.force / (lengths[:, None] * lengths))
        self.linear = weights.linear / (self.force * lengths)
        self.caps, self.kinks = weights.caps / self.force, weights.kinks / self.kink
        self.rounding = weights.rounding * (self.force / self.kink)
        self.bounded = np.isfinite(self.caps)

    def only(self, chosen: NDArray[np.bool_]) -> Scaled:
        """The same with some of the rows."""
        other = copy(self)
        for name in ("rows", "caps", "kinks", "rounding", "bounded"):
            setattr(other, name, getattr(self, name)[chosen])
        return other

    def pull(self, w: Array, b: Array) -> Array:
        """``H w + q - A'b``: zero at an optimum."""
        found: Array = self.hessian @ w + self.linear - b @ self.rows
        return found

    def short(self, w: Array) -> Array:
        """``h - A w``."""
        found: Array = self.kinks - self.rows @ w
        return found
