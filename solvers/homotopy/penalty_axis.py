"""In which function of x the followers' data are affine: x itself, or 10**x, exp(x), 1/x and the like.

A path is followed in that function s; where it is monotone on the range of x, every s of its range is the s of one x,
and the least F over the one is the least over the other. That entries are affine in one and the same s is read from
their graphs, never from values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import casadi as ca
import numpy as np
import scipy

from bilevel.arrays import Array

_Key = tuple[object, ...]
_X: _Key = ("x",)


@dataclass(frozen=True)
class _Affine:
    """``constant + slope * atom``; no atom where it is a number."""

    constant: float
    slope: float = 0.0
    atom: _Key | None = None


@dataclass(frozen=True)
class PenaltyAxis:
    """Entries ``constants + slopes * s(x)`` with a monotone s.

    Attributes
    ----------
    constants, slopes : ndarray of shape (k,)
        Of the entries, in their order.
    ends : tuple of float
        x at its lower and its upper end.
    of : callable
        s of an x.
    """

    constants: Array
    slopes: Array
    ends: tuple[float, float]
    of: Callable[[float], float]

    @property
    def range(self) -> tuple[float, float]:
        """S at the lower and at the upper end of x; falling where s falls."""
        return self.of(self.ends[0]), self.of(self.ends[1])

    def back(self, s: float) -> float:
        """The x of an s, within the range of x."""
        at_low, at_high = self.range
        if not min(at_low, at_high) < s < max(at_low, at_high):
            return self.ends[0] if abs(s - at_low) <= abs(s - at_high) else self.ends[1]
        return float(scipy.optimize.brentq(lambda x: self.of(x) - s, *self.ends, xtol=1e-300, rtol=8.9e-16))


def penalty_axis(entries: ca.SX, x: ca.SX, low: float, high: float) -> PenaltyAxis | None:
    """The axis of some functions of one variable, shape (k, 1); None where they are not affine in one monotone one."""
    found = _read(ca.Function("entries", [x], [ca.densify(entries)]))
    if found is None:
        return None
    atoms = {entry.atom for entry in found if entry.atom is not None and entry.slope != 0.0}
    if len(atoms) > 1:
        return None
    atom = next(iter(atoms), _X)
    if _range(atom, low, high) is None:
        return None
    constants, slopes = np.array([(entry.constant, entry.slope) for entry in found]).reshape(-1, 2).T
    return PenaltyAxis(constants, slopes, (low, high), lambda value: _at(atom, value))


def _read(function: ca.Function) -> list[_Affine] | None:
    """Every output as an affine function of an atom; None where one is none."""
    slots: dict[int, _Affine | None] = {}
    outputs: list[_Affine | None] = [_Affine(0.0)] * function.size1_out(0)
    for k in range(function.n_instructions()):
        operation, inputs, targets = (
            function.instruction_id(k),
            function.instruction_input(k),
            function.instruction_output(k),
        )
        if operation == ca.OP_OUTPUT:
            outputs[targets[1]] = slots[inputs[0]]
        elif operation == ca.OP_INPUT:
            slots[targets[0]] = _Affine(0.0, 1.0, _X)
        elif operation == ca.OP_CONST:
            slots[targets[0]] = _Affine(float(function.instruction_constant(k)))
        else:
            slots[targets[0]] = _combined(operation, [slots[i] for i in inputs])
    known = [entry for entry in outputs if entry is not None]
    return known if len(known) == len(outputs) else None


def _combined(operation: int, operands: Sequence[_Affine | None]) -> _Affine | None:
    if any(operand is None for operand in operands):
        return None
    first, *others = [operand for operand in operands if operand is not None]
    second = others[0] if others else first
    plain = _linear(operation, first, second)
    if plain is not None:
        return plain
    moving = [operand for operand in (first, second) if operand.atom is not None]
    if not moving:
        value = _number(operation, first.constant, second.constant)
        return None if value is None else _Affine(value)
    if operation in (ca.OP_POW, ca.OP_CONSTPOW):
        if first.atom is None:
            return _Affine(0.0, 1.0, ("power of", first.constant, second.constant, second.slope, second.atom))
        if second.atom is None:
            return _Affine(0.0, 1.0, ("to the power", second.constant, first.constant, first.slope, first.atom))
    if operation == ca.OP_DIV and first.atom is None:
        inverse = ("to the power", -1.0, second.constant, second.slope, second.atom)
        return _Affine(0.0, first.constant, inverse)
    if operation in _UNARY:
        return _Affine(0.0, 1.0, (_UNARY[operation], 0.0, first.constant, first.slope, first.atom))
    if operation in _POWERS:
        return _Affine(0.0, 1.0, ("to the power", _POWERS[operation], first.constant, first.slope, first.atom))
    return None


_UNARY = {ca.OP_EXP: "exp", ca.OP_LOG: "log"}
_POWERS = {ca.OP_SQRT: 0.5, ca.OP_SQ: 2.0, ca.OP_INV: -1.0}


def _linear(operation: int, a: _Affine, b: _Affine) -> _Affine | None:
    """What keeps an affine function affine; None for other operations."""
    if operation == ca.OP_NEG:
        return _Affine(-a.constant, -a.slope, a.atom)
    if operation == ca.OP_TWICE:
        return _Affine(2.0 * a.constant, 2.0 * a.slope, a.atom)
    if operation in (ca.OP_ADD, ca.OP_SUB) and (a.atom is None or b.atom is None or a.atom == b.atom):
        sign = 1.0 if operation == ca.OP_ADD else -1.0
        atom = b.atom if a.atom is None else a.atom
        return _Affine(a.constant + sign * b.constant, a.slope + sign * b.slope, atom)
    if operation == ca.OP_MUL and (a.atom is None or b.atom is None):
        a, b = (a, b) if a.atom is None else (b, a)
        return _Affine(a.constant * b.constant, a.constant * b.slope, b.atom)
    if operation == ca.OP_DIV and b.atom is None and b.constant != 0.0:
        return _Affine(a.constant / b.constant, a.slope / b.constant, a.atom)
    return None


def _number(operation: int, a: float, b: float) -> float | None:
    try:
        if operation in (ca.OP_POW, ca.OP_CONSTPOW):
            return float(a**b)
        if operation in _UNARY:
            return float(getattr(math, _UNARY[operation])(a))
        return float(a ** _POWERS[operation]) if operation in _POWERS else None
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def _at(atom: _Key, x: float) -> float:
    """The value of an atom."""
    if atom == _X:
        return x
    kind, constant, shift, slope, inner = atom
    argument = float(shift) + float(slope) * _at(inner, x)  # type: ignore[arg-type]
    match kind:
        case "power of":
            return float(float(constant) ** argument)  # type: ignore[arg-type]
        case "to the power":
            return float(argument ** float(constant))  # type: ignore[arg-type]
        case _:
            return float(getattr(math, str(kind))(argument))


def _range(atom: _Key, low: float, high: float) -> tuple[float, float] | None:
    """The values of an atom at both ends, if it is monotone and finite between them; else None."""
    if atom == _X:
        return low, high
    kind, constant, shift, slope, inner = atom
    inside = _range(inner, low, high)  # type: ignore[arg-type]
    if inside is None or slope == 0.0:
        return None
    ends = [float(shift) + float(slope) * end for end in inside]  # type: ignore[arg-type]
    if kind == "power of" and not (float(constant) > 0.0 and constant != 1.0):  # type: ignore[arg-type]
        return None
    if kind == "to the power" and not _monotone(float(constant), ends):  # type: ignore[arg-type]
        return None
    if kind == "log" and not min(ends) > 0.0:
        return None
    try:
        values = _at(atom, low), _at(atom, high)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return values if all(map(math.isfinite, values)) and values[0] != values[1] else None


def _monotone(power: float, ends: Sequence[float]) -> bool:
    """Whether a power is defined and monotone between two arguments."""
    if power < 0.0:
        return min(ends) > 0.0 or (max(ends) < 0.0 and power == -1.0)
    return min(ends) >= 0.0 and power != 0.0
