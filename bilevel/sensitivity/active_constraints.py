"""Which constraints hold an answer, and with what multipliers where these are not the only ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import sparse

from bilevel.arrays import Array

_ON = 1e-7  # distance from a bound, relative to its size, that counts as on it


@dataclass(slots=True)
class Active:
    """The constraints that hold an answer.

    Attributes
    ----------
    matrix : ndarray or csr_array of shape (k, n)
        Their gradients.
    owners : ndarray of int, shape (k,)
        The row each belongs to, -1 for a bound.
    weights : ndarray of shape (m,)
        The rows' multipliers.
    strict : bool
        Whether no other constraint is active, with a zero multiplier.
    """

    matrix: Any
    owners: NDArray[np.int_]
    weights: Array
    strict: bool


class Ends:
    """Bounds, and the test of who stands on them."""

    def __init__(self, lower: Array, upper: Array) -> None:
        self._low = lower + _ON * np.where(np.isfinite(lower), np.maximum(1.0, np.abs(lower)), 0.0)
        self._high = upper - _ON * np.where(np.isfinite(upper), np.maximum(1.0, np.abs(upper)), 0.0)

    def side(self, values: Array) -> Array:
        """Of each value: 1 on its upper bound, -1 on its lower one, 0 on none."""
        return np.where(values >= self._high, 1.0, np.where(values <= self._low, -1.0, 0.0))


def basic_multipliers(matrix: Any, slope: Array, signs: Array, gain: Array) -> Array:
    """Of active constraints with linearly dependent gradients: those of a basis, for a motion of x.

    Of all multipliers with ``matrix' m = -slope`` and the right signs (0 where any is right), those count for which
    the rows' motion ``gain`` raises the Lagrangian most; a vertex of these, from a linear program.
    """
    bounds = [((0.0, None), (None, None), (None, 0.0))[1 - int(sign) if sign else 1] for sign in signs]
    found = scipy.optimize.linprog(-gain, A_eq=matrix.T, b_eq=-slope, bounds=bounds)
    if found.status == 0:
        return np.asarray(found.x)
    if sparse.issparse(matrix):
        low, high = np.where(signs > 0.0, 0.0, -np.inf), np.where(signs < 0.0, 0.0, np.inf)
        with np.errstate(all="ignore"):  # on the way it divides by distances from bounds that it stands on
            return np.asarray(scipy.optimize.lsq_linear(matrix.T, -slope, (low, high)).x)
    columns = np.vstack([np.where(signs == 0.0, 1.0, signs)[:, None] * matrix, -matrix[signs == 0.0]]).T
    parts = nonnegative(columns, -slope)
    least = np.where(signs == 0.0, 1.0, signs) * parts[: len(matrix)]
    least[signs == 0.0] -= parts[len(matrix) :]
    return np.asarray(least)


def nonnegative(matrix: Array, target: Array) -> Array:
    """The nonnegative least-squares solution (Lawson and Hanson 1974), on independent columns; zero if it fails."""
    try:
        found, _ = scipy.optimize.nnls(matrix, target)
    except RuntimeError:  # it walks in circles
        return np.zeros(matrix.shape[1])
    return np.asarray(found, dtype=float)


def inward(x: Array, box: tuple[Array, Array]) -> Array:
    """A direction in x, along no axis, that leaves no bound behind."""
    direction: Array = np.cos(np.arange(1.0, len(x) + 1.0))
    low, high = box
    direction[x <= low] = np.abs(direction[x <= low])
    direction[x >= high] = -np.abs(direction[x >= high])
    return direction
