"""The least value of a function of one to three numbers over a box and rows: cells, Taylor models, a local solve.

Cells are halved together, level by level. On each the polynomial of degree 2 less its remainder bounds f
(:mod:`bilevel.solvers.boxes.box_minimum`); where rows are near, so does the Lagrangian at the best point's multipliers,
since f is no less than it at every feasible point. A cell is left out where that bound reaches the best point, where a
row is out of reach, or where f rises along an axis and the cell does not touch the bound it falls towards (Hansen and
Walster 2004, *Global Optimization Using Interval Analysis*, chapters 12 and 14). Remainders fall with the cube of the
width and f rises with its square around an optimum, so that few cells stay; as soon as f is convex on the hull of those
that do, its tangent at the best point ends the search, and that point is the only optimum.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import casadi as ca
import numpy as np
import scipy
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.graphs.taylor import Taylor
from bilevel.graphs.taylor_graph import TaylorGraph
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program
from bilevel.solvers.boxes.box_minimum import box_minimum
from bilevel.solvers.boxes.hessian_below import inverses

LARGEST = 3
"""Variables."""

_FIRST = {1: 16, 2: 6, 3: 4}  # cells along an axis at the start, by the number of variables
_LEVELS = 120
_MOST = 30_000  # cells at once
_HULL = 512  # cells up to which their hull is looked at
_VALLEYS = 32  # groups of such cells
_APART = 1e-9  # of f: cells that promise no less than this above the best hold no other optimum

Local = Callable[[Array], tuple[Array | None, Array]]
"""From a point to a local optimum near it, None where there is none, and the multipliers of the rows there."""


class LeastPoint:
    """Made ready for one program.

    Parameters
    ----------
    program : Program
        With bounds on all of its variables, none of them integer.

    Raises
    ------
    RefusedError
        If a function has no rule in the arithmetic, or jumps.
    """

    def __init__(self, program: Program) -> None:
        if not 0 < program.n <= LARGEST:
            raise RefusedError(f"{program.name} has {program.n} variables, more than {LARGEST}")
        self.program, self.taylor = program, Taylor(program.n)
        inputs = [program.parameters, program.variables]
        gradient = ca.gradient(program.objective, program.variables)
        own = ca.vertcat(program.objective, program.rows)
        self._graph = TaylorGraph(self.taylor, inputs, ca.vertcat(own, gradient))
        self._value = TaylorGraph(self.taylor, inputs, own)
        rows, columns = np.tril_indices(program.n)
        bends = ca.hessian(program.objective, program.variables)[0]
        entries = ca.vertcat(*(bends[int(i), int(j)] for i, j in zip(rows, columns, strict=True)))
        self._bends, self._places = TaylorGraph(self.taylor, inputs, entries), (rows, columns)
        if self._graph.jumps:
            raise RefusedError("it holds a step or an if-then-else")

    def __len__(self) -> int:
        return len(self._graph) + len(self._value)

    def __call__(self, parameters: Array, local: Local, start: Array | None, until: float) -> Answer:
        """The least value at some parameters.

        Parameters
        ----------
        parameters : ndarray of shape (p,)
            The program's.
        local : callable
            A local solve.
        start : ndarray of shape (n,), optional
            A point that may be good.
        until : float
            When to stop, by ``time.monotonic``.
        """
        return _Run(self, parameters, local).run(start, until)

    def models(self, parameters: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
        """Models of f, the rows and the gradient on cells."""
        y, m = self.taylor.coordinates(low, high), self.program.m
        found = self._graph(self._fixed(parameters, low.shape[1]), y)
        return found[:, 0], found[:, 1 : 1 + m], found[:, 1 + m :]

    def values(self, parameters: Array, points: Array) -> tuple[Array, Array]:
        """F and the rows at points of shape (n, k)."""
        found = self._value(self._fixed(parameters, points.shape[1]), self.taylor.constant(points))
        return np.where(np.isfinite(found[-1, 0]), found[0, 0], np.inf), found[0, 1:]

    def convex(self, parameters: Array, low: Array, high: Array, free: NDArray[np.bool_]) -> bool:
        """Whether f is convex, strictly, in the free variables on a cell."""
        (rows, columns), n = self._places, self.program.n
        if not free.any():
            return True
        y = self.taylor.coordinates(low[:, None], high[:, None])
        entries = self._bends(self._fixed(parameters, 1), y)[:, :, 0]
        least, most = self.taylor.ranges(entries[:, :, None])
        if not (np.isfinite(least).all() and np.isfinite(most).all()):
            return False
        middle, spread = np.zeros((n, n)), np.zeros((n, n))
        middle[rows, columns] = middle[columns, rows] = 0.5 * (least + most)[:, 0]
        spread[rows, columns] = spread[columns, rows] = 0.5 * (most - least)[:, 0]
        below = middle - np.diag(spread.sum(axis=1))  # every such matrix is above this one (Gershgorin)
        return bool(inverses(below[np.ix_(free, free)][None])[1][0])

    def _fixed(self, parameters: Array, count: int) -> Array:
        return self.taylor.constant(np.repeat(np.asarray(parameters, dtype=float)[:, None], count, axis=1))


@dataclass
class _Best:
    y: Array | None = None
    value: float = math.inf


class _Run:
    def __init__(self, of: LeastPoint, parameters: Array, local: Local) -> None:
        self._of, self._parameters, self._local = of, parameters, local
        self._program = of.program
        self._best, self._weights = _Best(), np.zeros(of.program.m)
        self._enough = tolerances.ENGINE if of.program.m else tolerances.SAME
        self._slack = tolerances.GLOBAL_FEASIBILITY * np.maximum(
            1.0, np.minimum(np.abs(of.program.row_lower), np.abs(of.program.row_upper))
        )

    def run(self, start: Array | None, until: float) -> Answer:
        """To the end, or the time's."""
        low, high = self._first()
        if start is not None and np.isfinite(start).all():
            self._polish(np.clip(start, self._program.lower, self._program.upper))
        bound = math.inf  # of all that was left out
        for level in range(_LEVELS):
            low, high, lowest = self._treated(low, high, level)
            keep = lowest < self._goal
            bound = min(bound, float(lowest[~keep].min(initial=math.inf)))
            low, high, lowest = low[:, keep], high[:, keep], lowest[keep]
            least = min(bound, float(lowest.min(initial=math.inf)))
            if not len(lowest):
                return self._answer(least, unique=False)
            if len(lowest) <= _HULL:
                settled = self._settled(low, high, bound)
                if settled is not None:
                    return settled
            if least >= self._best.value - self._enough * tolerances.scale(self._best.value):
                break
            if 2 * len(lowest) > _MOST or time.monotonic() > until or not (high > low).any():
                break
            low, high = _halved(low, high, self._program.upper - self._program.lower)
        return self._answer(least, unique=False)

    @property
    def _goal(self) -> float:
        """Cells that promise this much are left out; at first those only that hold no other optimum."""
        return self._best.value + 2.0 * _APART * tolerances.scale(self._best.value)

    def _answer(self, bound: float, unique: bool) -> Answer:
        best = self._best
        if best.y is None:
            if bound == math.inf:
                return Answer(Status.INFEASIBLE, message="every cell breaks a row")
            return Answer(Status.FAILED, message="no feasible point was found")
        return Answer(Status.OPTIMAL, best.y, best.value, min(bound, best.value), unique)

    def _first(self) -> tuple[Array, Array]:
        program = self._program
        count = _FIRST[program.n]
        sides = [
            np.linspace(a, b, count + 1 if b > a else 2) for a, b in zip(program.lower, program.upper, strict=True)
        ]
        low, high = (
            np.array([grid.ravel() for grid in np.meshgrid(*(side[ends] for side in sides), indexing="ij")])
            for ends in (slice(None, -1), slice(1, None))
        )
        return low, high

    def _treated(self, low: Array, high: Array, level: int) -> tuple[Array, Array, Array]:
        """The cells that may hold an optimum, drawn to the bounds f falls towards, and bounds of f on them."""
        of, program, taylor = self._of, self._program, self._of.taylor
        f, g, slope = of.models(self._parameters, low, high)
        least, t = box_minimum(taylor, f)
        low_g, high_g = taylor.ranges(g)
        slack = self._slack[:, None]
        beyond = (low_g > program.row_upper[:, None] + slack) | (high_g < program.row_lower[:, None] - slack)
        out = np.asarray(beyond.any(axis=0))
        inner = ((low_g > program.row_lower[:, None]) & (high_g < program.row_upper[:, None])).all(axis=0)
        self._look(low + (t + 1.0) * 0.5 * (high - low), ~out)
        if self._weights.any():
            least = np.maximum(least, self._lagrangian(f, g))
        down, up = taylor.ranges(slope)
        low, high, off = low.copy(), high.copy(), out
        for i in range(program.n):
            rises, falls = inner & (down[i] > 0.0), inner & (up[i] < 0.0)
            off = off | (rises & (low[i] > program.lower[i])) | (falls & (high[i] < program.upper[i]))
            high[i] = np.where(rises, low[i], high[i])
            low[i] = np.where(falls, high[i], low[i])
        return low[:, ~off], high[:, ~off], least[~off]

    def _lagrangian(self, f: Array, g: Array) -> Array:
        taylor, program, weights = self._of.taylor, self._program, self._weights
        total = f
        for k in np.flatnonzero(weights):
            limit = program.row_upper[k] if weights[k] > 0.0 else program.row_lower[k]
            if math.isfinite(limit):
                total = taylor.add(total, taylor.scaled(taylor.shifted(g[:, k], -limit), float(weights[k])))
        allowed = (np.abs(weights) * self._slack).sum()  # rows are met up to as much
        bounds: Array = box_minimum(taylor, total)[0] - allowed
        return bounds

    def _look(self, points: Array, where: NDArray[np.bool_]) -> None:
        """The best of some points, and a local solve from it where that is worth it."""
        points = points[:, where]
        if not points.shape[1]:
            return
        values, rows = self._of.values(self._parameters, points)
        size = 1e-9 * tolerances.scale(self._best.value if self._best.y is not None else 0.0)
        inside = self._fits(rows)
        order = np.argsort(np.where(inside, values, np.inf), kind="stable")
        best = int(order[0])
        if inside[best] and values[best] < self._best.value - size:
            self._take(points[:, best])
            self._polish(points[:, best])
        elif self._best.y is None:
            self._polish(points[:, int(np.argmin(values))])

    def _fits(self, rows: Array) -> NDArray[np.bool_]:
        program, slack = self._program, self._slack[:, None]
        low, high = program.row_lower[:, None] - slack, program.row_upper[:, None] + slack
        return np.asarray(((rows >= low) & (rows <= high)).all(axis=0))

    def _polish(self, point: Array) -> None:
        y, weights = self._local(point)
        if y is not None and self._take(np.clip(y, self._program.lower, self._program.upper)):
            self._weights = weights

    def _take(self, y: Array) -> bool:
        values, rows = self._of.values(self._parameters, y[:, None])
        if not (values[0] < self._best.value and self._fits(rows)[0]):
            return False
        value = float(np.ravel(self._program.evaluate(self._parameters, y)[0])[0])
        if not abs(value - values[0]) <= tolerances.SAME * tolerances.scale(value):
            return False  # no number: the arithmetic knows functions within their domains alone
        self._best = _Best(y.copy(), value)
        return True

    def _settled(self, low: Array, high: Array, bound: float) -> Answer | None:
        """The answer where f is strictly convex on every hull of cells that hang together; else None."""
        count, label = _hanging_together(low, high)
        if count > _VALLEYS:
            return None
        lowest = []
        for k in range(count):
            tangent = self._tangent(low[:, label == k].min(axis=1), high[:, label == k].max(axis=1))
            if tangent is None:
                return None
            lowest.append(tangent)
        other = min([bound, *sorted(lowest)[1:]])  # all optima but the best one's valley
        unique = other > self._best.value + _APART * tolerances.scale(self._best.value)
        return self._answer(min([bound, *lowest]), unique)

    def _tangent(self, low: Array, high: Array) -> float | None:
        """A bound of f on a cell on which it is strictly convex, by its tangent next to the least point; else None."""
        program, of = self._program, self._of
        _, g, slope = of.models(self._parameters, low[:, None], high[:, None])
        low_g, high_g = of.taylor.ranges(g)
        if (low_g[:, 0] <= program.row_lower).any() or (high_g[:, 0] >= program.row_upper).any():
            return None
        down, up = (ends[:, 0] for ends in of.taylor.ranges(slope))
        held = ((low == program.lower) & (down > 0.0)) | ((high == program.upper) & (up < 0.0)) | (low == high)
        if not of.convex(self._parameters, low, high, ~held):
            return None
        y = self._best.y
        if y is None or (y < low).any() or (y > high).any():
            y = np.where(down > 0.0, low, np.where(up < 0.0, high, 0.5 * (low + high)))
            found, _ = self._local(y)
            y = y if found is None else np.clip(found, low, high)
            self._take(y)
        value, _, at = of.models(self._parameters, y[:, None], y[:, None])
        least, most = (ends[:, 0] for ends in of.taylor.ranges(at))
        falls = [slope * side for slope in (least, most) for side in (high - y, low - y)]
        below = float(of.taylor.ranges(value)[0][0]) if y is not self._best.y else self._best.value
        return below + float(np.minimum.reduce([*falls, np.zeros(program.n)]).sum())


def _hanging_together(low: Array, high: Array) -> tuple[int, NDArray[np.int_]]:
    """How many groups of cells that touch there are, and each cell's."""
    touch = ((low[:, :, None] <= high[:, None, :]) & (low[:, None, :] <= high[:, :, None])).all(axis=0)
    count, label = scipy.sparse.csgraph.connected_components(touch, directed=False)
    return int(count), label


def _halved(low: Array, high: Array, sides: Array) -> tuple[Array, Array]:
    """Each cell cut along the side that is widest beside the whole's."""
    width = (high - low) / np.where(sides > 0.0, sides, 1.0)[:, None]
    axis, every = width.argmax(axis=0), np.arange(low.shape[1])
    middle = 0.5 * (low[axis, every] + high[axis, every])
    lower, upper = high.copy(), low.copy()
    lower[axis, every] = upper[axis, every] = middle
    return np.concatenate([low, upper], axis=1), np.concatenate([lower, high], axis=1)
