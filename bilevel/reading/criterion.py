"""What a follower goes by, where that is simpler than the objective that was written: the same optima, more digits.

An even power of an expression is least, and greatest, where its square is: ``argmin c h^4 = argmin c h^2``. But the
fourth power is flat where h is small: an f right to 1e-12 leaves h at 1e-3, and F with it. So the square is what is
compiled, differentiated and proved convex; f itself is computed from it for reports.

Terms that no variable of the follower's enters, a constant of a million say, are left out: tolerances on f are relative
to its size, and such a term lets y move without being noticed.

An objective in small units is flat everywhere: where no derivative comes near one, an f right to 1e-9 says little
about y. In large units no solver gets that far. It is multiplied with a power of two that brings the largest derivative
at a few points to about one; where all are large, the smallest of them, so that none gets lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import casadi as ca
import numpy as np
from pyomo.core.expr import (
    LinearExpression,
    MonomialTermExpression,
    NegationExpression,
    PowExpression,
    ProductExpression,
    SumExpression,
)

from bilevel.errors import BilevelError
from bilevel.expressions.terms import degree_of
from bilevel.expressions.translation import mentioned, to_casadi
from bilevel.graphs.steepness import scale_of
from bilevel.language.data_term import DataTerm

_LONGEST = 2000  # nodes of an objective beyond which nobody looks at its derivatives


@dataclass(frozen=True)
class Criterion:
    """Stands in the place of an Objective.

    Attributes
    ----------
    stated : ObjectiveData
        The objective that was written, ``factor h^(2 half)``.
    expr : Pyomo expression
        ``scale factor h^2``; where f is no power, ``scale (f - aside)``.
    factor : float
        Not zero.
    half : int
        At least 1, which it is where f is no power.
    scale : float
        Above zero.
    aside : Pyomo expression or float
        The terms left out; polynomials of the other variables.
    """

    stated: Any
    expr: Any
    factor: float = 1.0
    half: int = 1
    scale: float = 1.0
    aside: Any = 0.0

    @property
    def name(self) -> str:
        """The objective's."""
        return str(self.stated.name)

    @property
    def sense(self) -> Any:
        """The objective's."""
        return self.stated.sense

    def deactivate(self) -> None:
        """Deactivate the objective."""
        self.stated.deactivate()

    def value(self, own: float, aside: float = 0.0) -> float:
        """The objective's value where the criterion's is ``own``, and what was left out comes to ``aside``."""
        return float(self.factor * (own / (self.scale * self.factor)) ** self.half) + aside


def criterion_of(objective: Any, variables: Sequence[Any]) -> Any:
    """The objective of some variables, or what stands in its place."""
    found = _square_of(objective)
    if found is objective:
        found = _without_others(objective, variables)
    scale = _scale(found.expr, variables)
    if scale == 1.0:
        return found
    if isinstance(found, Criterion):
        return replace(found, expr=scale * found.expr, scale=scale)
    return Criterion(objective, scale * found.expr, scale=scale)


def _without_others(objective: Any, variables: Sequence[Any]) -> Any:
    """The objective without the terms that mention none of the variables. Long ones stay as they are."""
    if _is_long(objective.expr):
        return objective
    own = {id(var) for var in variables}
    kept: list[Any] = []
    aside: list[Any] = []
    for sign, term in _terms(objective.expr):
        alone = own.isdisjoint(mentioned([term])) and (not _varies(term) or degree_of(term) is not None)
        (aside if alone else kept).append(term if sign > 0 else -term)
    if not aside or not kept:
        return objective
    rest = sum(aside)
    return Criterion(objective, sum(kept), aside=rest if _varies(rest) else _number(rest))


def _terms(expression: Any) -> list[tuple[int, Any]]:
    """What a sum adds up, each with its sign, in order."""
    found, stack = [], [(1, expression)]
    while stack:
        sign, node = stack.pop()
        if isinstance(node, (SumExpression, LinearExpression)):
            stack += [(sign, arg) for arg in reversed(node.args)]
        elif isinstance(node, NegationExpression):
            stack.append((-sign, node.args[0]))
        elif getattr(node, "is_named_expression_type", bool)() and not isinstance(node, DataTerm):
            if node.expr is None:  # named where it is translated
                return [(sign, node)]
            stack.append((sign, node.expr))
        else:
            found.append((sign, node))
    return found


def _scale(expression: Any, variables: Sequence[Any]) -> float:
    """See :func:`bilevel.graphs.steepness.scale_of`. Long expressions are left as they are."""
    if _is_long(expression):
        return 1.0
    found = mentioned([expression])
    symbols = {key: ca.SX.sym("v") for key in found}
    own = [symbols[id(var)] for var in variables if id(var) in symbols]
    if not own:
        return 1.0
    try:
        f = ca.SX(to_casadi(lambda node: symbols.get(id(node)))(expression))
        ends = [_ends(var) for var in found.values()]
    except (BilevelError, ValueError):
        return 1.0  # who compiles it will say what is wrong
    low, high = np.array(ends).T
    return scale_of(f, ca.vertcat(*symbols.values()), low, high, ca.vertcat(*own))


def _ends(var: Any) -> tuple[float, float]:
    low, high = getattr(var, "lb", None), getattr(var, "ub", None)
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)


def _is_long(expression: Any) -> bool:
    stack, nodes = [expression], 0
    while stack:
        node = stack.pop()
        nodes += 1
        if nodes > _LONGEST:
            return True
        if isinstance(node, DataTerm):
            nodes += node.size
        elif hasattr(node, "is_expression_type") and node.is_expression_type():
            stack.extend(node.args)
    return nodes > _LONGEST


def _square_of(objective: Any) -> Any:
    """The objective, or the criterion in its place where it is a power."""
    factor, power = 1.0, objective.expr
    if isinstance(power, ProductExpression) and not isinstance(power, MonomialTermExpression):
        left, right = power.args
        if not _varies(left):
            factor, power = _number(left), right
    if not isinstance(power, PowExpression) or factor == 0.0:
        return objective
    base, exponent = power.args
    if _varies(exponent) or not _varies(base):
        return objective
    half = _number(exponent) / 2.0
    if half < 2.0 or half != int(half):
        return objective
    return Criterion(objective, factor * base**2, factor, int(half))


def _varies(expression: Any) -> bool:
    return bool(getattr(expression, "is_potentially_variable", bool)())


def _number(expression: Any) -> float:
    return float(expression() if callable(expression) else expression)
