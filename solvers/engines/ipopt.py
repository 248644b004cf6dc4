"""Ipopt: smooth nonlinear programs, locally (Wächter and Biegler 2006, doi 10.1007/s10107-004-0559-y).

Through cyipopt where it is installed, else through the Ipopt inside CasADi: the same options, derivatives and answers.
The only file that knows cyipopt.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import casadi as ca
import numpy as np

from bilevel import deadline, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.graphs.casadi_silence import silence
from bilevel.graphs.compiled import Compiled
from bilevel.linear_algebra.sparse_factor import Definiteness
from bilevel.linear_algebra.sparsity import column_of, pattern, with_diagonal
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program
from bilevel.registry import register
from bilevel.solvers.engines.ipopt_clock import Clock, options_of

OPTIONS: dict[str, Any] = {
    "tol": tolerances.ENGINE,
    "constr_viol_tol": tolerances.ENGINE,
    "acceptable_tol": 1e-7,
    "max_iter": 500,
    "check_derivatives_for_naninf": "yes",  # MUMPS dies of a Hessian that is no number, and Python with it
    "honor_original_bounds": "yes",
    "print_level": 0,
    "sb": "yes",
}

_RESIDUAL = 1e-5  # of stationarity, relative to the objective's gradient, above which an optimum is not believed
_FAR_OFF = (10.0, 1e3)  # steps, relative to y, at which a flat objective is looked at again
_LOWER = 1e-13  # by which it must be lower there, relative: more than rounding

_STATUS = {
    0: Status.OPTIMAL,
    1: Status.OPTIMAL,
    2: Status.INFEASIBLE,
    4: Status.UNBOUNDED,
    6: Status.OPTIMAL,
}
_OVER = {-4: "the time is up", -5: "the time is up"}  # codes of cyipopt for the two clocks
_NO_LIMIT, _NO_LIMIT_BEFORE = 1e20, 1e6  # Ipopt's own
_WORDS = {
    "Solve_Succeeded": 0,
    "Solved_To_Acceptable_Level": 1,
    "Infeasible_Problem_Detected": 2,
    "Search_Direction_Becomes_Too_Small": 3,
    "Diverging_Iterates": 4,
    "User_Requested_Stop": 5,
    "Feasible_Point_Found": 6,
    "Maximum_Iterations_Exceeded": -1,
    "Restoration_Failed": -2,
}


def cyipopt_available() -> bool:
    """Whether cyipopt can be imported."""
    return importlib.util.find_spec("cyipopt") is not None


@register("ipopt")
class Ipopt(Engine):
    """Smooth nonlinear programs by an interior-point method: a proof where the program is convex, else local.

    Take it when a smooth program is large, sparse or not convex and a local optimum will do; for convex ones of up to
    some hundred variables ``newton`` is several times faster.
    """

    def suits(self, program: Program) -> float:
        if program.discrete:
            return 0.0
        if program.losses:  # row by row, in seconds: where others fail
            return 0.1 if all(term.rows.may_be_written for term in program.losses) else 0.0
        return 0.8 if program.convex else 0.4

    def prepare(self, program: Program) -> Solver:
        if cyipopt_available():
            try:
                return _CyipoptSolver(program)
            except RuntimeError:  # cyipopt takes no program without a nonzero in a row; CasADi's does
                pass
        return _CasadiSolver(program)


class _IpoptSolver(Solver):
    """What both ways to Ipopt share: the start, the bounds, and the reading of the answer."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._default = np.clip(
            program.start if program.start is not None else np.zeros(program.n), program.lower, program.upper
        )
        self._curvature: Compiled | None = None
        self._slope: Compiled | None = None

    def _start(self, start: Array | None) -> Array:
        point = self._default if start is None else start
        return np.clip(np.where(np.isfinite(point), point, self._default), self.program.lower, self.program.upper)

    def _read(self, parameters: Array, y: Array, multipliers: Array, of_bounds: Array, code: int, word: str) -> Answer:
        status = _STATUS.get(code, Status.FAILED)
        objective = float(self.program.evaluate(parameters, y)[0][0])
        if status is Status.OPTIMAL and not self._stationary(parameters, y, multipliers, of_bounds):
            status, word = Status.FAILED, f"{word}, but the point is not stationary"
        if self.program.violation(parameters, y) > tolerances.FEASIBILITY and status in (
            Status.OPTIMAL,
            Status.UNBOUNDED,
        ):
            status = Status.FAILED
        if not np.isfinite(objective) and status is Status.OPTIMAL:
            status = Status.FAILED
        if status is Status.OPTIMAL and self._falls_on(parameters, y, objective):
            return Answer(Status.UNBOUNDED, y, objective, message="the objective falls on, no optimum is attained")
        if status is not Status.OPTIMAL:
            proved = self.program.convex or status is Status.FAILED
            return Answer(status if proved else Status.FAILED, y, objective, message=f"Ipopt: {word}")
        bound = objective if self.program.convex else float("-inf")
        return Answer(status, y, objective, bound, self.program.convex and self._strict(parameters, y, multipliers))

    def _stationary(self, parameters: Array, y: Array, multipliers: Array, of_bounds: Array) -> bool:
        """Whether the Lagrangian's gradient vanishes: Ipopt's own test is relative to multipliers that may be huge."""
        if self._slope is None:
            program = self.program
            weights = ca.SX.sym("w", program.m)
            slope = program.gradient + ca.jtimes(program.rows, program.variables, weights, True)
            self._slope = Compiled([program.parameters, program.variables, weights], [slope, program.gradient])
        slope, gradient = self._slope(parameters, y, multipliers)
        residual = np.abs(slope + of_bounds).max(initial=0.0)
        return bool(residual <= _RESIDUAL * tolerances.scale(float(np.abs(gradient).max(initial=0.0))))

    def _falls_on(self, parameters: Array, y: Array, objective: float) -> bool:
        """Whether the objective is still lower far off, where the slope at ``y`` points: exp(y) has no least value."""
        program = self.program
        bounded = np.isfinite(program.lower).all() and np.isfinite(program.upper).all()
        if bounded or not program.convex:
            return False
        assert self._slope is not None
        slope = self._slope(parameters, y, np.zeros(program.m))[1]
        edge = tolerances.FEASIBILITY * np.maximum(1.0, np.abs(y))  # an interior point stops short of its bounds
        free = np.where(slope > 0.0, y > program.lower + edge, y < program.upper - edge)
        direction = np.where(free, -slope, 0.0)
        steepest = float(np.abs(direction).max(initial=0.0))
        if steepest == 0.0:
            return False
        for reach in _FAR_OFF:
            step = reach * tolerances.scale(float(np.abs(y).max())) / steepest
            point = np.clip(y + step * direction, program.lower, program.upper)
            if program.violation(parameters, point) <= tolerances.FEASIBILITY:
                value = float(program.evaluate(parameters, point)[0][0])
                if value < objective - _LOWER * tolerances.scale(objective):
                    return True
        return False

    def _strict(self, parameters: Array, y: Array, multipliers: Array) -> bool:
        """Whether the Lagrangian's Hessian is definite at ``y``: a convex program then has no other optimum."""
        if self.program.sparse:
            return self._sparsely_strict(parameters, y, multipliers)
        if self._curvature is None:
            program = self.program
            weights = ca.SX.sym("w", program.m)
            lagrangian = program.objective + ca.dot(weights, program.rows)
            self._curvature = Compiled(
                [program.parameters, program.variables, weights], [ca.hessian(lagrangian, program.variables)[0]]
            )
        hessian = self._curvature(parameters, y, multipliers)[0].reshape(self.program.n, self.program.n)
        return bool(np.isfinite(hessian).all()) and bool(
            np.linalg.eigvalsh(hessian)[0] > 1e-8 * max(1.0, float(np.abs(hessian).max()))
        )

    def _sparsely_strict(self, parameters: Array, y: Array, multipliers: Array) -> bool:
        """The same of a large one, by the pivots of a sparse factor."""
        if self._curvature is None:
            program = self.program
            weights = ca.SX.sym("w", program.m)
            lagrangian = program.objective + ca.dot(weights, program.rows)
            upper = with_diagonal(ca.triu(ca.hessian(lagrangian, program.variables)[0]))
            self._curvature = Compiled([program.parameters, program.variables, weights], [column_of(upper)])
            self._definiteness = Definiteness(pattern(upper))
        return self._definiteness(self._curvature(parameters, y, multipliers)[0]) == 1


