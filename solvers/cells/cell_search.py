"""Branch and bound over boxes of x, with the cells of y in which the follower's answers may lie.

Which cells these are, and how low F is on them: :mod:`bilevel.solvers.cells.answers_left`. Boxes are cut in halves, and
with them the cells that are as wide; the boxes with the lowest bounds come first. Points: the follower's true answers,
:mod:`bilevel.solvers.cells.incumbent`.
"""

from __future__ import annotations

import math
import time

import numpy as np

from bilevel import tolerances
from bilevel.contracts.finding import Termination
from bilevel.contracts.observer import Observer
from bilevel.deadline import OutOfTime, current, heard
from bilevel.programs.compilation import Compilation
from bilevel.solvers.cells.answers_left import AnswersLeft
from bilevel.solvers.cells.cell_models import CellModels
from bilevel.solvers.cells.incumbent import Incumbent
from bilevel.solvers.cells.pairs import Pairs, halved, whole

_BATCH = 128  # boxes of x
_MOST_PAIRS = 4096  # of a batch of several boxes
_MOST_OPEN = 500_000  # pairs


class CellSearch:
    """One run.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    models : CellModels
        Of the same.
    observer : Observer
        Hears of bounds.
    limit : float
        Seconds.

    Attributes
    ----------
    best : Incumbent
        The best point.
    bound : float
        A lower bound of F, minimised; infinite where there is no feasible point at all.
    boxes, cells : int
        How many were looked at.
    termination : Termination
        Why it stopped.
    """

    def __init__(self, compilation: Compilation, models: CellModels, observer: Observer, limit: float) -> None:
        self._deadline = min(time.monotonic() + limit, current().end)
        self._compilation, self._observer, self._d = compilation, observer, models.d
        problem, program = compilation.problem, models.program
        ends = np.array([compilation.ranges[v.name] for v in [*problem.variables, *problem.lower_variables]])
        self._low, self._high = ends[:, 0], ends[:, 1]
        self._low[models.d :] = np.maximum(self._low[models.d :], program.lower)
        self._high[models.d :] = np.minimum(self._high[models.d :], program.upper)
        self._side = np.where(self._high > self._low, self._high - self._low, 1.0)
        self._left = AnswersLeft(models, self._low, self._high)
        self.best = Incumbent(compilation, models, self._side, self._deadline)
        self.bound, self.boxes, self.cells = -math.inf, 0, 0
        self.termination = Termination.STALLED

    def run(self) -> None:
        """Until the bound closes, too much is open, or the time is up."""
        try:
            self._run()
        except KeyboardInterrupt:
            self.termination = Termination.INTERRUPTED
        except OutOfTime:
            heard()
            self.termination = Termination.TIME_LIMIT

    def _run(self) -> None:
        pairs, bounds = whole(self._low, self._high, self._d), np.array([-math.inf])
        settled = math.inf  # the least bound of what is not looked at again
        while len(bounds) and not self.closed:
            taken = self._next(pairs, bounds)
            mine = pairs.of_boxes(taken, len(bounds))
            self.boxes += len(taken)
            self.cells += len(mine)
            left = self._left(mine, len(taken), self._goal)
            self.best.look(left, self._goal)
            found, goal = np.maximum(left.found, bounds[taken]), self._goal
            children, child_bounds, narrow = halved(
                left.pairs.taken(found[left.pairs.owner] < goal), found, self._side, self._d
            )
            open_ones = bounds < goal
            rest = np.flatnonzero(open_ones & ~np.isin(np.arange(len(bounds)), taken))
            done = [narrow, found[found >= goal].min(initial=math.inf), bounds[~open_ones].min(initial=math.inf)]
            settled = min(settled, *map(float, done))
            pairs = pairs.of_boxes(rest, len(bounds)).and_those(children, len(rest))
            bounds = np.concatenate([bounds[rest], child_bounds])
            self._tell(min(settled, float(bounds.min(initial=math.inf))))
            if len(bounds) and time.monotonic() > self._deadline:
                self.termination = Termination.TIME_LIMIT
                return
            if len(pairs) > _MOST_OPEN:
                return
        if self.bound == math.inf or self.closed:
            self.termination = Termination.OPTIMALITY

    @staticmethod
    def _next(pairs: Pairs, bounds: np.ndarray) -> np.ndarray:
        """The boxes with the lowest bounds, as many as are looked at together."""
        taken = np.argsort(bounds, kind="stable")[:_BATCH]
        fits = np.cumsum(np.bincount(pairs.owner, minlength=len(bounds))[taken]) <= _MOST_PAIRS
        fits[0] = True
        return taken[fits]

    @property
    def _goal(self) -> float:
        """The bound from which on a box cannot spoil the certificate."""
        value = self.best.value
        if value == math.inf:
            return math.inf
        return value - 0.5 * tolerances.CERTIFICATE * self._compilation.scale(value)

    @property
    def closed(self) -> bool:
        """Whether the bound closes on the best point."""
        return self._compilation.closes(self.best.value, self.bound)

    def _tell(self, least: float) -> None:
        """What is proved now: the bound, lowered by far more than what adding up its last digits may have cost."""
        sizes = [abs(v) for v in (self.best.value, least) if math.isfinite(v)]
        margin = 1e-6 * tolerances.CERTIFICATE * max([self._compilation.scale(0.0), *sizes])
        self.bound = min(least, self.best.value) - margin
        sense = self._compilation.problem.sense
        self._observer.bounded(*(sense * v if math.isfinite(v) else None for v in (self.best.value, self.bound)))
