"""How closely each point is looked at: how often its functions are asked, with which seeds, and who may stop them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from bilevel import registry
from bilevel.arrays import Point
from bilevel.contracts.finding import Finding
from bilevel.contracts.pruner import Pruner, named
from bilevel.contracts.search import Search
from bilevel.contracts.settings import Settings
from bilevel.errors import OptionError
from bilevel.language.trials.argument import arguments_of, trial_argument
from bilevel.language.trials.fidelity import is_fidelity
from bilevel.language.trials.trial import AT_LAST, Terms, fresh_seeds, seeds_of
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.upper.archive import Archive, Evaluation
from bilevel.upper.space import Space

AGAIN = -1
"""The place, downwards, of points that are asked again: outside the history, and not stored."""

_TOP = 5  # points asked again where functions are repeated


class Looks:
    """Gives each point the terms on which it is evaluated, a function of the seed and of the outcomes told.

    Parameters
    ----------
    seed : int
        Of the run.
    repeats : int
        How many times functions are asked at each point.
    top : int
        How many of the best points are asked again at the end.
    pruner : Pruner or None
        Who may stop them.
    needed : bool
        Whether anybody below asks for terms; where nobody does no point has any.
    rungs : tuple of float
        Values of the fidelity that are looked at before the full one.
    remarks : sequence of str
        What a reader of the result should know.
    beside : Space or None
        In a race whose points are judged by their neighbours' answers, where they lie.

    Attributes
    ----------
    prunes : bool
        Whether anybody may stop a point.
    noisy : bool
        Whether the user says that functions are: nothing is proved of them.
    """

    def __init__(
        self,
        seed: int = 0,
        repeats: int = 1,
        top: int = 0,
        pruner: Pruner | None = None,
        needed: bool = False,
        rungs: tuple[float, ...] = (),
        remarks: Sequence[str] = (),
        beside: Space | None = None,
    ) -> None:
        self.prunes, self.noisy, self._remarks = pruner is not None, repeats > 1 or top > 0, remarks
        self._seed, self._repeats, self._top = seed, repeats, top
        self._pruner, self._needed, self._rungs, self._beside = pruner, needed, rungs, beside

    def add(self, evaluation: Evaluation) -> None:
        """Take note of an outcome; they come in the order of their places."""
        if self._pruner is not None:
            self._pruner.tell(evaluation)

    @property
    def by_neighbours(self) -> bool:
        """Whether what was answered beside a point may spare it: then points that lie far apart come first."""
        return self._beside is not None

    def terms(self, index: int, point: Point | None = None) -> Terms | None:
        """Those of the point with that place, as far as is known now."""
        if not self._needed:
            return None
        seeds = seeds_of(self._seed, index, self._repeats)
        if self._pruner is None:
            return Terms(index, seeds)
        judge = self._pruner.judge(index)
        near: tuple[Any, ...] = ()
        if self._beside is not None and point is not None:
            near = self._pruner.beside(self._beside.vector(point).tolist())
        return Terms(index, seeds, judge.prunes, judge.expected, judge.followers, self._rungs, near)

    def last_terms(self, index: int) -> Terms:
        """Those on which the point with that place is asked again: new seeds, and nobody stops it."""
        return Terms(index, fresh_seeds(self._seed, AT_LAST + 1 + index, self._repeats))

    def finalists(self, archive: Archive) -> list[Evaluation]:
        """The points to ask again, the best first."""
        if not self._top:
            return []  # nobody has to read the history
        return sorted((e for e in archive if e.feasible), key=lambda e: e.cost)[: self._top]

    def settle(self, finding: Finding, again: list[tuple[Evaluation, Evaluation]]) -> None:
        """Make the best of those that were asked again the answer."""
        finding.notes += self._remarks
        standing = [(known, new) for known, new in again if new.feasible]
        if not standing:
            return
        finding.again = again
        known, new = min(standing, key=lambda pair: pair[1].cost)
        finding.upper, finding.lower = new.upper, new.lower
        first = known is again[0][0]
        which = "the best of the search stayed it" if first else "another than the best of the search is the answer"
        finding.notes.append(
            f"asked again with new seeds: {which}; F there was {_figure(known)} in the search and is {_figure(new)}"
        )


def _figure(evaluation: Evaluation) -> str:
    error = evaluation.standard_error
    return f"{evaluation.upper_objective:.6g}" + (f" (standard error {error:.2g})" if math.isfinite(error) else "")


def looks_of(
    problem: Problem, response: Callable[[], Response], space: Space, search: Search, settings: Settings
) -> Looks:
    """What the settings say of a problem's points.

    Raises
    ------
    OptionError, RefusedError
        If a pruner has nothing to go by, does not know an option, or does not go with the search.
    """
    pruner = _pruner(settings.pruner, problem.sense, settings.seed)
    remarks = []
    beside: Space | None = None
    if pruner is not None and pruner.exact and response().batches:
        pruner = None
        remarks = ["race: not needed, all followers together are one compiled formula, which is faster than racing"]
    if pruner is not None:
        _insist(pruner, problem, search, settings)
        if pruner.exact:
            floors = response().nearby_floors
            pruner.among(len(problem.followers))
            if floors.place is not None and not any(d.categorical for d in space.dimensions):
                pruner.along(floors.place, space.dimensions[floors.place].size)
                beside = space
    rungs: tuple[float, ...] = ()
    if pruner is not None and not pruner.exact and space.fidelity is not None:
        place, rungs = space.fidelity
        pruner.spans(rungs[0], space.dimensions[place].upper)
    top = settings.top if settings.top is not None else (_TOP if settings.repeats > 1 else 0)
    if all(follower.response is None for follower in problem.followers):
        needed = pruner is not None
        return Looks(settings.seed, pruner=pruner, needed=needed, rungs=rungs, remarks=remarks, beside=beside)
    return Looks(settings.seed, settings.repeats, top, pruner, needed=True, rungs=rungs, remarks=remarks)


def _insist(pruner: Pruner, problem: Problem, search: Search, settings: Settings) -> None:
    """Insist that a pruner has what it goes by."""
    if search.uses_gradients:
        raise OptionError(f"{search.name} needs F at every point it asks for; take no pruner, or another search")
    if not pruner.exact and not any(map(is_fidelity, problem.variables)):
        _insist_on_reports(problem, settings.pruner)
    elif pruner.exact and settings.repeats > 1:
        raise OptionError("pruner=race proves, and of a function that is asked several times nothing is proved")


def _pruner(asked: Any, sense: int, seed: int) -> Pruner | None:
    """The pruner by name, with its options; Optuna's where it is none of ours."""
    if asked is None:
        return None
    name, options = named(asked) if isinstance(asked, str) else ("optuna", {"kind": asked})
    part = registry.find(Pruner, name)
    if part is None:
        others: Any = registry.get(Pruner, "optuna")
        made: Pruner = others(sense, seed, kind=name, **options)
        return made
    known = [p.name for p in inspect.signature(part.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in known and name != "optuna":
            raise OptionError(f"pruner {name} has no option {option!r}; it takes {', '.join(known) or 'none'}")
    return part(sense, seed, **options)


def _insist_on_reports(problem: Problem, asked: Any) -> None:
    telling = []
    for follower in problem.followers:
        function = follower.response
        if function is not None and trial_argument(function, arguments_of(follower.block)) is not None:
            telling.append(follower.name)
    if not telling:
        raise OptionError(
            f"pruner={asked}: nothing reports how far it has got; let a response function take its trial,"
            " f(x, trial), and call trial.report(value, step), or declare a bilevel.fidelity(variable)"
        )
    if len(telling) > 1:
        raise OptionError(
            f"pruner={asked}: {', '.join(telling)} all take a trial, and reports of several functions are no one curve;"
            " let one LowerLevel train them all, one after the other"
        )
