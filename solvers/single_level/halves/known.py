"""What is known so far, as one half hands it to the next and to the path, also where it was interrupted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from bilevel.arrays import Array
from bilevel.contracts.finding import Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.programs.compilation import Compilation
from bilevel.response.response import Response
from bilevel.solvers.single_level.assessment import Assessment, Incumbent
from bilevel.solvers.single_level.treated_model import TreatedModel


@dataclass(frozen=True)
class Known:
    """What a run has found.

    Attributes
    ----------
    best : Incumbent or None
        The best point that stands.
    bound : float
        Proved, on F minimised.
    claim : Verdict
        Of what needs no point: infeasible, unbounded.
    termination : Termination
        Why it stopped, were it to stop now.
    notes : tuple of str
        For a reader of the result.
    """

    best: Incumbent | None = None
    bound: float = -math.inf
    claim: Verdict = Verdict.FAILED
    termination: Termination = Termination.STALLED
    notes: tuple[str, ...] = ()

    @property
    def stationary(self) -> bool:
        """Whether the best point is a local solution of the single-level model."""
        return self.best is not None and self.best.stationary

    def settled(self, compilation: Compilation) -> bool:
        """Whether there is nothing left to prove, or nobody to prove it for."""
        closed = self.best is not None and compilation.closes(self.best.cost, self.bound)
        return self.claim is not Verdict.FAILED or closed or self.termination is Termination.INTERRUPTED


class Book:
    """Keeps what is known, entry by entry, so that an interruption loses nothing.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    response : Response
        The followers', for points to be assessed by.
    observer : Observer
        Hears of notes, incumbents and bounds.
    """

    def __init__(self, compilation: Compilation, response: Response, observer: Observer) -> None:
        self.known = Known()
        self._assess = Assessment(compilation, response)
        self._observer = observer
        self._sense = compilation.problem.sense

    def say(self, message: str) -> None:
        """A note."""
        self.known = replace(self.known, notes=(*self.known.notes, message))
        self._observer.said(message)

    def stop(self, why: Termination) -> None:
        """Why the run would stop here."""
        self.known = replace(self.known, termination=why)

    def claim(self, what: Verdict, why: Termination = Termination.OPTIMALITY) -> None:
        """Something that needs no point; ``Verdict.FAILED`` for nothing."""
        self.known = replace(self.known, claim=what, termination=why)

    def withdraw(self) -> None:
        """Neither bound nor claim is believed any more."""
        self.known = replace(self.known, bound=-math.inf)
        self.claim(Verdict.FAILED, Termination.STALLED)

    def raise_bound(self, bound: float) -> None:
        """A proved bound on F, minimised; the best one is kept."""
        self.known = replace(self.known, bound=max(self.known.bound, bound))
        if math.isfinite(self.known.bound):
            self._observer.bounded(None, self.user(self.known.bound))

    def consider(self, treated: TreatedModel, point: Array, stationary: bool, *, exact: bool = False) -> None:
        """Assess a point and keep it if it is the best so far."""
        found = self._assess(*treated.read(point))
        if found is None:
            return
        new = Incumbent(found, stationary, exact, treated.by_name(point))
        best = self.known.best
        if best is None or new.beats(best):
            self.known = replace(self.known, best=new if best is None else new.inheriting(best))
            self._observer.bounded(self.user(found.cost), self.bound)

    @property
    def best(self) -> Incumbent | None:
        """The best point so far."""
        return self.known.best

    @property
    def bound(self) -> float | None:
        """In the user's sense; None where there is none."""
        return self.user(self.known.bound) if math.isfinite(self.known.bound) else None

    def user(self, cost: float) -> float:
        """A minimised value in the user's sense."""
        return self._sense * cost
