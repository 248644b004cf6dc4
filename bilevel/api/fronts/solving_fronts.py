"""``bilevel.solve`` where the leader has several objectives: which way to the front, and what is reported."""

from __future__ import annotations

import inspect
import math
from typing import Any

from bilevel import registry
from bilevel.api.asking import SEARCH_PATH
from bilevel.api.auto.choosing import DESCENT
from bilevel.api.fronts.descents import descended
from bilevel.api.fronts.exact import ExactFront, Found, solver_of, weakest
from bilevel.api.fronts.searching import can_be_enumerated, enumerated, searched, unique_answers
from bilevel.api.options import count, typed
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.deadline import Deadline, OutOfTime, heard, ringing, within
from bilevel.errors import OptionError, RefusedError
from bilevel.language.attitude import Attitude
from bilevel.reading.several.objectives import SeveralObjectives
from bilevel.results.fronts.result import FrontResult
from bilevel.verify.fronts import FrontJudge
from bilevel.verify.values_at import ValuesAt

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
OWN = {
    "points": inspect.Parameter("points", _KEYWORD, annotation=int),
    "gap": inspect.Parameter("gap", _KEYWORD, annotation=float),
}
"""The options of exact fronts, whatever the path."""
_POINTS = 20
_SECONDS = 600.0  # for an exact front where nobody set a limit


def own_options(method: str) -> dict[str, inspect.Parameter]:
    """Those that a method takes besides its own where there are several objectives."""
    return dict(OWN) if method == "auto" or registry.find(Path, method) is not None else {}


def solve_front(
    several: SeveralObjectives, settings: Settings, wishes: dict[str, Any], observer: Observer, until: Deadline
) -> FrontResult:
    """Find, verify and report a front.

    Parameters
    ----------
    several : SeveralObjectives
        The model.
    settings : Settings
        Checked, without the options of exact fronts.
    wishes : dict
        These.
    observer : Observer
        Watches the run.
    until : Deadline
        When the run ends; the verification of a search's points may take longer.

    Raises
    ------
    BilevelError
        If the method refuses the model, or an option is wrong.
    """
    points, gap = _wishes(wishes)
    _refuse_pessimists(several)
    _refuse_trials(several, settings)
    path = registry.find(Path, settings.method)
    if path is not None and path.evaluates:
        raise RefusedError(f"{settings.method} goes by one upper objective; use gp or optuna:nsga2, or an exact method")
    if path is None and settings.method != "auto":
        if wishes:
            raise OptionError(f"{', '.join(wishes)}: exact fronts take it, and {settings.method} is a search")
        return _of_search(several, _searched(several, settings, observer, until), settings.method)
    if settings.method == "auto" and can_be_enumerated(several, settings.budget):
        with within(until):
            return _of_search(several, enumerated(several, settings, observer), "grid")
    try:
        with within(until), within(Deadline.after(_SECONDS if settings.time_limit is None else None)):
            solve, patient = solver_of(settings.method, path), path is not None
            found = ExactFront(several, solve, settings, observer, points, gap, patient).run()
    except RefusedError as refusal:
        if settings.method != "auto":
            raise
        observer.said(f"no exact front: {refusal}")
        finding = _searched(several, settings, observer, until)
        finding.notes.append(f"no exact front: {refusal}")
        return _of_search(several, finding, SEARCH_PATH)
    return _of_exact(several, found)


def _searched(several: SeveralObjectives, settings: Settings, observer: Observer, until: Deadline) -> Finding:
    with within(until):
        find = descended if settings.method == DESCENT else searched
        return find(several, settings, observer)


def _wishes(wishes: dict[str, Any]) -> tuple[int, float | None]:
    """How many points, and how small a gap."""
    points = count("points", wishes.get("points", _POINTS), 2, "a front has two ends")
    gap = wishes.get("gap")
    if gap is None:
        return points, None
    gap = float(typed("gap", gap, OWN["gap"]))
    if not 0 < gap < math.inf:
        raise OptionError(f"gap={gap}: it is a share of the objectives' ranges, above 0")
    return points, gap


def _refuse_pessimists(several: SeveralObjectives) -> None:
    if several.whole.attitude is Attitude.PESSIMISTIC and not unique_answers(several):
        raise RefusedError(
            "the worst of a follower's optima is not one point where the leader has several objectives, and the answer"
            " is not proved unique here; use attitude='optimistic', or one objective"
        )


def _refuse_trials(several: SeveralObjectives, settings: Settings) -> None:
    """What stops a point early, or judges it by a mean, goes by one F."""
    asked = {"pruner": settings.pruner is not None, "repeats": settings.repeats > 1, "top": settings.top is not None}
    for option, given in asked.items():
        if given:
            raise RefusedError(
                f"{option} goes by one upper objective, and there are several ({', '.join(several.names)}); leave it"
                " out, or deactivate all but one"
            )


def _of_exact(several: SeveralObjectives, found: Found) -> FrontResult:
    result = _blank(several, found.used or "epsilon-constraint", found.verdict, found.termination)
    result.front, result.front_gap, result.notes = found.points, found.gap, found.notes
    return _completed(several, result)


def _of_search(several: SeveralObjectives, finding: Finding, method: str) -> FrontResult:
    """The front of all that was tried, verified."""
    result = _blank(several, method, Verdict.FAILED, finding.termination)
    result.history, result.evaluations = list(finding.archive), len(finding.archive)
    result.space, result.conditions, result.notes = finding.space, finding.conditions, list(finding.notes)
    judge = FrontJudge(
        several.whole, finding, unique=finding.claim is Verdict.CERTIFIED_GLOBAL and unique_answers(several)
    )
    try:
        with ringing():
            result.front = judge.points()
    except OutOfTime:
        heard()
        result.notes.append("the time was up before the front was verified; raise time_limit")
    result.notes += judge.notes
    if result.front:
        result.verdict = weakest(result.front)
        result.front_gap = 0.0 if judge.whole else None
    elif finding.claim is Verdict.INFEASIBLE:
        result.verdict = finding.claim
    return _completed(several, result)


def _blank(several: SeveralObjectives, method: str, verdict: Verdict, termination: Termination) -> FrontResult:
    return FrontResult(method, verdict, termination, senses=dict(zip(several.names, several.senses, strict=True)))


def _completed(several: SeveralObjectives, result: FrontResult) -> FrontResult:
    """In the order of the first objective, and with the compromise on the model."""
    name, sense = next(iter(result.senses.items()))
    result.front = sorted(result.front, key=lambda point: sense * point.upper_objectives[name])
    point = result.compromise
    if point is None:
        return result
    result.upper, result.lower = dict(point.upper), dict(point.lower)
    result.lower_objective, result.bilevel_gap = point.lower_objective, point.bilevel_gap
    result.upper_violation = max(p.upper_violation or 0.0 for p in result.front)
    result.lower_violation = max(p.lower_violation or 0.0 for p in result.front)
    result.read_by(ValuesAt(several.whole, point.upper, point.lower))
    several.whole.leave({**point.upper, **point.lower})
    return result
