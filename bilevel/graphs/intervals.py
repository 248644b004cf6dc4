"""Interval arithmetic over a compiled graph: ranges that hold for every value of the inputs in their boxes.

The natural interval extension (Moore 1966): each node's range is computed from those of its arguments. The ends are
rounded to nearest, not outwards. Rounding to nearest is monotone, hence for ``+ - * /`` and the square root the ends
enclose every value the same graph takes *in floats*, which is the function that is solved; the library's exp, log, ...
add a few units in the last place. Where an argument leaves a function's domain the range is that over the domain alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import casadi as ca

Interval = tuple[float, float]
Box = list[Interval]

ENTIRE: Interval = (-math.inf, math.inf)
_LARGEST = 1.7976931348623157e308


def negative(a: Interval) -> Interval:
    """``-a``."""
    return -a[1], -a[0]


def product(a: Interval, b: Interval) -> Interval:
    """``a b``; the end ``0 * inf`` is 0, because infinity is only ever approached."""
    (p, q), (r, s) = a, b
    ends = [0.0 if end != end else end for end in (p * r, p * s, q * r, q * s)]
    return min(ends), max(ends)


def quotient(a: Interval, b: Interval) -> Interval:
    """``a / b``; everything where b has both signs."""
    (p, q), (r, s) = a, b
    if r < 0 < s or r == s == 0:
        return ENTIRE
    if r == 0 or s == 0:
        return product(a, (1 / s, math.inf) if r == 0 else (-math.inf, 1 / r))
    ends = [0.0 if end != end else end for end in (p / r, p / s, q / r, q / s)]
    return min(ends), max(ends)


def square(a: Interval) -> Interval:
    """``a ** 2``."""
    low, high = sorted((abs(a[0]), abs(a[1])))
    return (0.0 if a[0] < 0 < a[1] else low * low), high * high


def power(a: Interval, exponent: Interval) -> Interval:
    """``a ** exponent``, real powers on the part of a that is not negative."""
    if exponent[0] == exponent[1] and exponent[0].is_integer():
        return _integer_power(a, int(exponent[0]))
    if a[1] < 0 or (a[0] < 0 and exponent[0] != exponent[1]):
        return ENTIRE  # exponents in a range include integers, for which negative bases are in the domain
    return _EXP(product(exponent, _LOG((max(a[0], 0.0), a[1]))))


def _integer_power(a: Interval, n: int) -> Interval:
    if n < 0:
        return quotient((1.0, 1.0), _integer_power(a, -n))
    if n % 2 == 0:
        low, high = sorted((abs(a[0]), abs(a[1])))
        return (0.0 if a[0] < 0 < a[1] and n else _raised(low, n)), _raised(high, n)
    return _raised(a[0], n), _raised(a[1], n)


def _raised(value: float, n: int) -> float:
    try:
        return value**n
    except OverflowError:
        return math.copysign(math.inf, value) if n % 2 else math.inf


def _increasing(
    function: Callable[[float], float], lower: float = -math.inf, upper: float = math.inf
) -> Callable[[Interval], Interval]:
    """The extension of an increasing function with the domain ``[lower, upper]``."""

    def end(value: float, pole: float) -> float:
        try:
            return function(value)
        except OverflowError:
            return math.copysign(math.inf, value)
        except ValueError:  # the end of the domain is a pole
            return pole

    def extension(a: Interval) -> Interval:
        if a[1] < lower or a[0] > upper:
            return ENTIRE
        return end(max(a[0], lower), -math.inf), end(min(a[1], upper), math.inf if a[1] >= upper else -math.inf)

    return extension


def _even(a: Interval, function: Callable[[Interval], Interval]) -> Interval:
    low, high = sorted((abs(a[0]), abs(a[1])))
    return function((0.0 if a[0] < 0 < a[1] else low, high))


def _wave(function: Callable[[float], float], top: float) -> Callable[[Interval], Interval]:
    """The extension of sine or cosine, which is 1 at ``(top + 2 k) pi`` and -1 half a turn later."""

    def extension(a: Interval) -> Interval:
        if not max(abs(a[0]), abs(a[1])) < 1e6:
            return -1.0, 1.0
        ends = (function(a[0]), function(a[1]))
        # A peak just outside counts as inside: the range may be too wide, never too narrow.
        halves = [math.ceil(a[0] / math.pi - top - 1e-9), math.floor(a[1] / math.pi - top + 1e-9)]
        peaks = {k % 2 for k in range(halves[0], min(halves[1], halves[0] + 1) + 1)}
        return (-1.0 if 1 in peaks else min(ends)), (1.0 if 0 in peaks else max(ends))

    return extension


def _tangent(a: Interval) -> Interval:
    if not (a[1] - a[0] < math.pi) or math.floor(a[0] / math.pi + 0.5) != math.floor(a[1] / math.pi + 0.5):
        return ENTIRE
    return math.tan(a[0]), math.tan(a[1])


_EXP = _increasing(math.exp)
_LOG = _increasing(math.log, 0.0)
_COSH = _increasing(math.cosh)
_ACOS = _increasing(lambda v: -math.acos(v), -1.0, 1.0)

_UNARY: dict[int, Callable[[Interval], Interval]] = {
    ca.OP_ASSIGN: lambda a: a,
    ca.OP_NEG: negative,
    ca.OP_TWICE: lambda a: (2 * a[0], 2 * a[1]),
    ca.OP_SQ: square,
    ca.OP_INV: lambda a: quotient((1.0, 1.0), a),
    ca.OP_SQRT: _increasing(math.sqrt, 0.0),
    ca.OP_EXP: _EXP,
    ca.OP_LOG: _LOG,
    ca.OP_LOG1P: _increasing(math.log1p, -1.0),
    ca.OP_EXPM1: _increasing(math.expm1),
    ca.OP_SINH: _increasing(math.sinh),
    ca.OP_COSH: lambda a: _even(a, _COSH),
    ca.OP_TANH: _increasing(math.tanh),
    ca.OP_ASINH: _increasing(math.asinh),
    ca.OP_ACOSH: _increasing(math.acosh, 1.0),
    ca.OP_ATANH: _increasing(math.atanh, -1.0, 1.0),
    ca.OP_ATAN: _increasing(math.atan),
    ca.OP_ASIN: _increasing(math.asin, -1.0, 1.0),
    ca.OP_ACOS: lambda a: negative(_ACOS(a)),
    ca.OP_ERF: _increasing(math.erf),
    ca.OP_COS: _wave(math.cos, 0.0),
    ca.OP_SIN: _wave(math.sin, 0.5),
    ca.OP_TAN: _tangent,
    ca.OP_FABS: lambda a: _even(a, lambda b: b),
    ca.OP_FLOOR: _increasing(lambda v: float(math.floor(v))),
    ca.OP_CEIL: _increasing(lambda v: float(math.ceil(v))),
    ca.OP_SIGN: _increasing(lambda v: float((v > 0) - (v < 0))),
    ca.OP_NOT: lambda a: (0.0, 1.0),
}

_BINARY: dict[int, Callable[[Interval, Interval], Interval]] = {
    ca.OP_ADD: lambda a, b: (a[0] + b[0], a[1] + b[1]),
    ca.OP_SUB: lambda a, b: (a[0] - b[1], a[1] - b[0]),
    ca.OP_MUL: product,
    ca.OP_DIV: quotient,
    ca.OP_POW: power,
    ca.OP_CONSTPOW: power,
    ca.OP_FMAX: lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    ca.OP_FMIN: lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    ca.OP_IF_ELSE_ZERO: lambda a, b: (min(0.0, b[0]), max(0.0, b[1])),
    **{op: lambda a, b: (0.0, 1.0) for op in (ca.OP_LT, ca.OP_LE, ca.OP_EQ, ca.OP_NE, ca.OP_AND, ca.OP_OR)},
}

_EVERYWHERE = {
    getattr(ca, f"OP_{name}")
    for name in (
        "ASSIGN",
        "ADD",
        "SUB",
        "MUL",
        "NEG",
        "TWICE",
        "SQ",
        "EXP",
        "EXPM1",
        "SIN",
        "COS",
        "ATAN",
        "SINH",
        "COSH",
    )
} | {ca.OP_TANH, ca.OP_ASINH, ca.OP_ERF}
_KINKED = (ca.OP_FABS, ca.OP_FMAX, ca.OP_FMIN)

# Where a function is twice differentiable, given the ranges of its arguments: strictly inside its domain. What is
# missing here (maximum, absolute value, steps, conditions) has kinks that no Hessian sees.
_SMOOTH: dict[int, Callable[[Sequence[Interval]], bool]] = {
    **{op: lambda a: True for op in _EVERYWHERE},
    ca.OP_INV: lambda a: not a[0][0] <= 0 <= a[0][1],
    ca.OP_DIV: lambda a: not a[1][0] <= 0 <= a[1][1],
    ca.OP_LOG: lambda a: a[0][0] > 0,
    ca.OP_SQRT: lambda a: a[0][0] > 0,
    ca.OP_LOG1P: lambda a: a[0][0] > -1,
    ca.OP_TAN: lambda a: _tangent(a[0]) != ENTIRE,
    **{op: lambda a: a[0][0] > -1 and a[0][1] < 1 for op in (ca.OP_ASIN, ca.OP_ACOS, ca.OP_ATANH)},
    ca.OP_ACOSH: lambda a: a[0][0] > 1,
    **{
        op: lambda a: a[0][0] > 0 or (a[1][0] == a[1][1] and a[1][0] >= 0 and a[1][0].is_integer())
        for op in (ca.OP_POW, ca.OP_CONSTPOW)
    },
}


_ROOTS = (ca.OP_SQRT, ca.OP_POW, ca.OP_CONSTPOW)


def defined(op: int, args: Sequence[Interval]) -> bool:
    """Whether an operation has a value throughout its arguments' ranges; at the edge of a domain only roots do."""
    if op in _ROOTS and args[0][0] >= 0 and (op == ca.OP_SQRT or args[1][0] > 0):
        return True
    return op in _KINKED or (op in _SMOOTH and _SMOOTH[op](args))


