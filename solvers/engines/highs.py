"""HiGHS: linear, mixed-integer linear and convex quadratic programs.

Huangfu and Hall (2018), doi 10.1007/s12532-017-0130-5.
"""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np
from scipy import sparse

from bilevel import deadline, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.linear_algebra.rays import falls_forever
from bilevel.programs.answer import Answer, Status
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.quadratic_form import QuadraticForm
from bilevel.registry import register
from bilevel.solvers.libraries.quiet_highs import quiet_highs

_MODEL = highspy.HighsModelStatus
_DUAL_ZERO = 1e-7
_LARGEST = 1000  # variables of a quadratic program from which its active-set method takes minutes


@register("highs")
class Highs(Engine):
    """Linear and mixed-integer linear programs, and large convex quadratic ones.

    Take it when a program is linear, with integers or without; for a convex quadratic one of up to 300 variables
    ``daqp`` is faster, and integers beside squares belong to ``scip``.
    """

    def suits(self, program: Program) -> float:
        if program.sos1 or program.shape is Shape.NONLINEAR:
            return 0.0
        if program.shape is Shape.LINEAR:
            return 0.9
        form = numeric_form(program)
        indefinite = form.constant_hessian and form.definiteness < -tolerances.DEFINITE
        if program.discrete or indefinite:
            return 0.0
        return 0.7 if program.n <= _LARGEST else 0.6

    def prepare(self, program: Program) -> Solver:
        return _HighsSolver(program)


