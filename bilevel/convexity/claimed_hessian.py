"""Convexity by second derivatives: constant, affine in x over its box, or enclosed by intervals."""

from __future__ import annotations

import itertools
import math
from functools import cached_property

import casadi as ca
import numpy as np

from bilevel.convexity.curvature import Curvature
from bilevel.convexity.qualification import middle_of
from bilevel.convexity.subject import Subject
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.intervals import WORK, Box, Graph, covered
from bilevel.linear_algebra.definiteness import definite, definite_on, interval_definite, numbers
from bilevel.linear_algebra.sparse_factor import Definiteness
from bilevel.linear_algebra.sparsity import column_of, few_nonzeros, pattern, with_diagonal

_MOST_VARIABLES = 1000
_SAMPLES = 100  # points at which a Hessian is looked at before its ranges are
_FAR = 10.0  # ends of these where there is no bound
_CLEARLY = 1e-6  # negative eigenvalues, relative, that no rounding makes
_MOST_VERTICES = 12


class ClaimedHessian:
    """The Hessian in y of one function that has to be convex.

    Attributes
    ----------
    matrix : SX
        All of it, sparse.
    """

    def __init__(self, subject: Subject, function: ca.SX, shape: Curvature | None = None) -> None:
        self._of = subject
        self._function = function
        self._shape = shape
        self._x, self._y = subject.x, subject.y
        program = subject.program
        own = function is program.objective
        self.matrix = program.hessian if own else ca.hessian(function, self._y)[0]
        row, column = self.matrix.sparsity().get_triplet()
        self._live = sorted({*row, *column})

    @cached_property
    def smooth(self) -> bool:
        """Whether the function is twice differentiable throughout; if not, its Hessian proves nothing."""
        if self._shape is not None and self._shape.quadratic and not (self._shape.kink or self._shape.partial):
            return True
        graph = Graph(self._x, self._y, self._function)
        return graph.smooth(graph.enclose(self._of.x_box, self._of.y_box))

    @property
    def size(self) -> int:
        """Number of variables it mentions."""
        return len(self._live)

    @property
    def constant(self) -> bool:
        """Whether it depends on nothing."""
        return not ca.depends_on(self.matrix, ca.vertcat(self._x, self._y))

    def proof(self) -> str | None:
        """How it is shown to be positive semidefinite, in words that follow the component's name."""
        if len(self._live) > _MOST_VARIABLES:
            return "by its constant Hessian" if self.constant and self.smooth and self._sparsely() else None
        if self._live and not self.constant:
            if not ca.depends_on(self.matrix, self._y) and self.smooth and self._at_vertices():
                return "by its Hessian, affine in x, at the vertices of the box"
            return "by the range of its Hessian" if self._over_boxes() else None
        if not self.smooth:
            return None
        if not self._live:
            return "by composition, term by term"
        matrix = numbers(self.matrix)[np.ix_(self._live, self._live)]
        if definite(matrix) == 1:
            return "by its constant Hessian"
        equalities = self._of.equality_matrix if self._of.program.n <= _MOST_VARIABLES else None
        if equalities is not None and definite_on(numbers(self.matrix), equalities):
            return "by its constant Hessian on the null space of the affine equalities"
        return None

    def _sparsely(self) -> bool:
        """Whether a large constant one is semidefinite, by the pivots of a sparse factor."""
        upper = with_diagonal(ca.triu(self.matrix))
        if not few_nonzeros(self.matrix.sparsity(), ca.Sparsity(0, self._y.numel())):
            return False
        return Definiteness(pattern(upper))(numbers(column_of(upper))[:, 0]) >= 0

    def _at_vertices(self) -> bool:
        """Where x has no bound, the matrix that multiplies it must be semidefinite by itself."""
        x, matrix = self._x, self.matrix[self._live, self._live]
        moving = [k for k, m in enumerate(ca.which_depends(ca.vec(matrix), x)) if m]
        slope = ca.jacobian(ca.densify(matrix), x[moving])
        cost = 2 ** len(moving) * self.size**3
        if len(moving) > _MOST_VERTICES or cost > 5e8 or ca.depends_on(slope, x):
            return False
        slopes = numbers(slope)
        ends, base = [], np.zeros(x.numel())
        for k, column in zip(moving, slopes.T, strict=True):
            step = column.reshape(matrix.shape)
            low, high = self._of.x_box[k]
            if (high == math.inf and definite(step) != 1) or (low == -math.inf and definite(-step) != 1):
                return False
            ends.append([end for end in (low, high) if math.isfinite(end)] or [0.0])
        value = Compiled([x], [matrix])
        for vertex in itertools.product(*ends):
            base[moving] = vertex
            found = value(base)[0].reshape(matrix.shape)
            if not np.isfinite(found).all() or definite(found) != 1:
                return False
        return True

    def _over_boxes(self) -> bool:
        """Branch on (x, y) until the range of the Hessian is semidefinite on every piece."""
        if self._dented():
            return False
        lower = ca.tril(self.matrix[self._live, self._live])
        entries = [(r, c) for r, c in zip(*lower.sparsity().get_triplet(), strict=True)]
        graph = Graph(self._x, self._y, ca.vertcat(self._function, ca.vertcat(*(lower[r, c] for r, c in entries))))
        searched = ca.vec(lower) if self.smooth else ca.vertcat(self._function, ca.vec(lower))
        used = ca.which_depends(searched, ca.vertcat(self._x, self._y))
        start = self._of.x_box + self._of.y_box
        count = len(self._of.x_box)

        def definite(box: Box) -> bool:
            ranges = graph.enclose(box[:count], box[count:])
            if not graph.smooth(ranges):
                return False
            ends = np.zeros((2, self.size, self.size))
            for (r, c), node in zip(entries, graph.outputs[1:], strict=True):
                ends[:, r, c] = ends[:, c, r] = ranges[node]
            return interval_definite(ends[0], ends[1])

        def settled(box: Box) -> bool | None:
            if definite(box):
                return True
            return False if definite([(middle_of(side), middle_of(side)) for side in box]) else None

        return covered(start, used, settled, max(1, WORK // (len(graph) + self.size**2)))

    def _dented(self) -> bool:
        """Whether it is clearly indefinite at one of some points: then no search over boxes need begin."""
        box = np.clip(np.array(self._of.x_box + self._of.y_box), -_FAR, _FAR)
        value = Compiled([ca.vertcat(self._x, self._y)], [ca.vec(ca.densify(self.matrix[self._live, self._live]))])
        points = box[:, 0] + (box[:, 1] - box[:, 0]) * np.random.default_rng(0).random((_SAMPLES, len(box)))
        for found in value.many(points):
            if np.isfinite(found).all():
                eigenvalues = np.linalg.eigvalsh(found.reshape(self.size, self.size))
                if eigenvalues[0] < -_CLEARLY * max(eigenvalues[-1], -eigenvalues[0]):
                    return True
        return False
