"""F and G as compiled functions of an upper point and the followers' answers to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import casadi as ca
import numpy as np

from bilevel.arrays import Array, sizes_of_rows
from bilevel.expressions.squares import symbols_of
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.staging import split
from bilevel.programs.compilation import Compilation
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.quadratic_form import QuadraticForm

_WORTH_CUTTING = 500  # instructions of F below which sharing work with the follower gains less than it costs


class Leader:
    """``leader(x, y)`` gives F and the largest violation of G.

    Where F repeats work over x that the first follower's data need too, it is a function of the values at a cut, which
    that follower's form evaluates along with its own.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    programs : mapping of Program
        The followers'.

    Attributes
    ----------
    outputs : SX of shape (1 + m, 1)
        F and the coupling rows, squares in their symbols.
    squares : list of Square
        Those that the outputs hold.
    """

    def __init__(self, compilation: Compilation, programs: Mapping[str, Program]) -> None:
        rows, self._low, self._high = compilation.rows(compilation.problem.coupling)
        self._coupled = len(self._low) > 0
        self._scale = sizes_of_rows(self._low, self._high)
        self.outputs = ca.vertcat(compilation.upper_short, rows)
        self.squares = compilation.upper_squares
        x, y = compilation.x, ca.vertcat(compilation.all_y, symbols_of(self.squares))
        self._arguments = [x, y]
        self._shared: QuadraticForm | None = None
        first = next(iter(programs.values()), None)
        size = ca.Function("F", [x, y], [self.outputs]).n_instructions()
        if first is not None and first.shape is not Shape.NONLINEAR and size >= _WORTH_CUTTING:
            cut, symbols, rest = split(self.outputs, x)
            self._compiled = Compiled([symbols, y], [rest])
            self._shared = numeric_form(first, cut)
        else:
            self._compiled = Compiled([x, y], [self.outputs])

    def __call__(self, x: Array, y: Array) -> tuple[float, float]:
        """F, minimised, and the largest relative violation of a coupling constraint."""
        if self.squares:
            y = np.concatenate([y, [square.value(y) for square in self.squares]])
        (values,) = self._compiled(x if self._shared is None else self._shared.companions_at(x), y)
        return float(values[0]), self.violation(values[1:]) if self._coupled else 0.0

    def violation(self, rows: Array) -> float:
        """The largest relative violation of the coupling rows; infinite where one is no number."""
        if not rows.size:
            return 0.0
        worst = float((np.maximum(self._low - rows, rows - self._high) / self._scale).max())
        return math.inf if math.isnan(worst) else max(0.0, worst)

    def violations(self, rows: Array) -> Array:
        """The same for many points, shape (k, m)."""
        if not rows.size:
            return np.zeros(len(rows))
        worst: Array = (np.maximum(self._low - rows, rows - self._high) / self._scale).max(axis=1)
        return np.where(np.isnan(worst), math.inf, np.maximum(worst, 0.0))

    def many(self, x: Array, y: Array) -> tuple[Array, Array]:
        """F and the violations at many points, shapes (k, p) and (k, n)."""
        values = self._column.many(np.hstack([x, y, *(square.values(y)[:, None] for square in self.squares)]))
        return values[:, 0].copy(), self.violations(values[:, 1:])

    @cached_property
    def _column(self) -> Compiled:
        """F and G as a function of one column."""
        return Compiled([ca.vertcat(*self._arguments)], [self.outputs])
