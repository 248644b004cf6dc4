"""An interior-point method for sums of hinges: a factorization of the size of the coefficients in every step.

Mehrotra's predictor and corrector (1992) for the optimality conditions

    H w + q = A'b,   t - s = A w - h + g b,   b t = mu,   s (c - b) = mu,   b, t, s, c - b > 0,

in which all but w is eliminated row by row (Ferris and Munson 2002, "Interior-point methods for massive support vector
machines", SIAM J. Optim. 13): a step solves ``(H + A' diag(.) A) dw = r``. Every start meets the second condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs

from bilevel.arrays import Array
from bilevel.programs.hinges.units import Scaled

_MOST = 80  # steps
_SHORT = 0.995  # of the way to the boundary
_FAINT = 1e-13  # added to a diagonal, relative to its largest, where the factorization fails
_LEAST = 1e-15  # mu from which on steps are rounding
_UNLIKELY = 1e12  # a point this large is on its way to where there is no optimum


@dataclass(slots=True)
class Interior:
    """A point of the method: coefficients, forces, by how much rows miss their kink, and mu."""

    w: Array
    forces: Array
    beyond: Array
    short: Array
    mu: float
    residual: float


def interior_points(of: Scaled, w: Array) -> Iterator[Interior]:
    """Points ever nearer to the optimum; they end where no better one is found.

    Parameters
    ----------
    of : Scaled
        The program.
    w : ndarray of shape (p,)
        To start from.
    """
    bounded, caps, rounding = of.bounded, of.caps, of.rounding
    b = np.where(bounded, 0.5 * caps, 1.0)
    left = np.where(bounded, caps - b, 1.0)  # kept apart from b, or rounding would make it zero
    missed = of.short(w) - rounding * b
    size = max(float(np.abs(missed).mean()), 1e-2)
    s = np.where(bounded, np.maximum(missed, 0.0) + size, 0.0)
    t = np.maximum(s - missed, size)
    pairs = len(b) + int(bounded.sum())
    for _ in range(_MOST):
        dual, primal = -of.pull(w, b), of.short(w) - rounding * b - s + t
        mu = float(b @ t + s @ left) / pairs
        size = max(float(np.abs(dual).max()), float(np.abs(primal).max(initial=0.0)))
        yield Interior(w, b, t, s, mu, size)
        if not _LEAST < mu < math.inf or max(float(np.abs(w).max()), float(b.max())) > _UNLIKELY:
            return
        step = _Step(of, b, t, s, left, dual, primal)
        if not step.ready:
            return
        db, dt, ds, _ = step(0.0, 0.0 * b, 0.0 * b)
        length = _length(bounded, b, t, s, left, db, dt, ds, 1.0)
        less = np.where(bounded, -db, 0.0)
        after = float((b + length * db) @ (t + length * dt) + (s + length * ds) @ (left + length * less)) / pairs
        db, dt, ds, dw = step((max(after, 0.0) / mu) ** 3 * mu, db * dt, ds * less)
        length = _length(bounded, b, t, s, left, db, dt, ds, _SHORT)
        less = np.where(bounded, -db, 0.0)
        w, b, t, s, left = w + length * dw, b + length * db, t + length * dt, s + length * ds, left + length * less


class _Step:
    """Newton's step for one aim, by one factorization."""

    def __init__(self, of: Scaled, b: Array, t: Array, s: Array, left: Array, dual: Array, primal: Array) -> None:
        self._of, self._b, self._t, self._s, self._left = of, b, t, s, left
        self._dual, self._primal = dual, primal
        self._bend = 1.0 / (t / b + s / left + of.rounding)
        matrix = of.hessian + (of.rows.T * self._bend) @ of.rows
        self._factor, failed = dpotrf(matrix)
        if failed:
            matrix[np.diag_indices_from(matrix)] += _FAINT * max(float(matrix.diagonal().max()), _FAINT)
            self._factor, failed = dpotrf(matrix)
        self.ready = not failed

    def __call__(self, aim: float, with_t: Array, with_s: Array) -> tuple[Array, Array, Array, Array]:
        """The moves of b, t, s and w; the second-order terms are those of the predictor."""
        of = self._of
        of_t = aim - self._b * self._t - with_t
        of_s = np.where(of.bounded, aim - self._s * self._left - with_s, 0.0)
        known = of_t / self._b - of_s / self._left + self._primal
        right = self._dual + (self._bend * known) @ of.rows
        dw = dpotrs(self._factor, right)[0]
        db = self._bend * (known - of.rows @ dw)
        dt = (of_t - self._t * db) / self._b
        ds = np.where(of.bounded, (of_s + self._s * db) / self._left, 0.0)
        return db, dt, ds, dw


def _length(
    bounded: NDArray[np.bool_], b: Array, t: Array, s: Array, left: Array, db: Array, dt: Array, ds: Array, share: float
) -> float:
    """The longest step that keeps all positive."""
    most = 1.0
    for value, move in ((b, db), (t, dt)):
        falls = move < 0.0
        most = min(most, share * float((value[falls] / -move[falls]).min(initial=math.inf)))
    for value, move in ((s, ds), (left, -db)):
        falls = (move < 0.0) & bounded
        most = min(most, share * float((value[falls] / -move[falls]).min(initial=math.inf)))
    return most
