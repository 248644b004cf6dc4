"""What an examination is of: one follower, the boxes of its x and y, and what composition says of its functions."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.convexity.curvature import curvatures
from bilevel.graphs.intervals import ENTIRE, Box, Graph
from bilevel.linear_algebra.definiteness import numbers
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program
from bilevel.reading.follower import Follower
from bilevel.reading.pieces import is_category
from bilevel.reading.problem import Problem


class Subject:
    """One follower to be examined.

    Attributes
    ----------
    problem, compilation, follower
        Whose it is.
    objective : ObjectiveData or Criterion
        What it goes by.
    program : Program
        Its compiled form, or a part of it in the same variables; ``x`` and ``y`` are its symbols.
    x_box, y_box : list of (float, float)
        What is known of the ranges of both.
    shapes : list of Curvature
        Of the objective, then of every row, by composition.
    """

    def __init__(
        self, problem: Problem, compilation: Compilation, follower: Follower, program: Program | None = None
    ) -> None:
        self.problem = problem
        self.compilation = compilation
        self.follower = follower
        self.objective: Any = follower.objective
        self.program = compilation.programs[follower.name] if program is None else program
        self.x, self.y = self.program.parameters, self.program.variables
        self.x_box = [ENTIRE if is_category(var) else compilation.ranges[var.name] for var in problem.variables]
        self.y_box: Box = [compilation.ranges[name] for name in self.program.names]
        graph = Graph(self.x, self.y, ca.vertcat(self.program.objective, self.program.rows))
        self.shapes = curvatures(graph, graph.enclose(self.x_box, self.y_box))

    @classmethod
    def beside_squares(cls, problem: Problem, compilation: Compilation, follower: Follower) -> Subject | None:
        """The program without squares that are arrays; None where it has none, or a weight might be negative."""
        program = compilation.programs[follower.name]
        if not program.squares or program.moving:
            return None
        box = [ENTIRE if is_category(var) else compilation.ranges[var.name] for var in problem.variables]
        graph = Graph(program.parameters, ca.SX(0, 1), program.weights)
        ranges = graph.enclose(box, [])
        if not all(ranges[output][0] >= 0.0 for output in graph.outputs):
            return None
        return cls(problem, compilation, follower, program.rest)

    @cached_property
    def equality_matrix(self) -> Array | None:
        """The rows of constant coefficients among the equalities, or None where there are none."""
        program = self.program
        matrix = program.jacobian[np.flatnonzero(program.equality).tolist(), :] if program.equality.any() else ca.SX()
        symbols = ca.vertcat(self.x, self.y)
        rows = [k for k in range(matrix.shape[0]) if not ca.depends_on(matrix[k, :], symbols)]
        return numbers(matrix[rows, :]) if rows else None
