"""Piecewise lines on HiGHS: separable nonconvex programs, with a proof.

Where every nonlinear term moves with one variable or one weighted sum of variables (response curves of budgets,
concave costs, S-shapes), lines below each curve make a mixed-integer linear program whose optimum bounds the objective;
curves are refined at its solutions until a point found by a local solve closes the gap (Falk and Soland 1969, doi
10.1287/mnsc.15.9.550; Geißler, Martin, Morsi and Schewe 2012, doi 10.1007/978-1-4614-1927-3_10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import casadi as ca
import numpy as np

from bilevel import deadline, registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program, Shape
from bilevel.registry import register
from bilevel.solvers.engines.separable.curve import CurvedFunction
from bilevel.solvers.engines.separable.relaxation import OBJECTIVE, Curve, Relaxation, curves_of
from bilevel.solvers.engines.separable.sums import SUPPORTED, NotSeparableError, Separable, taken_apart

_LONGEST = 20.0  # seconds for one program where nobody set a limit
_ROUNDS = 60
_REST = 0.2  # of the curves' errors at a solution, which is left: every piece costs a binary
_ALONE = 8  # rounds without local solves: where only the objective is curved, the relaxation's points soon are as good
_MANY = 60  # curves from which a relaxation takes longer than a local solve
_POLISHED = 3  # local solves in a row that brought nothing before they are spared
_CURVES = 400


@register("piecewise")
class Piecewise(Engine):
    """Separable nonconvex programs to proved global optimality: curves of one number each, integers and linear rows.

    Take it when every nonlinear term moves with one variable or one weighted sum, as response curves of a budget do;
    where terms mix variables the general ``scip`` is needed.
    """

    second_opinion = 1.0  # its bounds rest on ranges of derivatives that are proved

    def suits(self, program: Program) -> float:
        if program.shape is not Shape.NONLINEAR or program.sos1 or program.squares or program.moving or program.losses:
            return 0.0
        graph = program.graph
        if any(graph.instruction_id(k) not in SUPPORTED for k in range(graph.n_instructions())):
            return 0.0
        if program.loose.any():
            return 0.0
        parts = program.kept("separable", lambda: _parts(program))
        return 0.56 if parts is not None and 0 < sum(len(part.curved) for part in parts) <= _CURVES else 0.0

    def prepare(self, program: Program) -> Solver:
        return _PiecewiseSolver(program)


def _parts(program: Program) -> list[Separable] | None:
    """Rows, then the objective, taken apart with the parameters as further variables; None where they do not."""
    symbols = ca.vertcat(program.variables, program.parameters)
    whole = ca.Function("whole", [symbols], [ca.densify(program.rows), program.objective], {"cse": True})
    try:
        return taken_apart(whole)
    except (NotSeparableError, ArithmeticError):
        return None


def _at(part: Separable, parameters: Array, n: int) -> Separable:
    """The same with numbers for the parameters, which stand behind the n variables.

    Raises
    ------
    NotSeparableError
        If a curve moves with both.
    """
    found = Separable(part.constant, {k: w for k, w in part.linear.items() if k < n}, {})
    found.constant += sum(w * float(parameters[k - n]) for k, w in part.linear.items() if k >= n)
    for direction, terms in part.curved.items():
        places = [place for place, _ in direction]
        if max(places) < n:
            found.curved[direction] = terms
        elif min(places) >= n:
            at = sum(weight * float(parameters[place - n]) for place, weight in direction)
            found.constant += float(CurvedFunction(terms).values(np.array([at]))[0][0])
        else:
            raise NotSeparableError("a curve moves with the leader's variables and the follower's")
    return found


def _numeric(program: Program, parameters: Array) -> ca.Function:
    """Rows, then the objective, as a function of the variables alone."""
    outputs = [ca.densify(program.rows), program.objective]
    if program.parameters.numel():
        outputs = ca.substitute(outputs, [program.parameters], [ca.SX(ca.DM(parameters))])
    return ca.Function("numeric", [program.variables], outputs, {"cse": True})


class _PiecewiseSolver(Solver):
    uses = frozenset({"ipopt"})

    def __init__(self, program: Program) -> None:
        self._program = program
        self._locals: dict[bytes, Solver] = {}

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        until = deadline.Deadline.after(deadline.limited(_LONGEST if time_limit is None else time_limit))
        try:
            functions = self._functions(parameters)
        except NotSeparableError as error:
            return Answer(Status.REFUSED, message=str(error))
        curves = curves_of(functions, self._program)
        eager = len(curves) > _MANY or any(curve.row != OBJECTIVE for curve in curves)
        run = _Run(self, parameters, curves)
        run.meet(start)
        stale = 0
        for k in range(_ROUNDS):
            status, y, bound = Relaxation(self._program, functions, curves).solve(until.left, run.share_of_gap)
            if status is Status.INFEASIBLE:
                return run.empty()
            if status is not Status.OPTIMAL or y is None:
                break
            run.bound = max(run.bound, bound)
            stale = 0 if run.meet(y, polish=(eager or k >= _ALONE) and stale < _POLISHED) else stale + 1
            if run.closed(self.gap) or until.passed or not run.refine(y):
                break
        return run.answer()

    def _functions(self, parameters: Array) -> list[Separable]:
        parts = self._program.kept("separable", lambda: _parts(self._program))
        if parts is not None:
            try:
                return [_at(part, parameters, self._program.n) for part in parts]
            except NotSeparableError:
                pass  # with numbers in the place of the parameters it may come apart
        return taken_apart(_numeric(self._program, parameters))

    def local(self, parameters: Array, y: Array) -> Answer:
        """A local optimum near a point, integers held."""
        program, held = self._program, self._program.integer
        key = np.round(y[held]).tobytes()
        if key not in self._locals:
            low, high = np.where(held, np.round(y), program.lower), np.where(held, np.round(y), program.upper)
            free = program.but(lower=low, upper=high, integer=np.zeros_like(held)) if held.any() else program
            self._locals[key] = registry.get(Engine, "ipopt")().prepare(free)
        return self._locals[key](parameters, y)


class _Run:
    """What is known at one value of the parameters."""

    def __init__(self, solver: _PiecewiseSolver, parameters: Array, curves: Sequence[Curve]) -> None:
        self._solver, self._parameters, self._curves = solver, parameters, curves
        self._program = solver._program
        self.y: Array | None = None
        self.objective, self.bound = math.inf, -math.inf

    def meet(self, y: Array | None, polish: bool = True) -> bool:
        """Look at a point, and at the local optimum near it; whether one is the best so far."""
        if y is None or not np.isfinite(y).all():
            return False
        better = self._take(y)
        if polish:
            answer = self._solver.local(self._parameters, y)
            better |= answer.y is not None and self._take(answer.y)
        return better

    def _take(self, y: Array) -> bool:
        value, _ = self._program.evaluate(self._parameters, y)
        objective = float(np.ravel(value)[0])
        feasible = self._program.violation(self._parameters, y) <= tolerances.GLOBAL_FEASIBILITY
        if not feasible or not objective < self.objective:
            return False
        better = objective < self.objective - tolerances.GLOBAL_GAP * tolerances.scale(objective)
        self.y, self.objective = np.array(y), objective
        return better

    def closed(self, gap: float | None) -> bool:
        """Whether bound and best point meet, relative to what the objective varies by where that is less than one."""
        varies = sum(curve.envelope.size for curve in self._curves if curve.row == OBJECTIVE)
        scale = min(tolerances.scale(self.objective), max(varies, abs(self.objective)) or 1.0)
        return tolerances.closes(self.objective, self.bound, tolerances.GLOBAL_GAP if gap is None else gap, scale)

    @property
    def share_of_gap(self) -> float:
        """Relative gap to which the next relaxation is worth solving."""
        known = math.isfinite(self.bound) and math.isfinite(self.objective)
        gap = (self.objective - self.bound) / (abs(self.objective) or 1.0) if known else 1e-2
        return min(max(0.1 * gap, 0.01 * tolerances.GLOBAL_GAP), 1e-3)

    def refine(self, y: Array) -> bool:
        """Bring the curves' lines closer at a solution of the relaxation; whether any could be."""
        errors = sorted(((self._error(curve, y), k) for k, curve in enumerate(self._curves)), reverse=True)
        left, refined = sum(error for error, _ in errors), False
        worth = _REST * left
        for error, k in errors:  # the worst first; where nothing more can be done about those, the others
            if error <= 0.0 or (refined and left <= worth):
                break
            refined |= self._curves[k].envelope.refine(self._curves[k].along(y))
            left -= error
        return refined

    @staticmethod
    def _error(curve: Curve, y: Array) -> float:
        point = curve.along(y)
        error = curve.envelope.value(point) - curve.envelope.below(point)
        weight = 1.0 if curve.row == OBJECTIVE else 1.0 / (curve.envelope.size or 1.0)
        return max(0.0, weight * error) if math.isfinite(error) else math.inf

    def empty(self) -> Answer:
        """The relaxation has no point: nor has the program, unless one is known."""
        if self.y is None:
            return Answer(Status.INFEASIBLE, message="no point meets the rows")
        return Answer(Status.FAILED, self.y, self.objective, message="the relaxation lost a point that is known")

    def answer(self) -> Answer:
        """The best point with the bound; where the gap is open that is a local optimum at most, which is no proof."""
        if self.y is None:
            return Answer(Status.FAILED, message="no point was found within the time and rounds allowed")
        if self.bound > self.objective + tolerances.GLOBAL_GAP * tolerances.scale(self.objective):
            return Answer(Status.FAILED, self.y, self.objective, message="the bound is above a point that is known")
        bound = min(self.bound, self.objective)
        if not self.closed(tolerances.CERTIFICATE) and self._program.integer.any():
            return Answer(Status.FAILED, self.y, self.objective, bound, message="the gap was not closed")
        return Answer(Status.OPTIMAL, self.y, self.objective, bound)
