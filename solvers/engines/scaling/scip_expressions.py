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
from bilevel.graphs.intervals import ENTIRE, Interval, extended, negative
from bilevel.solvers.engines.scaling.scaled_values import Scaled, unit_of

_UNARY: dict[int, Callable[[Any], Any]] = {
    ca.OP_LOG: lambda a: pyscipopt.log(a),
    ca.OP_SIN: lambda a: pyscipopt.sin(a),
    ca.OP_COS: lambda a: pyscipopt.cos(a),
    ca.OP_TAN: lambda a: pyscipopt.sin(a) / pyscipopt.cos(a),
}
"""Functions of an argument in the unit 1."""

_BINARY = {ca.OP_ADD, ca.OP_SUB, ca.OP_MUL, ca.OP_DIV}
_FACTORS = {ca.OP_ASSIGN: 1.0, ca.OP_NEG: -1.0, ca.OP_TWICE: 2.0}
_LINEAR = {*_FACTORS, ca.OP_ADD, ca.OP_SUB}
_EXTREMES = (ca.OP_FMAX, ca.OP_FMIN)
_POWERS = (ca.OP_POW, ca.OP_CONSTPOW)
_SINGLE = {*_UNARY, *_FACTORS, ca.OP_EXP, ca.OP_SQRT, ca.OP_SQ, ca.OP_INV, ca.OP_FABS}
_SINGLE |= {ca.OP_SINH, ca.OP_COSH, ca.OP_TANH}
HARMLESS = {*_SINGLE, *_BINARY, *_EXTREMES, *_POWERS, ca.OP_CONST, ca.OP_INPUT, ca.OP_OUTPUT, ca.OP_PARAMETER}
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
    """Rebuilds the graph in SCIP's expressions, one instruction at a time, each value in its own unit."""

    def __init__(self, model: Any, instructions: list[Instruction]) -> None:
        self._model = model
        self._instructions = instructions
        self._extra = 0
        self.blunt: tuple[int, Interval] | None = None
        """An output, -1 for the objective, else a row, and the range of a term of it that no unit brings to size."""

    def build(self, parameters: Array, variables: list[Scaled]) -> tuple[Scaled | float, list[Scaled | float]]:
        """The objective and the rows; a float where one turned out constant."""
        uses = _use_counts(self._instructions)
        work: dict[int, Any] = {}
        blunt: dict[int, Interval] = {}
        outputs: dict[tuple[int, int], Any] = {}
        for k, (operation, inputs, out, constant) in enumerate(self._instructions):
            if operation in (ca.OP_INPUT, ca.OP_CONST):
                blunt.pop(out[0], None)
            if operation == ca.OP_INPUT:
                work[out[0]] = float(parameters[inputs[1]]) if inputs[0] == 0 else variables[inputs[1]]
            elif operation == ca.OP_OUTPUT:
                outputs[out[0], out[1]] = work[inputs[0]]
                if inputs[0] in blunt and self.blunt is None:
                    self.blunt = out[1] if out[0] else -1, blunt[inputs[0]]
            elif operation == ca.OP_CONST:
                work[out[0]] = constant
            else:
                value = self._apply(operation, [work[i] for i in inputs])
                spans = [blunt[i] for i in inputs if i in blunt]
                if operation not in _LINEAR and isinstance(value, Scaled) and value.blunt:
                    spans.append(value.range)
                blunt.pop(out[0], None)
                if spans and isinstance(value, Scaled):
                    blunt[out[0]] = spans[0]
                shared = uses[k] > 1 and isinstance(value, Scaled) and _is_general(value.expression)
                work[out[0]] = self._named(value) if shared else value
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
        span = extended(operation, [(v, v) if isinstance(v, float) else v.range for v in values])
        if operation in _EXTREMES:
            return self._extreme(operation, values, span)
        if operation in _POWERS:
            return self._power(values[0], values[1], span)
        if len(values) == 2:
            return self._binary(operation, values[0], values[1], span)
        return self._unary(operation, values[0], span)

    def _unary(self, operation: int, value: Scaled, span: Interval) -> Scaled:
        if operation == ca.OP_FABS:
            value = value.normal
            return Scaled(abs(value.expression), value.unit, span)
        if operation in _FACTORS:
            return _times(value, _FACTORS[operation], span)
        if operation == ca.OP_SQ:
            value = value.normal
            if not _is_general(value.expression) and degree(value.expression) > 1:
                value = self._named(value)  # a power multiplied out loses its sign, and digits where terms cancel
            return Scaled(value.expression * value.expression, value.unit**2, span)
        if operation == ca.OP_INV:
            return self._power(value, -1.0, span)
        if operation == ca.OP_SQRT:
            value = value.normal
            return Scaled(pyscipopt.sqrt(value.expression), math.sqrt(value.unit), span)
        if operation == ca.OP_EXP:
            return _exponential(value, span)
        if operation in (ca.OP_SINH, ca.OP_COSH, ca.OP_TANH):
            return self._hyperbolic(operation, value, span)
        if operation == ca.OP_LOG:
            value = value.normal
            return Scaled(pyscipopt.log(value.expression) + math.log(value.unit), 1.0, span)
        return Scaled(_UNARY[operation](value.plain), 1.0, span)

    def _binary(self, operation: int, left: Any, right: Any, span: Interval) -> Scaled:
        if operation in (ca.OP_ADD, ca.OP_SUB):
            return _sum(left, right, 1.0 if operation == ca.OP_ADD else -1.0, span)
        if isinstance(right, float):
            factor = right if operation == ca.OP_MUL else 1.0 / right
            return _times(left, factor, span)
        if operation == ca.OP_DIV:
            if isinstance(left, float):
                return _times(self._power(right, -1.0, extended(ca.OP_INV, [right.range])), left, span)
            left, right = left.normal, right.normal
            return Scaled(left.expression / right.expression, left.unit / right.unit, span)
        if isinstance(left, float):
            return _times(right, left, span)
        left, right = (
            self._named(v) if not _is_general(v.expression) and degree(v.expression) > 2 else v.normal
            for v in (left, right)
        )
        return Scaled(left.expression * right.expression, left.unit * right.unit, span)

    def _power(self, base: Any, exponent: Any, span: Interval) -> Scaled:
        if isinstance(exponent, float):
            base = base.normal
            if exponent > 2 and not _is_general(base.expression) and len(base.expression.terms) > 1:
                base = self._named(base)
            whole = int(exponent) if exponent == int(exponent) else exponent
            return Scaled(base.expression**whole, base.unit**exponent, span)
        if isinstance(base, float):
            inner = _times(exponent, math.log(base), extended(ca.OP_MUL, [exponent.range, (math.log(base),) * 2]))
        else:
            logarithm = self._unary(ca.OP_LOG, base, extended(ca.OP_LOG, [base.range]))
            whole_range = exponent.range if isinstance(exponent, Scaled) else (exponent, exponent)
            inner = self._binary(ca.OP_MUL, exponent, logarithm, extended(ca.OP_MUL, [whole_range, logarithm.range]))
        return _exponential(inner, span)

    def _hyperbolic(self, operation: int, value: Scaled, span: Interval) -> Scaled:
        """By exponentials; of tanh the one that stays small."""
        if operation != ca.OP_TANH:
            ends = extended(ca.OP_EXP, [value.range]), extended(ca.OP_EXP, [negative(value.range)])
            up = self._named(_exponential(value, ends[0]))
            down = self._named(_exponential(_times(value, -1.0, negative(value.range)), ends[1]))
            return _times(_sum(up, down, 1.0 if operation == ca.OP_COSH else -1.0, _twice(span)), 0.5, span)
        sign = -1.0 if abs(value.range[1]) > abs(value.range[0]) else 1.0
        double = _times(value, 2.0 * sign, extended(ca.OP_MUL, [(2.0 * sign,) * 2, value.range]))
        small = extended(ca.OP_EXP, [double.range])
        beneath = _sum(_exponential(double, small), 1.0, 1.0, (1.0 + small[0], 1.0 + small[1]))
        share = self._power(beneath, -1.0, extended(ca.OP_INV, [beneath.range]))
        return _sum(_times(share, -2.0 * sign, ENTIRE), sign, 1.0, span)

    def _named(self, value: Scaled) -> Scaled:
        """An auxiliary variable equal to an expression."""
        value = value.normal
        variable = self._model.addVar(f"aux{self._extra}", lb=None)
        self._extra += 1
        self._model.addCons(variable == value.expression)
        return Scaled(variable * 1.0, value.unit, value.range)

    def _extreme(self, operation: int, values: list[Any], span: Interval) -> Scaled:
        """max(a, b) as t >= a, t >= b with one of the slacks zero (a special ordered set); min by the sign."""
        sign = 1.0 if operation == ca.OP_FMAX else -1.0
        unit = unit_of(span) or max(value.unit for value in values if isinstance(value, Scaled))
        top = self._model.addVar(f"max{self._extra}", lb=None)
        slacks = []
        for value in values:
            slack = self._model.addVar(f"slack{self._extra}", lb=0.0)
            self._extra += 1
            inner = value / unit if isinstance(value, float) else (value.unit / unit) * value.expression
            self._model.addCons(slack == top - sign * inner)
            slacks.append(slack)
        self._model.addConsSOS1(slacks)
        return Scaled(sign * top, unit, span)


def _times(value: Scaled, factor: float, span: Interval) -> Scaled:
    if factor == 0.0:
        return Scaled(0.0 * value.expression, 1.0, (0.0, 0.0))
    expression = -value.expression if factor < 0.0 else value.expression
    return Scaled(expression, abs(factor) * value.unit, span)


def _sum(left: Any, right: Any, sign: float, span: Interval) -> Scaled:
    unit = unit_of(span) or max(value.unit for value in (left, right) if isinstance(value, Scaled))
    inner = [v / unit if isinstance(v, float) else _in(v, unit) for v in (left, right)]
    return Scaled(inner[0] + inner[1] if sign > 0.0 else inner[0] - inner[1], unit, span)


def _in(value: Scaled, unit: float) -> Any:
    return value.expression if value.unit == unit else (value.unit / unit) * value.expression


def _exponential(value: Scaled, span: Interval) -> Scaled:
    """``e^a = unit e^(a - log unit)``."""
    unit = unit_of(span) or 1.0
    inner = value.plain if unit == 1.0 else value.plain - math.log(unit)
    return Scaled(pyscipopt.exp(inner), unit, span)


def _twice(span: Interval) -> Interval:
    return 2.0 * span[0], 2.0 * span[1]


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
