"""The search path: the upper level as a black box, the lower level solved exactly at every point.

ask -> response -> archive -> tell, until the budget, the time or the space is used up. A finite space whose every
point was answered with a proof is a proof itself: full enumeration.

With workers several points are out at once, and they are told in the order in which they were asked for, however long
each takes: point i is asked for when i - w + 1 outcomes are told, where w is the number of workers. So a history
depends on the seed and on w alone, and on the seed alone where the search does not learn. What an evaluation starts
from below is a function of the history as well (:mod:`bilevel.solvers.anchors`).
"""

from __future__ import annotations

import inspect
from functools import cache, partial

import numpy as np

from bilevel import registry
from bilevel.contracts.finding import Finding
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.search import Search
from bilevel.contracts.settings import Settings
from bilevel.errors import OptionError, RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.response import Response, warms
from bilevel.sensitivity.second_order import SecondOrder
from bilevel.solvers.loop.anchors import LAG, Anchors, NearestAnswers, NoAnchors
from bilevel.solvers.loop.callbacks import Calling
from bilevel.solvers.loop.crews.alone import Alone
from bilevel.solvers.loop.crews.hiring import crew_for, where_of
from bilevel.solvers.loop.crews.pool_kinds import pool_of
from bilevel.solvers.loop.granted_gradients import Gradients, granted
from bilevel.solvers.loop.identity import identity_of
from bilevel.solvers.loop.looks import Looks, looks_of
from bilevel.solvers.loop.run import Run
from bilevel.solvers.loop.shared import SharedRun, join, seed_of_driver
from bilevel.solvers.loop.studies import study_at
from bilevel.solvers.loop.study import NoStudy
from bilevel.upper.space import Space

DEFAULT_BUDGET = 100
_PREFERRED = ("surrogate", "random")
_AHEAD = 16  # points per worker that a search which does not learn is asked for in advance
_STORED = 256  # points out at once where outcomes are stored together


@register("search")
class OuterLoop(Path):
    """Black-box search over the upper level, the lower level solved exactly at every point.

    Take it when no proof is needed or to be had, by the name of one of its searches; where the lower level is convex
    and not too large, ``kkt`` proves what this only finds.
    """

    pessimistic = True
    multipliers = True
    conditions = True
    losses = True
    evaluates = True

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        if settings.shared:
            return _among_others(problem, settings, observer)
        compilation = Compilation.of(problem)
        space = Space(compilation)
        budget = settings.budget if settings.budget is not None else DEFAULT_BUDGET
        where = where_of(settings)
        several = 1 if where is None else pool_of(where).workers(where)
        study = study_at(settings.study, settings.enqueue)
        try:
            space.start = study.start(space.start)
            # A stored run may be continued for ever, and must not depend on where it stopped: it knows no budget.
            search = _make(space, settings, budget, study)
            gradients = granted(search, compilation) if not problem.seeks_front else _several(search, problem)
            _equip(search, compilation, gradients)
            anchors = _anchors(search, compilation, space)
            response = cache(partial(Response, problem, compilation=compilation, warm=False))
            looks = looks_of(problem, response, space, search, settings)
            search.coarse_first = looks.by_neighbours
            senses = [int(objective.sense) for objective in problem.objectives] or [problem.sense]
            identity = identity_of(compilation, space, search.name, settings) if study.kept else {}
            notes = study.begin(identity, _window(search, several, anchors, study, looks), space, senses, search.learns)
            apart = search.learns or looks.prunes or not isinstance(anchors, NoAnchors)
            crew = crew_for(compilation, response, space, where, gradients, study, apart)
            many = crew.many if isinstance(crew, Alone) and not settings.enqueue else None
            overtakes = search.learns and _limited(problem)
            if settings.callbacks:
                named = identity or {"method": search.name, "seed": str(settings.seed)}
                observer = Calling(settings.callbacks, observer, study, named, space, senses)
            run = Run(search, space, crew, study, anchors, observer, overtakes, many, looks)
            finding = run.until(problem, budget, settings.time_limit)
            finding.notes += notes
            return finding
        finally:
            study.close()


