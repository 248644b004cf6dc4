"""Whether a response function takes the evaluation that it is called in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from bilevel.language.lower_level import steps_of

_NAME = "trial"
_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


def trial_argument(function: Callable[..., Any], given: int) -> str | None:
    """How a response function takes its trial.

    Parameters
    ----------
    function : callable
        ``f(x, trial)``, or ``f(x, index, trial)`` of an indexed family; a parameter called ``trial`` anywhere, or one
        more than the others that has no default.
    given : int
        How many arguments it is given besides: x, and maybe its index, a state and steps.

    Returns
    -------
    str or None
        The parameter's name; empty where it is given by place; None where there is none.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of C
        return None
    if any(p.name == _NAME and p.kind is not inspect.Parameter.POSITIONAL_ONLY for p in parameters):
        return _NAME
    needed = [p for p in parameters if p.kind in _KINDS and p.default is p.empty]
    return "" if len(needed) > given else None


def arguments_of(follower: Any) -> int:
    """How many arguments a follower's response function is given besides its trial."""
    return 1 + int(follower.parent_component().is_indexed()) + 2 * int(steps_of(follower) is not None)
