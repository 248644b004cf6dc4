"""The linear relaxation of a node, kept in one HiGHS object: from node to node only bounds change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import highspy
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.programs.answer import Status
from bilevel.solvers.branching.clauses import Limit
from bilevel.solvers.branching.integer_levels import IntegerLevels
from bilevel.solvers.libraries.quiet_highs import quiet_highs


class Ends(NamedTuple):
    """Bounds of all variables and rows at a node."""

    lower: Array
    upper: Array
    low: Array
    high: Array


class Relaxation:
    """Both levels without optimality and integrality."""

    def __init__(self, levels: IntegerLevels) -> None:
        self._levels, self._highs = levels, quiet_highs()
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            self._highs.setOptionValue(name, tolerances.ENGINE)
        self._highs.setOptionValue("presolve", "off")  # each solve starts from the last basis
        n, none = len(levels.slope), np.zeros(0, dtype=np.int32)
        for k in range(n):
            self._highs.addCol(levels.slope[k], levels.lower[k], levels.upper[k], 0, none, np.zeros(0))
        self._columns = np.arange(n, dtype=np.int32)
        for row, low, high in zip(levels.matrix, levels.low, levels.high, strict=True):
            self._add(row, low, high)
        self._low, self._high = levels.low.copy(), levels.high.copy()
        self.rows_up, self.rows_down = np.maximum(levels.matrix, 0.0), np.minimum(levels.matrix, 0.0)

    def _add(self, row: Array, low: float, high: float) -> None:
        used = np.flatnonzero(row).astype(np.int32)
        self._highs.addRow(low, high, len(used), used, row[used])

    def cut(self, row: Array, low: float) -> None:
        """Demand ``row . v >= low`` from now on at every node."""
        self._add(row, low, np.inf)

    def ends(self, limits: Iterable[Limit]) -> Ends | None:
        """Bounds where some limits hold; None where they contradict each other."""
        levels = self._levels
        ends = Ends(levels.lower.copy(), levels.upper.copy(), levels.low.copy(), levels.high.copy())
        for row, place, sign, end in limits:
            if sign > 0:
                target = ends.low if row else ends.lower
                target[place] = max(target[place], end)
            else:
                target = ends.high if row else ends.upper
                target[place] = min(target[place], end)
        empty = (ends.lower > ends.upper).any() or (ends.low > ends.high).any()
        return None if empty else ends

    def reach(self, ends: Ends) -> tuple[Array, Array]:
        """Least and largest values of the rows, by the ranges of the variables and their own ends."""
        with np.errstate(invalid="ignore"):
            least = self.rows_up @ ends.lower + self.rows_down @ ends.upper
            most = self.rows_up @ ends.upper + self.rows_down @ ends.lower
        least, most = np.nan_to_num(least, nan=-np.inf), np.nan_to_num(most, nan=np.inf)
        return np.maximum(least, ends.low), np.minimum(most, ends.high)

    def solve(self, ends: Ends, seconds: float) -> tuple[Status, float, Array]:
        """Status, F without its constant, and a solution."""
        self._highs.changeColsBounds(len(self._columns), self._columns, ends.lower, ends.upper)
        for i in np.flatnonzero((ends.low != self._low) | (ends.high != self._high)):
            self._highs.changeRowBounds(int(i), ends.low[i], ends.high[i])
        self._low, self._high = ends.low, ends.high
        self._highs.setOptionValue("time_limit", self._highs.getRunTime() + max(seconds, 0.01))
        self._highs.run()
        status = self._highs.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            value = float(self._highs.getInfo().objective_function_value)
            return Status.OPTIMAL, value, np.array(self._highs.getSolution().col_value)
        empty = status == highspy.HighsModelStatus.kInfeasible
        return Status.INFEASIBLE if empty else Status.FAILED, np.inf if empty else -np.inf, np.zeros(0)
