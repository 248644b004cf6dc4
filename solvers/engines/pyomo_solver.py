"""Any solver that Pyomo knows: ``engine="pyomo:gurobi"`` for what the user has and we do not ship.

The compiled program is written as a Pyomo model, node by node, solved by ``SolverFactory(name)``, and read back. A
bound counts where the solver reports one; the point is looked at like everybody else's.
"""

from __future__ import annotations

import logging
import math
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import casadi as ca
import numpy as np
import pyomo.environ as pyo
from pyomo.opt import TerminationCondition

from bilevel import deadline, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.errors import RefusedError
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program
from bilevel.registry import register

_OPERATIONS: dict[int, Callable[..., Any]] = {
    ca.OP_ASSIGN: lambda a: a,
    ca.OP_ADD: operator.add,
    ca.OP_SUB: operator.sub,
    ca.OP_MUL: operator.mul,
    ca.OP_DIV: operator.truediv,
    ca.OP_NEG: operator.neg,
    ca.OP_POW: operator.pow,
    ca.OP_CONSTPOW: operator.pow,
    ca.OP_SQ: lambda a: a**2,
    ca.OP_TWICE: lambda a: 2.0 * a,
    ca.OP_INV: lambda a: 1.0 / a,
    ca.OP_SQRT: pyo.sqrt,
    ca.OP_EXP: pyo.exp,
    ca.OP_LOG: pyo.log,
    ca.OP_SIN: pyo.sin,
    ca.OP_COS: pyo.cos,
    ca.OP_TAN: pyo.tan,
    ca.OP_SINH: pyo.sinh,
    ca.OP_COSH: pyo.cosh,
    ca.OP_TANH: pyo.tanh,
    ca.OP_FABS: abs,
}
_KNOWN = {*_OPERATIONS, ca.OP_CONST, ca.OP_INPUT, ca.OP_OUTPUT}
_STATUS = {
    TerminationCondition.optimal: Status.OPTIMAL,
    TerminationCondition.globallyOptimal: Status.OPTIMAL,
    TerminationCondition.locallyOptimal: Status.OPTIMAL,
    TerminationCondition.infeasible: Status.INFEASIBLE,
    TerminationCondition.unbounded: Status.UNBOUNDED,
}


@register("pyomo")
class PyomoSolver(Engine):
    """A solver of Pyomo's, by its name there: ``pyomo:gurobi``, ``pyomo:baron``, ``pyomo:highs`` ...

    Take it when you hold a licence, or a solver that does not ship with this package; of those that ship ``scip`` takes
    the most.
    """

    variant: ClassVar[str] = ""

    def suits(self, program: Program) -> float:
        if not self.variant:
            return 0.0
        graph = program.graph
        known = all(graph.instruction_id(k) in _KNOWN for k in range(graph.n_instructions()))
        return 0.3 if known else 0.0

    def prepare(self, program: Program) -> Solver:
        return _Solver(program, self.variant)


class _Solver(Solver):
    def __init__(self, program: Program, name: str) -> None:
        self.program, self._name = program, name
        with _Silence():
            self._solver = pyo.SolverFactory(name)
            if not self._solver.available(exception_flag=False):
                raise RefusedError(
                    f"engine='pyomo:{name}': Pyomo finds no such solver here; install it, or use engine='scip'"
                )

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        program = self.program
        try:
            model = self._model(parameters, start)
            left = deadline.limited(time_limit)
            limit = {} if left is None else {"timelimit": left}
            with _Silence():
                results = self._solver.solve(model, load_solutions=False, **limit)
            condition = results.solver.termination_condition
            status = _STATUS.get(condition, Status.FAILED)
            words = f"{self._name}: {condition}"
            if status is not Status.OPTIMAL and (status is not Status.FAILED or not len(results.solution)):
                return Answer(status, message=words)
            model.solutions.load_from(results)
        except (ArithmeticError, ValueError, RuntimeError, NotImplementedError) as error:
            return Answer(Status.FAILED, message=f"{self._name}: {' '.join(str(error).split())[:200]}")
        y = np.array([math.nan if v.value is None else float(v.value) for v in model.v.values()])
        y = np.where(np.isnan(y), np.clip(0.0, program.lower, program.upper), y)
        y[program.integer] = np.round(y[program.integer])
        bound = results.problem.lower_bound
        known = isinstance(bound, (int, float)) and math.isfinite(bound)
        objective = float(program.evaluate(parameters, y)[0][0])
        return Answer(status, y, objective, min(float(bound), objective) if known else -math.inf, message=words)

    def _model(self, parameters: Array, start: Array | None) -> Any:
        program, model = self.program, pyo.ConcreteModel()
        model.v = pyo.Var(range(program.n))
        for k, var in model.v.items():
            var.setlb(float(program.lower[k]) if math.isfinite(program.lower[k]) else None)
            var.setub(float(program.upper[k]) if math.isfinite(program.upper[k]) else None)
            var.domain = pyo.Integers if program.integer[k] else pyo.Reals
            if start is not None and math.isfinite(start[k]):
                var.set_value(float(start[k]), skip_validation=True)
        objective, rows = _expressions(program.graph, parameters, list(model.v.values()))
        model.objective = pyo.Objective(expr=objective)
        model.rows = pyo.Constraint(pyo.Any)
        for k, body in rows.items():
            low, high = float(program.row_lower[k]), float(program.row_upper[k])
            if isinstance(body, (int, float)):
                slack = tolerances.FEASIBILITY
                if not low - slack <= body <= high + slack:
                    raise ValueError(f"{program.row_names[k]} cannot hold at this point")
            elif low == high:
                model.rows.add(k, body == low)
            else:
                model.rows.add(k, (low if math.isfinite(low) else None, body, high if math.isfinite(high) else None))
        sets = [[model.v[k] for k in members] for members in program.sos1]
        model.sets = pyo.SOSConstraint(range(len(sets)), rule=lambda _, k: sets[k], sos=1)
        return model


def _expressions(graph: ca.Function, parameters: Array, variables: list[Any]) -> tuple[Any, dict[int, Any]]:
    """Objective and rows as Pyomo expressions."""
    work: dict[int, Any] = {}
    found: dict[tuple[int, int], Any] = {}
    for k in range(graph.n_instructions()):
        code, inputs, out = graph.instruction_id(k), graph.instruction_input(k), graph.instruction_output(k)
        if code == ca.OP_CONST:
            work[out[0]] = float(graph.instruction_constant(k))
        elif code == ca.OP_INPUT:
            work[out[0]] = float(parameters[inputs[1]]) if inputs[0] == 0 else variables[inputs[1]]
        elif code == ca.OP_OUTPUT:
            found[out[0], out[1]] = work[inputs[0]]
        else:
            work[out[0]] = _OPERATIONS[code](*(work[i] for i in inputs))
    return found.pop((0, 0)), {k: body for (_, k), body in found.items()}


class _Silence:
    """Holds back what Pyomo logs of a solver that is missing or stopped early: the answer says it."""

    def __enter__(self) -> None:
        self._level = logging.getLogger("pyomo").level
        logging.getLogger("pyomo").setLevel(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("pyomo").setLevel(self._level)
