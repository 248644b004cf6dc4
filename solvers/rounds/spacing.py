"""How far apart the values of a linear function of integers are: what makes "more than" into "at least" exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array

_DENOMINATOR = 1000
_FRACTION = 1e-10


def spacing(row: Array, integer: NDArray[np.bool_]) -> float:
    """The distance between the values of ``row . v`` where all its variables are integer; 0 where there is none.

    Parameters
    ----------
    row : ndarray of shape (n,)
        Coefficients; only fractions with small denominators have a distance.
    integer : ndarray of bool, shape (n,)
        Which variables are integer.
    """
    used = np.flatnonzero(row)
    if not integer[used].all():
        return 0.0
    parts = [Fraction(float(a)).limit_denominator(_DENOMINATOR) for a in row[used]]
    if any(abs(float(p) - a) > _FRACTION * max(1.0, abs(a)) for p, a in zip(parts, row[used], strict=True)):
        return 0.0
    common = math.lcm(*(p.denominator for p in parts))
    whole = math.gcd(*(int(p * common) for p in parts))
    return whole / common if used.size and common <= 1_000_000 else float(not used.size)
