"""An interior answer of a sparse convex quadratic program made exact: the system of the constraints that hold it.

The constraints with a multiplier larger than their slack are taken for active and the system of optimality is solved
with them; what that breaks is added, what pulls the wrong way is left, a few times (the primal-dual active set method;
Bergounioux, Ito and Kunisch 1999, doi 10.1137/S0363012997328609).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.linear_algebra.saddle_system import KktSystem, Mask
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program
from bilevel.programs.sparse_form import SparseForm

_ROUNDS = 8
_RESIDUAL = 1e-10
_WEAK = 1e-7  # a multiplier below this, relative to the objective's gradient, counts as zero


@dataclass(slots=True)
class Polished:
    """An exact answer; ``unique`` where it is known to be the only one."""

    y: Array
    unique: bool


class Polish:
    """``polish(form, sides, bound_sides)`` gives the exact answer, or None where no active set is found.

    Parameters
    ----------
    program : Program
        Convex, with a sparse form.
    """

    def __init__(self, program: Program) -> None:
        form = numeric_form(program)
        assert isinstance(form, SparseForm)
        self._form = form
        self._system = KktSystem(form.upper, form.matrix)
        self._lower, self._upper = program.lower, program.upper
        self._row_lower, self._row_upper = program.row_lower, program.row_upper
        self._equal, self._fixed = program.equality, program.lower == program.upper

    def __call__(self, sides: Array, bound_sides: Array) -> Polished | None:
        """Polish at the parameters that the form was last evaluated for.

        Parameters
        ----------
        sides, bound_sides : ndarray of shape (m,), (n,)
            1 for a row or variable on its upper bound, -1 on its lower one, 0 elsewhere.
        """
        form = self._form
        low, high = self._row_lower - form.offset, self._row_upper - form.offset
        slack = tolerances.ENGINE * tolerances.scale(float(np.abs(form.gradient).max(initial=0.0)))
        for _ in range(_ROUNDS):
            found = self._solve(sides, bound_sides, low, high)
            if found is None:
                return None
            y, weights, of_bounds = found
            rows = form.matrix @ y
            new = _revised(sides, rows, low, high, weights, self._equal, slack)
            new_bounds = _revised(bound_sides, y, self._lower, self._upper, of_bounds, self._fixed, slack)
            if (new == sides).all() and (new_bounds == bound_sides).all():
                if not _within(rows, low, high):
                    return None
                unique = self._unique(sides, bound_sides, weights, of_bounds)
                return Polished(np.clip(y, self._lower, self._upper), unique)
            sides, bound_sides = new, new_bounds
        return None

    def _solve(self, sides: Array, bound_sides: Array, low: Array, high: Array) -> tuple[Array, Array, Array] | None:
        form = self._form
        active, held = (sides != 0.0) | self._equal, (bound_sides != 0.0) | self._fixed
        self._system.factorize(form.upper.data, form.matrix.data, active, held)
        limits = np.where(sides < 0.0, low, high)
        at = np.where(bound_sides < 0.0, self._lower, self._upper)
        found = self._system.solve(
            -form.gradient[:, None], np.where(active, limits, 0.0)[:, None], np.where(held, at, 0.0)[:, None]
        )
        if not found.error <= _RESIDUAL:
            return None
        return found.y[:, 0], found.rows[:, 0], found.bounds[:, 0]

    def _unique(self, sides: Array, bound_sides: Array, weights: Array, of_bounds: Array) -> bool:
        """Whether H is definite where the constraints with a multiplier leave room: these hold every optimum."""
        slack = _WEAK * tolerances.scale(float(np.abs(self._form.gradient).max(initial=0.0)))
        strict = (np.abs(weights) > slack) | self._equal
        held = (np.abs(of_bounds) > slack) | self._fixed
        if not (strict[sides != 0.0].all() and held[bound_sides != 0.0].all()):
            self._system.factorize(self._form.upper.data, self._form.matrix.data, strict, held)
        return self._system.definite


def _within(values: Array, low: Array, high: Array) -> bool:
    """Whether values keep their bounds, those that hold them included."""
    edge = tolerances.FEASIBILITY / 100 * np.maximum(1.0, np.abs(values))
    return bool((values >= low - edge).all() and (values <= high + edge).all())


def _revised(sides: Array, values: Array, low: Array, high: Array, weights: Array, tied: Mask, slack: float) -> Array:
    """The sides on which values are, after what is broken is added and what pulls the wrong way is left."""
    new = np.where(weights * sides < -slack, 0.0, sides)
    idle = (sides == 0.0) & ~tied
    with np.errstate(invalid="ignore"):
        edge = tolerances.ENGINE * np.maximum(1.0, np.abs(values))
        new = np.where(idle & (values > high + edge), 1.0, np.where(idle & (values < low - edge), -1.0, new))
    return new
