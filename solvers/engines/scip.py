"""SCIP: mixed-integer nonlinear programs, globally (Bestuzheva et al. 2023, doi 10.1145/3585516).

Built straight from the compiled graph, node by node, with an auxiliary variable for a nonlinear node that is used more
than once, everything in units in which it is of magnitude one (:mod:`.scaled_values`).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np
import pyscipopt
from numpy.typing import NDArray

from bilevel import deadline, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.programs.answer import Answer, Status
from bilevel.programs.extents import box_below, box_of_rows
from bilevel.programs.program import Program
from bilevel.registry import register
from bilevel.solvers.engines.scaling.open_units import open_units
from bilevel.solvers.engines.scaling.scaled_values import Measure, Scaled, unit_of
from bilevel.solvers.engines.scaling.scip_expressions import HARMLESS, Builder, degree, instructions
from bilevel.solvers.libraries.scip_silence import silence

_LONGEST = 20.0  # seconds for one lower level where nobody set a limit: a search must not hang at one point
_FAR = 1e15  # SCIP takes 1e20 for infinite, and a point there for an optimum
_WIDEST = 1e9  # a range beyond this is none: products and powers of its ends leave the digits of a double
_WIDE = 1e6  # where variables without bounds are held for a second opinion
_INSIDE = 1e-2  # of that: how far inside the optimum has to lie
_MARGIN = 1e-3  # by which a point may be worse than the best one found, relative: it must not lose that one

_DENSEST = 100
"""Real variables in dense squares beyond which it proves nothing within a minute."""


@register("scip")
class Scip(Engine):
    """Nonconvex and mixed-integer programs to proved global optimality, special ordered sets included.

    Take it when a program is nonconvex, or has integers beside nonlinear terms or special ordered sets, and the optimum
    must be proved; where a local optimum will do, ``ipopt`` is faster.
    """

    def suits(self, program: Program) -> float:
        if not program.discrete and sum(len(square.factor.hessian) for square in program.squares) > _DENSEST:
            return 0.0  # minutes, and no proof: others take what is convex
        if program.losses:
            return 0.0
        return 0.55 if _translatable(program) else 0.0

    def prepare(self, program: Program) -> Solver:
        return ScipSolver(program)


def _translatable(program: Program) -> bool:
    return program.operations <= HARMLESS  # squares are in SCIP's vocabulary


class ScipSolver(Solver):
    """Builds one SCIP model per solve: SCIP's own work outweighs that by far.

    Where a variable of a nonlinear term has no bounds, SCIP relaxes the term by its own infinity, 1e20: it has been
    seen to call a point optimal, with a bound, where the objective falls forever. What it says of such a model is not
    believed by itself. A second model asks for points no worse than the best one found; if that gives every such
    variable a range, its word counts. Else a third one holds these variables within 1e6, where relaxations are sound:
    only if that comes to the same optimum, far inside the box, is what was said of the whole space believed.

    The same is asked where the objective falls without limit over the relaxation of sets or integers: the nodes below
    inherit that, and SCIP has been seen to drop one of them and to call the best of the others optimal.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._instructions = instructions(program.graph)

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        """See :class:`bilevel.contracts.engine.Solver`."""
        began = time.monotonic()
        limit = deadline.limited(_LONGEST if time_limit is None else time_limit)
        assert limit is not None
        cutoff = self._value_at(parameters, start) if self.program.loose.any() else None
        answer, loose = self._solve(parameters, start, limit, cutoff)
        if loose is None or answer.interrupted:
            return answer
        value = self._value_at(parameters, answer.y)
        left = limit - (time.monotonic() - began)
        if value is not None and (cutoff is None or value < cutoff) and left > 0.0:
            answer, loose = self._solve(parameters, answer.y, left, value)
        left = limit - (time.monotonic() - began)
        if loose is None or answer.interrupted:
            return answer
        again = self._held(parameters, answer, left)
        if again is not None and self._confirmed(answer, again):
            return answer
        return _disbelieved(self._better(parameters, answer, again), loose)

    def _held(self, parameters: Array, answer: Answer, time_limit: float) -> Answer | None:
        """What comes of a model that SCIP relaxes soundly, loose variables held within a wide box."""
        if time_limit <= 0.0 or answer.status not in (Status.OPTIMAL, Status.INFEASIBLE):
            return None
        loose = self._held_ones
        lower = np.where(loose & np.isinf(self.program.lower), -_WIDE, self.program.lower)
        upper = np.where(loose & np.isinf(self.program.upper), _WIDE, self.program.upper)
        held = ScipSolver(self.program.but(lower=np.minimum(lower, upper), upper=np.maximum(lower, upper)))
        return held._solve(parameters, None, time_limit, None)[0]

    def _confirmed(self, answer: Answer, again: Answer) -> bool:
        """Whether the two are the same, far inside the box."""
        if again.status is not answer.status or again.y is None or answer.y is None:
            return again.status is answer.status is Status.INFEASIBLE
        held = self._held_ones
        inside = np.abs([again.y[held], answer.y[held]]).max(initial=0.0) < _INSIDE * _WIDE
        return bool(
            inside
            and tolerances.closes(answer.objective, min(again.bound, answer.bound))
            and tolerances.closes(again.objective, answer.bound)
        )

    def _better(self, parameters: Array, answer: Answer, again: Answer | None) -> Answer:
        """The answer with the other one's point where that is feasible and better."""
        if again is None or again.y is None or answer.status is not Status.OPTIMAL:
            return answer
        value = self._value_at(parameters, again.y)
        return answer if value is None or value >= answer.objective else replace(answer, y=again.y, objective=value)

    @cached_property
    def _held_ones(self) -> NDArray[np.bool_]:
        """Variables without bounds in nonlinear terms or in the objective: on the others no relaxation depends."""
        open_ended = ~(np.isfinite(self.program.lower) & np.isfinite(self.program.upper))
        above = np.array(ca.which_depends(self.program.objective, self.program.variables, 1, False), dtype=bool)
        held: NDArray[np.bool_] = (self.program.curved | above) & open_ended
        return held

    def _value_at(self, parameters: Array, point: Array | None) -> float | None:
        """The objective at a point; None if that is not feasible, or if it has none there."""
        if point is None or not np.isfinite(point).all():
            return None
        if self.program.violation(parameters, point) > tolerances.GLOBAL_FEASIBILITY:
            return None
        value = float(self.program.evaluate(parameters, point)[0][0])
        return value if math.isfinite(value) else None

    def _solve(
        self, parameters: Array, start: Array | None, time_limit: float, cutoff: float | None
    ) -> tuple[Answer, str | None]:
        """The answer, and the name of a variable for whose want of bounds it proves nothing."""
        program = self.program
        model = pyscipopt.Model(program.name)
        until = deadline.Deadline.after(time_limit)
        _set_parameters(model)
        margin = None if cutoff is None else cutoff + _MARGIN * tolerances.scale(cutoff)
        box = None if margin is None else box_below(program, parameters, margin)
        box = (program.lower, program.upper) if box is None else box
        box = box_of_rows(program, parameters, *box) if program.loose.any() else box
        units, sizes = open_units(program, parameters, self._units(*box), *box)
        variables = self._variables(model, units, *box)
        scaled = [
            Scaled(variable * 1.0, float(unit), (float(low), float(high)))
            for variable, unit, low, high in zip(variables, units, *box, strict=True)
        ]
        try:
            builder = Builder(model, self._instructions)
            objective, rows = builder.build(parameters, scaled)
        except (ArithmeticError, ValueError) as error:  # a division by zero, a logarithm of a negative number ...
            return Answer(Status.FAILED, message=f"{program.name}: {error}"), None
        measure = self._measure(objective)
        _set_gap(model, tolerances.GLOBAL_GAP if self.gap is None else self.gap, measure.unit)
        cost = measure.inner(objective)
        try:
            with silence():
                broken = self._add_rows(model, rows, sizes)
                if broken is not None:
                    return Answer(Status.INFEASIBLE, message=f"{broken} cannot hold at this point"), None
                self._set_objective(model, cost)
                if margin is not None and not isinstance(objective, float):
                    model.addCons(cost <= measure.to(margin))
        except Exception as error:  # a coefficient beyond SCIP's infinity ends in a bare Exception
            return Answer(Status.FAILED, message=f"{program.name}: {error}"), None
        for pair in program.sos1:
            model.addConsSOS1([variables[k] for k in pair])
        if start is not None:
            _suggest(model, variables, start / units)
        if self.watch is not None:
            model.includeEventhdlr(_Watcher(self.watch, measure), "watch", "reports incumbent and bound")
        first = _FirstRelaxation()
        model.includeEventhdlr(first, "first", "whether the root's relaxation has an optimum")
        try:
            with silence(), deadline.waiting():
                model.setParam("limits/time", until.left if until.left > 0.0 else 0.0)  # less what building took
                model.presolve()
                loose = None if model.getStatus() == "infeasible" else self._loose(model, variables)
                model.optimize()
                loose = loose or (self._endless() if first.unbounded else None)
        except Exception as error:  # numerical trouble in a linear program ends in a bare Exception
            return Answer(Status.FAILED, message=str(error)), None
        answer = self._read(model, variables, parameters, units, measure)
        if builder.blunt is not None:
            answer = self._unproved(answer, *builder.blunt)
        if cutoff is not None and answer.status is Status.INFEASIBLE:
            return Answer(Status.FAILED, message="SCIP: infeasible, though it was given a feasible point"), loose
        return answer, loose

    def _unproved(self, answer: Answer, row: int, span: tuple[float, float]) -> Answer:
        """What is left of an answer where SCIP's tolerance is as large as what counts: the point."""
        where = "the objective" if row < 0 else self.program.row_names[row] if self.program.row_names else f"row {row}"
        ends = f"[{span[0]:.4g}, {span[1]:.4g}]"
        why = f"SCIP proves nothing where a term of {where} ranges over {ends}: its tolerance hides moves of it"
        status = answer.status if answer.status is Status.OPTIMAL else Status.FAILED
        return replace(answer, status=status, bound=-math.inf, message="; ".join(filter(None, (answer.message, why))))

    def _loose(self, model: Any, variables: list[Any]) -> str | None:
        """A variable of a nonlinear term that presolving left without a range."""
        for k in np.flatnonzero(self.program.curved):
            known = model.getTransformedVar(variables[k])
            if max(-known.getLbGlobal(), known.getUbGlobal()) > _WIDEST:
                return self._named(int(k))
        return None

    def _endless(self) -> str | None:
        """A variable without bounds in an objective that falls without limit over the root's relaxation."""
        return next((self._named(int(k)) for k in np.flatnonzero(self._held_ones)), None)

    def _named(self, k: int) -> str:
        return self.program.names[k] if self.program.names else f"variable {k}"

    def _units(self, lower: Array, upper: Array) -> Array:
        """What each variable is measured in; an integer counts as it is."""
        units = [
            1.0 if whole else unit_of((low, high)) or 1.0
            for whole, low, high in zip(self.program.integer, lower, upper, strict=True)
        ]
        return np.array(units, dtype=float)

    def _measure(self, objective: Scaled | float) -> Measure:
        """In what the objective is measured: relative to what it varies by, without a constant that dwarfs it."""
        origin, unit = self.program.measure
        if unit == 1.0 and isinstance(objective, Scaled):
            unit = max(unit, unit_of(objective.range) or 1.0)
        return Measure(origin, unit)

    def _variables(self, model: Any, units: Array, lower: Array, upper: Array) -> list[Any]:
        return [
            model.addVar(
                name=f"v{k}",
                vtype="I" if self.program.integer[k] else "C",
                lb=float(lower[k] / units[k]) if math.isfinite(lower[k]) else None,
                ub=float(upper[k] / units[k]) if math.isfinite(upper[k]) else None,
            )
            for k in range(self.program.n)
        ]

    def _add_rows(self, model: Any, rows: list[Any], sizes: Array) -> str | None:
        """Add every row; the name of a constant row that is violated, if there is one."""
        program = self.program
        for k, row in enumerate(rows):
            low, high = float(program.row_lower[k]), float(program.row_upper[k])
            if isinstance(row, float):
                if row < low - tolerances.FEASIBILITY or row > high + tolerances.FEASIBILITY:
                    return program.row_names[k] if program.row_names else f"row {k}"
                continue
            unit = _row_unit(row, low, high, float(sizes[k]))
            body = (row.unit / unit) * row.expression
            if low == high:
                model.addCons(body == low / unit)
            else:
                if math.isfinite(low):
                    model.addCons(body >= low / unit)
                if math.isfinite(high):
                    model.addCons(body <= high / unit)
        return None

    @staticmethod
    def _set_objective(model: Any, objective: Any) -> None:
        if isinstance(objective, float):
            objective = pyscipopt.quicksum([]) + objective
        if degree(objective) > 1:
            level = model.addVar("objective", lb=None)
            model.addCons(objective <= level)
            objective = level
        model.setObjective(objective, "minimize")

    def _read(self, model: Any, variables: list[Any], parameters: Array, units: Array, measure: Measure) -> Answer:
        status, program = model.getStatus(), self.program
        words = f"SCIP: {status}"
        if status == "infeasible":
            return Answer(Status.INFEASIBLE, message=words)
        stopped = status == "userinterrupt"
        found = Status.UNBOUNDED if status == "unbounded" else Status.FAILED
        endless = status in ("unbounded", "inforunbd")
        bound = -math.inf if endless else measure.back(_finite(model, model.getDualbound()))
        if model.getNSols() == 0:
            return Answer(found, bound=bound, message=words, interrupted=stopped)
        scaled = np.array([model.getVal(v) for v in variables])
        y = units * scaled
        y[program.integer] = np.round(y[program.integer])
        objective = float(program.evaluate(parameters, y)[0][0])
        if status in ("optimal", "gaplimit") and np.abs(scaled).max() >= _FAR:
            return Answer(Status.FAILED, y, objective, message="SCIP: the optimum it returns lies at its infinity")
        if status in ("optimal", "gaplimit"):
            return Answer(Status.OPTIMAL, y, objective, bound)
        return Answer(found, y, objective, bound, message=words, interrupted=stopped)