class _CasadiSolver(_IpoptSolver):
    def __init__(self, program: Program) -> None:
        super().__init__(program)
        options = {f"ipopt.{key}": value for key, value in OPTIONS.items()}
        options |= {"print_time": False, "error_on_fail": False, "show_eval_warnings": False, "record_time": False}
        options["calc_lam_p"] = False  # nobody reads them, and where they are no numbers CasADi warns on stderr
        self._clock = Clock(program)
        options |= options_of(self._clock, program)
        problem = {"x": program.variables, "p": program.parameters, "f": program.objective, "g": program.rows}
        self._solver = ca.nlpsol("lower", "ipopt", problem, options)

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        program = self.program
        self._clock.until = deadline.Deadline.after(deadline.limited(time_limit))
        with deadline.waiting(), silence():
            result = self._solver(
                x0=self._start(start),
                p=parameters,
                lbx=program.lower,
                ubx=program.upper,
                lbg=program.row_lower,
                ubg=program.row_upper,
            )
        word = self._solver.stats()["return_status"]
        y, multipliers, of_bounds = (result[key].full()[:, 0] for key in ("x", "lam_g", "lam_x"))
        return self._read(parameters, y, multipliers, of_bounds, _WORDS.get(word, -100), word)


class _Callbacks:
    """Ipopt's callbacks on compiled functions; the parameters are set before each solve.

    What is raised in them (Ctrl-C) is passed on by cyipopt, which leaves what was asked for unset: MUMPS dies of a
    Hessian of that kind. So the Hessian comes to its end, and the next one to be called raises in its place.
    """

    def __init__(self, program: Program) -> None:
        p, y = program.parameters, program.variables
        sigma, weights = ca.SX.sym("sigma"), ca.SX.sym("w", program.m)
        jacobian = program.jacobian
        lagrangian = sigma * program.objective + ca.dot(weights, program.rows)
        hessian = ca.tril(ca.hessian(lagrangian, y)[0])
        self.parameters = np.zeros(program.parameters.numel())
        self._values = Compiled([p, y], [program.objective, program.rows])
        self._gradient = Compiled([p, y], [program.gradient])
        self._jacobian = Compiled([p, y], [_nonzeros(jacobian)])
        self._hessian = Compiled([p, y, weights, sigma], [_nonzeros(hessian)])
        self._jacobian_structure = _triplets(jacobian)
        self._hessian_structure = _triplets(hessian)
        self.raised: BaseException | None = None

    def pass_on(self) -> None:
        """Raise what the Hessian could not."""
        raised, self.raised = self.raised, None
        if raised is not None:
            raise raised

    def objective(self, y: Array) -> float:
        self.pass_on()
        return float(self._values(self.parameters, y)[0][0])

    def constraints(self, y: Array) -> Array:
        return self._values(self.parameters, y)[1]

    def gradient(self, y: Array) -> Array:
        return self._gradient(self.parameters, y)[0]

    def jacobian(self, y: Array) -> Array:
        return self._jacobian(self.parameters, y)[0]

    def jacobianstructure(self) -> Any:
        return self._jacobian_structure

    def hessian(self, y: Array, weights: Array, sigma: float) -> Array:
        try:
            return self._hessian(self.parameters, y, weights, sigma)[0]
        except BaseException as raised:
            self.raised = raised
            return np.zeros(len(self._hessian_structure[0]))

    def hessianstructure(self) -> Any:
        return self._hessian_structure