def _among_others(problem: Problem, settings: Settings, observer: Observer) -> Finding:
    """The run of one of several drivers at a study."""
    if problem.seeks_front:
        raise OptionError("shared=True: several objectives are searched by one driver; leave shared out")
    compilation = Compilation.of(problem)
    space, where, nothing = Space(compilation), where_of(settings), NoStudy()
    budget = settings.budget if settings.budget is not None else DEFAULT_BUDGET
    search = _make(space, settings, budget, nothing, seed_of_driver(settings.seed))
    gradients = granted(search, compilation)
    _equip(search, compilation, gradients)
    response = cache(partial(Response, problem, compilation=compilation, warm=False))
    looks = looks_of(problem, response, space, search, settings)
    identity = identity_of(compilation, space, search.name, settings)
    kept = registry.study_at(settings.study)
    try:
        shown = settings.study if isinstance(settings.study, str) else f"the study {kept.name}"
        shared = join(kept, shown, identity, space, [problem.sense])
        crew = crew_for(compilation, response, space, where, gradients, nothing, True)
        first = settings.enqueue
        return SharedRun(search, space, crew, observer, looks, shared, first, [problem.sense]).until(problem, budget)
    finally:
        kept.close()


def _several(search: Search, problem: Problem) -> Gradients:
    """Tell a search of the leader's several objectives; there is no gradient of a front.

    Raises
    ------
    RefusedError
        If it learns and knows one objective alone.
    """
    if search.learns and not search.fronts:
        known = [name for name in registry.catalogue(Search) if _takes_fronts(registry.get(Search, name))]
        raise RefusedError(f"{search.name} knows one upper objective; use {', '.join(known)}, or an exact method")
    search.objectives = len(problem.objectives)
    return Gradients.NONE


def _takes_fronts(part: type[Search]) -> bool:
    return part.fronts or not part.learns


def _equip(search: Search, compilation: Compilation, gradients: Gradients) -> None:
    """Give a search what goes with its gradients."""
    coupling = compilation.problem.coupling
    if not gradients:
        return
    if coupling:
        _, lower, upper = compilation.rows(coupling)
        search.coupling = lower, upper
    elif SecondOrder.takes(compilation):
        search.curvature = SecondOrder(compilation)


def _anchors(search: Search, compilation: Compilation, space: Space) -> Anchors:
    """What points start from below."""
    if not warms(compilation):
        return NoAnchors()
    names = [variable.name for follower in compilation.problem.followers for variable in follower.variables]
    return NearestAnswers(space, names, 0 if search.learns else LAG)


def _window(search: Search, several: int, anchors: Anchors, study: NoStudy, looks: Looks) -> int:
    """How many points may be out at once; many where they are stored together."""
    if search.learns or looks.prunes:
        return several  # what is known of the others stops a point
    most = _STORED if several == 1 and study.kept else _AHEAD * several
    return most if isinstance(anchors, NoAnchors) else min(most, LAG)


def _limited(problem: Problem) -> bool:
    """Whether an evaluation is one that may have to be ended."""
    return any(f.response is not None and f.limits.seconds is not None for f in problem.followers)


def _make(
    space: Space, settings: Settings, budget: int, study: NoStudy, rng: np.random.Generator | None = None
) -> Search:
    """The search by name, with the options it takes."""
    name = settings.method
    if registry.find(Search, name) is None:
        name = next(n for n in _PREFERRED if registry.find(Search, n) is not None)
        if space.size <= budget:
            name = "grid"
        name = study.identity.get("method", name)
    part = registry.get(Search, name)
    known = [p.name for p in inspect.signature(part.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    chosen = registry.find(Search, settings.method) is not None  # else some options are of other methods
    options = {option: value for option, value in settings.options.items() if chosen or option in known}
    for option in options:
        if option not in known:
            raise OptionError(f"{name} has no option {option!r}; it takes {', '.join(known) or 'none'}")
    rng = rng or np.random.default_rng(settings.seed)
    return part(space, rng, None if study.kept else budget, **options)
