"""Shares of a time limit: the path's, what is kept for a search, and what the verification has to itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pyomo.core.base.block import BlockData

from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.deadline import Deadline, OutOfTime, current, heard, ringing, within
from bilevel.language.lower_level import LowerLevel
from bilevel.reading.problem import Problem

_GRACE, _MORE = 1.1, 0.5  # times the time limit, and seconds more: everything has ended by then
FOR_A_POINT = 0.1, 10.0  # share of the time, and seconds at most, kept from an exact path that may come to no point
FOR_A_SEARCH = 0.2, 60.0  # the same in ``auto``, where a search follows those that come to no end


def whole(time_limit: float | None) -> Deadline:
    """By when the verification is to end, and with it the run."""
    return Deadline.after(None if time_limit is None else _GRACE * time_limit + _MORE)


def timed(path: Path, problem: Problem, settings: Settings, observer: Observer) -> Finding:
    """Run a path until its time is up; what is stopped in the middle of something finds nothing."""
    with within(Deadline.after(settings.time_limit)):
        try:
            with ringing():
                return path.run(problem, settings, observer)
        except OutOfTime:
            heard()
    note = f"{path.name}: the time was up before there was anything to show"
    return Finding(Termination.TIME_LIMIT, Verdict.FAILED, notes=[note])


def left(settings: Settings) -> float | None:
    """Seconds that are left; None where there is no limit."""
    return settings.time_limit if current().end == math.inf else max(current().left, 0.0)


def for_exact(settings: Settings, share: float, most: float) -> float | None:
    """Seconds for an exact path: what is left, less a share of it."""
    seconds = left(settings)
    return None if seconds is None else seconds - min(share * seconds, most)


@contextmanager
def each_evaluation(model: Any, seconds: float | None) -> Iterator[None]:
    """Let each call of a response function take so long, where its follower sets no limit of its own."""
    whole_model = model.model if isinstance(model, Problem) else model
    followers = []
    if seconds is not None and isinstance(whole_model, BlockData):
        followers = [f for f in whole_model.component_objects(LowerLevel) if f._response is not None]
    before = [follower._limits for follower in followers]
    for follower, limits in zip(followers, before, strict=True):
        follower._limits = replace(limits, seconds=limits.seconds or seconds, isolated=True)
    try:
        yield
    finally:
        for follower, limits in zip(followers, before, strict=True):
            follower._limits = limits
