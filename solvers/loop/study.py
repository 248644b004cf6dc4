"""What a run keeps of itself and finds again: a study as the search loop sees it.

A search is a deterministic function of its seed and of what it is told. So the points, their outcomes and the order of
asking are the whole state: replayed, the search stands where it stood, generator and models included, to the last bit.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bilevel.arrays import Point
from bilevel.contracts.storage import Aside, Kept, State, Trial
from bilevel.errors import StudyError
from bilevel.solvers.loop.given_points import point_of
from bilevel.solvers.loop.identity import insist_on_the_same
from bilevel.solvers.loop.records import told_by_others, trial_of
from bilevel.solvers.loop.set_aside import left_out, outcomes
from bilevel.solvers.pools.interrupts import undisturbed
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

_log = logging.getLogger(__name__)


class NoStudy:
    """Stands where nothing is stored.

    Attributes
    ----------
    identity : dict of str to str
        What the stored run was: method, seed, space, hashes of the model's parts. Empty in a new study.
    evaluations : dict of int to Evaluation
        What is stored, by place in the history.
    under_way : int or None
        The place whose point a run of this study was evaluating when its process died.
    kept : bool
        Whether anything is.
    """

    identity: Mapping[str, str]
    evaluations: Mapping[int, Evaluation]
    under_way: int | None = None
    kept = False

    def __init__(self, first: Iterable[Mapping[str, Any]] = ()) -> None:
        self.identity, self.evaluations = {}, {}
        self._windows: list[tuple[int, int]] = []
        self._queue: deque[tuple[Mapping[str, Any], int | None]] = deque((values, None) for values in first)
        self._given: dict[int, Point] = {}

    def start(self, given: Point | None) -> Point | None:
        """The point the stored run started from, whatever the model holds since; that given in a new study."""
        return given

    def begin(
        self, identity: Mapping[str, str], window: int, space: Space, senses: Sequence[int], learns: bool = True
    ) -> list[str]:
        """Enter a new study, or go on with the stored one; what a reader of the result should know.

        Parameters
        ----------
        identity : dict of str to str
            What this run is.
        window : int
            How many points this run asks for before the first of them is told.
        space : Space
            Of its points.
        senses : sequence of int
            Of each objective above, -1 where it is maximised.
        learns : bool
            Whether what it is told changes what the search asks next.

        Raises
        ------
        StudyError
            If the stored run was another one; the message names the difference.
        """
        self._windows = [(0, window)]
        return []

    def window(self, told: int) -> int:
        """How many points may be out at once after so many were told."""
        return next(window for start, window in reversed(self._windows) if start <= told)

    def widen(self, told: int, more: int) -> None:
        """Let more points be out, until one more is told: those who evaluate them would wait for that one."""
        base = self._windows[-1][1]
        wider = self.window(told) + more
        self._windows = [*(w for w in self._windows if w[0] < told), (told, wider), (told + 1, base)]

    def given(self, place: int, space: Space, known: Callable[[Point], bool]) -> Point | None:
        """The point that stands at this place because somebody gave it, and not because the search asked for it.

        Raises
        ------
        StudyError
            If what was given is no point of the space.
        """
        while place not in self._given and self._queue and place > self._last():
            values, number = self._queue.popleft()
            point = point_of(values, space)
            if not known(point):
                self._given[place] = point
                self._placed(place, number)
        return self._given.get(place)

    def waits(self, point: Point) -> bool:
        """Whether a point has its place further on."""
        return False

    def _placed(self, place: int, number: int | None) -> None:
        """A point that waited in the study, as the trial of that number, has a place now."""

    def _last(self) -> int:
        return max([*self.evaluations, *self._given], default=-1)

    def add(self, evaluations: Sequence[Evaluation]) -> None:
        """Store some outcomes, for good.

        Raises
        ------
        StudyError
            If another run writes to the same study, or the place does not take them.
        """

    def enter(self, place: int | None) -> None:
        """Note which point is about to be evaluated in this process, for the case that it kills it; None: no more."""

    def close(self) -> None:
        """Let go of what is open."""


class Study(NoStudy):
    """One that is kept.

    Parameters
    ----------
    kept : Kept
        Where; ``kept_at`` of the object.
    shown : str
        The address, in messages.
    first : iterable of dict
        Points to try before all others, by name.
    """

    kept = True

    def __init__(self, kept: Kept, shown: str, first: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(first)
        self.kept_at, self._shown = kept, shown
        trials = list(kept.trials())
        noted = kept.attributes
        self._aside = {int(number): Aside(said) for number, said in noted.get("aside", {}).items()}
        self._settled = bool(noted.get("settled", True))
        self._taken = {int(number): place for number, place in noted.get("taken", {}).items()}
        self._foreign = [trial for trial in trials if trial.record is None]
        self._stored, self._again = outcomes([trial for trial in trials if trial.record is not None], self._aside)
        self.evaluations = self._stored
        self.identity = dict(noted.get("identity", {}))
        self._start: list[float] | None = noted.get("start")
        self._windows = [(start, window) for start, window in noted.get("windows", [])]
        self._given = {int(place): tuple(point) for place, point in noted.get("given", {}).items()}
        entered = kept.under_way
        self.under_way = None if entered in self.evaluations else entered
        self._waiting: dict[int, int] = {}

    def start(self, given: Point | None) -> Point | None:
        if not self.identity:
            self._start = None if given is None else list(given)
        return None if self._start is None else tuple(self._start)

    def begin(
        self, identity: Mapping[str, str], window: int, space: Space, senses: Sequence[int], learns: bool = True
    ) -> list[str]:
        if self.kept_at.attributes.get("shared"):
            raise StudyError(f"{self._shown} is shared by several drivers; say shared=True, or name another study")
        if self.identity:
            insist_on_the_same(self.identity, identity, self._shown)
        self.identity = dict(identity)
        self._space, self._senses = space, tuple(senses)
        with undisturbed():
            self.kept_at.create([sense < 0 for sense in senses], space.dimensions)
        start = self._known_until()
        if not self._windows or self._windows[-1][1] != window:
            self._windows = [*(w for w in self._windows if w[0] < start), (start, window)]
        if learns and not self._settled:
            self._given |= {e.index: e.point for e in [*self._stored.values(), *self._again]}
        self._settled = True
        notes = self._take_over()
        self._note()
        _log.info("%s: %d outcomes are known", self._shown, len(self.evaluations))
        return notes

    def _take_over(self) -> list[str]:
        """Outcomes that others stored become the first of the history, points that they wait for its next ones."""
        done = 0
        for trial in self._foreign:
            assert trial.number is not None
            place, said = self._taken.get(trial.number), self._aside.get(trial.number)
            if said is not None:
                self._set_aside(trial, place, said)
            elif trial.state is State.WAITING and place is None:
                self._queue.append((trial.parameters, trial.number))
            elif trial.state is State.WAITING and place is not None:
                self._waiting[place] = trial.number
            elif trial.state is State.COMPLETE and len(trial.values) == len(self._senses) == 1:
                place = self._last() + 1 if place is None else place
                self._taken[trial.number] = place
                self._given[place] = point_of(trial.parameters, self._space)
                self._stored[place] = told_by_others(trial, place, self._space, self._senses)
                done += 1
        return [f"{done} points of the study were evaluated by others: their F is taken as it stands"] if done else []

    def _set_aside(self, trial: Trial, place: int | None, said: Aside) -> None:
        """A trial of others that counts no more: one that had a place keeps it."""
        if place is None and said is Aside.REDO:
            self._queue.append((trial.parameters, None))
        elif place is not None and said is Aside.SKIP:
            self._stored[place] = left_out(place, point_of(trial.parameters, self._space))

    def waits(self, point: Point) -> bool:
        return bool(self._aside) and point in self._given.values()

    def _note(self) -> None:
        given = {str(place): list(point) for place, point in self._given.items()}
        noted: dict[str, Any] = {"identity": self.identity, "start": self._start, "windows": self._windows}
        noted |= {"given": given}
        noted |= {"taken": {str(number): place for number, place in self._taken.items()}}
        if self._aside:
            noted |= {"aside": {str(number): str(said) for number, said in self._aside.items()}}
            noted |= {"settled": self._settled}
        with undisturbed():
            self.kept_at.note(noted, {"method": self.identity.get("method"), "seed": self.identity.get("seed")})

    def _known_until(self) -> int:
        """After how many told points the stored run is used up: from there on another window may hold.

        Point i was asked for once i - w + 1 were told. Points evaluated ahead of a slower one are stored as well.
        """
        told: int = next(place for place in range(len(self.evaluations) + 1) if place not in self.evaluations)
        if not self.evaluations or not self._windows:
            return told
        return max(told, max(self.evaluations) - self._windows[-1][1] + 2)

    def widen(self, told: int, more: int) -> None:
        super().widen(told, more)
        self._note()

    def _placed(self, place: int, number: int | None) -> None:
        if number is not None:
            self._taken[number] = place
            self._waiting[place] = number
        self._note()

    def add(self, evaluations: Sequence[Evaluation]) -> None:
        now = time.time()
        seed = self.identity.get("seed")
        trials = [self._trial(evaluation, now, seed) for evaluation in evaluations]
        with undisturbed():
            self.kept_at.write(trials)

    def frozen(self, evaluation: Evaluation) -> Any:
        """An outcome as Optuna's frozen trial."""
        trial = self._trial(evaluation, time.time(), self.identity.get("seed"))
        trial.number = evaluation.index
        return self.kept_at.frozen(trial)

    def _trial(self, evaluation: Evaluation, now: float, seed: str | None) -> Trial:
        trial = trial_of(evaluation, self._space, now, {"seed": seed})
        return replace(trial, number=self._waiting.pop(evaluation.index, None))

    def enter(self, place: int | None) -> None:
        self.under_way = place
        with undisturbed():
            self.kept_at.enter(place)

    def close(self) -> None:
        self.kept_at.close()
