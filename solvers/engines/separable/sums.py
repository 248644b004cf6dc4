"""Functions taken apart into sums of functions of one number each: ``c + l'y + sum_d psi_d(d'y)``.

Where each nonlinear term of a program moves with one variable, or with one weighted sum of variables (spend that is
carried over from earlier periods), everything that is hard about it is one-dimensional. Terms in the same direction d
are one function, however many there are: fifty-two weeks of one channel's response are one curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.solvers.engines.separable.series import UNARY

Direction = tuple[tuple[int, float], ...]
"""``(place, weight)`` of the variables in it, the first weight 1."""

_DIGITS = 12  # to which two directions must agree to be one
_SUMS = (ca.OP_ADD, ca.OP_SUB, ca.OP_NEG, ca.OP_TWICE, ca.OP_ASSIGN)
SUPPORTED = frozenset(
    {*UNARY, *_SUMS, ca.OP_MUL, ca.OP_DIV, ca.OP_POW, ca.OP_CONSTPOW, ca.OP_CONST, ca.OP_INPUT, ca.OP_OUTPUT}
)
"""CasADi's codes of what can be taken apart."""


class NotSeparableError(Exception):
    """A term moves with more than one direction at once."""


@dataclass(frozen=True, eq=False)
class Node:
    """An operation on sums in one argument."""

    op: int
    args: tuple[Along, ...]


@dataclass(frozen=True, eq=False)
class Along:
    """``constant + slope z + sum of weight * node``."""

    constant: float
    slope: float
    terms: tuple[tuple[float, Node], ...]


@dataclass
class Separable:
    """``constant + linear'y + sum_d curved[d](d'y)``.

    Attributes
    ----------
    constant : float
        Alone.
    linear : dict
        Weights of variables by place.
    curved : dict
        By direction, weights and terms.
    """

    constant: float = 0.0
    linear: dict[int, float] = field(default_factory=dict)
    curved: dict[Direction, tuple[tuple[float, Node], ...]] = field(default_factory=dict)

    @property
    def fixed(self) -> bool:
        """Whether it is a number."""
        return not self.linear and not self.curved

    def times(self, factor: float) -> Separable:
        """A multiple."""
        if factor == 0.0:
            return Separable()
        return Separable(
            factor * self.constant,
            {k: factor * v for k, v in self.linear.items()},
            {d: tuple((factor * w, node) for w, node in terms) for d, terms in self.curved.items()},
        )

    def plus(self, other: Separable) -> Separable:
        """A sum."""
        linear, curved = dict(self.linear), dict(self.curved)
        for place, weight in other.linear.items():
            linear[place] = linear.get(place, 0.0) + weight
        for direction, terms in other.curved.items():
            curved[direction] = curved.get(direction, ()) + terms
        return Separable(self.constant + other.constant, {k: v for k, v in linear.items() if v}, curved)

    def but_constant(self, other: Separable) -> bool:
        """Whether the two differ by a number at most."""
        return self.linear == other.linear and self.curved == other.curved  # terms are equal where they are the same


def taken_apart(function: ca.Function) -> list[Separable]:
    """The outputs of a function of one vector, each as a sum of functions of one number.

    Parameters
    ----------
    function : Function
        One input of shape (n, 1); outputs of any length, read one after the other.

    Raises
    ------
    NotSeparableError
        If a term moves with more than one direction.
    """
    slots: dict[int, Separable] = {}
    offsets = np.concatenate([[0], np.cumsum([function.numel_out(k) for k in range(function.n_out())])]).astype(int)
    outputs = [Separable() for _ in range(offsets[-1])]
    for k in range(function.n_instructions()):
        op, inputs = function.instruction_id(k), function.instruction_input(k)
        targets = function.instruction_output(k)
        if op == ca.OP_OUTPUT:
            outputs[offsets[targets[0]] + targets[1]] = slots[inputs[0]]
        elif op == ca.OP_CONST:
            slots[targets[0]] = Separable(float(function.instruction_constant(k)))
        elif op == ca.OP_INPUT:
            slots[targets[0]] = Separable(0.0, {inputs[1]: 1.0})
        else:
            slots[targets[0]] = _applied(op, [slots[i] for i in inputs])
    return outputs


def _applied(op: int, args: Sequence[Separable]) -> Separable:
    a, b = args[0], args[-1]
    if op == ca.OP_ADD:
        return a.plus(b)
    if op == ca.OP_SUB:
        return a.plus(b.times(-1.0))
    if op in _SUMS:
        return a.times({ca.OP_NEG: -1.0, ca.OP_TWICE: 2.0, ca.OP_ASSIGN: 1.0}[op])
    if op == ca.OP_MUL:
        return b.times(a.constant) if a.fixed else a.times(b.constant) if b.fixed else _curved(op, args)
    if op == ca.OP_DIV:
        return _quotient(a, b)
    return _curved(op, args)


def _quotient(a: Separable, b: Separable) -> Separable:
    """``a / b``; as ``1 - c / b`` where b is a + c, in which the argument occurs once: ranges are tight then."""
    if b.fixed and b.constant != 0.0:
        return a.times(1.0 / b.constant)
    inverse = _curved(ca.OP_INV, [b])
    if a.fixed:
        return inverse.times(a.constant)
    if a.but_constant(b):
        return Separable(1.0).plus(inverse.times(a.constant - b.constant))
    return _curved(ca.OP_MUL, [a, inverse])


def _curved(op: int, args: Sequence[Separable]) -> Separable:
    """An operation that is not a sum: its arguments have to move along one direction."""
    if op not in SUPPORTED:
        raise NotSeparableError("a function in it has no known series")
    if op in (ca.OP_POW, ca.OP_CONSTPOW) and not args[1].fixed:
        raise NotSeparableError("an exponent moves")
    directions = {direction for arg in args for direction in _directions(arg)}
    if len(directions) > 1:
        raise NotSeparableError("a term moves with two variables at once")
    direction = next(iter(directions), None)
    written = [_along(arg, direction) for arg in args]
    if direction is None:
        numbers = [ca.SX(arg.constant) for arg in args]
        return Separable(float(ca.SX.binary(op, *numbers) if len(numbers) == 2 else ca.SX.unary(op, *numbers)))
    return Separable(0.0, {}, {direction: ((1.0, Node(op, tuple(written))),)})


def _directions(arg: Separable) -> list[Direction]:
    return [*arg.curved, *([direction_of(arg.linear)] if arg.linear else [])]


def direction_of(linear: dict[int, float]) -> Direction:
    """The direction of a linear form, the first weight 1."""
    places = sorted(linear)
    first = linear[places[0]]
    return tuple((place, float(f"{linear[place] / first:.{_DIGITS}e}")) for place in places)


def _along(arg: Separable, direction: Direction | None) -> Along:
    slope = arg.linear[direction[0][0]] if arg.linear and direction is not None else 0.0
    terms: tuple[tuple[float, Node], ...] = reduce(tuple.__add__, arg.curved.values(), ())
    return Along(arg.constant, slope, terms)


def extent(direction: Direction, lower: Array, upper: Array) -> tuple[float, float]:
    """The range of ``d'y`` over a box."""
    ends = [(w * lower[k], w * upper[k]) if w > 0 else (w * upper[k], w * lower[k]) for k, w in direction]
    return float(sum(low for low, _ in ends)), float(sum(high for _, high in ends))
