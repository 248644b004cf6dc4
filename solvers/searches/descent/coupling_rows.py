"""Coupling constraints as SciPy's optimizers take them: functions that are to vanish, or to be nonnegative.

Each is relative to ``max(1, |bound|)``, as violations are everywhere, so that all weigh the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array, sizes_of_rows


@dataclass(frozen=True)
class Side:
    """The equalities among some rows, or the finite sides of the others.

    Attributes
    ----------
    kind : str
        ``eq`` or ``ineq``.
    places : ndarray of int, shape (k,)
        Which row each is of.
    limits, factors : ndarray of shape (k,)
        ``factors * (row - limits)`` is to be zero, or at least zero.
    """

    kind: str
    places: NDArray[np.int_]
    limits: Array
    factors: Array

    def value(self, rows: Array) -> Array:
        """The functions, given the rows, shape (m,)."""
        found: Array = self.factors * (rows[self.places] - self.limits)
        return found

    def slope(self, jacobian: Array) -> Array:
        """Their derivatives, shape (k, n), given the rows', shape (m, n)."""
        found: Array = self.factors[:, None] * jacobian[self.places]
        return found

    def excess(self, rows: Array) -> Array:
        """By how much each is broken, signed as :meth:`value`; zero where it holds."""
        value = self.value(rows)
        return value if self.kind == "eq" else np.minimum(value, 0.0)


def sides_of(lower: Array, upper: Array) -> list[Side]:
    """The sides of ``lower <= row <= upper``, bounds of shape (m,), infinite where there is none."""
    scale = sizes_of_rows(lower, upper)
    equal = lower == upper
    below, above = np.flatnonzero(~equal & np.isfinite(lower)), np.flatnonzero(~equal & np.isfinite(upper))
    same, other = np.flatnonzero(equal), np.concatenate([below, above])
    limits = np.concatenate([lower[below], upper[above]])
    factors = np.concatenate([1.0 / scale[below], -1.0 / scale[above]])
    sides = [Side("eq", same, upper[same], 1.0 / scale[same]), Side("ineq", other, limits, factors)]
    return [side for side in sides if side.places.size]
