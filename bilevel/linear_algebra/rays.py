"""Whether a convex quadratic program falls for ever: along a ray ``H d = 0, c'd < 0`` that no row ends.

A feasible convex quadratic program has an optimum or such a ray (Frank and Wolfe 1956; Eaves 1971, "On quadratic
programming", *Management Science* 17), and a linear program finds it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from scipy import sparse

from bilevel import tolerances
from bilevel.arrays import Array


def falls_forever(hessian: Any, gradient: Array, rows: Any, low: Array, high: Array) -> bool:
    """Whether ``min y'Hy/2 + c'y, low <= A y <= high`` is feasible and has no optimum.

    Parameters
    ----------
    hessian : array or sparse array of shape (n, n)
        Positive semidefinite.
    gradient : ndarray of shape (n,)
        c.
    rows : array or sparse array of shape (m, n)
        A, bounds of variables among its rows.
    low, high : ndarray of shape (m,)
        Infinite where there is none.
    """
    n, matrix = len(gradient), sparse.csr_array(rows)
    above, below = np.isfinite(high), np.isfinite(low)
    sides, limits = sparse.vstack([matrix[above], -matrix[below]]), np.concatenate([high[above], -low[below]])
    none, flat = np.zeros(len(limits)), sparse.csr_array(hessian)
    ray = scipy.optimize.linprog(gradient, sides, none, flat, np.zeros(n), (-1.0, 1.0))
    if ray.status != 0 or ray.fun > -tolerances.ENGINE * tolerances.scale(float(np.abs(gradient).max(initial=0.0))):
        return False
    return bool(scipy.optimize.linprog(np.zeros(n), sides, limits, bounds=(None, None)).status == 0)
