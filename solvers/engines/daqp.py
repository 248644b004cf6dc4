"""DAQP: small dense convex quadratic programs in microseconds.

A dual active-set method (Arnström, Bemporad and Axehill, IEEE TAC 2022, doi 10.1109/TAC.2022.3176430).
"""

from __future__ import annotations

from typing import Any

import daqp
import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.linear_algebra.definiteness import SPREAD, own_units, relative_smallest_eigenvalue
from bilevel.linear_algebra.rays import falls_forever
from bilevel.programs.answer import Answer, Status
from bilevel.programs.numeric_form import dense_form, numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.quadratic_form import QuadraticForm
from bilevel.registry import register

_INFINITE = 1e30
_EQUALITY = 5
_UNBOUNDED = -3
_LARGEST = 300
_SMALLEST_PIVOT = 1e-6
_FAINT = 1e-8  # the square of a row's length, in the metric of the Hessian; DAQP skips rows below 1e-11 without a word


@register("daqp")
class Daqp(Engine):
    """Convex quadratic programs with up to a few hundred variables, by a dual active-set method.

    Take it when a convex quadratic program is small and dense and is solved many times; where it is large and sparse,
    take ``piqp``.
    """

    def suits(self, program: Program) -> float:
        if program.discrete or program.shape is not Shape.QUADRATIC or program.n > _LARGEST or program.m > 4 * _LARGEST:
            return 0.0
        form = numeric_form(program)
        if form.constant_hessian and form.definiteness < -tolerances.DEFINITE:
            return 0.0
        return 0.9 if program.has_inequalities else 0.6

    def prepare(self, program: Program) -> Solver:
        return _DaqpSolver(program)


class _DaqpSolver(Solver):
    def __init__(self, program: Program) -> None:
        self._form: QuadraticForm = dense_form(program)
        self._program = program
        self._has_bounds = bool(program.bounded_variables.any())
        self._lower = np.where(np.isfinite(program.lower), program.lower, -_INFINITE)
        self._upper = np.where(np.isfinite(program.upper), program.upper, _INFINITE)
        self._row_lower = np.where(np.isfinite(program.row_lower), program.row_lower, -_INFINITE)
        self._row_upper = np.where(np.isfinite(program.row_upper), program.row_upper, _INFINITE)
        own = self._has_bounds
        self._low = np.concatenate([self._lower, self._row_lower] if own else [self._row_lower])
        self._high = np.concatenate([self._upper, self._row_upper] if own else [self._row_upper])
        split = len(self._low) - program.m
        self._low_rows, self._high_rows = self._low[split:], self._high[split:]
        np.subtract(self._row_lower, self._form.offset, out=self._low_rows)
        np.subtract(self._row_upper, self._form.offset, out=self._high_rows)
        self._two_sided = bool((self._row_lower > -_INFINITE).any())
        self._rows_move = not self._form.constant_rows
        bound_sense = np.where(program.lower == program.upper, _EQUALITY, 0) if self._has_bounds else np.zeros(0)
        row_sense = np.where(program.equality, _EQUALITY, 0)
        self._sense = np.concatenate([bound_sense, row_sense]).astype(np.int32)
        self._whole = self._form.constant_matrix and not self._is_empty(self._form.matrix).any()
        self._rows = np.ascontiguousarray(self._form.matrix)
        self._definite: bool | None = self._check(self._form.hessian) if self._form.constant_hessian else None
        self._still = self._whole and self._form.constant_hessian
        self._plain = self._still and _is_plain(self._form.hessian, self._rows)

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        form = self._form.at(parameters)
        definite = self._check(form.hessian) if self._definite is None else self._definite
        if not definite and relative_smallest_eigenvalue(form.hessian) < -tolerances.DEFINITE:
            return Answer(Status.REFUSED, message="the Hessian is indefinite at this point")
        if self._whole:
            if self._rows_move:
                if self._two_sided:
                    np.subtract(self._row_lower, form.offset, out=self._low_rows)
                np.subtract(self._row_upper, form.offset, out=self._high_rows)
            return self._solve(form, self._rows, self._low, self._high, self._sense, definite)
        low, high, sense = self._row_lower - form.offset, self._row_upper - form.offset, self._sense
        matrix = form.matrix
        empty = self._is_empty(matrix)
        if empty.any():
            slack = tolerances.FEASIBILITY
            if (low[empty] > slack).any() or (high[empty] < -slack).any():
                return Answer(Status.INFEASIBLE, message=f"{self._blame(empty, low, high)} cannot hold at this point")
            matrix, low, high = matrix[~empty], low[~empty], high[~empty]
            sense = np.concatenate([sense[: len(sense) - len(empty)], sense[len(sense) - len(empty) :][~empty]])
        if self._has_bounds:
            low, high = np.concatenate([self._lower, low]), np.concatenate([self._upper, high])
        return self._solve(form, np.ascontiguousarray(matrix), low, high, sense, definite)

    @staticmethod
    def _is_empty(matrix: Array) -> NDArray[np.bool_]:
        """Rows without a nonzero."""
        empty: NDArray[np.bool_] = np.logical_not(matrix.any(axis=1))
        return empty

    def _solve(self, form: QuadraticForm, matrix: Array, low: Array, high: Array, sense: Any, definite: bool) -> Answer:
        if self._plain or (not self._still and _is_plain(form.hessian, matrix)):
            y, _, flag, info = daqp.solve(
                form.hessian, form.gradient, matrix, high, low, sense, primal_tol=tolerances.ENGINE, dual_tol=1e-12
            )
        else:
            y, flag, info, matrix = _scaled(form, matrix, low, high, sense, definite)
        if flag == 1:
            if not definite and not self._stationary(form, matrix, y, info["lam"]):
                return Answer(Status.REFUSED, message="DAQP's proximal iterations stopped short on a singular Hessian")
            objective = form.objective(y)
            return Answer(Status.OPTIMAL, y, objective, objective, definite)
        if flag == -1:
            return Answer(Status.INFEASIBLE, message="DAQP: the constraints contradict each other")
        if flag == _UNBOUNDED and falls_forever(form.hessian, form.gradient, *_rows_of(form, matrix, low, high)):
            return Answer(Status.UNBOUNDED, message="the objective falls forever along a direction without curvature")
        return Answer(Status.REFUSED, message=f"DAQP stopped with exit flag {flag}")

    def _stationary(self, form: QuadraticForm, matrix: Array, y: Array, multipliers: Array) -> bool:
        split = len(multipliers) - len(matrix)
        residual = form.hessian @ y + form.gradient + matrix.T @ multipliers[split:]
        if split:
            residual = residual + multipliers[:split]
        return float(np.abs(residual).max()) <= 1e-7 * tolerances.scale(float(np.abs(form.gradient).max()))

    def _check(self, hessian: Array) -> bool:
        units = own_units(hessian)
        if units is not None:
            hessian = hessian * np.outer(units, units)
        factor, failed = dpotrf(hessian)
        pivots = factor.diagonal()
        return not failed and bool(pivots.min() > _SMALLEST_PIVOT * pivots.max())

    def _blame(self, empty: Any, low: Array, high: Array) -> str:
        broken = empty & ((low > tolerances.FEASIBILITY) | (high < -tolerances.FEASIBILITY))
        return self._program.row_names[int(np.argmax(broken))]


