"""Sequential quadratic programming: Newton's method where a smooth convex program has bounds or rows.

Each step minimises the Lagrangian's second-order model over the rows made linear at y (Nocedal and Wright, *Numerical
Optimization*, 18.1), by DAQP's dual active-set method; rows of a convex set, made linear, hold the set, so that no such
program is infeasible unless the program itself is. A step is taken whole where it halves the residual of the optimality
conditions, which near the optimum it always does, else shortened until the objective plus a penalty on the rows falls
(Han 1977): taking only the second would stop the first short of its quadratic convergence (Maratos).
"""

from __future__ import annotations

import math

import casadi as ca
import daqp
import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.deadline import passed
from bilevel.linear_algebra.definiteness import SPREAD
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program
from bilevel.solvers.engines.newton_steps import (
    DESCENT,
    ITERATIONS,
    NewtonSolver,
    Progress,
    lifted,
    settled,
    surely_definite,
)

_INFINITE = 1e30
_EQUALITY = 5  # DAQP's word
_LP_INFEASIBLE = 2  # linprog's
_FAINT = 1e-8  # square of a row's length relative to the Hessian's diagonal, below which DAQP may pass over it
_PRIMAL, _DUAL = 1e-11, 1e-12
_RESIDUAL = 1e-8  # of the optimality conditions at an answer, relative
_FEASIBLE = 1e-9  # of the rows at an answer, relative


