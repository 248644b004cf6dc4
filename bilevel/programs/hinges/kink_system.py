"""The linear system of a sum of hinges with some rows held at their kink.

    [ H    A_K' ] [ v ]   [ r ]
    [ A_K  -G_K ] [ u ] = [ s ]

It is symmetric; its solutions are Newton's steps, the rows' forces, and the adjoints of both.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.linalg.lapack import dgecon, dgetrf, dgetrs

from bilevel.arrays import Array
from bilevel.programs.hinges.units import Scaled

_SINGULAR = 1e-13
_RANK = 1e-12


def within_caps(rows: Array, pull: Array, caps: Array) -> Array:
    """Forces of rows at their kink, within their caps, that balance a slope best; for rows that depend on each other.

    Bounded least squares by active sets (Stark and Parker 1995), whose answer is exact for its set.
    """
    found: Array = scipy.optimize.lsq_linear(rows.T, pull, (0.0, caps), method="bvls", tol=1e-15).x
    return found


class KinkSystem:
    """The system, factored once.

    Parameters
    ----------
    of : Scaled
        The program.
    at : ndarray of int, shape (k,)
        The rows K.

    Attributes
    ----------
    single : bool
        Whether it has one solution for every right side; else :meth:`solve` gives the shortest.
    """

    def __init__(self, of: Scaled, at: NDArray[np.int_]) -> None:
        p, rows = len(of.linear), of.rows[at]
        self._p = p
        self._matrix = np.zeros((p + len(at), p + len(at)), order="F")
        self._matrix[:p, :p], self._matrix[:p, p:], self._matrix[p:, :p] = of.hessian, rows.T, rows
        own = np.arange(p, p + len(at))
        self._matrix[own, own] = -of.rounding[at]
        self._factor, self._pivots, failed = dgetrf(self._matrix)
        norm = float(np.abs(self._matrix).sum(axis=0).max(initial=0.0))
        self.single = not failed and float(dgecon(self._factor, norm)[0]) > _SINGULAR

    def solve(self, r: Array, s: Array) -> tuple[Array, Array]:
        """V and u."""
        right = np.concatenate([r, s])
        if self.single:
            found = dgetrs(self._factor, self._pivots, right)[0]
        else:
            found = np.linalg.lstsq(self._matrix, right, rcond=_RANK)[0]
        return found[: self._p], found[self._p :]
