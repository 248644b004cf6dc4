"""Functions that take their trial, isolated: it is made again in their process, and their reports come back with them.

What it is judged by is a frozen value that travels (:class:`bilevel.language.trials.trial.Terms`), so that a function
is stopped there as it would be here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bilevel.language.lower_level import Limits
from bilevel.language.trials.trial import Trial
from bilevel.response.isolation.warm import called


def tried(function: Callable[..., Any], limits: Limits, arguments: tuple[Any, ...], trial: Trial) -> tuple[str, Any]:
    """``answer``, ``pruned`` or ``failed``, and what the function gave or why; its reports become the trial's."""
    kind, found = called(function, limits, (arguments, trial.handed()))
    if kind == "failed":
        return kind, found
    what, given, reports = found
    for step, value in reports:
        trial.report(value, step)
    return what, given