class RowsSolver(NewtonSolver):
    """With bounds or rows."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        split = program.n if program.bounded_variables.any() else 0
        low = np.concatenate([program.lower[:split], program.row_lower])
        high = np.concatenate([program.upper[:split], program.row_upper])
        sizes = np.maximum(1.0, _size(low, high))
        self._slack, self._tolerance = 0.5 * tolerances.FEASIBILITY * sizes, _FEASIBLE * sizes[split:]
        self._low, self._high = np.maximum(low, -_INFINITE), np.minimum(high, _INFINITE)
        self._sense = np.where(low == high, _EQUALITY, 0).astype(np.int32)
        self._split, self._open_below = split, not np.isfinite(program.row_lower).any()
        self._values, self._least, self._most = np.zeros(len(low)), np.zeros(len(low)), np.zeros(len(low))
        self._n, self._m = program.n, program.m
        self._curved = bool(program.m) and ca.depends_on(program.jacobian, program.variables)

    def _evaluate(self, y: Array, weights: Array) -> float:
        """Let the form hold the numbers at y; what the rows are broken by, summed with their penalties, or NaN."""
        self._form(y, weights)
        if self._split:
            self._values[: self._split] = y
        if not self._m:
            return 0.0
        rows = self._form.rows
        self._values[self._split :] = rows
        self._over = rows - self._high[self._split :]
        if not self._open_below:
            np.maximum(self._over, self._low[self._split :] - rows, out=self._over)
        np.maximum(self._over, 0.0, out=self._over)
        return float(self._penalty @ self._over)

    def _from(self, y: Array) -> Answer | None:
        """Iterate; None where it comes to nothing."""
        form, progress = self._form, Progress()
        self._penalty = np.zeros(self._m)
        self._plain, self._best = False, math.inf
        multipliers: Array | None = None
        if not math.isfinite(self._evaluate(y, self._penalty) + form.objective):
            return None
        for _ in range(ITERATIONS):
            if passed():
                return None
            hessian = form.hessian
            factor, failed = dpotrf(hessian)
            sure = not failed and surely_definite(factor, hessian)
            if not sure:
                definite = lifted(hessian, form.gradient)
                if definite is None:
                    return None
                hessian = definite
            found = self._model(hessian, multipliers)
            if isinstance(found, Answer):
                return found if found.status is Status.INFEASIBLE else None
            step, multipliers = found
            pushed = hessian @ step
            curved = float(step @ pushed)
            if progress.ended(curved, y, step, hessian, form.objective) and self._feasible():
                return self._answer(y, step, curved, pushed, multipliers, sure)
            self.iterations += 1
            moved = self._along(y, step, multipliers)
            if moved is None:
                return None
            y = moved
        return None

    def _feasible(self) -> bool:
        return not self._m or bool((self._over <= self._tolerance).all())

    def _model(self, hessian: Array, multipliers: Array | None) -> tuple[Array, Array] | Answer:
        """Step and multipliers, those of the bounds first, or why there is none."""
        low, high = np.subtract(self._low, self._values, self._least), np.subtract(self._high, self._values, self._most)
        matrix, gradient = self._form.jacobian, self._form.gradient
        if not math.isfinite(float(gradient.sum()) + float(matrix.sum())):
            return Answer(Status.REFUSED)
        if not self._plain:  # rows that are long enough once are not looked at again
            diagonal = hessian.diagonal()
            largest = float(diagonal.max())
            lengths = np.einsum("ij,ij->i", matrix, matrix)
            self._plain = largest <= SPREAD * float(diagonal.min()) and bool((lengths > _FAINT * largest).all())
        if not self._plain:
            step, found, flag = _in_own_units(hessian, gradient, matrix, low, high, self._sense)
        else:
            step, _, flag, info = daqp.solve(
                hessian, gradient, matrix, high, low, self._sense,
                primal_tol=_PRIMAL, dual_tol=_DUAL, dual_start=multipliers,
            )  # fmt: skip
            found = info["lam"]
        if flag == 1:
            return step, found
        if self._m and self._empty(matrix, low, high):
            return Answer(Status.INFEASIBLE, message="the rows, made linear, contradict each other")
        return Answer(Status.REFUSED)

    def _empty(self, matrix: Array, low: Array, high: Array) -> bool:
        """Whether no point meets the rows made linear, were they wider by what counts as feasible: a linear program.

        DAQP's own word is not enough where the Hessian is all but singular.
        """
        split, infinite = self._split, 0.5 * _INFINITE
        low, high = low - self._slack, high + self._slack
        low, high = np.where(low > -infinite, low, -math.inf), np.where(high < infinite, high, math.inf)
        above, below = np.isfinite(high[split:]), np.isfinite(low[split:])
        sides = np.vstack([matrix[above], -matrix[below]])
        limits = np.concatenate([high[split:][above], -low[split:][below]])
        box = np.column_stack([low[:split], high[:split]]) if split else (None, None)
        return bool(scipy.optimize.linprog(np.zeros(self._n), sides, limits, bounds=box).status == _LP_INFEASIBLE)

    def _along(self, y: Array, step: Array, multipliers: Array) -> Array | None:
        """The next point; the form then holds its numbers."""
        form, split, weights = self._form, self._split, multipliers[self._split :]
        slope, old = -float(form.gradient @ step), form.objective
        if self._m:
            np.maximum(self._penalty, 2.0 * np.abs(weights), out=self._penalty)
            promised = float(self._penalty @ self._over)
            slope, old = slope + promised, old + promised
            if self._curved and self._best == math.inf:
                self._unit = max(float(np.abs(form.gradient).max()), float(np.abs(multipliers).max()), 1e-300)
                self._best = self._residual(multipliers)
        length, whole = 1.0, y + step
        if split:
            whole = np.minimum(np.maximum(whole, self._low[:split]), self._high[:split])
        while length > DESCENT.shortest:
            point = whole if length == 1.0 else y + length * (whole - y)
            broken = self._evaluate(point, weights)
            new = form.objective + broken
            if DESCENT.falls(new, old, length * slope):
                return point
            if self._curved and length == 1.0 and self._halves(multipliers):
                return point
            length = DESCENT.shorter(length, new, old, slope)
        return None

    def _halves(self, multipliers: Array) -> bool:
        """Whether the residual is half of the least one met where this was asked before."""
        if not math.isfinite(self._form.objective):
            return False
        residual = self._residual(multipliers)
        if not residual <= 0.5 * self._best:
            return False
        self._best = residual
        return True

    def _residual(self, multipliers: Array) -> float:
        """Of the optimality conditions at the form's point, relative to what pulls at the start."""
        pull = self._pull(self._form.gradient, multipliers)
        return float(np.abs(pull).max()) / self._unit + float(self._over.max())

    def _pull(self, gradient: Array, multipliers: Array) -> Array:
        """The Lagrangian's gradient."""
        pull: Array = gradient + multipliers[self._split :] @ self._form.jacobian
        if self._split:
            pull += multipliers[: self._split]
        return pull

    def _answer(
        self, y: Array, step: Array, curved: float, pushed: Array, multipliers: Array, sure: bool
    ) -> Answer | None:
        """Believed only where DAQP's multipliers make a stationary point of it."""
        objective, gradient = self._form.objective, self._form.gradient
        size = tolerances.scale(float(np.abs(gradient).max()), float(np.abs(multipliers).max()))
        stationary = float(np.abs(self._pull(gradient + pushed, multipliers)).max()) <= _RESIDUAL * size
        if not (stationary and settled(y, step, curved, objective) and self._signed(multipliers)):
            return None
        return Answer(Status.OPTIMAL, y, objective, objective, sure)

    def _signed(self, multipliers: Array) -> bool:
        """Whether only what is met pulls, and in its own direction."""
        loose = tolerances.FEASIBILITY * np.maximum(1.0, np.abs(self._values))
        up, down = self._values < self._high - loose, self._values > self._low + loose
        size = _RESIDUAL * float(np.abs(multipliers).max())
        return not ((up & (multipliers > size)) | (down & (multipliers < -size))).any()


def _in_own_units(
    hessian: Array, gradient: Array, matrix: Array, low: Array, high: Array, sense: NDArray[np.int32]
) -> tuple[Array, Array, int]:
    """Step, multipliers and DAQP's flag, with rows of length one and a Hessian with ones on its diagonal."""
    units = 1.0 / np.sqrt(hessian.diagonal())
    rows = matrix * units
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    lengths[lengths == 0.0] = 1.0
    sides = np.concatenate([units[: len(low) - len(rows)], lengths])
    rows /= lengths[:, None]
    low, high = (np.where(np.abs(side) < _INFINITE, side / sides, side) for side in (low, high))
    step, _, flag, info = daqp.solve(
        hessian * np.outer(units, units), gradient * units, rows, high, low, sense, primal_tol=_PRIMAL, dual_tol=_DUAL
    )
    return step * units, info["lam"] / sides, flag


def _size(low: Array, high: Array) -> Array:
    """Of the bounds that there are."""
    return np.where(np.isfinite(high), np.abs(high), np.where(np.isfinite(low), np.abs(low), 0.0))
