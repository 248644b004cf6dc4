"""Ask and tell for the surrogate searches where the leader has several objectives.

The same design as with one objective, then the step of :mod:`.front_step` every time: what is worth most to the front
is sought all along it, so there is no incumbent to close in on and no stagnation to break.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bilevel.arrays import Point
from bilevel.solvers.libraries.one_thread import one_thread
from bilevel.solvers.searches.model_based.candidates import spent
from bilevel.solvers.searches.model_based.course import Options, design_size
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.front_step import FrontStep
from bilevel.solvers.searches.model_based.initial_design import initial_design
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.pool import Pool

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space


class FrontCourse:
    """What a surrogate search does for a front.

    Parameters
    ----------
    space, rng, budget
        The search's own.
    options : Options
        What the user said; of a front only ``initial`` counts.
    count : int
        How many objectives.
    trend : bool
        Whether the processes have a quadratic trend.
    """

    stalled = False
    remark = ""

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        budget: int | None,
        options: Options,
        count: int,
        trend: bool,
    ) -> None:
        self._encoding = Encoding(space)
        self._memory = Memory(self._encoding)
        self._pool = Pool(self._encoding, self._memory, rng)
        self._first = design_size(options, budget)
        self._horizon = options.horizon
        self._design = initial_design(self._encoding, self._first, rng)
        self._step = FrontStep(self._pool, rng, count, trend and not self._encoding.categorical.any())

    def ask(self, count: int) -> list[Point]:
        """Up to ``count`` new points."""
        with one_thread():
            return self._memory.gather(count, self._next)

    def tell(self, evaluation: Evaluation) -> None:
        """Learn an outcome."""
        self._memory.tell(evaluation)

    def _next(self) -> Point | None:
        if len(self._memory.seen) < self._first:
            for point in self._design:
                if point not in self._memory.seen:
                    return point
        if not len(self._memory):
            return self._pool.any()
        told = len(self._memory) + len(self._memory.pending)
        self._pool.done = spent(told, self._first, max(self._horizon, 2 * told))
        return self._step.propose() or self._pool.any()
