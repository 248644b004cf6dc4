"""A problem solved part by part: points put together, bounds added, a verdict no better than the weakest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.settings import Settings
from bilevel.deadline import Deadline, within
from bilevel.reading.problem import Problem

Run = Callable[[Problem, Settings, Observer], tuple[str, Finding]]

DEFAULT_TIME_LIMIT = 60.0  # seconds for all parts together
_LEAST = 1.0
_RANK = [Verdict.FAILED, Verdict.BEST_FOUND, Verdict.VERIFIED_LOCAL, Verdict.CERTIFIED_GLOBAL]
_WORST_FIRST = [Termination.ERROR, Termination.TIME_LIMIT, Termination.STALLED, Termination.BUDGET]
_MOST_NOTES = 12


class _Heard(Observer):
    """Passes on what is said; the bound of one part is none on F."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def said(self, message: str) -> None:
        self._observer.said(message)


def by_parts(parts: Sequence[Problem], settings: Settings, observer: Observer, run: Run) -> tuple[str, Finding]:
    """Solve every part by itself.

    Parameters
    ----------
    parts : sequence of Problem
        From :func:`bilevel.reading.independent_parts.independent_parts`.
    settings : Settings
        Their time limit is for all.
    observer : Observer
        Hears what is said of each.
    run : callable
        Solves one: the name of the path that did, and what it found.

    Raises
    ------
    RefusedError
        If one is refused.
    """
    until = time.monotonic() + (settings.time_limit or DEFAULT_TIME_LIMIT)
    names: list[str] = []
    found: list[Finding] = []
    for place, part in enumerate(parts):
        left = max(_LEAST, (until - time.monotonic()) / (len(parts) - place))
        observer.said(f"part {place + 1} of {len(parts)}: {', '.join(f.name for f in part.followers[:3])}")
        with within(Deadline.after(left)):
            name, finding = run(part, replace(settings, time_limit=left), _Heard(observer))
        names.append(name)
        found.append(finding)
        if finding.claim is Verdict.INFEASIBLE or finding.termination is Termination.INTERRUPTED:
            break
    return "+".join(dict.fromkeys(names)), _together(parts, found)


def _together(parts: Sequence[Problem], found: Sequence[Finding]) -> Finding:
    notes = [f"F and the followers fall into {len(parts)} independent parts, each solved by itself"]
    notes += list(dict.fromkeys(note for finding in found for note in finding.notes))[:_MOST_NOTES]
    convexity = found[0].convexity if len({finding.convexity for finding in found}) == 1 else "unknown"
    whole = Finding(_termination(found), Verdict.FAILED, convexity=convexity, notes=notes)
    if found[-1].claim is Verdict.INFEASIBLE:
        whole.claim, whole.termination = Verdict.INFEASIBLE, found[-1].termination
        return whole
    if len(found) < len(parts):
        return whole
    bounds = [finding.bound for finding in found if finding.bound is not None]
    whole.bound = sum(bounds) if len(bounds) == len(parts) else None
    if any(finding.claim is Verdict.UNBOUNDED for finding in found):
        # The other parts have points, or nothing is true of the whole.
        if all(f.claim is Verdict.UNBOUNDED or f.claim is Verdict.CERTIFIED_GLOBAL for f in found):
            whole.claim = Verdict.UNBOUNDED
        return whole
    if any(finding.upper is None for finding in found):
        return whole
    whole.claim = min((finding.claim for finding in found), key=_RANK.index)
    whole.upper = {name: value for finding in found for name, value in (finding.upper or {}).items()}
    if all(finding.lower is not None for finding in found):
        whole.lower = {name: value for finding in found for name, value in (finding.lower or {}).items()}
    return whole


def _termination(found: Sequence[Finding]) -> Termination:
    """The worst of the parts'."""
    met = {finding.termination for finding in found}
    if Termination.INTERRUPTED in met:
        return Termination.INTERRUPTED
    return next((reason for reason in _WORST_FIRST if reason in met), Termination.OPTIMALITY)
