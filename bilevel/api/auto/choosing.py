"""What ``auto`` does: the first exact path that accepts the model, else or after it a search."""

from __future__ import annotations

import math
from dataclasses import replace

from bilevel import registry, tolerances
from bilevel.api.asking import SEARCH_PATH
from bilevel.api.auto.by_parts import Run, by_parts
from bilevel.api.timing import FOR_A_SEARCH, for_exact, left, timed
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.convexity.uniqueness import refuse_ties
from bilevel.errors import OptionError, RefusedError, SpaceError
from bilevel.language.trials.fidelity import full, is_fidelity
from bilevel.programs.compilation import Compilation
from bilevel.reading.independent_parts import independent_parts
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.verify.check import Check
from bilevel.verify.verifier import Verifier

DESCENT = "gradient"  # the search for many real variables


_MANY = 20  # of them
_REACH = 10.0  # from a known point (times its size, where that is above 1), where a search needs a bound and has none


def walk(path: type[Path], problem: Problem, settings: Settings, observer: Observer) -> Finding:
    """Run a path, unless it would take the leader for an optimist where he is none, or knows no multipliers."""
    if problem.multipliers and not path.multipliers:
        name = problem.multipliers[0].constraint.name
        raise RefusedError(f"{path.name} knows no multipliers, and F or G has dual_of({name}); use method='kkt'")
    if not path.losses:
        _refuse_losses(problem, path.name)
    if not path.evaluates:
        _refuse_fidelity(problem, path.name)
    remarks = [] if path.conditions else problem.refuse_conditions(path.name)
    if not path.pessimistic:
        refuse_ties(problem, path.name)
    finding = timed(path(), problem, settings, observer)
    finding.notes += remarks
    return finding


def apart(path: type[Path], problem: Problem, settings: Settings, observer: Observer) -> Finding | None:
    """An exact path on each independent part; None where there are none, or the path takes but the whole."""
    parts = independent_parts(problem) if not path.evaluates else []
    if not parts:
        return None
    try:
        run: Run = lambda part, its, heard: (path.name, walk(path, part, its, heard))  # noqa: E731
        return by_parts(parts, settings, observer, run)[1]
    except RefusedError as refusal:
        observer.said(f"not part by part: {refusal}")
        return None


def _refuse_fidelity(problem: Problem, method: str) -> None:
    for var in problem.variables:
        if is_fidelity(var):
            raise RefusedError(
                f"{method} decides every upper variable, and {var.name} is a fidelity; use a search, or fix it:"
                f" {var.name}.fix({full(var)})"
            )


def _refuse_losses(problem: Problem, method: str) -> None:
    large = Compilation.of(problem).large_losses
    if large:
        raise RefusedError(
            f"{method} takes no losses over rows that are kept as arrays, as {large[0]} is; use a search"
            " (method='gradient'), or with one to three upper variables 'upper_boxes'"
        )


def choose(problem: Problem, settings: Settings, observer: Observer) -> tuple[str, Finding]:
    """The exact path that suits, and a search where there is none or where it brings home no proof."""
    used, finding, refusals = _first_exact(problem, settings, observer)
    if finding is not None and (_settled(finding) or finding.termination is Termination.INTERRUPTED):
        return used, finding
    settings = replace(settings, time_limit=left(settings))
    search = registry.get(Path, SEARCH_PATH)()
    if finding is None:
        found = searched(search, problem, settings, observer)
        functions = [follower.name for follower in problem.followers if follower.response is not None]
        if functions:  # every path says so, each in its own words
            refusals = [f"{', '.join(functions)} is answered by a Python function, of which they know nothing"]
        found.notes += [f"no exact path: {refusal}" for refusal in refusals]
        return SEARCH_PATH, found
    observer.said(f"{used} found no proof; searching for a better point")
    try:
        near = _within_reach(problem, finding) if problem.unbounded else problem
        found = better(problem, finding, timed(search, near, settings, observer))
        if near is not problem:
            names = ", ".join(var.name for var in problem.unbounded)
            found.notes.append(f"{names} without bounds: searched within {_REACH:g} of the best point known")
        return used, found
    except (SpaceError, RefusedError) as error:
        finding.notes.append(f"no search after it: {error}")
        return used, finding


