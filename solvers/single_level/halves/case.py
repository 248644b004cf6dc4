"""What a run of the KKT path is given, the same for both halves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bilevel import registry
from bilevel.contracts.settings import Settings
from bilevel.contracts.treatment import Treatment
from bilevel.deadline import current
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.solvers.single_level.equivalence import Equivalence, equivalence_of
from bilevel.solvers.single_level.treated_model import TreatedModel

DEFAULT_TIME_LIMIT = 60.0


@dataclass(frozen=True)
class Case:
    """One problem, what is proved of it, and the time there is.

    Attributes
    ----------
    settings : Settings
        As the user gave them.
    compilation : Compilation
        Of the problem.
    equivalence : Equivalence
        What a bound on the single-level model is worth.
    response : Response
        The followers' true answers.
    limit : float
        Seconds for the whole run.
    deadline : float
        A moment of ``time.monotonic()``.
    """

    settings: Settings
    compilation: Compilation
    equivalence: Equivalence
    response: Response
    limit: float
    deadline: float

    @classmethod
    def of(cls, problem: Problem, settings: Settings) -> Case:
        """From now on; refuses followers that are not proved convex, unless that is allowed."""
        limit = settings.time_limit if settings.time_limit is not None else DEFAULT_TIME_LIMIT
        deadline = min(time.monotonic() + limit, current().end)
        compilation = Compilation.of(problem)
        equivalence = equivalence_of(problem, compilation, settings.allow_nonconvex)
        response = Response(problem, compilation=compilation, warm=False)
        return cls(settings, compilation, equivalence, response, limit, deadline)

    @property
    def problem(self) -> Problem:
        """The bilevel problem."""
        return self.compilation.problem

    @property
    def dual_bounds(self) -> dict[Any, float]:
        """What the user knows of multipliers."""
        given: dict[Any, float] = self.settings.options.get("dual_bounds", {})
        return given

    @property
    def weighted(self) -> tuple[str, ...]:
        """Followers whose conditions are Fritz John's where a bound is to count."""
        convex = len(self.equivalence.convex) == len(self.problem.followers)
        return self.equivalence.unqualified if convex and not self.problem.multipliers else ()

    @property
    def left(self) -> float:
        """Seconds until the deadline, zero after it."""
        return max(self.deadline - time.monotonic(), 0.0)

    @property
    def over(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() > self.deadline

    def treated(self, name: str) -> TreatedModel:
        """What the user asked for; a local end is stationary only without bounds that nobody proved."""
        local = bool(registry.get(Treatment, name)().schedule())
        model = TreatedModel(self.problem, name, dual_bounds={} if local else self.dual_bounds)
        if local:
            model.conditions.give(self.dual_bounds)  # refused now if they mean nothing
        return model
