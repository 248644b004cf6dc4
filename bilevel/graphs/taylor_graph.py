"""A compiled graph evaluated in Taylor models (:mod:`bilevel.graphs.taylor`), over many boxes at once.

One pass over the instructions; each works on the arrays of all boxes. Maxima, absolute values and conditions take the
branch that holds throughout a box where there is one, and hulls elsewhere; derivatives that CasADi makes of them come
out as hulls of the one-sided derivatives, which is what a mean value theorem of Lipschitz functions needs (Clarke 1983,
theorem 2.3.7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.graphs.taylor import Taylor
from bilevel.graphs.taylor_functions import RULES, power

_Slot = Array | float
_BINARY: dict[int, Callable[[Taylor, Array, Array], Array]] = {
    ca.OP_ADD: Taylor.add,
    ca.OP_SUB: Taylor.subtract,
    ca.OP_MUL: Taylor.multiply,
    ca.OP_DIV: lambda t, a, b: t.multiply(a, t.composed(b, RULES[ca.OP_INV])),
    ca.OP_POW: lambda t, a, b: t.composed(t.multiply(b, t.composed(a, RULES[ca.OP_LOG])), RULES[ca.OP_EXP]),
    ca.OP_FMAX: Taylor.larger,
    ca.OP_FMIN: lambda t, a, b: t.scaled(t.larger(t.scaled(a, -1.0), t.scaled(b, -1.0)), -1.0),
    ca.OP_LT: lambda t, a, b: t.step(t.subtract(b, a), 0.0, 0.0),
    ca.OP_LE: lambda t, a, b: t.step(t.subtract(b, a), 0.0, 1.0),
    ca.OP_IF_ELSE_ZERO: Taylor.multiply,
}
_UNARY: dict[int, Callable[[Taylor, Array], Array]] = {
    ca.OP_ASSIGN: lambda t, a: a,
    ca.OP_NEG: lambda t, a: t.scaled(a, -1.0),
    ca.OP_TWICE: lambda t, a: t.scaled(a, 2.0),
    ca.OP_SQ: lambda t, a: t.multiply(a, a),
    ca.OP_FABS: Taylor.absolute,
    ca.OP_SIGN: lambda t, a: t.step(a, -1.0, 0.0),
    ca.OP_NOT: lambda t, a: t.shifted(t.scaled(a, -1.0), 1.0),
}
_SHAPED = (ca.OP_ADD, ca.OP_SUB, ca.OP_MUL, ca.OP_DIV)  # those for which a number needs no model
_POWERS = (ca.OP_POW, ca.OP_CONSTPOW)


class TaylorGraph:
    """Evaluates expressions in Taylor models.

    Parameters
    ----------
    taylor : Taylor
        The arithmetic.
    inputs : sequence of SX
        Column vectors of symbols.
    outputs : SX
        Column vector of expressions.

    Raises
    ------
    RefusedError
        If an expression holds a function without a rule, or one that jumps.
    """

    def __init__(self, taylor: Taylor, inputs: Sequence[ca.SX], outputs: ca.SX) -> None:
        self.taylor = taylor
        function = ca.Function("graph", list(inputs), [ca.densify(outputs)], {"cse": True})
        self.count, self._slots = int(outputs.numel()), int(function.sz_w())
        self._steps: list[tuple[int, int, tuple[int, ...], float]] = []
        for k in range(function.n_instructions()):
            op, args = function.instruction_id(k), tuple(function.instruction_input(k))
            target = function.instruction_output(k)
            number = float(function.instruction_constant(k)) if op == ca.OP_CONST else 0.0
            if op in _BINARY or op in _UNARY or op in RULES or op in _POWERS or op in _PLACES:
                self._steps.append((op, target[1] if op == ca.OP_OUTPUT else target[0], args, number))
                continue
            raise RefusedError(f"it holds {_name_of(op)}, for which there is no rule in Taylor arithmetic")

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def room(self) -> int:
        """Numbers held per box while it is evaluated."""
        return (self._slots + self.count) * self.taylor.size

    @property
    def jumps(self) -> bool:
        """Whether an instruction jumps: then differences are not bounded by derivatives."""
        return any(op in _JUMPS for op, *_ in self._steps)

    def __call__(self, *inputs: Array) -> Array:
        """Models of the outputs, shape (size, outputs, boxes), from those of the inputs, each in the same form."""
        taylor = self.taylor
        work: list[_Slot] = [0.0] * (self._slots + 1)
        found = np.zeros((taylor.size, self.count, inputs[0].shape[-1]))
        with np.errstate(all="ignore"):  # what overflows or leaves a domain ends as an infinite radius
            for op, target, args, number in self._steps:
                if op == ca.OP_CONST:
                    work[target] = number
                elif op == ca.OP_INPUT:
                    work[target] = inputs[args[0]][:, args[1]]
                elif op == ca.OP_OUTPUT:
                    value = work[args[0]]
                    if isinstance(value, float):
                        found[0, target] = value
                    else:
                        found[:, target] = value
                else:
                    work[target] = self._step(op, [work[k] for k in args], found.shape[-1])
        found[-1][~np.isfinite(found).all(axis=0)] = np.inf
        return np.nan_to_num(found, nan=0.0, posinf=np.inf, neginf=0.0)

    def _step(self, op: int, args: list[_Slot], boxes: int) -> Array:
        taylor = self.taylor
        if op in _POWERS and isinstance(args[1], float):
            return taylor.composed(self._model(args[0], boxes), power(args[1]))
        if op in _SHAPED and isinstance(args[0], float) != isinstance(args[1], float):
            return self._with_number(op, args)
        models = [self._model(value, boxes) for value in args]
        if len(models) == 2:
            return _BINARY[ca.OP_POW if op == ca.OP_CONSTPOW else op](taylor, *models)
        return _UNARY[op](taylor, models[0]) if op in _UNARY else taylor.composed(models[0], RULES[op])

    def _with_number(self, op: int, args: list[_Slot]) -> Array:
        """A sum, product or quotient of a model and a number."""
        taylor = self.taylor
        first, second = args
        if isinstance(second, float):
            assert not isinstance(first, float)
            match op:
                case ca.OP_ADD:
                    return taylor.shifted(first, second)
                case ca.OP_SUB:
                    return taylor.shifted(first, -second)
                case ca.OP_MUL:
                    return taylor.scaled(first, second)
            return taylor.scaled(first, 1.0 / second) if second else np.full_like(first, np.inf)
        assert isinstance(first, float)
        if op == ca.OP_DIV:
            return taylor.scaled(taylor.composed(second, RULES[ca.OP_INV]), first)
        if op == ca.OP_SUB:
            return taylor.shifted(taylor.scaled(second, -1.0), first)
        return taylor.shifted(second, first) if op == ca.OP_ADD else taylor.scaled(second, first)

    def _model(self, value: _Slot, boxes: int) -> Array:
        return self.taylor.constant(np.full(boxes, value)) if isinstance(value, float) else value


_JUMPS = (ca.OP_LT, ca.OP_LE, ca.OP_NOT, ca.OP_SIGN, ca.OP_IF_ELSE_ZERO)
_PLACES = (ca.OP_CONST, ca.OP_INPUT, ca.OP_OUTPUT)


def _name_of(op: int) -> str:
    names = [name for name in dir(ca) if name.startswith("OP_") and getattr(ca, name) == op]
    return names[0].removeprefix("OP_").lower() if names else f"operation {op}"