def extended(op: int, args: Sequence[Interval]) -> Interval:
    """The range of one operation, by CasADi's code, over ranges of its arguments."""
    if len(args) == 1:
        return _clean(_UNARY[op](args[0]) if op in _UNARY else ENTIRE)
    return _clean(_BINARY[op](*args) if op in _BINARY else ENTIRE)


def _clean(found: Interval) -> Interval:
    """NaN (infinity minus itself) is no information; an overflowing lower end is still a number."""
    low, high = found
    return (min(low, _LARGEST), max(high, -_LARGEST)) if low <= high else ENTIRE


class Graph:
    """The instructions of some expressions of (x, y), in an order in which arguments come first.

    Attributes
    ----------
    ops : list of int
        CasADi's code of each node's operation.
    args : list of tuple of int
        The nodes it takes.
    outputs : list of int
        The nodes of the expressions.
    depends : list of bool
        Whether a node depends on y; what does not is data.
    """

    def __init__(self, x: ca.SX, y: ca.SX, expressions: ca.SX) -> None:
        function = ca.Function("graph", [x, y], [ca.densify(expressions)], {"live_variables": False})
        self.ops: list[int] = []
        self.args: list[tuple[int, ...]] = []
        self.outputs = [0] * int(expressions.numel())
        self.depends: list[bool] = []
        self._constants: dict[int, Interval] = {}
        self._symbols: dict[int, tuple[int, int]] = {}
        place: dict[int, int] = {}
        for k in range(function.n_instructions()):
            op, inputs = function.instruction_id(k), function.instruction_input(k)
            targets = function.instruction_output(k)
            if op == ca.OP_OUTPUT:
                self.outputs[targets[1]] = place[inputs[0]]
                continue
            place[targets[0]] = node = len(self.ops)
            args: tuple[int, ...] = ()
            if op == ca.OP_CONST:
                value = float(function.instruction_constant(k))
                self._constants[node] = (value, value)
            elif op == ca.OP_INPUT:
                self._symbols[node] = (inputs[0], inputs[1])
            else:
                args = tuple(map(place.__getitem__, inputs))
            self.ops.append(op)
            self.args.append(args)
            self.depends.append(any(map(self.depends.__getitem__, args)) or (op == ca.OP_INPUT and inputs[0] == 1))

    def __len__(self) -> int:
        return len(self.ops)

    def leaf(self, node: int) -> tuple[float, ...]:
        """What tells a constant or a symbol from others of its kind; empty for operations."""
        return self._constants.get(node) or self._symbols.get(node) or ()

    def enclose(self, x: Sequence[Interval], y: Sequence[Interval]) -> list[Interval]:
        """A range for every node, for all (x, y) in the boxes."""
        ranges: list[Interval] = []
        for node, (op, args) in enumerate(zip(self.ops, self.args, strict=True)):
            if op == ca.OP_INPUT:
                block, entry = self._symbols[node]
                found = (y if block else x)[entry]
            elif op == ca.OP_CONST:
                found = self._constants[node]
            else:
                found = extended(op, [ranges[k] for k in args])
            ranges.append(_clean(found))
        return ranges

    def smooth(self, ranges: Sequence[Interval], *, kinks: bool = False) -> bool:
        """Whether every node that depends on y is twice differentiable in y throughout the ranges.

        Parameters
        ----------
        ranges : sequence of tuple of float
            From :meth:`enclose`.
        kinks : bool
            Let maxima and absolute values pass: ask for no more than being defined, strictly inside the domain.
        """
        return all(
            op == ca.OP_INPUT or (kinks and op in _KINKED) or (op in _SMOOTH and _SMOOTH[op]([ranges[i] for i in args]))
            for op, args, moving in zip(self.ops, self.args, self.depends, strict=True)
            if moving
        )


