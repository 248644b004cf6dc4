"""Points of the search over cells: F at the follower's true answers, the best one among those as good to him.

Two answers count as equally good where their f differs by no more than its own rounding may come to: with more slack a
near-optimum in another valley would pass for an answer, and F there may be far better than at any.
"""

from __future__ import annotations

import math

import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array, sizes_of_rows
from bilevel.contracts.engine import Engine
from bilevel.graphs.compiled import Compiled
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.solvers.boxes.box_minimum import box_minimum
from bilevel.solvers.cells.answers_left import Left, best_of
from bilevel.solvers.cells.cell_models import CellModels
from bilevel.solvers.cells.least_point import LeastPoint, Local

_TRIED = 2  # boxes of a batch, in either way
_VALLEYS = 8  # starts of local solves at one x
_SAME_VALLEY = 1e-2  # of the sides: starts that near to a known answer are not tried
_NEARLY = 10.0  # feasibility tolerances by which a likely point may miss a row


class Incumbent:
    """The best point of one run.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    models : CellModels
        Of the same.
    side : ndarray of shape (d + n,)
        The whole box's.
    until : float
        When to stop, by ``time.monotonic``.

    Attributes
    ----------
    upper, lower : ndarray of shape (d,), (n,), or None
        It.
    value : float
        F there, minimised.
    """

    def __init__(self, compilation: Compilation, models: CellModels, side: Array, until: float) -> None:
        self._models, self._side, self._until = models, side, until
        rows, _, _ = compilation.rows(compilation.problem.constraints)
        self._checks = Compiled([compilation.x, compilation.all_y], [compilation.upper_objective, rows])
        self._polisher = registry.get(Engine, "ipopt")().prepare(models.program)
        self._least = LeastPoint(models.program)
        self._sizes = sizes_of_rows(models.row_lower, models.row_upper)
        self._own_sizes = sizes_of_rows(models.program.row_lower, models.program.row_upper)
        self.upper: Array | None = None
        self.lower: Array | None = None
        self.value = math.inf

    def look(self, left: Left, goal: float) -> None:
        """Where F is least on the pairs with the lowest bounds, and where the follower's best points have a low F."""
        self._try_lowest(left, goal)
        self._try_likely(left, goal)

    def _try_lowest(self, left: Left, goal: float) -> None:
        d, taylor, pairs = self._models.d, self._models.taylor, left.every
        lowest = taylor.ranges(left.F)[0]
        for k in np.argsort(left.found, kind="stable")[:_TRIED].tolist():
            if not left.found[k] < goal:
                return
            mine = np.flatnonzero(pairs.owner == k)
            pair = mine[int(np.argmin(lowest[mine]))]
            low, high = pairs.low[:, pair], pairs.high[:, pair]
            _, t = box_minimum(taylor, left.F[:, [pair]])
            place = np.clip(low + 0.5 * (t[:, 0] + 1.0) * (high - low), low, high)
            mine = mine[left.fits[mine]]
            starts = left.points[:, mine[np.argsort(left.f[mine], kind="stable")]].T
            self._ask(place[:d], np.vstack([place[None, d:], starts]))
            self._ask(0.5 * (low + high)[:d], starts)

    def _try_likely(self, left: Left, goal: float) -> None:
        d, taylor, pairs = self._models.d, self._models.taylor, left.every
        best = best_of(np.where(left.fits, left.f, np.inf), pairs.owner, len(left.found))
        best = best[best >= 0]
        if not len(best):
            return
        x, y = 0.5 * (pairs.low[:d, best] + pairs.high[:d, best]), left.points[:, best]
        F, rows = self._models.leader(taylor.constant(x), taylor.constant(y))
        excess = np.maximum(self._models.row_lower[:, None] - rows[0], rows[0] - self._models.row_upper[:, None])
        near = (excess <= _NEARLY * tolerances.FEASIBILITY * self._sizes[:, None]).all(axis=0)
        value = np.where(near, F[0], np.inf)
        for k in np.argsort(value, kind="stable")[:_TRIED].tolist():
            if value[k] < goal:
                self._ask(x[:, k], y[:, [k]].T)

    def _ask(self, x: Array, starts: Array) -> None:
        """F at an x, with the best of the answers that are as good as the true one."""
        local = self._local(x)
        answer = self._least(x, local, None, self._until)
        if answer.status is not Status.OPTIMAL or answer.y is None or not answer.proved:
            return
        known = [answer.y]
        if not answer.unique:
            near = _SAME_VALLEY * self._side[self._models.d :]
            for start in starts[:_VALLEYS]:
                if not any((np.abs(start - y) <= near).all() for y in known):
                    found, _ = local(start)
                    known += [start] if found is None else [start, found]
        points = np.array(known).T
        values, errors, fits = self._at(x, points)
        least = float((values + errors)[fits].min(initial=math.inf))
        for k in np.flatnonzero(fits & (values - errors <= least)).tolist():
            self._take(x, points[:, k])

    def _local(self, x: Array) -> Local:
        def local(point: Array) -> tuple[Array | None, Array]:
            answer = self._polisher(x, point)
            return (answer.y if answer.status is Status.OPTIMAL else None), np.zeros(self._models.program.m)

        return local

    def _at(self, x: Array, points: Array) -> tuple[Array, Array, np.ndarray]:
        """F at some points, what its rounding may amount to, and whether they meet the rows."""
        models, program = self._models, self._models.program
        f, rows = models.at(models.taylor.constant(np.repeat(x[:, None], points.shape[1], axis=1)), points)
        slack = tolerances.GLOBAL_FEASIBILITY * self._own_sizes[:, None]
        low, high = program.row_lower[:, None] - slack, program.row_upper[:, None] + slack
        return f[0], f[-1], ((rows[0] >= low) & (rows[0] <= high)).all(axis=0)

    def _take(self, x: Array, y: Array) -> None:
        cost, rows = self._checks(x, y)
        value = float(np.ravel(cost)[0])
        excess = np.maximum(self._models.row_lower - rows, rows - self._models.row_upper)
        if value < self.value and (excess <= tolerances.FEASIBILITY * self._sizes).all():
            self.upper, self.lower, self.value = x.copy(), y.copy(), value
