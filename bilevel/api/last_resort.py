"""A point all the same: where a path came to none that stands, a short search finds one within what time is left."""

from __future__ import annotations

import math
from dataclasses import replace

from bilevel import registry
from bilevel.api.asking import SEARCH_PATH
from bilevel.api.auto.choosing import better, searched
from bilevel.api.timing import timed
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.deadline import Deadline, OutOfTime, current, heard, ringing, within
from bilevel.errors import BilevelError
from bilevel.reading.problem import Problem
from bilevel.results.result import Result
from bilevel.verify.judging import judged

_SEARCHING = 10.0  # seconds where nobody set a limit
_SHORT = 5.0  # seconds in which the default search would hardly be made ready
_QUICK = "random"  # the search that is ready at once


def verified(problem: Problem, finding: Finding, method: str) -> Result:
    """The result of a finding; without a point where even the verification takes longer than there is."""
    try:
        with ringing():
            return judged(problem, finding, method)
    except OutOfTime:
        heard()
    finding.upper, finding.lower, finding.claim = None, None, Verdict.FAILED
    finding.termination = Termination.TIME_LIMIT
    finding.notes.append("the time was up before the point found was verified; raise time_limit")
    return judged(problem, finding, method)


def with_a_point(
    result: Result, problem: Problem, finding: Finding, settings: Settings, observer: Observer, end: Deadline
) -> Result:
    """The same result where it holds a point, or says why there is none; else one with a search's point."""
    if result.verdict is not Verdict.FAILED or finding.termination is Termination.INTERRUPTED:
        return result
    path = registry.find(Path, result.method)
    if (path is None or path.evaluates) and len(finding.archive):
        return result  # a search that has looked
    came_to_none = finding.upper is None
    late = end if end.end == math.inf else Deadline((end.end + current().end) / 2.0)
    with within(late):
        found = _search(problem, settings, observer)
    if found is None or found.upper is None:
        return result
    finding.upper, finding.lower, finding.claim = None, None, Verdict.FAILED
    finding = better(problem, finding, found)
    finding.claim = finding.claim if came_to_none else Verdict.BEST_FOUND
    return verified(problem, finding, result.method)


def _search(problem: Problem, settings: Settings, observer: Observer) -> Finding | None:
    """What a search finds in the time that is left."""
    left = min(current().left, _SEARCHING)
    if left <= 0.0:
        return None
    observer.said(f"{settings.method} came to no point; searching for one")
    asked = replace(
        settings, method="auto", time_limit=left, workers=1, study=None, shared=False, pruner=None, options={}
    )
    path = registry.get(Path, SEARCH_PATH)()
    try:
        if left < _SHORT:
            return timed(path, problem, replace(asked, method=_QUICK), observer)
        return searched(path, problem, asked, observer)
    except BilevelError:
        return None