def _bounded(value: float) -> float:
    """The line drawn together to (-1, 1), so that an infinite side has a width and a middle."""
    return math.copysign(1.0, value) if math.isinf(value) else value / (1 + abs(value))


def _width(side: Interval, whole: Interval) -> float:
    """The share of its whole that is left of a side."""
    if math.isfinite(whole[1] - whole[0]):
        return (side[1] - side[0]) / (whole[1] - whole[0]) if whole[1] > whole[0] else 0.0
    return (_bounded(side[1]) - _bounded(side[0])) / (_bounded(whole[1]) - _bounded(whole[0]))


def halves(box: Box, used: Sequence[bool], whole: Box) -> tuple[Box, Box] | None:
    """A piece of a whole box, cut across the used side of which the largest share is left."""
    shares = [_width(side, each) if wanted else 0.0 for side, each, wanted in zip(box, whole, used, strict=True)]
    if not shares or max(shares) < 1e-9:
        return None
    widest = shares.index(max(shares))
    low, high = box[widest]
    cut = 0.5 * (low + high)
    if not math.isfinite(high - low):
        middle = 0.5 * (_bounded(low) + _bounded(high))
        cut = middle / (1 - abs(middle))
    first, second = list(box), list(box)
    first[widest], second[widest] = (low, cut), (cut, high)
    return first, second


WORK = 200_000
"""Nodes visited in one search over boxes: a few tenths of a second."""


def covered(box: Box, used: Sequence[bool], settled: Callable[[Box], bool | None], budget: int) -> bool:
    """Whether every piece of a box is settled, splitting those that are not, within a budget of pieces.

    Parameters
    ----------
    box : list of tuple of float
        The whole.
    used : sequence of bool
        Which sides to split.
    settled : callable
        Of a piece: True, False, or None where no splitting will help.
    budget : int
        Pieces to look at.
    """
    stack = [box]
    while stack:
        budget -= 1
        piece = stack.pop()
        done = settled(piece)
        if done:
            continue
        parts = None if done is None else halves(piece, used, box)
        if parts is None or budget < len(stack) + 2:
            return False
        stack += parts
    return True
