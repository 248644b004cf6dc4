"""Upper points to ask about first where nothing bounds the leader: his start, and a few that are not far.

A relaxation without bounds proposes points as far out as its engine's numbers go, and an answer there, right or not,
says nothing about the F that is meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bilevel.reading.pieces import is_category, numeric_bounds
from bilevel.reading.problem import Problem
from bilevel.solvers.rounds.rounder_points import inside

_STEPS = (0.0, 1.0, -1.0, 10.0, -10.0)


def finite_points(problem: Problem) -> Iterator[dict[str, Any]]:
    """The model's own values and some steps from them, by name; none where every variable has bounds.

    Parameters
    ----------
    problem : Problem
        Whose bounds, constraints over x alone and predicates the points keep.
    """
    loose = {var.name for var in problem.unbounded}
    seen: list[dict[str, Any]] = []
    for step in _STEPS if loose else ():
        point = {var.name: _near(var, step if var.name in loose else 0.0) for var in problem.variables}
        if point not in seen and inside(problem, point):
            seen.append(point)
            yield point


def _near(var: Any, step: float) -> Any:
    if is_category(var) or var.domain.isfinite():
        return var.value if var.value in var.domain else next(iter(var.domain))
    low, high = numeric_bounds(var)
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    middle = (low + high) / 2 if math.isfinite(high - low) else 0.0
    value = min(max((middle if var.value is None else var.value) + step, low), high)
    return value if var.is_continuous() else round(value)
