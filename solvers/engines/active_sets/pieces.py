"""Which piece of the penalties each coefficient is on: free on one side of zero, or at rest at zero or at a bound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.solvers.engines.active_sets.unit_columns import UnitColumns

ZERO, LOW, HIGH = 0, -2, 2
"""At rest; -1 and 1 are free, on that side of zero."""

State = NDArray[np.int8]


class Pieces:
    """The penalties and bounds of a form at one x.

    Parameters
    ----------
    of : UnitColumns
        The form; of it are the units.
    """

    def __init__(self, of: UnitColumns) -> None:
        self.lower, self.upper, self.above, self.below = of.lower, of.upper, of.above, of.below
        self.bent = self.above + self.below > 0.0

    def scaled(self, share: float) -> Pieces:
        """The same with all penalties multiplied."""
        other = object.__new__(Pieces)
        other.lower, other.upper, other.bent = self.lower, self.upper, self.bent
        other.above, other.below = share * self.above, share * self.below
        return other

    def state(self, z: Array) -> State:
        """Where a point is."""
        state = np.sign(z).astype(np.int8)
        state[(z <= self.lower) & (z < 0.0)] = LOW
        state[(z >= self.upper) & (z > 0.0)] = HIGH
        return state

    def slopes(self, state: State, places: NDArray[np.int_]) -> Array:
        """The derivative of the penalties of free coefficients."""
        return np.where(state[places] > 0, self.above[places], -self.below[places])

    def segment(self, state: State, free: NDArray[np.int_]) -> tuple[Array, Array]:
        """The ends between which free coefficients keep their slope."""
        side, bent = state[free], self.bent[free]
        low = np.where(bent & (side > 0), 0.0, self.lower[free])
        high = np.where(bent & (side < 0), 0.0, self.upper[free])
        return low, high

    def rest(self, state: State, places: NDArray[np.int_], at: Array) -> None:
        """Put coefficients to rest where they are: at zero or at a bound."""
        state[places] = np.where(at > 0.0, HIGH, np.where(at < 0.0, LOW, ZERO))

    def pulls(self, state: State, slope: Array) -> tuple[Array, Array]:
        """By how much a coefficient at rest is pulled up and down by more than the penalty holds; else negative."""
        up = np.where(state == LOW, self.below - slope, -np.inf)
        down = np.where(state == HIGH, slope + self.above, -np.inf)
        zero = state == ZERO
        up = np.where(zero & (self.upper > 0.0), -slope - self.above, up)
        down = np.where(zero & (self.lower < 0.0), slope - self.below, down)
        return up, down

    def residual(self, z: Array, slope: Array) -> float:
        """How far from stationary a point is: the largest violation of the conditions of optimality."""
        right = np.where(z >= self.upper, np.inf, np.where(z >= 0.0, self.above, -self.below))
        left = np.where(z <= self.lower, -np.inf, np.where(z <= 0.0, -self.below, self.above))
        return float(np.maximum(-slope - right, slope + left).max(initial=0.0))
