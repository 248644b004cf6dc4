"""A linear follower's answer as an affine function of everything else, and where it stops being feasible.

Fix the integer part z of an answer. The rest solves a linear program, whose optimal basis B gives it at *every* x as
``u_B(x, z) = p + P (x, z)``: feasible wherever its basic variables and rows keep their limits, and optimal there (Gal
1979, *Postoptimal analyses, parametric programming, and related topics*). There are finitely many bases and, with
bounded integers, finitely many z. A follower of integers alone has the constant answer ``y = z``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import highspy
import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.programs.program import Program
from bilevel.solvers.libraries.quiet_highs import quiet_highs

_HELP = 1e-9  # an entry of a tableau above this moves something
_WORST_CONDITION = 1e8


@dataclass(frozen=True)
class Limit:
    """``row . v + constant`` must stay within ``[lower, upper]`` for an answer to be feasible.

    v are the relaxation's variables; ``size`` is what a violation is measured by, the largest coefficient it came from.
    """

    row: Array
    constant: float
    lower: float
    upper: float
    size: float = 1.0


@dataclass(frozen=True)
class AffineAnswer:
    """The answer ``constant + matrix v``, feasible within its limits, and which kind it is (to tell copies apart)."""

    constant: Array
    matrix: Array
    limits: tuple[Limit, ...]
    key: tuple[Any, ...]


class LinearFollower:
    """``min_y d'y  s.t.  low <= X v + B y <= high`` over the relaxation's variables v, of which y is a part.

    Parameters
    ----------
    program : Program
        The follower's.
    x_places, y_places : sequence of int or None
        Where its parameters and variables stand among v.
    binary : ndarray of bool, shape (number of v,)
        Which v are binary.

    Raises
    ------
    RefusedError
        If its rows are not linear in x and y together, or its objective is not linear in y with constant
        coefficients.
    """

    def __init__(
        self,
        program: Program,
        x_places: Sequence[int | None],
        y_places: Sequence[int],
        binary: NDArray[np.bool_],
    ) -> None:
        self.name, self.lower, self.upper = program.name, program.lower, program.upper
        self.integer: NDArray[np.bool_] = program.integer
        self.places = np.array(y_places, dtype=int)
        self.size, self._binary = len(binary), binary
        everything = ca.vertcat(program.parameters, program.variables)
        jacobian = ca.jacobian(program.rows, everything)
        if ca.depends_on(program.gradient, everything) or (program.m and ca.depends_on(jacobian, everything)):
            raise RefusedError(
                f"{program.name} is not linear in both levels' variables together; use method='value_function'"
            )
        numbers = ca.Function("numbers", [everything], [program.gradient, ca.densify(jacobian), program.rows])
        slope, matrix, offset = (np.array(part) for part in numbers(np.zeros(everything.numel())))
        self.slope: Array = slope.reshape(-1)
        count = int(program.parameters.numel())
        self.of_y: Array = matrix[:, count:].reshape(program.m, program.n)
        self.of_v: Array = np.zeros((program.m, self.size))
        for k, place in enumerate(x_places):
            if place is not None:
                self.of_v[:, place] += matrix[:, k]
        self.low, self.high = program.row_lower - offset.reshape(-1), program.row_upper - offset.reshape(-1)

    def at(self, v: Array, y: Array, *, own_integers: bool = False) -> AffineAnswer:
        """The answer of the basis that is optimal at x (in v) for the integers of y.

        Where ``own_integers``, the integers are left to v as well: what the follower would do with any z of its own.
        Else they are those of y, less what single binaries of the leader take away (:meth:`_rule`).
        """
        constant, matrix = np.where(self.integer, y, 0.0), np.zeros((len(y), self.size))
        if own_integers:
            constant[:] = 0.0
            matrix[np.flatnonzero(self.integer), self.places[self.integer]] = 1.0
        else:
            self._rule(v, constant, matrix)
        free = np.flatnonzero(~self.integer)
        basis = self._basis(v, y, free) if free.size else None
        answer = None if basis is None else self._extend(basis, constant, matrix, free, own_integers)
        return self._rigid(y, constant, matrix) if answer is None else answer

    def _rigid(self, y: Array, constant: Array, matrix: Array) -> AffineAnswer:
        """The integers as they are, the continuous variables as in y."""
        constant = np.where(self.integer, constant, y)
        limits = tuple(self._row_limit(i, constant, matrix) for i in range(len(self.low)))
        return AffineAnswer(constant, matrix, limits, (self.name, "rigid", *np.round(constant, 9), *_sparse(matrix)))

    def _rule(self, v: Array, constant: Array, matrix: Array) -> None:
        """Let integers give way to binaries of the leader that block them: ``y_k <= 1 - x_j`` makes 1 into ``1 - x_j``.

        An answer that gives way where it is blocked, instead of being no answer there, is what makes cuts strong in
        interdiction (Fischetti, Ljubic, Monaci and Sinnl 2019, doi 10.1287/ijoc.2018.0831). Each integer heeds one row.
        """
        for i in range(len(self.low)):
            mine, others = np.flatnonzero(self.of_y[i]), np.flatnonzero(self.of_v[i])
            if len(mine) != 1 or len(others) != 1:
                continue
            k, j = int(mine[0]), int(others[0])
            if not (self.integer[k] and self._binary[j]) or matrix[k].any():
                continue
            ends = (np.array([self.low[i], self.high[i]]) - self.of_v[i, j] * (1.0 - v[j])) / self.of_y[i, k]
            low, high = max(ends.min(), self.lower[k]), min(ends.max(), self.upper[k])
            low, high = np.ceil(low - tolerances.INTEGRALITY), np.floor(high + tolerances.INTEGRALITY)
            change = min(max(constant[k], low), high) - constant[k]
            if change and low <= high:
                matrix[k, j] = change if v[j] < 0.5 else -change
                constant[k] += 0.0 if v[j] < 0.5 else change

    def _basis(self, v: Array, y: Array, free: NDArray[np.int_]) -> tuple[list[Any], list[Any]] | None:
        """Optimal statuses of the continuous variables and the rows, the integers of y held."""
        held = y * self.integer
        activity = self.of_v @ v + self.of_y @ held
        highs = quiet_highs()
        for option, value in (
            ("primal_feasibility_tolerance", tolerances.ENGINE),
            ("dual_feasibility_tolerance", tolerances.ENGINE),
        ):
            highs.setOptionValue(option, value)
        none = np.zeros(0, dtype=np.int32)
        for k in free:
            highs.addCol(self.slope[k], self.lower[k], self.upper[k], 0, none, np.zeros(0))
        for i in range(len(self.low)):
            entries = self.of_y[i, free]
            kept = np.flatnonzero(entries).astype(np.int32)
            highs.addRow(self.low[i] - activity[i], self.high[i] - activity[i], len(kept), kept, entries[kept])
        highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        basis = highs.getBasis()
        return list(basis.col_status), list(basis.row_status)

    def _extend(
        self, basis: tuple[list[Any], list[Any]], integers: Array, rule: Array, free: NDArray[np.int_], own: bool
    ) -> AffineAnswer | None:
        """From a basis to the affine answer; None where the basis is too ill-conditioned to rely on."""
        status = highspy.HighsBasisStatus
        columns, rows = basis
        basic = free[[s == status.kBasic for s in columns]]
        still = free[[s != status.kBasic for s in columns]]
        tight = np.array([i for i, s in enumerate(rows) if s != status.kBasic], dtype=int)
        square = self.of_y[np.ix_(tight, basic)]
        at_upper = {int(k): s == status.kUpper for k, s in zip(free, columns, strict=True)}
        constant, matrix = integers.copy(), rule.copy()
        for k in still:
            constant[k] = self.upper[k] if at_upper[int(k)] else self.lower[k]
        limit = np.array([self.high[i] if rows[i] == status.kUpper else self.low[i] for i in tight])
        if len(tight) != len(basic) or not (np.isfinite(constant).all() and np.isfinite(limit).all()):
            return None
        if basic.size and not np.linalg.cond(square) < _WORST_CONDITION:
            return None
        right = np.column_stack([limit - self.of_y[tight] @ constant, -self.of_v[tight] - self.of_y[tight] @ matrix])
        solved = np.linalg.solve(square, right) if basic.size else np.zeros((0, self.size + 1))
        constant[basic], matrix[basic] = solved[:, 0], solved[:, 1:]
        matrix[np.abs(matrix) < _HELP] = 0.0
        limits = self._limits(constant, matrix, basic, tight)
        z = () if own else (*integers, *_sparse(rule))
        return AffineAnswer(constant, matrix, limits, (self.name, "own" if own else "at", z, *map(str, columns + rows)))

    def _limits(
        self, constant: Array, matrix: Array, basic: NDArray[np.int_], tight: NDArray[np.int_]
    ) -> tuple[Limit, ...]:
        limits = [Limit(matrix[k], float(constant[k]), float(self.lower[k]), float(self.upper[k])) for k in basic]
        loose = np.setdiff1d(np.arange(len(self.low)), tight)
        return (*limits, *(self._row_limit(int(i), constant, matrix) for i in loose))

    def _row_limit(self, i: int, constant: Array, matrix: Array) -> Limit:
        row, shift = self.of_v[i] + self.of_y[i] @ matrix, float(self.of_y[i] @ constant)
        size = float(max(np.abs(self.of_v[i]).max(initial=1.0), np.abs(self.of_y[i]).max(initial=1.0)))
        return Limit(row, shift, float(self.low[i]), float(self.high[i]), size)


def _sparse(matrix: Array) -> tuple[Any, ...]:
    return tuple((int(i), int(j), float(matrix[i, j])) for i, j in np.argwhere(matrix))
