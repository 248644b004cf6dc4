"""What the paths share that alternate between a relaxation and the follower's true answer at its x.

The relaxation bounds F from below; the answer gives a bilevel-feasible point, hence a bound from above, and teaches the
relaxation. Here is the bookkeeping: the answer, the history, the best point, the bound, and what may be claimed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from bilevel import deadline, tolerances
from bilevel.arrays import Array
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.replies import Reply
from bilevel.response.response import Response
from bilevel.solvers.rounds.challenge import SHARE, Challenge, withdrawn
from bilevel.solvers.single_level.infeasibility import why_infeasible
from bilevel.upper.archive import Archive, Evaluation

DEFAULT_TIME = 60.0
_EXPLAINING = 10.0  # seconds for saying why there is no point
_LOST = "the relaxation lost the point already found to rounding: its bound stays where it was"
_LOST_BEFORE = "the bound is withdrawn: the point found lies below it"


@dataclass
class _Best:
    upper: dict[str, Any] | None = None
    lower: dict[str, Any] | None = None
    cost: float = math.inf


class Walk(Protocol):
    """A run of a path that alternates."""

    rounds: Rounds

    def run(self) -> Termination:
        """To the end."""


def refuse_functions(problem: Problem) -> None:
    """Refuse followers that are no mathematical programs.

    Raises
    ------
    RefusedError
        If there is one.
    """
    for follower in problem.followers:
        if follower.response is not None:
            raise RefusedError(f"{follower.name} answers by a Python function; this path needs formulas")


def carried_through(walk: Walk) -> Finding:
    """What a run came to; an interruption, or the end of the time, keeps all that was found."""
    try:
        termination = walk.run()
    except KeyboardInterrupt:
        termination = Termination.INTERRUPTED
    except deadline.OutOfTime:
        deadline.heard()
        termination = Termination.TIME_LIMIT
    return walk.rounds.finding(termination)


class Rounds:
    """The state of one run.

    Parameters
    ----------
    problem : Problem
        The bilevel problem.
    compilation : Compilation
        Of the same.
    settings : Settings
        Whose time limit holds; 60 seconds where there is none.
    observer : Observer
        Hears of answers and bounds.

    Attributes
    ----------
    bound : float
        The best proved lower bound on F, minimised.
    notes : list of str
        For the result.
    infeasible, unbounded : bool
        What the path proved instead of finding a point.
    """

    def __init__(self, problem: Problem, compilation: Compilation, settings: Settings, observer: Observer) -> None:
        self._problem, self._observer = problem, observer
        self.response = Response(problem, compilation=compilation)
        limit = settings.time_limit or DEFAULT_TIME
        self._deadline, self._worth = min(time.monotonic() + limit, deadline.current().end), SHARE * limit
        self._archive, self._best, self.bound = Archive(), _Best(), -math.inf
        self.notes: list[str] = []
        self.infeasible = self.unbounded = self._unproved = False
        self._sizes = {f.name: len(f.variables) for f in problem.followers}

    @property
    def left(self) -> float:
        """Seconds left."""
        return self._deadline - time.monotonic()

    @property
    def cost(self) -> float:
        """F of the best point, minimised; infinite where there is none."""
        return self._best.cost

    @property
    def closed(self) -> bool:
        """Whether the bound closes on the best point."""
        return self.closes(self.bound) and not self.loses(self.bound)

    def closes(self, bound: float) -> bool:
        """Whether that bound would."""
        return self.response.compilation.closes(self._best.cost, bound)

    def loses(self, bound: float) -> bool:
        """Whether a lower bound is above a point that is known: one of the two owes that to rounding."""
        cost = self._best.cost
        room = tolerances.CERTIFICATE * self.response.compilation.scale(cost) if math.isfinite(cost) else 0.0
        return bound - room > cost

    def raise_bound(self, bound: float) -> bool:
        """Learn a lower bound; whether it is worth speaking of. One that loses a known point teaches nothing."""
        if self.loses(bound):
            if _LOST not in self.notes:
                self.notes.append(_LOST)
            return False
        better = bound > self.bound + 0.1 * tolerances.CERTIFICATE * self.response.compilation.scale(bound)
        self.bound = max(self.bound, bound)
        return better

    def ask(self, upper: dict[str, Any]) -> Reply:
        """The followers' true answer at x: a feasible point, perhaps a better one."""
        reply = self.response(self.response.vector(upper), upper)
        evaluation = Evaluation(len(self._archive), (), upper, status=reply.status, proved=reply.proved)
        evaluation.message = reply.message
        if reply.status is Status.OPTIMAL and reply.y is not None:
            evaluation.lower = self.response.lower_values(reply.y)
            evaluation.cost, evaluation.upper_violation = reply.cost, reply.violation
            evaluation.upper_objective = self._problem.sense * reply.cost
            if not reply.proved:
                self._unproved = True
            if evaluation.feasible and reply.cost < self._best.cost:
                self._best = _Best(upper, evaluation.lower, reply.cost)
        self._archive.add(evaluation)
        self._observer.evaluated(self._archive)
        return reply

    def answers(self, reply: Reply) -> Iterator[tuple[str, Array]]:
        """Each follower's part of an answer; none where there was no answer."""
        if reply.status is not Status.OPTIMAL or reply.y is None:
            return
        offset = 0
        for name, size in self._sizes.items():
            yield name, reply.y[offset : offset + size]
            offset += size

    def report(self) -> None:
        """Pass the bounds on, in the user's sense."""
        sense = self._problem.sense
        best = sense * self._best.cost if math.isfinite(self._best.cost) else None
        self._observer.bounded(best, sense * self.bound if math.isfinite(self.bound) else None)

    def empty(self) -> Termination:
        """The relaxation holds every bilevel-feasible point; if it is empty although one is known, trust neither."""
        self.infeasible = self._best.upper is None
        if self.infeasible:
            return Termination.OPTIMALITY
        self.notes.append(_LOST)
        return Termination.STALLED

    def _challenge(self) -> bool:
        """Hold bound or emptiness against some points; whether it had to be withdrawn."""
        level = math.inf if self.infeasible else self.bound
        if self.unbounded or level == -math.inf:
            return False
        found = Challenge(self.response.compilation, self.response, self._worth).beats(level)
        if found is None:
            return False
        self.ask(found.upper)
        self.notes.append(withdrawn(self._problem, level, found))
        self.bound, self.infeasible = -math.inf, False
        return True

    def finding(self, termination: Termination) -> Finding:
        """What the rounds came to."""
        if termination is not Termination.INTERRUPTED and self._challenge():
            termination = Termination.STALLED
        best = self._best
        if self.loses(self.bound):  # learnt before the point was found
            self.notes.append(_LOST_BEFORE)
            self.bound = -math.inf
        found = best.upper is not None
        claim = Verdict.CERTIFIED_GLOBAL if self.closed else Verdict.BEST_FOUND if found else Verdict.FAILED
        if self.infeasible and not self._unproved:
            claim = Verdict.INFEASIBLE
            self.notes.append(why_infeasible(self._problem, _EXPLAINING))
        elif self.unbounded:
            return Finding(termination, Verdict.UNBOUNDED, archive=self._archive, notes=self.notes)
        return Finding(
            termination,
            claim,
            upper=best.upper,
            lower=best.lower,
            bound=self._problem.sense * min(self.bound, best.cost) if math.isfinite(self.bound) else None,
            archive=self._archive,
            notes=self.notes,
        )