def _set_gap(model: Any, gap: float, unit: float) -> None:
    """Relative, and absolute: in the objective's own units where these are small, else in units of one."""
    model.setParam("limits/gap", gap)
    model.setParam("limits/absgap", gap / max(1.0, unit))


def _row_unit(row: Scaled, low: float, high: float, size: float) -> float:
    """What a row is divided by: the unit of what is left of it beside its limit, of its size where that has no end."""
    limit = low if math.isfinite(low) else high if math.isfinite(high) else 0.0
    return unit_of((min(row.range[0] - limit, 0.0), max(row.range[1] - limit, 0.0))) or unit_of((0.0, size)) or 1.0


def _set_parameters(model: Any) -> None:
    model.hideOutput()
    model.setParam("numerics/feastol", tolerances.GLOBAL_FEASIBILITY)
    # Tolerances that SoPlex cannot meet: it complains of each on stderr, and its LPs fail more often, not less.
    model.setParam("propagating/obbt/dualfeastol", 1e-7)
    model.setParam("constraints/nonlinear/tightenlpfeastol", False)
    # Products with binaries made linear by presolving: SCIP 10 then cuts optima off and calls the rest optimal.
    model.setParam("constraints/nonlinear/reformbinprods", 0)
    model.setParam("timing/clocktype", 2)  # the user's clock, not the processor's
    # SCIP listens for Ctrl-C by itself, also in a job of the background and in a worker, which were told not to.
    model.setParam("misc/catchctrlc", signal.getsignal(signal.SIGINT) is not signal.SIG_IGN)


