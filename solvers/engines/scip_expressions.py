"""Programs in SCIP's own expressions: the compiled graph rebuilt node by node.

An auxiliary variable stands for a nonlinear node that is used more than once, a special ordered set for a maximum.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import casadi as ca
import pyscipopt

from bilevel.arrays import Array

_UNARY: dict[int, Callable[[Any], Any]] = {
    ca.OP_NEG: lambda a: -a,
    ca.OP_EXP: lambda a: pyscipopt.exp(a),
    ca.OP_LOG: lambda a: pyscipopt.log(a),
    ca.OP_SQRT: lambda a: pyscipopt.sqrt(a),
    ca.OP_SIN: lambda a: pyscipopt.sin(a),
    ca.OP_COS: lambda a: pyscipopt.cos(a),
    ca.OP_TAN: lambda a: pyscipopt.sin(a) / pyscipopt.cos(a),
    ca.OP_SQ: lambda a: a * a,
    ca.OP_TWICE: lambda a: 2.0 * a,
    ca.OP_INV: lambda a: 1.0 / a,
    ca.OP_FABS: lambda a: abs(a),
    ca.OP_ASSIGN: lambda a: a,
    ca.OP_SINH: lambda a: 0.5 * (pyscipopt.exp(a) - pyscipopt.exp(-a)),
    ca.OP_COSH: lambda a: 0.5 * (pyscipopt.exp(a) + pyscipopt.exp(-a)),
    ca.OP_TANH: lambda a: 1.0 - 2.0 / (pyscipopt.exp(2.0 * a) + 1.0),
}
_BINARY: dict[int, Callable[[Any, Any], Any]] = {
    ca.OP_ADD: lambda a, b: a + b,
    ca.OP_SUB: lambda a, b: a - b,
    ca.OP_MUL: lambda a, b: a * b,
    ca.OP_DIV: lambda a, b: a / b,
}
_EXTREMES = (ca.OP_FMAX, ca.OP_FMIN)
_POWERS = (ca.OP_POW, ca.OP_CONSTPOW)
HARMLESS = {*_UNARY, *_BINARY, *_EXTREMES, *_POWERS, ca.OP_CONST, ca.OP_INPUT, ca.OP_OUTPUT, ca.OP_PARAMETER}
"""CasADi's codes of the operations that SCIP has too."""

Instruction = tuple[int, list[int], list[int], float]


def instructions(function: ca.Function) -> list[Instruction]:
    """Operation, inputs, outputs and constant of each node of a scalar graph."""
    found = []
    for k in range(function.n_instructions()):
        operation = function.instruction_id(k)
        constant = float(function.instruction_constant(k)) if operation == ca.OP_CONST else 0.0
        found.append((operation, function.instruction_input(k), function.instruction_output(k), constant))
    return found


def degree(expression: Any) -> float:
    """Of a polynomial; infinite for anything else."""
    return float("inf") if isinstance(expression, pyscipopt.scip.GenExpr) else expression.degree()


def _is_general(value: Any) -> bool:
    return isinstance(value, pyscipopt.scip.GenExpr)


class Builder:
    """Rebuilds the graph in SCIP's expressions, one instruction at a time."""

    def __init__(self, model: Any, instructions: list[Instruction]) -> None:
        self._model = model
        self._instructions = instructions
        self._extra = 0

    def build(self, parameters: Array, variables: list[Any]) -> tuple[Any, list[Any]]:
        """The objective and the rows; a float where one turned out constant."""
        uses = _use_counts(self._instructions)
        work: dict[int, Any] = {}
        outputs: dict[tuple[int, int], Any] = {}
        for k, (operation, inputs, out, constant) in enumerate(self._instructions):
            if operation == ca.OP_INPUT:
                work[out[0]] = float(parameters[inputs[1]]) if inputs[0] == 0 else variables[inputs[1]] * 1.0
            elif operation == ca.OP_OUTPUT:
                outputs[out[0], out[1]] = work[inputs[0]]
            elif operation == ca.OP_CONST:
                work[out[0]] = constant
            else:
                value = self._apply(operation, [work[i] for i in inputs])
                work[out[0]] = self._named(value) if uses[k] > 1 and _is_general(value) else value
        count = 1 + max((index for place, index in outputs if place == 1), default=-1)
        found = [outputs[0, 0], *(outputs[1, k] for k in range(count))]
        if not all(math.isfinite(value) for value in found if isinstance(value, float)):
            raise FloatingPointError("a row or the objective is no number at this point")
        return found[0], found[1:]

    def _apply(self, operation: int, values: list[Any]) -> Any:
        numbers = [value for value in values if isinstance(value, float)]
        if len(numbers) == len(values):  # CasADi's own arithmetic, which raises nothing
            return float(ca.SX.unary(operation, *values) if len(values) == 1 else ca.SX.binary(operation, *values))
        if not all(map(math.isfinite, numbers)):
            raise FloatingPointError("a coefficient is no number at this point")
        if operation in _EXTREMES:
            return self._extreme(operation, values)
        if operation in _POWERS:
            return self._power(*values)
        if len(values) == 1:
            value = values[0]
            if operation == ca.OP_SQ and not _is_general(value) and degree(value) > 1:
                value = self._named(value)  # a power multiplied out loses its sign, and digits where terms cancel
            return _UNARY[operation](value)
        if operation == ca.OP_MUL and not any(isinstance(v, float) for v in values):
            values = [self._named(v) if not _is_general(v) and degree(v) + 0 > 2 else v for v in values]
        return _BINARY[operation](*values)

    def _power(self, base: Any, exponent: Any) -> Any:
        if isinstance(exponent, float):
            if exponent > 2 and not _is_general(base) and len(base.terms) > 1:
                base = self._named(base)
            return base ** (int(exponent) if exponent == int(exponent) else exponent)
        return pyscipopt.exp(exponent * (math.log(base) if isinstance(base, float) else pyscipopt.log(base)))

    def _named(self, value: Any) -> Any:
        """An auxiliary variable equal to an expression."""
        variable = self._model.addVar(f"aux{self._extra}", lb=None)
        self._extra += 1
        self._model.addCons(variable == value)
        return variable * 1.0

    def _extreme(self, operation: int, values: list[Any]) -> Any:
        """max(a, b) as t >= a, t >= b with one of the slacks zero (a special ordered set); min by the sign."""
        sign = 1.0 if operation == ca.OP_FMAX else -1.0
        top = self._model.addVar(f"max{self._extra}", lb=None)
        slacks = []
        for value in values:
            slack = self._model.addVar(f"slack{self._extra}", lb=0.0)
            self._extra += 1
            self._model.addCons(slack == top - sign * value)
            slacks.append(slack)
        self._model.addConsSOS1(slacks)
        return sign * top


def _use_counts(instructions: list[Instruction]) -> Counter[int]:
    """How often the value made by each instruction is read (work slots are reused, hence the last writer counts)."""
    writer: dict[int, int] = {}
    uses: Counter[int] = Counter()
    for k, (operation, inputs, out, _) in enumerate(instructions):
        if operation not in (ca.OP_INPUT, ca.OP_CONST):
            uses.update(writer[i] for i in inputs)
        if operation != ca.OP_OUTPUT:
            writer[out[0]] = k
    return uses