def _is_plain(hessian: Array, matrix: Array) -> bool:
    """Whether DAQP may have the program as it is."""
    diagonal = hessian.diagonal()
    largest = float(diagonal.max())
    if not 0.0 < largest <= SPREAD * float(diagonal.min()):
        return False
    return not matrix.size or float(np.einsum("ij,ij->i", matrix, matrix).min()) > _FAINT * largest


def _scaled(
    form: QuadraticForm, matrix: Array, low: Array, high: Array, sense: Any, definite: bool
) -> tuple[Array, int, Any, Array]:
    """Solve with rows of length one and, where it is definite, a Hessian with ones on its diagonal.

    Returns the answer, DAQP's flag and remarks, and the rows to which its multipliers belong.
    """
    units = 1.0 / np.sqrt(form.hessian.diagonal()) if definite else np.ones(len(form.gradient))
    rows = matrix * units
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    lengths[lengths == 0.0] = 1.0
    split = len(low) - len(rows)
    sides = np.concatenate([units[:split], lengths])
    rows /= lengths[:, None]
    low, high = (np.where(np.abs(side) < _INFINITE, side / sides, side) for side in (low, high))
    hessian = form.hessian * np.outer(units, units)
    y, _, flag, info = daqp.solve(
        hessian, form.gradient * units, rows, high, low, sense, primal_tol=tolerances.ENGINE, dual_tol=1e-12
    )
    return y * units, flag, info, rows / units


def _rows_of(form: QuadraticForm, matrix: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Bounds of variables among the rows, and no infinity of DAQP's."""
    rows = np.vstack([np.eye(len(form.gradient))[: len(low) - len(matrix)], matrix])
    return rows, np.where(low > -_INFINITE, low, -np.inf), np.where(high < _INFINITE, high, np.inf)
