"""What tolerances of rows are relative to, and rows in units in which they mean something.

A row violated by a millionth holds, as everybody takes it; but where y lies in [0, 1e-6] that is all that y can do, and
``y + 1000 <= 1005`` is violated by 1e-3 before a tolerance relative to the 1005 sees it. What counts is what the row
varies by over the variables' boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array, sizes_of_rows
from bilevel.graphs.steepness import Spread

_FAR = 0.1  # of the usual size: nearer than that a row is left as it was written


def row_sizes(spreads: Sequence[Spread], lower: Array, upper: Array) -> Array:
    """The sizes of rows ``lower <= row <= upper``: ``max(1, |bound|)``, or what they vary by where that is far less.

    The latter as a power of two, so that no digit is lost to it.

    Parameters
    ----------
    spreads : sequence of Spread, m of them
        Of the rows' bodies.
    lower, upper : ndarray of shape (m,)
        Infinite where there is none.

    Returns
    -------
    ndarray of shape (m,)
    """
    usual, limits = sizes_of_rows(lower, upper), limits_of(lower, upper)
    own = np.array([tolerances.size(v, s.middle, s.width) for v, s in zip(limits, spreads, strict=True)])
    return np.where(own < _FAR * usual, np.exp2(np.round(np.log2(own))), usual)


def limits_of(lower: Array, upper: Array) -> Array:
    """The bound that the size of a row goes by: the upper one if finite."""
    return np.where(np.isfinite(upper), upper, np.where(np.isfinite(lower), lower, 0.0))


def in_own_units(rows: ca.SX, spreads: Sequence[Spread], lower: Array, upper: Array) -> tuple[ca.SX, Array, Array]:
    """Bodies and bounds of rows: of those that are far smaller than usual what is beyond their bound, in their size.

    What is of magnitude one stays as it is, to the last bit.
    """
    sizes, limits = row_sizes(spreads, lower, upper), limits_of(lower, upper)
    small = np.flatnonzero(sizes < sizes_of_rows(lower, upper))
    if not small.size:
        return rows, lower, upper
    factors, origins = np.ones(len(sizes)), np.zeros(len(sizes))
    factors[small], origins[small] = 1.0 / sizes[small], limits[small]
    return ca.DM(factors) * (rows - ca.DM(origins)), (lower - origins) * factors, (upper - origins) * factors