class _HighsSolver(Solver):
    def __init__(self, program: Program) -> None:
        self._program = program
        self._form: QuadraticForm = numeric_form(program)
        self._highs = quiet_highs()
        for option, value in (
            # A little looser than the rest: an x that another engine put on the edge of feasibility must stay on it.
            ("primal_feasibility_tolerance", 10.0 * tolerances.ENGINE),
            ("dual_feasibility_tolerance", tolerances.ENGINE),
            ("mip_feasibility_tolerance", tolerances.ENGINE),
            ("qp_iteration_limit", 1000 + 50 * (program.n + program.m)),  # on singular Hessians it may walk in circles
            ("mip_rel_gap", 0.0),
            ("mip_abs_gap", tolerances.ENGINE),
        ):
            self._highs.setOptionValue(option, value)
        self._loaded = False
        self._basis: Any = None
        self._quadratic = program.shape is Shape.QUADRATIC
        self._keeps_matrix = self._form.constant_matrix and (not self._quadratic or self._form.constant_hessian)
        self._definite = (
            self._quadratic and self._form.constant_hessian and self._form.definiteness > tolerances.DEFINITE
        )
        if self._keeps_matrix and not self._quadratic and not program.discrete:
            self._basis = self._reference()

    def _reference(self) -> Any:
        """An optimal basis at one value of the parameters, from which every solve starts.

        Starting from the last basis instead is as fast, but then the last digits depend on what was solved before.
        """
        try:
            self._load(self._form.at(np.zeros(self._program.parameters.numel())))
        except ArithmeticError:  # the data are no numbers there
            return None
        self._highs.run()
        return self._highs.getBasis() if self._highs.getModelStatus() == _MODEL.kOptimal else None

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        form = self._form.at(parameters)
        definite = self._definite
        if self._quadratic and not self._form.constant_hessian:
            smallest = form.smallest
            if smallest < -tolerances.DEFINITE:
                return Answer(Status.REFUSED, message="the Hessian is indefinite at this point")
            definite = smallest > tolerances.DEFINITE
        if self._quadratic:  # none would be exact, but HiGHS then calls wrong points optimal on singular Hessians
            self._highs.setOptionValue("qp_regularization_value", 0.0 if definite else tolerances.ENGINE)
        limit = deadline.limited(time_limit)
        self._highs.setOptionValue("time_limit", float("inf") if limit is None else limit)
        self._highs.clearSolver()
        self._load(form)
        if self._basis is not None:
            self._highs.setBasis(self._basis)
        self._highs.run()
        status = self._highs.getModelStatus()
        if status == _MODEL.kUnboundedOrInfeasible:
            status = self._again_without_presolve()
        return self._read(status, definite)

    def _load(self, form: QuadraticForm) -> None:
        """Pass the model, or only costs and row bounds where the matrix did not move."""
        program, highs = self._program, self._highs
        low, high = program.row_lower - form.offset, program.row_upper - form.offset
        if self._loaded and self._keeps_matrix:
            indices = np.arange(program.n, dtype=np.int32)
            highs.changeColsCost(program.n, indices, np.ascontiguousarray(form.gradient))
            if program.m:
                rows = np.arange(program.m, dtype=np.int32)
                highs.changeRowsBounds(program.m, rows, np.ascontiguousarray(low), np.ascontiguousarray(high))
            highs.changeObjectiveOffset(float(form.constant[0]))
            return
        highs.passModel(self._model(form, low, high))
        self._loaded = True

    def _model(self, form: QuadraticForm, low: Array, high: Array) -> Any:
        program = self._program
        model = highspy.HighsModel()
        lp = model.lp_
        lp.num_col_, lp.num_row_ = program.n, program.m
        lp.col_cost_, lp.offset_ = np.array(form.gradient), float(form.constant[0])
        lp.col_lower_, lp.col_upper_ = program.lower, program.upper
        lp.row_lower_, lp.row_upper_ = low, high
        matrix = sparse.csc_matrix(form.matrix)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
        if program.integer.any():
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            lp.integrality_ = [kinds[int(i)] for i in program.integer]
        if self._quadratic:
            lower = sparse.tril(sparse.csc_array(form.hessian), format="csc")
            model.hessian_.dim_ = program.n
            model.hessian_.format_ = highspy.HessianFormat.kTriangular
            model.hessian_.start_, model.hessian_.index_, model.hessian_.value_ = (
                lower.indptr,
                lower.indices,
                lower.data,
            )
        return model

    def _again_without_presolve(self) -> Any:
        self._highs.clearSolver()
        self._highs.setOptionValue("presolve", "off")
        limit = deadline.limited()
        self._highs.setOptionValue("time_limit", float("inf") if limit is None else limit)
        self._highs.run()
        self._highs.setOptionValue("presolve", "choose")
        return self._highs.getModelStatus()

    def _read(self, status: Any, definite: bool) -> Answer:
        words = f"HiGHS: {self._highs.modelStatusToString(status)}"
        if status == _MODEL.kInfeasible:
            return Answer(Status.INFEASIBLE, message=words)
        if status == _MODEL.kUnbounded:
            if self._quadratic and not self._falls_forever():  # it says so of free variables that nothing moves
                return Answer(Status.FAILED, message=f"{words}, but no ray falls")
            return Answer(Status.UNBOUNDED, message=words)
        if status != _MODEL.kOptimal:
            return self._stopped_early(words)
        solution, info = self._highs.getSolution(), self._highs.getInfo()
        y = np.clip(np.array(solution.col_value), self._program.lower, self._program.upper)
        if not np.isfinite(y).all():
            return Answer(Status.REFUSED, message="HiGHS: the optimum it returns is not finite")
        integer = self._program.integer
        if integer.any():
            y[integer] = np.round(y[integer])
            return Answer(Status.OPTIMAL, y, float(info.objective_function_value), float(info.mip_dual_bound), False)
        if self._quadratic and not self._stationary(y, solution):
            return Answer(Status.REFUSED, message="HiGHS: what it calls optimal is not stationary")
        objective = self._form.objective(y) if self._quadratic else float(info.objective_function_value)
        unique = definite if self._quadratic else self._nondegenerate_dual(solution)
        return Answer(Status.OPTIMAL, y, objective, objective, unique)

    def _falls_forever(self) -> bool:
        program, form = self._program, self._form
        rows = sparse.vstack([sparse.eye_array(program.n), sparse.csr_array(form.matrix)])
        low = np.concatenate([program.lower, program.row_lower - form.offset])
        high = np.concatenate([program.upper, program.row_upper - form.offset])
        return falls_forever(form.hessian, form.gradient, rows, low, high)

    def _stationary(self, y: Array, solution: Any) -> bool:
        """Whether ``H y + c = A' u + z`` with HiGHS's own multipliers u of the rows and z of the bounds."""
        form = self._form
        slope = form.hessian @ y + form.gradient
        residual = slope - np.array(solution.col_dual) - form.matrix.T @ np.array(solution.row_dual)
        return float(np.abs(residual).max()) <= 1e-6 * tolerances.scale(float(np.abs(slope).max()))

    def _stopped_early(self, words: str) -> Answer:
        info = self._highs.getInfo()
        if not self._program.integer.any() or info.primal_solution_status != 2:
            return Answer(Status.FAILED, message=words)
        y = np.array(self._highs.getSolution().col_value)
        return Answer(Status.FAILED, y, float(info.objective_function_value), float(info.mip_dual_bound), message=words)

    def _nondegenerate_dual(self, solution: Any) -> bool:
        """Whether every nonbasic variable and row has a nonzero dual: then an LP's vertex is its only optimum."""
        basis = self._highs.getBasis()
        basic = highspy.HighsBasisStatus.kBasic
        fixed = self._program.lower == self._program.upper
        columns = all(
            s == basic or f or abs(d) > _DUAL_ZERO
            for s, d, f in zip(basis.col_status, solution.col_dual, fixed, strict=True)
        )
        equal = self._program.equality
        return columns and all(
            s == basic or e or abs(d) > _DUAL_ZERO
            for s, d, e in zip(basis.row_status, solution.row_dual, equal, strict=True)
        )
