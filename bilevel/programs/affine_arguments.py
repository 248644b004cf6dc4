"""A function as one of few numbers: ``f(p, y) = h(p, y, z)`` with ``z = A(p) y + b(p)``.

Losses of linear predictors (logistic, Poisson, Huber, softmax regression) are sums over rows in which y stands inside
an affine function, once per row. Differentiated in y such a sum has rows times n^2 operations, compiled one by one;
differentiated in z it has a few per row, and ``A' h_zz A`` is a product of matrices (partial separability: Griewank and
Toint 1982). The arguments are found in the graph: the largest affine nodes of two or more variables that something
nonlinear is done to.
"""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca

_LINEAR = {ca.OP_ADD, ca.OP_SUB, ca.OP_NEG, ca.OP_TWICE, ca.OP_ASSIGN}
_DATA, _SINGLE, _AFFINE, _CURVED = range(4)  # of no variable, affine in one, affine in several, anything else


@dataclass(frozen=True, eq=False)
class AffineArguments:
    """A function of y in terms of y and of affine functions of it.

    Attributes
    ----------
    outer : SX scalar
        h, in the parameters, the variables and :attr:`symbols`.
    symbols : SX of shape (m, 1)
        What stands for z.
    inner : SX of shape (m, 1)
        z, in the parameters and the variables.
    """

    outer: ca.SX
    symbols: ca.SX
    inner: ca.SX


class _Walk:
    """One pass over the instructions of a scalar function; what stays as it is is taken over, not built anew."""

    def __init__(self, function: ca.Function, inputs: list[ca.SX]) -> None:
        self._function, self._inputs = function, inputs
        self._whole = function.instructions_sx()
        self._slots: dict[int, tuple[int, int, int]] = {}  # work slot: instruction, kind, its variable where single
        self._built: dict[int, ca.SX] = {}  # by instruction, where it is not as it was
        self._symbols: dict[int, ca.SX] = {}  # by the instruction that each stands for
        self.result: int | None = None
        for k in range(function.n_instructions()):
            self._visit(k)

    def _visit(self, k: int) -> None:
        function = self._function
        op = function.instruction_id(k)
        if op == ca.OP_OUTPUT:
            self.result = self._slots[function.instruction_input(k)[0]][0]
            return
        into = function.instruction_output(k)[0]
        if op == ca.OP_INPUT:
            source, place = function.instruction_input(k)
            self._slots[into] = k, _SINGLE if source else _DATA, place
            self._built[k] = self._inputs[source][place]
        elif op == ca.OP_CONST:
            self._slots[into] = k, _DATA, -1
        else:
            self._slots[into] = self._applied(k, op, [self._slots[slot] for slot in function.instruction_input(k)])

    def _applied(self, k: int, op: int, arguments: list[tuple[int, int, int]]) -> tuple[int, int, int]:
        kinds = [kind for _, kind, _ in arguments]
        kind = max(kinds)
        if kind == _DATA:
            return k, _DATA, -1
        scaled = (op == ca.OP_MUL and _DATA in kinds) or (op == ca.OP_DIV and kinds[1] == _DATA)
        if not (op in _LINEAR or scaled):
            sources = [self._lifted(source) if own == _AFFINE else self._of(source) for source, own, _ in arguments]
        elif kind == _CURVED:
            sources = [self._of(source) for source, _, _ in arguments]
        else:
            if kind == _AFFINE:
                return k, _AFFINE, -1
            places = {place for _, own, place in arguments if own != _DATA}
            return (k, _SINGLE, places.pop()) if len(places) == 1 else (k, _AFFINE, -1)
        self._built[k] = ca.SX.unary(op, sources[0]) if len(sources) == 1 else ca.SX.binary(op, *sources)
        return k, _CURVED, -1

    def _of(self, k: int) -> ca.SX:
        return self._built[k] if k in self._built else self._whole[k]

    def _lifted(self, k: int) -> ca.SX:
        """A symbol in the place of an affine node."""
        if k not in self._symbols:
            self._symbols[k] = ca.SX.sym("z")
        return self._symbols[k]

    def found(self) -> AffineArguments | None:
        """None where there is no such argument."""
        if not self._symbols or self.result is None:
            return None
        symbols = ca.vertcat(*self._symbols.values())
        return AffineArguments(self._of(self.result), symbols, self._whole[list(self._symbols)])


def affine_arguments(function: ca.SX, parameters: ca.SX, variables: ca.SX) -> AffineArguments | None:
    """The affine functions of several variables of which a scalar function is made; None where there is none.

    Parameters
    ----------
    function : SX scalar
        Of the parameters and the variables.
    parameters, variables : SX of shape (p, 1), (n, 1)
        Symbols.
    """
    inputs = [parameters, variables]
    return _Walk(ca.Function("graph", inputs, [ca.densify(function)]), inputs).found()
