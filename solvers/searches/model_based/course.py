"""The course of a surrogate search: design, then model steps in turn, with a step that breaks stagnation.

Where evaluations carry dF/dx every other step goes down from the incumbent (:mod:`.descent_step`) for as long as that
is worth an evaluation. In turn, because descents alone end in the nearest basin, and find it no sooner.

An extreme of the acquisition is often near the incumbent; where there has been no progress for max(6, d) evaluations
every third step (every fifth of the radial functions alone) looks at the whole box instead. That costs little on a bowl
and saves the search where there are several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bilevel.arrays import Point
from bilevel.solvers.libraries.one_thread import one_thread
from bilevel.solvers.searches.model_based.candidates import spent
from bilevel.solvers.searches.model_based.descent_step import Curvature, DescentStep
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.initial_design import initial_design
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.polish_step import PolishStep
from bilevel.solvers.searches.model_based.pool import Pool

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space

_DESIGN = 10
_HORIZON = 100


class Step(Protocol):
    """One way to propose the next point from what was told.

    Attributes
    ----------
    promise : float
        Logarithm of the improvement expected of the last proposal, in deviations of the costs seen; infinite where the
        step has no such notion.
    """

    promise: float

    def propose(self, explore: bool) -> Point | None:
        """The next point, or None where this step sees no new one."""


@dataclass(frozen=True)
class Options:
    """What a user may say about the course.

    Attributes
    ----------
    initial : int or None
        Size of the initial design.
    descend : bool
        Go down from the incumbent where there are gradients.
    polish : bool
        Keep the last evaluations for the incumbent's neighbours on the lattice.
    least : float
        Stop where a step's promise falls below this.
    horizon : int
        Evaluations over which local candidates come to move few coordinates at a time; twice those told if more.
    every : int
        Where there is no progress, every so many steps look at the whole box.
    """

    initial: int | None = None
    descend: bool = True
    polish: bool = False
    least: float = -math.inf
    horizon: int = _HORIZON
    every: int = 3


def design_size(options: Options, budget: int | None) -> int:
    """How many points there are before there is a model."""
    return options.initial or max(min(_DESIGN, (budget or _HORIZON) // 3), 1)


class Course:
    """Ask and tell for the surrogate searches; what differs between them are the steps.

    Parameters
    ----------
    space, rng, budget
        The search's own.
    options : Options
        What the user said.
    curvature : callable
        Gives the search's ``curvature`` once that is known.

    Attributes
    ----------
    encoding, memory, pool
        Shared with the steps.
    steps : sequence of Step
        Taken in turn.
    descends : bool
        Whether it would go down a gradient.
    stalled : bool
        Whether it stopped because no step promises an improvement worth an evaluation.
    """

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        budget: int | None,
        options: Options,
        curvature: Callable[[], Curvature | None] = lambda: None,
    ) -> None:
        self.encoding = Encoding(space)
        self.memory = Memory(self.encoding)
        self.pool = Pool(self.encoding, self.memory, rng)
        self.steps: Sequence[Step] = ()
        self.stalled = False
        self._budget = budget
        self._options = options
        self._polish = PolishStep(self.pool)
        self._reserve = self._polish.reserve(budget) if budget and options.polish else 0
        self.first = design_size(options, budget)
        self._design = initial_design(self.encoding, self.first, rng)
        self.descends = options.descend and bool(self.encoding.real.any())
        self._descent = DescentStep(self.pool, curvature)
        self._descending = False
        self._turn = 0
        self._patience = max(6, len(self.encoding))

    def ask(self, count: int) -> list[Point]:
        """Up to ``count`` new points."""
        with one_thread():
            return self.memory.gather(count, lambda: None if self.stalled else self._next())

    def tell(self, evaluation: Evaluation) -> None:
        """Learn an outcome."""
        if self.memory.tell(evaluation):
            self.pool.dycors.adapt(self.memory.successes, self.memory.failures)

    @property
    def remark(self) -> str:
        """Why it stopped early."""
        least = math.exp(self._options.least)
        return f"the expected improvement fell below {least:g} deviations of F everywhere" if self.stalled else ""

    def _next(self) -> Point | None:
        if len(self.memory.seen) < self.first:
            for point in self._design:
                if point not in self.memory.seen:
                    return point
        if not len(self.memory):
            return self.pool.any()
        told = len(self.memory) + len(self.memory.pending)
        polishing = self._budget is not None and told >= self._budget - self._reserve
        return (self._polish.propose() if polishing else None) or self._lower() or self._modelled(told)

    def _lower(self) -> Point | None:
        """Every other time, a step down from the incumbent where one is worth it."""
        self._descending = self.descends and not self._descending
        return self._descent.propose() if self._descending else None

    def _modelled(self, told: int) -> Point | None:
        """The next step's proposal, or any new point where it has none."""
        # Not the budget: knowing it gained nothing at 50 and 100 evaluations, and this way a longer run begins alike.
        self.pool.done = spent(told, self.first, max(self._options.horizon, 2 * told))
        self._turn += 1
        stuck = self.memory.failures >= self._patience and self._turn % self._options.every == 0
        step = self.steps[self._turn % len(self.steps)]
        point = step.propose(stuck)
        if not step.promise < self._options.least:
            return point or self.pool.any()
        # Nothing is to be expected anywhere: the incumbent's neighbours on the lattice are the last word, for those a
        # user can check. What is still out may yet be better, so the end is not before it is told.
        last = self._polish.propose()
        self.stalled = last is None and not self.memory.pending
        return last
