"""Followers' variables that no objective below mentions, and what they say about an unbounded F.

Such a variable is the follower's to decide, and he does not care: any value that the constraints of his level allow is
part of an optimal answer. The optimistic leader takes the best one, and where F falls without end along it F is
unbounded, at that x already. An engine that is asked for the best of the follower's optima there has no answer, or
gives its own word for infinity.

F falls without end, as far as numbers tell, where it falls at every step from 1 to far beyond the largest number that
any solver takes for finite, by no less from step to step, all constraints of both levels hold at each, and it ends far
down. One that comes to rest falls by less and less, and one that turns back does so at numbers that nobody writes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from bilevel import tolerances
from bilevel.expressions.translation import Translator, evaluator, mentioned
from bilevel.language.attitude import Attitude
from bilevel.reading.pieces import is_category, numeric_bounds
from bilevel.reading.problem import Problem

_STEPS = [10.0**k for k in range(0, 61, 2)]
_DEEP = -1e6
_TOGETHER = 5  # variables that are moved together, in 3**5 directions
_MOST = 50  # that are moved one by one


def free_riders(problem: Problem) -> tuple[Any, ...]:
    """Followers' variables without a bound on some side that F mentions and no objective below; an optimist's alone."""
    if problem.attitude is not Attitude.OPTIMISTIC:
        return ()
    inside = mentioned([problem.objective.expr])
    loose = [v for f in problem.followers if f.objective is not None for v in f.written.variables if id(v) in inside]
    loose = [var for var in loose if None in numeric_bounds(var)]
    if not loose:
        return ()
    minded = mentioned([w.objective.expr for w in (f.written for f in problem.followers) if w.objective is not None])
    return tuple(var for var in loose if id(var) not in minded)[:_MOST]


def falls_without_end(problem: Problem, upper: dict[str, Any], lower: dict[str, Any]) -> str | None:
    """At a bilevel-feasible point: along which free riders F is unbounded, in words, or None."""
    riders = free_riders(problem)
    values = {id(v): float(upper[v.name]) for v in problem.variables if not is_category(v)} if riders else {}
    values |= {id(v): lower[problem.names[id(v)]] for v in problem.reported_variables}

    def moved(direction: list[tuple[Any, int]], step: float) -> Translator:
        return evaluator({**values, **{id(var): values[id(var)] + sign * step for var, sign in direction}})

    for direction in _directions(riders):
        costs = [problem.sense * float(moved(direction, step)(problem.objective.expr)) for step in _STEPS]
        if _deep(costs) and all(_holds(problem, moved(direction, step)) for step in _STEPS):
            names = " and ".join(f"{var.name} to {'minus ' if sign < 0 else ''}infinity" for var, sign in direction)
            return f"F falls without end as the follower, to whom it makes no difference, takes {names}"
    return None


def _deep(costs: list[float]) -> bool:
    """Whether they fall, by no less from step to step, far down."""
    falls = [earlier - later for earlier, later in itertools.pairwise(costs)]
    faster = all(later >= earlier for earlier, later in itertools.pairwise(falls))
    return costs[-1] < _DEEP and falls[0] > 0.0 and faster


def _holds(problem: Problem, evaluate: Translator) -> bool:
    rows = itertools.chain(problem.constraints, *(follower.written.constraints for follower in problem.followers))
    for row in rows:
        body = float(evaluate(row.body))
        low, high = -math.inf if row.lb is None else row.lb, math.inf if row.ub is None else row.ub
        slack = tolerances.FEASIBILITY
        if not low - slack * tolerances.scale(low) <= body <= high + slack * tolerances.scale(high):
            return False
    return True


def _directions(riders: tuple[Any, ...]) -> Iterator[list[tuple[Any, int]]]:
    """One by one first, then together."""
    ends = [_signs(var) for var in riders]
    for var, signs in zip(riders, ends, strict=True):
        yield from ([(var, sign)] for sign in signs if sign)
    if 1 < len(riders) <= _TOGETHER:
        for signs in itertools.product(*ends):
            moving = [(var, sign) for var, sign in zip(riders, signs, strict=True) if sign]
            if len(moving) > 1:
                yield moving


def _signs(var: Any) -> tuple[int, ...]:
    low, high = numeric_bounds(var)
    return (0, *((-1,) if low is None else ()), *((1,) if high is None else ()))