def _within_reach(problem: Problem, finding: Finding) -> Problem:
    """The same on a clone in which the leader's variables that lack a bound have one, not far from a known point."""
    model = problem.model.clone()
    for var in problem.unbounded:
        mine = model.find_component(var.name)
        known = var.value if finding.upper is None else finding.upper[var.name]
        known = 0.0 if known is None else known
        reach = _REACH * max(1.0, abs(known))
        if mine.lb is None:
            mine.setlb(known - reach)
        if mine.ub is None:
            mine.setub(known + reach)
    return Problem.read(model, problem.attitude)


def searched(search: Path, problem: Problem, settings: Settings, observer: Observer) -> Finding:
    """By gradients where there are many variables and gradients, else by the default search."""
    free = all(var.is_continuous() and not var.domain.isfinite() for var in problem.variables)
    if free and len(problem.variables) >= _MANY:
        try:
            found = timed(search, problem, replace(settings, method=DESCENT), observer)
        except (RefusedError, SpaceError, OptionError):
            pass
        else:
            found.notes.append(f"{len(problem.variables)} real upper variables: searched by {DESCENT}")
            return found
    return timed(search, problem, settings, observer)


def _first_exact(problem: Problem, settings: Settings, observer: Observer) -> tuple[str, Finding | None, list[str]]:
    """Run the first exact path that does not refuse, on each independent part where there are several."""
    independent = independent_parts(problem)
    if independent:
        try:
            return *by_parts(independent, settings, observer, exactly), []
        except RefusedError as refusal:
            observer.said(f"not part by part: {refusal}")
    return _first_on_the_whole(problem, settings, observer)


def exactly(part: Problem, settings: Settings, observer: Observer) -> tuple[str, Finding]:
    """The first exact path that takes a problem as a whole.

    Raises
    ------
    RefusedError
        If none does.
    """
    name, finding, refusals = _first_on_the_whole(part, settings, observer)
    if finding is None:
        raise RefusedError("; ".join(refusals))
    return name, finding


def _first_on_the_whole(
    problem: Problem, settings: Settings, observer: Observer
) -> tuple[str, Finding | None, list[str]]:
    """Run the first exact path that does not refuse; one that came to nothing counts where no other takes it."""
    refusals: list[str] = []
    stopped: tuple[str, Finding] | None = None
    large = Compilation.of(problem).large_losses
    if large:
        refusals = [f"{large[0]} is kept as arrays, which few of them take"]
        observer.said(refusals[0])
    entries = [entry for entry in registry.catalogue(Path).values() if entry.preference > 0]
    for entry in sorted(entries, key=lambda entry: -entry.preference):  # each imported when those before it refused
        part = registry.get(Path, entry.name)
        if large and not part.losses:
            continue
        limit = for_exact(settings, *FOR_A_SEARCH)
        limit = limit if limit is None else part.share * limit
        try:
            found = walk(part, problem, replace(settings, time_limit=limit), observer)
        except RefusedError as refusal:
            refusals.append(f"{part.name}: {refusal}")
            observer.said(f"refused by {refusals[-1]}")
            continue
        if part.share < 1.0 and _came_to_nothing(found):
            refusals.append(f"{part.name}: its share of the time was up before there was anything to show")
            observer.said(refusals[-1])
            stopped = stopped or (part.name, found)
            continue
        return part.name, found, refusals
    return (*stopped, refusals) if stopped is not None and problem.unbounded else ("auto", None, refusals)


def _came_to_nothing(finding: Finding) -> bool:
    """Whether a path was stopped before it had a point or a bound."""
    nothing = finding.upper is None and finding.bound is None and finding.claim is Verdict.FAILED
    return nothing and finding.termination is Termination.TIME_LIMIT


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


def better(problem: Problem, exact: Finding, searched: Finding) -> Finding:
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
    slack = tolerances.OPTIMALITY * tolerances.scale(cost)
    if searched.claim is Verdict.CERTIFIED_GLOBAL and best.cost <= cost + slack:  # it tried every point there is
        exact.upper, exact.lower, exact.claim = best.upper, best.lower, Verdict.CERTIFIED_GLOBAL
        exact.bound, exact.termination = searched.bound, searched.termination
        return exact
    if not best.cost < cost - slack:
        return exact
    exact.upper, exact.lower, exact.claim = best.upper, best.lower, Verdict.BEST_FOUND
    if exact.bound is not None and Compilation.of(problem).closes(best.cost, problem.sense * exact.bound):
        exact.claim = Verdict.CERTIFIED_GLOBAL
    exact.notes.append("the point is the search's: it beats what the exact path had")
    return exact
