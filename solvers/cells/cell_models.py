"""f, F and the rows of both levels on a box of x times a cell of y, in Taylor form over both together."""

from __future__ import annotations

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.graphs.taylor import Taylor
from bilevel.graphs.taylor_graph import TaylorGraph
from bilevel.programs.compilation import Compilation
from bilevel.solvers.cells.pairs import Pairs


class CellModels:
    """Evaluates one problem with one follower.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.

    Raises
    ------
    RefusedError
        If a function has no rule in the arithmetic, or jumps.

    Attributes
    ----------
    d, n : int
        Numbers of upper and lower variables.
    """

    def __init__(self, compilation: Compilation) -> None:
        (self.program,) = compilation.programs.values()
        program = self.program
        self.d, self.n = int(compilation.x.numel()), program.n
        self.taylor, self._of_y = Taylor(self.d + self.n), Taylor(self.n)
        rows, self.row_lower, self.row_upper = compilation.rows(compilation.problem.constraints)
        gradient = ca.gradient(program.objective, program.variables)
        own = ca.vertcat(program.objective, program.rows)
        self._own = TaylorGraph(self.taylor, [program.parameters, program.variables], ca.vertcat(own, gradient))
        self._value = TaylorGraph(self.taylor, [program.parameters, program.variables], own)
        leader = ca.vertcat(compilation.upper_objective, rows)
        self._leader = TaylorGraph(self.taylor, [compilation.x, compilation.all_y], leader)
        if self._own.jumps or self._leader.jumps:
            raise RefusedError("a function jumps, and no derivative says anything across a jump")

    def __len__(self) -> int:
        return len(self._own) + len(self._value) + len(self._leader)

    @property
    def room(self) -> int:
        """Numbers held per pair, roughly."""
        return max(self._own.room, self._value.room, self._leader.room)

    def coordinates(self, pairs: Pairs) -> tuple[Array, Array]:
        """Models of x and y."""
        both = self.taylor.coordinates(pairs.low, pairs.high)
        return both[:, : self.d], both[:, self.d :]

    def follower(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Models of f, of the rows and of the gradient."""
        found, m = self._own(x, y), self.program.m
        return found[:, 0], found[:, 1 : 1 + m], found[:, 1 + m :]

    def at(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Models of f and the rows where y is one point for each pair, shape (n, pairs)."""
        found = self._value(x, self.taylor.constant(y))
        return found[:, 0], found[:, 1:]

    def leader(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Models of F and of the rows."""
        found = self._leader(x, y)
        return found[:, 0], found[:, 1:]

    def of_y(self, model: Array) -> tuple[Taylor, Array]:
        """The polynomial in y alone, x at the middle of its box."""
        mine = range(self.d, self.d + self.n)
        quadratic = [k for k, pair in enumerate(self.taylor.pairs) if pair[0] in mine and pair[1] in mine]
        part = np.zeros((self._of_y.size, *model.shape[1:]))
        part[0] = model[0]
        part[self._of_y.linear] = model[1 + self.d : 1 + self.d + self.n]
        part[self._of_y.quadratic] = model[self.taylor.quadratic][quadratic]
        return self._of_y, part
