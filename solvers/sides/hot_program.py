"""A linear program whose limits move: solved again from where it was, every bound recomputed from its multipliers.

What a simplex method calls optimal or infeasible is taken for a suggestion. For *any* row multipliers u,

    c'v >= sum_i min(u_i l_i, u_i h_i) + sum_j min(r_j a_j, r_j b_j),    r = c - A'u,

over ``l <= A v <= h``, ``a <= v <= b``, term by term: the bound that is reported is the right-hand side, less what its
roundings can amount to (Neumaier and Shcherbina 2004, doi 10.1007/s10107-003-0433-3). With c = 0 and a value above zero
there is no point at all; that too is asked for with all limits relaxed by the tolerance of a global solver's rows.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from scipy import sparse

from bilevel import deadline, tolerances
from bilevel.arrays import Array
from bilevel.solvers.libraries.quiet_highs import quiet_highs

_STATUS = highspy.HighsModelStatus
_ROUNDING = 1e-12  # of the terms that are added up
_NOISE = 1e-12  # of costs and multipliers: what is no slope at all where a variable has no limit


@dataclass(frozen=True)
class Solved:
    """What one solve came to.

    Attributes
    ----------
    bound : float
        Proved: no point has a smaller objective; infinite where there is proved to be no point, ``-inf`` where nothing
        is proved.
    point : ndarray of shape (n,) or None
        The optimum, as the simplex method has it.
    """

    bound: float
    point: Array | None


class HotProgram:
    """``min c'v  s.t.  row_lower <= A v <= row_upper,  lower <= v <= upper``.

    Parameters
    ----------
    cost : ndarray of shape (n,)
        c.
    matrix : csr_array of shape (m, n)
        A.
    row_lower, row_upper : ndarray of shape (m,)
        Limits of the rows, infinite where there is none.
    lower, upper : ndarray of shape (n,)
        Limits of the variables, the same.
    ranges : tuple of ndarray of shape (n,), optional
        What is known of the variables besides: used in proofs where they have no limit.
    constant : float
        Added to every bound.

    Attributes
    ----------
    solves : int
        How often it was solved.
    low, high : ndarray of shape (m + n,)
        The limits as they are now, of the rows, then of the variables.
    """

    def __init__(
        self,
        cost: Array,
        matrix: Any,
        row_lower: Array,
        row_upper: Array,
        lower: Array,
        upper: Array,
        ranges: tuple[Array, Array] | None = None,
        constant: float = 0.0,
    ) -> None:
        self.cost, self.matrix = np.array(cost, dtype=float), sparse.csr_array(matrix)
        self._transposed = self.matrix.T.tocsr()
        m = self.matrix.shape[0]
        self._low, self._high = np.concatenate([row_lower, lower]), np.concatenate([row_upper, upper])
        self.low, self.high = self._low.copy(), self._high.copy()  # as they are now: rows, then variables
        self._rows, self.solves = m, 0
        self.constant, self._unit = constant, _unit_of(self.cost)
        self.ranges = (lower, upper) if ranges is None else ranges
        self._highs = quiet_highs()
        for option, value in (
            ("presolve", "off"),
            ("solver", "simplex"),
            ("primal_feasibility_tolerance", tolerances.ENGINE),
            ("dual_feasibility_tolerance", tolerances.ENGINE),
        ):
            self._highs.setOptionValue(option, value)
        self._highs.passModel(self._model())

    def _model(self) -> Any:
        lp = highspy.HighsLp()
        lp.num_row_, lp.num_col_ = self.matrix.shape
        lp.col_cost_ = self.cost / self._unit
        lp.col_lower_, lp.col_upper_ = self._low[self._rows :], self._high[self._rows :]
        lp.row_lower_, lp.row_upper_ = self._low[: self._rows], self._high[: self._rows]
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = self.matrix.indptr, self.matrix.indices
        lp.a_matrix_.value_ = self.matrix.data
        return lp

    def limit(self, place: int, low: float, high: float) -> None:
        """Give a row, or from place m on a variable, other limits."""
        self.low[place], self.high[place] = low, high
        if place < self._rows:
            self._highs.changeRowBounds(place, low, high)
        else:
            self._highs.changeColBounds(place - self._rows, low, high)

    def release(self, place: int) -> None:
        """Its own limits again."""
        self.limit(place, float(self._low[place]), float(self._high[place]))

    def change_cost(self, cost: Array) -> None:
        """Another objective."""
        self.cost = np.array(cost, dtype=float)
        self._unit = _unit_of(self.cost)
        self._highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), self.cost / self._unit)

    def change_upper(self, upper: Array) -> None:
        """Other upper limits of all variables."""
        n = len(upper)
        self.high[self._rows :] = upper
        self._highs.changeColsBounds(n, np.arange(n, dtype=np.int32), self.low[self._rows :].copy(), np.array(upper))

    @property
    def basis(self) -> Any:
        """Where the simplex method is."""
        return self._highs.getBasis()

    @basis.setter
    def basis(self, basis: Any) -> None:
        self._highs.setBasis(basis)

    def values(self, point: Array) -> Array:
        """Rows, then variables, at a point."""
        return np.concatenate([self.matrix @ point, point])

    def solve(self) -> Solved:
        """From where it is."""
        status = self._run()
        if status == _STATUS.kOptimal:
            solution = self._highs.getSolution()
            bound = self._proved(self._unit * np.array(solution.row_dual), self.cost) + self.constant
            return Solved(bound, np.array(solution.col_value))
        if status != _STATUS.kInfeasible and not self._out_of_time(status):
            self._highs.clearSolver()
            status = self._run()
        if status == _STATUS.kInfeasible and self._surely_empty():
            return Solved(math.inf, None)
        return Solved(-math.inf, None)

    def suggest(self) -> tuple[Array | None, bool]:
        """The optimum, and whether there is said to be no point: for those who prove what they make of it."""
        status = self._run()
        if status == _STATUS.kOptimal:
            return np.array(self._highs.getSolution().col_value), False
        return None, bool(status == _STATUS.kInfeasible)

    def narrow(self, until: float) -> None:
        """Find ranges for variables that have none, by linear programs, while there is time."""
        cost = self.cost
        low, high = (known.copy() for known in self.ranges)
        for k in np.flatnonzero(np.isinf(low) | np.isinf(high)).tolist():
            for ends, sign in ((low, 1.0), (high, -1.0)):
                if math.isinf(ends[k]) and time.monotonic() < until:
                    unit = np.zeros(len(cost))
                    unit[k] = sign
                    self.change_cost(unit)
                    ends[k] = sign * (self.solve().bound - self.constant)
        low[np.isposinf(low)], high[np.isneginf(high)] = -math.inf, math.inf  # no point at all: the search will tell
        self.ranges = low, high
        self.change_cost(cost)

    def _run(self) -> Any:
        limit = deadline.limited()
        if limit is not None:  # HiGHS counts from its first run
            self._highs.setOptionValue("time_limit", self._highs.getRunTime() + limit)
        self.solves += 1
        self._highs.run()
        return self._highs.getModelStatus()

    def _out_of_time(self, status: Any) -> bool:
        return bool(status == _STATUS.kTimeLimit)

    def _surely_empty(self) -> bool:
        """Whether a ray proves it, for limits that are somewhat wider as well."""
        u = self.ray()
        if u is None:
            return False
        return any(self._proved(sign * u, np.zeros_like(self.cost), wide=True) > 0.0 for sign in (1.0, -1.0))

    def dual_values(self) -> tuple[Array, Array]:
        """Multipliers of the rows and of the variables, as the simplex method has them."""
        solution = self._highs.getSolution()
        return self._unit * np.array(solution.row_dual), self._unit * np.array(solution.col_dual)

    def ray(self) -> Array | None:
        """What proves that there is no point, where the last solve found none."""
        _, known, ray = self._highs.getDualRay()
        return np.array(ray) if known else None

    def _proved(self, u: Array, cost: Array, *, wide: bool = False) -> float:
        """The bound that row multipliers u prove."""
        low, high = self.low, self.high
        if wide:
            scale = np.maximum(1.0, np.where(np.isfinite(low), np.abs(low), 0.0))
            scale = np.maximum(scale, np.where(np.isfinite(high), np.abs(high), 0.0))
            low, high = low - tolerances.GLOBAL_FEASIBILITY * scale, high + tolerances.GLOBAL_FEASIBILITY * scale
        m = self._rows
        u = np.where((u > 0) & np.isinf(low[:m]) | (u < 0) & np.isinf(high[:m]), 0.0, u)
        slope = np.concatenate([u, cost - self._transposed @ u])
        low, high = (
            np.concatenate([ends[:m], np.where(np.isinf(ends[m:]), known, ends[m:])])
            for ends, known in zip((low, high), self.ranges, strict=True)
        )
        ends = np.where(slope > 0, low, high)
        used = slope != 0.0
        if np.isinf(ends[used]).any():
            return self._without_noise(slope, ends, cost)
        terms = slope[used] * ends[used]
        return float(terms.sum() - _ROUNDING * np.abs(terms).sum())

    def _without_noise(self, slope: Array, ends: Array, cost: Array) -> float:
        """The same where a variable without a limit has a slope: nothing, unless it is all rounding."""
        open_ended = np.isinf(ends) & (slope != 0.0)
        size = 1.0 + float(np.abs(cost).max(initial=0.0)) + float(np.abs(slope[: self._rows]).max(initial=0.0))
        if (np.abs(slope[open_ended]) > _NOISE * size).any():
            return -math.inf
        used = ~open_ended & (slope != 0.0)
        terms = slope[used] * ends[used]
        return float(terms.sum() - _ROUNDING * np.abs(terms).sum())


def _unit_of(cost: Array) -> float:
    """A power of two in which the largest cost is about one: the simplex method's tolerances are absolute."""
    largest = float(np.abs(cost).max(initial=0.0))
    return 2.0 ** math.floor(math.log2(largest)) if 0.0 < largest < math.inf else 1.0
