"""A function of one number, a weighted sum of terms: its values, and proved ranges of its derivatives.

Terms of the same form with other constants (the weeks of a year) are computed together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.solvers.engines.separable.intervals import Interval
from bilevel.solvers.engines.separable.series import UNARY, Series, composed, powers, product
from bilevel.solvers.engines.separable.sums import Along, Node

_POWERS = (ca.OP_POW, ca.OP_CONSTPOW)


@dataclass
class _Form:
    """What terms have in common, and their constants, one list a term."""

    steps: list[tuple[Any, ...]] = field(default_factory=list)
    constants: list[list[float]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


class _Walk:
    """One term written as steps and constants; what is shared in it is computed once."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self.constants: list[float] = []
        self._known: dict[int, int] = {}

    def node(self, node: Node) -> int:
        if id(node) not in self._known:
            if node.op in _POWERS:
                base = self.along(node.args[0])
                self.constants.append(node.args[1].constant)
                self.steps.append((node.op, base, len(self.constants) - 1))
            else:
                self.steps.append((node.op, *[self.along(arg) for arg in node.args]))
            self._known[id(node)] = len(self.steps) - 1
        return self._known[id(node)]

    def along(self, arg: Along) -> int:
        parts = tuple(self.node(node) for _, node in arg.terms)
        self.constants += [arg.constant, arg.slope, *(weight for weight, _ in arg.terms)]
        self.steps.append((None, len(self.constants) - len(parts) - 2, parts))
        return len(self.steps) - 1


class CurvedFunction:
    """A weighted sum of terms in one argument.

    Parameters
    ----------
    terms : sequence of (float, Node)
        Weights and terms.
    """

    def __init__(self, terms: Sequence[tuple[float, Node]]) -> None:
        forms: dict[tuple[Any, ...], _Form] = {}
        for weight, node in terms:
            walk = _Walk()
            walk.node(node)
            form = forms.setdefault(tuple(walk.steps), _Form(walk.steps))
            form.constants.append(walk.constants)
            form.weights.append(weight)
        self._forms = [
            (form.steps, np.array(form.constants).T[:, :, None], np.array(form.weights)[:, None])
            for form in forms.values()
        ]

    def values(self, points: Array) -> tuple[Array, Array]:
        """The function and its slope at some points, each of shape (k,)."""
        value, slope = np.zeros(len(points)), np.zeros(len(points))
        with np.errstate(all="ignore"):
            for steps, constants, weights in self._forms:
                found = _series(steps, constants, [points[None, :], np.ones((1, len(points)))])
                value, slope = value + (weights * found[0]).sum(axis=0), slope + (weights * found[1]).sum(axis=0)
        return value, slope

    def ranges(self, low: Array, high: Array) -> tuple[Interval, Interval]:
        """Where the function, and its second derivative, are on some intervals.

        The latter also by the third derivative about each middle, which is tighter where intervals are short.
        """
        middle = 0.5 * (low + high)
        radius = np.maximum(high - middle, middle - low)
        zero, one = np.zeros((1, len(low))), np.ones((1, len(low)))
        value = curvature = Interval(zero[0], zero[0])
        with np.errstate(all="ignore"):
            for steps, constants, weights in self._forms:
                unit, none = Interval(one, one), Interval(zero, zero)
                whole = _series(steps, constants, [Interval(low[None], high[None]), unit, none, none])
                there = _series(steps, constants, [Interval(middle[None], middle[None]), unit, none, none])
                about = there[2] + whole[3] * 3.0 * Interval(-radius[None], radius[None])
                value = value + (whole[0] * weights).summed()
                curvature = curvature + (whole[2].meet(about) * 2.0 * weights).summed()
        return value, curvature


def _series(steps: Sequence[tuple[Any, ...]], constants: Array, argument: Series) -> Series:
    """The last step's coefficients at an argument's."""
    found: list[Series] = []
    for step in steps:
        if step[0] is None:
            found.append(_affine(constants, step[1], [found[k] for k in step[2]], argument))
        elif step[0] == ca.OP_MUL:
            found.append(product(found[step[1]], found[step[2]]))
        elif step[0] in _POWERS:
            found.append(composed(powers(found[step[1]][0], constants[step[2]]), found[step[1]]))
        else:
            found.append(composed(UNARY[step[0]](found[step[1]][0]), found[step[1]]))
    return found[-1]


def _affine(constants: Array, first: int, parts: Sequence[Series], argument: Series) -> Series:
    """``constant + slope z + sum weight * part``."""
    total = [coefficient * constants[first + 1] for coefficient in argument]
    for k, part in enumerate(parts):
        total = [a + b * constants[first + 2 + k] for a, b in zip(total, part, strict=True)]
    constant = constants[first] + 0.0 * (total[0].low if isinstance(total[0], Interval) else total[0])
    total[0] = total[0] + (Interval(constant, constant) if isinstance(total[0], Interval) else constant)
    return total
