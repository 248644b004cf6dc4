"""The whole evaluation as one compiled function, where every follower's answer is a formula.

x goes in; out come the answers, F and G. What the levels share is evaluated once, and a point costs one call. Where a
formula does not hold (a singular Hessian, data that are no numbers) the engines are asked as everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.programs.answer import ClosedForm
from bilevel.programs.compilation import Compilation
from bilevel.response.leader import Leader

_LARGEST = 100_000  # instructions


class Express:
    """``express(x)`` gives ``(cost, violation, lower, y)``, or None where a formula does not hold.

    Parameters
    ----------
    compilation : Compilation
        Of a problem without multipliers.
    leader : Leader
        F and G.
    formulas : mapping of ClosedForm
        Every follower's.
    """

    def __init__(self, compilation: Compilation, leader: Leader, formulas: Mapping[str, ClosedForm]) -> None:
        parts = [formulas[name] for name in compilation.y]
        y = ca.vertcat(*(part.y for part in parts))
        outputs = ca.substitute(leader.outputs, compilation.all_y, y)
        margin = ca.mmin(ca.vertcat(*(part.margin for part in parts)))
        self._leader = leader
        self._first = 2 + len(parts)  # of y; the rows of G stand behind it
        self._last = self._first + int(y.numel())
        cost, *rows = outputs.elements()
        column = ca.vertcat(margin, cost, *(part.objective for part in parts), y, *rows)
        self._compiled = Compiled([compilation.x], [column])

    @classmethod
    def of(cls, compilation: Compilation, leader: Leader, formulas: Mapping[str, ClosedForm | None]) -> Express | None:
        """None where a follower has no formula, or all of it is too large to gain anything."""
        found = {name: formula for name, formula in formulas.items() if formula is not None}
        if leader.squares or len(found) < len(compilation.y):
            return None
        express = cls(compilation, leader, found)
        return express if express._compiled.function.n_instructions() <= _LARGEST else None

    def __call__(self, x: Array) -> tuple[float, float, tuple[float, ...], Array] | None:
        """Evaluate at one upper point, shape (number of upper variables,)."""
        (values,) = self._compiled(x)
        head = values[: self._first].tolist()
        if not (head[0] > 0.0 and math.isfinite(sum(head))):
            return None
        violation = self._leader.violation(values[self._last :]) if len(values) > self._last else 0.0
        return head[1], violation, tuple(head[2:]), values[self._first : self._last].copy()

    def many(self, points: Array) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
        """The same at many points, shape (n, number of upper variables), as columns; last, where the formulas hold."""
        values = self._compiled.many(points)
        head, y, rows = np.split(values, [self._first, self._last], axis=1)
        with np.errstate(invalid="ignore"):
            holds = (head[:, 0] > 0.0) & np.isfinite(head.sum(axis=1))
        return head[:, 1].copy(), self._leader.violations(rows), head[:, 2:], y, holds
