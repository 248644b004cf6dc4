"""The run of a population: leg by leg, everyone to the end of one before anyone begins the next.

So who goes on from whom is a function of the seed and of the outcomes, however many work and whoever is faster, and a
run that was stopped goes on from the outcomes and the states that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from bilevel.contracts.finding import Termination
from bilevel.contracts.observer import Observer
from bilevel.deadline import OutOfTime, current, heard
from bilevel.errors import AnswerError, StudyError
from bilevel.language.trials.leg import Leg, state_file
from bilevel.language.trials.trial import Terms
from bilevel.solvers.loop.crews.crew import Crew
from bilevel.solvers.loop.study import NoStudy
from bilevel.solvers.pools.interrupts import deaf, stopping
from bilevel.solvers.population.selection import Member, Selection
from bilevel.upper.archive import Archive, Evaluation
from bilevel.upper.space import Space


class Training:
    """Trains one population.

    Parameters
    ----------
    space : Space
        Of x.
    crew : Crew
        Who trains.
    study : NoStudy
        What is known already.
    observer : Observer
        Sees every outcome.
    folder : Path
        Where states lie.
    followers : sequence of str
        Whose states.
    seed : int
        What functions are given.

    Attributes
    ----------
    archive : Archive
        Every leg of every member, in order.
    replayed : int
        How many of them come from the study.
    """

    def __init__(
        self,
        space: Space,
        crew: Crew,
        study: NoStudy,
        observer: Observer,
        folder: Path,
        followers: Sequence[str],
        seed: int,
    ) -> None:
        self._space, self._crew, self._study, self._observer = space, crew, study, observer
        self._folder, self._followers, self._seeds = folder, followers, (seed,)
        self.archive, self.replayed = Archive(), 0
        self._parents: list[int | None] = []

    def until(self, members: list[Member], legs: Sequence[int], selection: Selection) -> Termination:
        """Train to the end, whichever comes first; an interruption keeps all that was found.

        Parameters
        ----------
        members : list of Member
            The first generation.
        legs : sequence of int
            The steps of each leg.
        selection : Selection
            Makes the next.
        """
        try:
            with stopping(self._observer.said) as stop:
                for steps in legs:
                    told = self._leg(members, steps)
                    if len(told) < len(members) or stop.asked:
                        return Termination.INTERRUPTED if stop.asked else Termination.TIME_LIMIT
                    self._tidy({evaluation.index for evaluation in told})
                    members = selection.after(told)
                    if not members:
                        return Termination.STALLED
        except KeyboardInterrupt:
            return Termination.INTERRUPTED
        except OutOfTime:
            heard()
            return Termination.TIME_LIMIT
        finally:
            with deaf():
                self._crew.close()
        return Termination.BUDGET

    def _leg(self, members: list[Member], steps: int) -> list[Evaluation]:
        """Train everyone so far; fewer outcomes where the time is up."""
        first = len(self.archive)
        self._parents += [member.after for member in members]
        for place, member in enumerate(members, first):
            if not self._known(place, member):
                leg = Leg(str(self._folder), place, member.after, steps)
                self._insist_on_states(leg)
                self._crew.submit(member.point, place, None, Terms(place, self._seeds, leg=leg))
        found: list[Evaluation] = []
        for place, _ in enumerate(members, first):
            stored = self._study.evaluations.get(place)
            evaluation = self._crew.take(current().end) if stored is None else stored
            if evaluation is None:
                break
            self.replayed += stored is not None
            evaluation.upper = self._space.values(evaluation.point)
            self._insist_on_shape(evaluation)
            self.archive.add(evaluation)
            self._observer.at_work(self._crew.busy, self._crew.count)
            self._observer.evaluated(self.archive)
            found.append(evaluation)
        return found

    def _known(self, place: int, member: Member) -> bool:
        stored = self._study.evaluations.get(place)
        if stored is not None and stored.point != member.point:
            raise StudyError(
                f"the study cannot be continued: leg {place} is {self._space.values(stored.point)} there and"
                f" {self._space.values(member.point)} here; was it written by another version of this package?"
            )
        return stored is not None

    def _insist_on_states(self, leg: Leg) -> None:
        for follower in self._followers:
            if leg.after is not None and not state_file(leg.folder, leg.after, follower).is_file():
                raise StudyError(
                    f"the study cannot be continued: {state_file(leg.folder, leg.after, follower)}, the state that a"
                    " member goes on from, is gone; give the run a study of its own"
                )

    def _insist_on_shape(self, evaluation: Evaluation) -> None:
        """An answer of a wrong shape before any right one is the function's fault, later that leg's."""
        if evaluation.misshapen and evaluation.index not in self._study.evaluations:
            if not any(known.answered for known in self.archive):
                raise AnswerError(evaluation.message)
            self._study.add([evaluation])

    def _tidy(self, kept: set[int]) -> None:
        """Remove the states that nobody goes on from: a run that comes back begins with the last whole generation."""
        for place in range(len(self.archive)):
            if place not in kept:
                for follower in self._followers:
                    state_file(self._folder, place, follower).unlink(missing_ok=True)

    @property
    def best(self) -> Evaluation | None:
        """The best of those who came furthest: what looked well on the way may have been luck."""
        found = [(-len(self.lineage(e.index)), e.cost, e.index) for e in self.archive if e.feasible]
        return self.archive.evaluations[min(found)[2]] if found else None

    def lineage(self, place: int) -> list[int]:
        """The legs that led to an outcome, the first one first."""
        found: list[int] = []
        after: int | None = place
        while after is not None:
            found.append(after)
            after = self._parents[after]
        return found[::-1]

    def schedule(self, place: int, legs: Sequence[int]) -> list[dict[str, object]]:
        """What the member that came there was trained with: x, steps and F of each leg."""
        found: list[dict[str, object]] = []
        done = 0
        for known, steps in zip(self.lineage(place), chain(legs), strict=False):
            done += steps
            evaluation = self.archive.evaluations[known]
            leg = {"after": done, "steps": steps, "upper": evaluation.upper}
            found.append({**leg, "upper_objective": evaluation.upper_objective})
        return found
