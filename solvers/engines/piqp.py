"""PIQP: large sparse convex quadratic programs with inequalities.

A proximal interior-point method (Schwan, Jiang, Kuhn and Jones 2023, doi 10.1109/CDC49753.2023.10383915). Its answer is
made exact on the constraints that hold it (:mod:`bilevel.solvers.engines.active_sets.active_polish`); what it says of
infeasibility counts where its own multipliers prove it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import piqp
from scipy import sparse

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.programs.answer import Answer, Status
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.sparse_form import SparseForm
from bilevel.registry import register
from bilevel.solvers.engines.active_sets.active_polish import Polish

_FARKAS = 1e-7  # what is left of ``A'm``, relative to the contradiction ``b'm``, where multipliers prove one
_STATIONARY = 1e-7  # of an answer that is not made exact, relative to the objective's gradient


@register("piqp")
class Piqp(Engine):
    """Large sparse convex quadratic programs, by a proximal interior-point method.

    Take it when a convex quadratic program with inequalities is large with few nonzeros; where it is small or dense,
    take ``daqp``.
    """

    def suits(self, program: Program) -> float:
        if program.discrete or program.shape is not Shape.QUADRATIC or not program.sparse:
            return 0.0
        form = numeric_form(program)
        if form.constant_hessian and form.definiteness < 0.0:
            return 0.0
        return 0.95 if program.has_inequalities else 0.8

    def prepare(self, program: Program) -> Solver:
        return _PiqpSolver(program)


class _PiqpSolver(Solver):
    """Set up at the first parameters; then only what moves is passed on."""

    def __init__(self, program: Program) -> None:
        form = numeric_form(program)
        assert isinstance(form, SparseForm)
        self._form, self._program = form, program
        self._fixed = program.lower == program.upper  # has no interior: an equality to it
        self._equal = np.flatnonzero(program.equality)
        self._rows = np.flatnonzero(~program.equality)
        self._lower = np.where(self._fixed, -np.inf, program.lower)
        self._upper = np.where(self._fixed, np.inf, program.upper)
        self._pins = sparse.eye_array(program.n, format="csr")[np.flatnonzero(self._fixed)]
        self._convex = program.convex or (form.constant_hessian and form.definiteness >= 0.0)
        self._solver: Any = None
        self._polish = Polish(program)

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        form = self._form
        form.at(parameters)
        if not self._convex and form.smallest < 0.0:
            return Answer(Status.REFUSED, message="the Hessian is indefinite at this point")
        self._load()
        status = self._solver.solve()
        if status == piqp.PIQP_PRIMAL_INFEASIBLE and self._contradicts():
            return Answer(Status.INFEASIBLE, message="PIQP: the constraints contradict each other")
        if status in (piqp.PIQP_PRIMAL_INFEASIBLE, piqp.PIQP_DUAL_INFEASIBLE):
            return Answer(Status.REFUSED, message=f"PIQP: {status.name}, unproved")
        sides, bound_sides = self._sides()
        polished = self._polish(sides, bound_sides)
        if polished is not None:
            objective = form.objective(polished.y)
            return Answer(Status.OPTIMAL, polished.y, objective, objective, polished.unique)
        return self._inexact(status)

    def _load(self) -> None:
        form, program = self._form, self._program
        data: dict[str, Any] = {"c": form.gradient}
        low, high = program.row_lower - form.offset, program.row_upper - form.offset
        if len(self._equal) or self._fixed.any():
            data["b"] = np.concatenate([high[self._equal], program.lower[self._fixed]])
        if len(self._rows):
            data["h_l"], data["h_u"] = low[self._rows], high[self._rows]
        if self._solver is None or not form.constant_hessian:
            data["P"] = sparse.csc_matrix(form.hessian)
        if self._solver is None or not form.constant_matrix:
            if "b" in data:
                data["A"] = sparse.csc_matrix(sparse.vstack([form.matrix[self._equal], self._pins]))
            if len(self._rows):
                data["G"] = sparse.csc_matrix(form.matrix[self._rows])
        if self._solver is not None:
            self._solver.update(**data)
            return
        self._solver = piqp.SparseSolver()
        settings = self._solver.settings
        settings.verbose, settings.compute_timings = False, False
        settings.eps_abs, settings.eps_rel = tolerances.ENGINE, tolerances.ENGINE
        settings.eps_duality_gap_abs, settings.eps_duality_gap_rel = tolerances.ENGINE, tolerances.ENGINE
        self._solver.setup(**data, x_l=self._lower, x_u=self._upper)

    def _sides(self) -> tuple[Array, Array]:
        """The side on which each row and each variable is: where its multiplier is larger than its slack."""
        found = self._solver.result
        sides, bound_sides = np.zeros(self._program.m), np.zeros(self._program.n)
        sides[self._rows] = _side(found.z_l, found.s_l, found.z_u, found.s_u)
        bound_sides[:] = _side(found.z_bl, found.s_bl, found.z_bu, found.s_bu)
        bounded = np.where(bound_sides < 0.0, self._lower, self._upper)
        bound_sides[~np.isfinite(bounded)] = 0.0
        limits = np.where(sides < 0.0, self._program.row_lower, self._program.row_upper)
        sides[~np.isfinite(limits)] = 0.0
        return sides, bound_sides

    def _weights(self) -> tuple[Array, Array]:
        """PIQP's multipliers of all rows and of all bounds, positive on upper sides."""
        found, program = self._solver.result, self._program
        weights, of_bounds = np.zeros(program.m), np.array(found.z_bu, dtype=float) - found.z_bl
        of_equal = np.asarray(found.y)
        weights[self._equal] = of_equal[: len(self._equal)]
        weights[self._rows] = np.asarray(found.z_u) - np.asarray(found.z_l)
        of_bounds[self._fixed] += of_equal[len(self._equal) :]
        return weights, of_bounds

    def _contradicts(self) -> bool:
        """Whether the multipliers m prove infeasibility: ``A'm = 0``, and no point meets ``m'A y <= m'b`` (Farkas)."""
        form, program = self._form, self._program
        weights, of_bounds = self._weights()
        low, high = program.row_lower - form.offset, program.row_upper - form.offset
        pull = np.abs(form.matrix.T @ weights + of_bounds).max(initial=0.0)
        gap = -_reach(weights, low, high) - _reach(of_bounds, program.lower, program.upper)
        size = tolerances.scale(float(np.abs(np.asarray(self._solver.result.x)).max(initial=0.0)))
        return bool(np.isfinite(gap)) and gap > 0.0 and pull <= _FARKAS * gap / min(size, 1e3)

    def _inexact(self, status: Any) -> Answer:
        """The interior answer where no active set was found and it is one all the same."""
        form, program = self._form, self._program
        if status != piqp.PIQP_SOLVED:
            return Answer(Status.FAILED, message=f"PIQP: {status.name}")
        y = np.clip(np.asarray(self._solver.result.x), program.lower, program.upper)
        weights, of_bounds = self._weights()
        slope = form.hessian @ y + form.gradient
        residual = float(np.abs(slope + form.matrix.T @ weights + of_bounds).max(initial=0.0))
        rows = form.matrix @ y + form.offset
        excess = np.maximum(program.row_lower - rows, rows - program.row_upper).max(initial=0.0)
        if (
            residual > _STATIONARY * tolerances.scale(float(np.abs(slope).max()))
            or excess > tolerances.FEASIBILITY / 10
        ):
            return Answer(Status.FAILED, message="PIQP: what it calls optimal is not stationary")
        objective = form.objective(y)
        return Answer(Status.OPTIMAL, y, objective, objective, form.smallest > 0.0)


def _side(z_low: Any, s_low: Any, z_high: Any, s_high: Any) -> Array:
    return np.where(np.asarray(z_high) > s_high, 1.0, np.where(np.asarray(z_low) > s_low, -1.0, 0.0))


def _reach(weights: Array, low: Array, high: Array) -> float:
    """The largest value of ``weights'v`` for ``low <= v <= high``, weights of the size of rounding left aside."""
    ends = np.where(weights > 0.0, high, low)
    counted = np.isfinite(ends)
    if np.abs(weights[~counted]).max(initial=0.0) > 1e-9 * np.abs(weights).max(initial=0.0):
        return float("inf")
    return float(weights[counted] @ ends[counted])
