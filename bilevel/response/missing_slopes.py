"""Where F or a follower has no derivative: the term to blame, so that a gradient is not lost without a word.

A root or a power has an infinite slope where its argument is zero, a logarithm none; a search by gradients, a
polynomial model and optimality conditions all stop short of such a point, and none of them knows why.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.expressions.terms import terms_of, text_of
from bilevel.expressions.translation import mentioned
from bilevel.programs.compilation import Compilation
from bilevel.reading.pieces import is_category
from bilevel.response.response import Response

NO_GRADIENT = "the gradient is not a number there"
"""Message of an evaluation that should carry one."""

_MOST_TERMS = 500


def missing_slope(compilation: Compilation, points: Iterable[tuple[Array, Array]]) -> str | None:
    """What has no derivative at the first of some points (x, y) where anything has none; None where all is well."""
    components = list(_components(compilation))
    slopes = [_slope(compilation, function) for _, _, function in components]
    for x, y in points:
        for (name, expression, _), slope in zip(components, slopes, strict=True):
            if not np.isfinite(slope(x, y).full()).all():
                return _blamed(compilation, name, expression, x, y)
    return None


def slope_missing_in_the_box(response: Response) -> list[str]:
    """The same for the middle and the corners of the box of x, as notes: at most one."""
    compilation = response.compilation
    variables = compilation.problem.variables
    if any(is_category(var) for var in variables):
        return []
    ends = [compilation.ranges[var.name] for var in variables]
    low = np.array([a if math.isfinite(a) else min(0.0, b) for a, b in ends])
    high = np.array([b if math.isfinite(b) else max(0.0, a) for a, b in ends])
    points = [(low + high) / 2, low, high]
    replies = [(x, response(x)) for x in points]
    found = missing_slope(compilation, [(x, reply.y) for x, reply in replies if reply.y is not None])
    return [] if found is None else [found]


def _components(compilation: Compilation) -> Iterator[tuple[str, Any, ca.SX]]:
    """What is differentiated, by name, with its expression."""
    problem = compilation.problem
    written = [problem.objective, *problem.constraints]
    for follower in problem.followers:
        if follower.objective is not None:
            written += [follower.written.objective, *follower.written.constraints]
    for component in written:
        expression = component.expr if hasattr(component, "sense") else component.body
        yield component.name, expression, compilation.symbol(expression, component.name)


def _slope(compilation: Compilation, function: ca.SX) -> ca.Function:
    x, y = compilation.x, compilation.all_y
    return ca.Function("slope", [x, y], [ca.gradient(function, ca.vertcat(x, y))])


def _blamed(compilation: Compilation, name: str, expression: Any, x: Array, y: Array) -> str:
    term = None
    for candidate, _ in itertools.islice(terms_of(expression, 1), _MOST_TERMS):
        if not np.isfinite(_slope(compilation, compilation.symbol(candidate, name))(x, y).full()).all():
            term = candidate
            break
    what = name if term is None else f"the term {text_of(term)} of {name}"
    variables = [*compilation.problem.variables, *compilation.problem.lower_variables]
    used = mentioned([expression if term is None else term])
    place = [f"{v.name} = {c:.6g}" for v, c in zip(variables, [*x, *y], strict=True) if id(v) in used]
    return f"{what} has no finite derivative at {', '.join(place[:6])}"
