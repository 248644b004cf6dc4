"""Slater's condition at every x: a point strictly inside the curved rows wherever the follower is feasible at all.

The box of x is divided until each piece has one such point for all of its x, by interval arithmetic, or none that is
feasible.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.convexity.subject import Subject
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.intervals import WORK, Box, Graph, Interval, covered
from bilevel.programs.program import Program


class Slater:
    """The search for points strictly inside the curved rows, for every x for which the follower is feasible."""

    def __init__(self, subject: Subject, curved: list[int]) -> None:
        self._of = subject
        self._curved = np.isin(np.arange(subject.program.m), curved)
        self._program = program = subject.program
        self._graph = Graph(subject.x, subject.y, program.rows)
        self._point = Compiled([program.parameters, program.variables], [program.rows, program.jacobian])
        self._moving = np.array([self._graph.depends[node] for node in self._graph.outputs])
        self._repair: Array = np.zeros((program.n, 0))  # from the equalities' residuals to a step of y that mends them

    def found(self) -> bool:
        """Whether a proof was found."""
        program = self._program
        equalities = int((program.equality & self._moving).sum())
        matrix = self._of.equality_matrix
        if equalities and (matrix is None or len(matrix) != equalities or np.linalg.matrix_rank(matrix) != equalities):
            return False
        if equalities and matrix is not None:
            self._repair = np.asarray(np.linalg.pinv(matrix), dtype=np.float64)
        parameters = program.parameters
        used = ca.which_depends(program.rows, parameters) if parameters.numel() else []
        return covered(self._of.x_box, used, self._settled, max(1, min(64, WORK // len(self._graph))))

    def _settled(self, box: Box) -> bool | None:
        """Whether a piece of the x box has one Slater point or no feasible one; None if its middle has neither."""
        middle = [(middle_of(side), middle_of(side)) for side in box]
        if self._empty(box) or any(self._strict(box, y) for y in self._guesses(middle)):
            return True
        return False if self._empty(middle) or any(self._strict(middle, y) for y in self._guesses(middle)) else None

    def _empty(self, box: Box) -> bool:
        """Whether some row fails for all y and all x in a piece."""
        low, high = self._rows(box, self._of.y_box)
        margin = 1e-9 * sizes_of(self._program)
        return bool((low > self._program.row_upper + margin).any() or (high < self._program.row_lower - margin).any())

    def _guesses(self, middle: Box) -> Iterator[Array]:
        """Points that may be inside; from several starts, because one may lie outside the domain of a row."""
        x, sizes = np.array([low for low, _ in middle]), sizes_of(self._program)
        starts = [np.array([middle_of(side, share) for side in self._of.y_box]) for share in (0.5, 0.75, 0.25)]
        yield starts[0]
        for start, depth in itertools.product(starts, (0.0, 1.0, 0.1, 1e-2, 1e-3)):
            yield repaired(self._point, self._program, x, start, depth * sizes)

    def _rows(self, box: Box, y: Box) -> Array:
        ranges = self._graph.enclose(box, y)
        return np.array([ranges[node] for node in self._graph.outputs]).T

    def _strict(self, box: Box, y: Array) -> bool:
        """Whether y, moved with x along the equalities, is strictly inside the curved rows and inside the others."""
        program = self._program
        ends = np.array([y, y])
        if self._repair.shape[1]:
            low, high = self._rows(box, list(zip(y, y, strict=True)))[:, program.equality & self._moving]
            target = program.row_lower[program.equality & self._moving]
            center, radius = self._repair @ ((low + high) / 2 - target), np.abs(self._repair) @ ((high - low) / 2)
            ends = np.array([y - center - radius, y - center + radius])
        ranges = self._graph.enclose(box, list(zip(*ends, strict=True)))
        low, high = np.array([ranges[node] for node in self._graph.outputs]).T
        check = self._moving & ~program.equality
        over = np.where(np.isfinite(program.row_upper), program.row_upper - high, math.inf)
        under = np.where(np.isfinite(program.row_lower), low - program.row_lower, math.inf)
        slack = np.minimum(over, under)[check]
        needed = (np.where(self._curved, 1e-8, -1e-12) * sizes_of(program))[check]
        inside = (ends[0] >= program.lower - 1e-12).all() and (ends[1] <= program.upper + 1e-12).all()
        return bool(inside and (slack >= needed).all() and self._graph.smooth(ranges, kinks=True))


def middle_of(side: Interval, share: float = 0.5) -> float:
    """The middle of an interval or another share of the way through; finite where the interval is not."""
    low, high = side
    if math.isfinite(high - low):
        return (1 - share) * low + share * high
    ahead = 4 * share - 1  # 1 at the middle
    return min(max(0.0, low) + ahead, high) if math.isfinite(low) else max(min(0.0, high) - ahead, low)


def sizes_of(program: Program) -> Array:
    """What the tolerances of a row are relative to."""
    ends = np.array([program.row_lower, program.row_upper])
    sizes: Array = np.maximum(1.0, np.abs(np.where(np.isfinite(ends), ends, 0.0)).max(axis=0, initial=0.0))
    return sizes


def repaired(point: Compiled, program: Program, x: Array, y: Array, depth: Array) -> Array:
    """Gauss-Newton steps from y towards the rows, inside the inequalities by some depth. A guess: the caller checks."""
    depth = np.where(program.equality, 0.0, depth)
    inset = 1e-3 * np.minimum(1.0, program.upper - program.lower)  # off the bounds, where chords have room
    for _ in range(15 if program.m else 0):
        rows, jacobian = point(x, y)
        over, under = rows - program.row_upper + depth, program.row_lower - rows + depth
        excess = np.where(over > 0, over, np.where(under > 0, -under, 0.0))
        broken = np.abs(excess) > 1e-12
        if not (broken.any() and np.isfinite(excess).all() and np.isfinite(jacobian).all()):
            break
        step = np.linalg.lstsq(jacobian.reshape(program.m, program.n)[broken], excess[broken], rcond=None)[0]
        y = np.clip(y - step, program.lower + inset, program.upper - inset)
    return y