def _nonzeros(matrix: ca.SX) -> ca.SX:
    return ca.vertcat(*matrix.nonzeros()) if matrix.nnz() else ca.SX(0, 1)


def _triplets(matrix: ca.SX) -> tuple[Any, Any]:
    rows, columns = matrix.sparsity().get_triplet()
    return np.array(rows, dtype=int), np.array(columns, dtype=int)


class _CyipoptSolver(_IpoptSolver):
    def __init__(self, program: Program) -> None:
        super().__init__(program)
        # Kept with the program: whoever solves it next, to break a tie or to look again, finds them.
        self._callbacks = program.kept("ipopt", lambda: _Callbacks(program))
        self._limited = False
        self._solver = self._made()

    def _made(self) -> Any:
        import cyipopt

        program, infinite = self.program, 2e19
        solver = cyipopt.Problem(
            n=program.n,
            m=program.m,
            problem_obj=self._callbacks,
            lb=np.maximum(program.lower, -infinite),
            ub=np.minimum(program.upper, infinite),
            cl=np.maximum(program.row_lower, -infinite),
            cu=np.minimum(program.row_upper, infinite),
        )
        for key, value in OPTIONS.items():
            solver.add_option(key, value)
        return solver

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        self._callbacks.parameters[:], self._callbacks.raised = parameters, None
        self._set_limit(deadline.limited(time_limit))
        try:
            with deadline.waiting():  # it is told the time itself
                y, info = self._solver.solve(self._start(start))
        except BaseException:
            self._solver, self._limited = self._made(), False  # this one would raise it again at every solve
            raise
        self._callbacks.pass_on()
        word = info["status_msg"]
        word = word.decode() if isinstance(word, bytes) else str(word)
        of_bounds = info["mult_x_U"] - info["mult_x_L"]
        code = int(info["status"])
        return self._read(parameters, y, info["mult_g"], of_bounds, code, _OVER.get(code, word))

    def _set_limit(self, seconds: float | None) -> None:
        """Tell Ipopt the time; before version 3.14 it knew the processor's alone."""
        if seconds is None and not self._limited:
            return
        self._limited = seconds is not None
        try:
            self._solver.add_option("max_wall_time", _NO_LIMIT if seconds is None else seconds)
        except TypeError:
            self._solver.add_option("max_cpu_time", min(_NO_LIMIT_BEFORE, math.inf if seconds is None else seconds))
