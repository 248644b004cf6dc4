"""``bilevel.solve``: read, solve by a method's name, verify, report."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

from bilevel import registry, tolerances
from bilevel.contracts.engine import Engine, Observer, Path, Search, Settings, Treatment
from bilevel.convexity.uniqueness import refuse_ties
from bilevel.errors import OptionError, RefusedError, SpaceError, UnknownNameError
from bilevel.language.attitude import Attitude
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.results.result import Finding, Result, Termination, Verdict
from bilevel.verify.judging import judged
from bilevel.verify.verifier import Check, Verifier

SEARCH_PATH = "search"
DESCENT = "gradient"  # the search for many real variables
_MANY = 20  # of them
_GRACE = 1.2  # of the time limit, by which the verification is to end too


def solve(
    model: Any,
    method: str = "auto",
    *,
    budget: int | None = None,
    seed: int = 0,
    time_limit: float | None = None,
    complementarity: str = "auto",
    engine: str = "auto",
    allow_nonconvex: bool = False,
    attitude: str = "optimistic",
    workers: int = 1,
    study: str | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Result:
    """Solve a bilevel model and verify the answer.

    Parameters
    ----------
    model : ConcreteModel
        Holds at least one ``LowerLevel``. Its variables take the values of the answer, both levels.
    method : str
        ``auto``, ``kkt``, or the name of a search (``grid``, ``random``, ...). ``name:variant`` passes the variant to
        the search as its ``sampler`` option. ``auto`` is the first exact path that accepts the model, else a search.
    budget : int, optional
        Largest number of upper points a search evaluates; 100 where nothing is said.
    seed : int
        Of every random choice.
    time_limit : float, optional
        Seconds; the KKT path takes 60 where nothing is said.
    complementarity, engine : str
        The treatment and the engine of the KKT path.
    allow_nonconvex : bool
        Let the KKT path go on where convexity is not proved; the verdict is then at most ``best_found``.
    attitude : str
        Which of several optima of the follower counts: ``optimistic``, the best for the leader that meets the coupling
        constraints, or ``pessimistic``, the worst, and all have to meet them (:mod:`bilevel.language.attitude`).
    workers : int
        Processes that evaluate upper points. A search that does not learn has the same history with any number; one
        that does proposes so many points before it is told of the first.
    study : str, optional
        ``sqlite:///study.db``: a search stores every evaluated point there. Called again with the same study, after an
        end or a crash, it goes on as if it had never stopped. Such a search knows no budget beforehand.
    observer : Observer, optional
        Watches the run.
    **options
        The search's own.

    Returns
    -------
    Result
        Also after an interrupt (Ctrl-C), with what was found by then.

    Raises
    ------
    BilevelError
        If the model or the call is wrong, or the method refuses the model.
    """
    began = time.perf_counter()
    deadline = math.inf if time_limit is None else time.monotonic() + _GRACE * time_limit
    settings = _settings(
        method, budget, seed, time_limit, complementarity, engine, allow_nonconvex, attitude, workers, study, options
    )
    observer = observer or Observer()
    problem = Problem.read(model, attitude)
    observer.started(method, settings)
    try:
        used, finding = _run(problem, settings, observer)
        result = judged(problem, finding, used, deadline)
    finally:
        observer.finished(method)
    result.seconds = time.perf_counter() - began
    return result


def _settings(
    method: str,
    budget: int | None,
    seed: int,
    time_limit: float | None,
    complementarity: str,
    engine: str,
    allow_nonconvex: bool,
    attitude: str,
    workers: int,
    study: str | None,
    options: dict[str, Any],
) -> Settings:
    if budget is not None and budget < 1:
        raise OptionError(f"budget={budget}: at least one evaluation is needed")
    if time_limit is not None and not time_limit > 0:
        raise OptionError(f"time_limit={time_limit}: must be positive")
    if workers < 1:
        raise OptionError(f"workers={workers}: at least one process has to do the work")
    if attitude not in list(Attitude):
        raise OptionError(f"attitude={attitude!r}: there are {' and '.join(Attitude)}")
    name, _, variant = method.partition(":")
    if variant:
        options = {**options, "sampler": variant}
    if name != "auto" and registry.find(Path, name) is None and registry.find(Search, name) is None:
        names = ", ".join(["auto", *method_names()])
        raise UnknownNameError(f"no method is called {method!r}; there are: {names}")
    if complementarity != "auto":
        registry.get(Treatment, complementarity)
    if engine != "auto":
        registry.get(Engine, engine)
    return Settings(
        name, budget, int(seed), time_limit, complementarity, engine, allow_nonconvex, attitude, workers, study, options
    )


def method_names() -> list[str]:
    """What ``method`` may be, besides ``auto``."""
    paths = [name for name in registry.catalogue(Path) if name != SEARCH_PATH]
    return paths + list(registry.catalogue(Search))


def _run(problem: Problem, settings: Settings, observer: Observer) -> tuple[str, Finding]:
    """Run the method; the name of what ran, and what it found."""
    if settings.method == "auto":
        return _auto(problem, settings, observer)
    path = registry.find(Path, settings.method) or registry.get(Path, SEARCH_PATH)
    finding = _walk(path, problem, settings, observer)
    if path.name != SEARCH_PATH:
        finding.notes += _unused(path.name, settings)
    return settings.method, finding


def _unused(name: str, settings: Settings) -> list[str]:
    """What was asked for and is of no use to a path that is no search."""
    asked = {f"workers={settings.workers}": settings.workers > 1, f"study={settings.study}": settings.study is not None}
    return [f"{option} was not used: {name} is no search over upper points" for option, given in asked.items() if given]


def _walk(path: type[Path], problem: Problem, settings: Settings, observer: Observer) -> Finding:
    """Run a path, unless it would take the leader for an optimist where he is none, or knows no multipliers."""
    if problem.multipliers and not path.multipliers:
        name = problem.multipliers[0].constraint.name
        raise RefusedError(f"{path.name} knows no multipliers, and F or G has dual_of({name}); use method='kkt'")
    remarks = [] if path.conditions else problem.refuse_conditions(path.name)
    if not path.pessimistic:
        refuse_ties(problem, path.name)
    finding = path().run(problem, settings, observer)
    finding.notes += remarks
    return finding


def _auto(problem: Problem, settings: Settings, observer: Observer) -> tuple[str, Finding]:
    """The exact path that suits, and a search where there is none or where it brings home no proof."""
    began = time.monotonic()
    used, finding, refusals = _first_exact(problem, settings, observer)
    if finding is not None and (_settled(finding) or finding.termination is Termination.INTERRUPTED):
        return used, finding
    if settings.time_limit is not None:
        settings = replace(settings, time_limit=max(1.0, settings.time_limit - (time.monotonic() - began)))
    search = registry.get(Path, SEARCH_PATH)()
    if finding is None:
        found = _searched(search, problem, settings, observer)
        found.notes += [f"no exact path: {refusal}" for refusal in refusals]
        return SEARCH_PATH, found
    observer.said(f"{used} found no proof; searching for a better point")
    try:
        return used, _better(problem, finding, search.run(problem, settings, observer))
    except (SpaceError, RefusedError) as error:
        finding.notes.append(f"no search after it: {error}")
        return used, finding


def _searched(search: Path, problem: Problem, settings: Settings, observer: Observer) -> Finding:
    """By gradients where there are many variables and gradients, else by the default search."""
    free = all(var.is_continuous() and not var.domain.isfinite() for var in problem.variables)
    if free and len(problem.variables) >= _MANY:
        try:
            found = search.run(problem, replace(settings, method=DESCENT), observer)
        except (RefusedError, SpaceError, OptionError):
            pass
        else:
            found.notes.append(f"{len(problem.variables)} real upper variables: searched by {DESCENT}")
            return found
    return search.run(problem, settings, observer)


def _first_exact(problem: Problem, settings: Settings, observer: Observer) -> tuple[str, Finding | None, list[str]]:
    """Run the first exact path that does not refuse."""
    parts = [registry.get(Path, name) for name in registry.catalogue(Path)]
    refusals: list[str] = []
    began = time.monotonic()
    for part in sorted((p for p in parts if p.preference > 0), key=lambda p: -p.preference):
        limit = None
        if settings.time_limit is not None:
            limit = part.share * max(1.0, settings.time_limit - (time.monotonic() - began))
        try:
            return part.name, _walk(part, problem, replace(settings, time_limit=limit), observer), refusals
        except RefusedError as refusal:
            refusals.append(f"{part.name}: {refusal}")
            observer.said(f"refused by {refusals[-1]}")
    return "auto", None, refusals


def _settled(finding: Finding) -> bool:
    return finding.claim in (Verdict.CERTIFIED_GLOBAL, Verdict.INFEASIBLE, Verdict.UNBOUNDED)


def _cost_of(problem: Problem, exact: Finding, rival: float) -> float:
    """F of an exact path's point, minimised, as the verification will judge it; infinite where it does not stand.

    The verification itself is asked only where it decides: where a rival's F is between that of the path's own y and
    that of the answer with ties broken anew.
    """
    if exact.upper is None:
        return math.inf
    compilation = Compilation.of(problem)
    response = Response(problem, compilation=compilation)
    reply = response(response.vector(exact.upper))
    again = reply.cost if reply.violation <= tolerances.FEASIBILITY else math.inf
    if exact.lower is None or again <= rival:
        return again
    check = Verifier(compilation, response).check(exact.upper, exact.lower)
    return problem.sense * check.upper_objective if isinstance(check, Check) and check.stands else again


def _better(problem: Problem, exact: Finding, searched: Finding) -> Finding:
    """The better of two points; the proved bound stays, the history is the search's with the exact path's in front."""
    best = searched.archive.incumbent
    exact.notes += searched.notes
    if not len(exact.archive):
        exact.space, exact.conditions = searched.space, searched.conditions
    exact.archive.extend(searched.archive)
    if searched.termination is Termination.INTERRUPTED:
        exact.termination = Termination.INTERRUPTED
    if best is None:
        return exact
    cost = _cost_of(problem, exact, best.cost)
    if not best.cost < cost - tolerances.OPTIMALITY * tolerances.scale(cost):
        return exact
    exact.upper, exact.lower, exact.claim = best.upper, best.lower, Verdict.BEST_FOUND
    if exact.bound is not None and Compilation.of(problem).closes(best.cost, problem.sense * exact.bound):
        exact.claim = Verdict.CERTIFIED_GLOBAL
    exact.notes.append("the point is the search's: it beats what the exact path had")
    return exact
