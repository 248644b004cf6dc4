"""Which variables and rows are held where, the answer that follows, and what must not become negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.solvers.homotopy.parametric_program import ParametricProgram
from bilevel.solvers.homotopy.units import Sizes
from bilevel.solvers.homotopy.working_set import FreeVariables, RowsHeld, WorkingSet

FREE, LOWER, UPPER, RESTING, FIXED = 0, -1, 1, 2, 3
"""A variable is free, at a bound, resting where its slope is zero without a bound, or has one value for good."""
LOOSE, EQUAL = 0, 3
"""A row is loose, at its lower (-1) or upper (1) limit, or an equality."""

Sides = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Lines:
    """Values and rates, in s: variables, slopes of the Lagrangian, rows, multipliers; each of shape (2, .)."""

    z: Array
    slope: Array
    body: Array
    rows: Array


class ActiveSet:
    """The state of a path.

    Parameters
    ----------
    program : ParametricProgram
    resting : ndarray of shape (n,)
        Where variables rest.
    at : ndarray of int8, shape (n,)
        Where they are.

    Attributes
    ----------
    row_at : ndarray of int8, shape (m,)
        Where the rows are: loose at first.
    """

    def __init__(self, program: ParametricProgram, resting: Array, at: Sides) -> None:
        self.set: WorkingSet = RowsHeld(program) if program.m else FreeVariables(program)
        self.resting, self.at, self.row_at = resting, at, np.zeros(program.m, dtype=np.int8)
        self.change_to(program)
        self.take()

    def change_to(self, program: ParametricProgram) -> None:
        """Go on with other costs and limits."""
        self.program, self._sizes = program, Sizes.of(program)

    def take(self) -> bool:
        """Make the working set that of the sides; whether it is regular."""
        return self.set.change(np.flatnonzero(self.at == FREE), np.flatnonzero(self.row_at != LOOSE))

    def hold(self, which: int) -> None:
        """Hold what a margin stands for."""
        n, m = self.program.n, self.program.m
        if which < 2 * n:
            self.at[which % n] = (LOWER, UPPER)[which // n]
        else:
            self.row_at[(which - 2 * n) % m] = (LOWER, UPPER)[(which - 2 * n) // m]

    def lines(self) -> Lines:
        """The answer of the working set, whose order the set knows."""
        program, held, free = self.program, self.set.held, self.set.free
        fixed = np.flatnonzero(self.at != FREE)
        z = np.zeros((2, program.n))
        z[0, fixed] = self._place(fixed)
        inert = np.stack([program.curvature.times(z[0]), np.zeros(program.n)]) + program.costs
        limits = np.where((self.row_at[held] < 0)[None], program.low[:, held], program.high[:, held])
        limits = limits - z @ program.matrix[held].T
        moved, weights = self.set.solve(-inert[:, free].T, limits.T)
        z[:, free] = moved.T
        rows = np.zeros((2, program.m))
        rows[:, held] = weights.T
        slope = inert + program.curvature.times_some(free, moved).T + rows @ program.matrix
        return Lines(z, slope, z @ program.matrix.T, rows)

    def _place(self, places: NDArray[np.int_]) -> Array:
        at, program = self.at[places], self.program
        return np.where(
            at == UPPER, program.upper[places], np.where(at == RESTING, self.resting[places], program.lower[places])
        )

    def margins(self, lines: Lines) -> tuple[Array, Array]:
        """What must not be negative, with rates, in units of its own: (2, 2 n + 2 m), and -inf where nothing must.

        For a variable: its distance from the lower and from the upper bound, or where it is held the slope's sign. For
        a row the same.
        """
        program, at, row_at = self.program, self.at, self.row_at
        n, m = program.n, program.m
        values, rates = np.full((2, 2, n), np.inf), np.full((2, 2, m), np.inf)
        sizes, slope = self._sizes, lines.slope / self._sizes.slope
        free = at == FREE
        values[:, 0, free], values[:, 1, free] = lines.z[:, free], -lines.z[:, free]
        values[0, 0, free] -= program.lower[free]
        values[0, 1, free] += program.upper[free]
        values[:, :, free] /= sizes.bound[:, free]
        low, high, resting = at == LOWER, at == UPPER, at == RESTING
        values[:, 0, low], values[:, 1, high] = slope[:, low], -slope[:, high]
        values[:, 0, resting], values[:, 1, resting] = slope[:, resting], -slope[:, resting]
        loose, at_low, at_high = row_at == LOOSE, row_at == LOWER, row_at == UPPER
        below, above = (lines.body - program.low) / sizes.limit[0], (program.high - lines.body) / sizes.limit[1]
        rates[:, 0, loose], rates[:, 1, loose] = below[:, loose], above[:, loose]
        weights = lines.rows / sizes.multiplier
        rates[:, 0, at_low], rates[:, 1, at_high] = -weights[:, at_low], weights[:, at_high]
        both = np.concatenate([values.reshape(2, -1), rates.reshape(2, -1)], axis=1)
        both[1, ~np.isfinite(both[0])] = 0.0
        return both[0], both[1]
