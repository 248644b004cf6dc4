"""Points near a computed x with fewer digits.

With a nonconvex lower level F is often least where the follower is indifferent between answers that lie apart: at one
x exactly, which a computed x misses by the solver's tolerance, and there the follower answers otherwise. Such an x is
often a round number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bilevel import tolerances
from bilevel.expressions.translation import evaluator
from bilevel.reading.problem import Problem
from bilevel.verify.verifier import largest_violation

_DIGITS = range(4)  # after the point


def rounder_points(problem: Problem, upper: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The upper point with its continuous variables rounded, coarsest first, where that stays in the space.

    Parameters
    ----------
    problem : Problem
        Whose bounds, constraints over x alone and predicates the points keep.
    upper : dict
        The computed point, by name.
    """
    seen = [upper]
    for digits in _DIGITS:
        near = dict(upper)
        for var in problem.variables:
            if var.is_continuous() and not var.domain.isfinite():
                low, high = var.bounds
                value = round(upper[var.name], digits) + 0.0  # no negative zero
                value = value if low is None else max(value, low)
                near[var.name] = value if high is None else min(value, high)
        if near not in seen and inside(problem, near):
            seen.append(near)
            yield near


def inside(problem: Problem, upper: dict[str, Any]) -> bool:
    """Whether an upper point keeps the constraints over x alone and the predicates."""
    if not all(allowed.holds([upper[var.name] for var in allowed.variables]) for allowed in problem.allowed):
        return False
    evaluate = evaluator({id(var): upper[var.name] for var in problem.variables})
    return largest_violation(evaluate, problem.x_only) <= tolerances.FEASIBILITY