def _disbelieved(answer: Answer, loose: str) -> Answer:
    """What is left of an answer that proves nothing: the point."""
    why = f"SCIP proves nothing where {loose} is in the objective or a nonlinear term, without bounds: declare some"
    status = Status.FAILED if answer.status is Status.INFEASIBLE else answer.status
    return replace(answer, status=status, bound=-math.inf, message="; ".join(filter(None, (answer.message, why))))


def _finite(model: Any, value: float) -> float:
    """SCIP's infinity is a large number."""
    return float(value) if abs(value) < model.infinity() else math.copysign(math.inf, value)


def _suggest(model: Any, variables: list[Any], start: Array) -> None:
    """Hand SCIP a starting point; it completes auxiliary variables itself and drops the point if it is infeasible."""
    solution = model.createPartialSol()
    for variable, value in zip(variables, start, strict=True):
        if math.isfinite(value):
            model.setSolVal(solution, variable, float(value))
    model.addSol(solution)


class _Watcher(pyscipopt.Eventhdlr):
    def __init__(self, watch: Callable[[float, float], None], measure: Measure) -> None:
        self._watch, self._measure = watch, measure

    def eventinit(self) -> None:
        self.model.catchEvent(pyscipopt.SCIP_EVENTTYPE.BESTSOLFOUND, self)
        self.model.catchEvent(pyscipopt.SCIP_EVENTTYPE.NODESOLVED, self)

    def eventexit(self) -> None:
        self.model.dropEvent(pyscipopt.SCIP_EVENTTYPE.BESTSOLFOUND, self)
        self.model.dropEvent(pyscipopt.SCIP_EVENTTYPE.NODESOLVED, self)

    def eventexec(self, event: Any) -> None:
        model = self.model
        ends = (_finite(model, model.getPrimalbound()), _finite(model, model.getDualbound()))
        self._watch(*map(self._measure.back, ends))


class _FirstRelaxation(pyscipopt.Eventhdlr):
    """Whether the objective falls without limit over the first linear relaxation."""

    unbounded = False

    def eventinit(self) -> None:
        self.model.catchEvent(pyscipopt.SCIP_EVENTTYPE.FIRSTLPSOLVED, self)

    def eventexec(self, event: Any) -> None:
        self.unbounded = self.model.getLPSolstat() == pyscipopt.SCIP_LPSOLSTAT.UNBOUNDEDRAY
        self.model.dropEvent(pyscipopt.SCIP_EVENTTYPE.FIRSTLPSOLVED, self)
