"""The large sums of squares in an objective, as they were written: ``weight * sum_k scale_k base_k^2``.

Found by taking the expression apart from its root: through sums, signs, quotients and products with factors in which no
variable of the follower stands. Nothing is multiplied out, and no square is looked into.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pyomo.core.expr import numeric_expr as ne

from bilevel.language.data_term import DataTerm

_LONGEST_WEIGHT = 50  # nodes of a factor: longer ones are not looked through for the follower's variables

Factors = tuple[tuple[Any, int], ...]
"""Expressions and the power, 1 or -1, with which they multiply."""


@dataclass
class SumOfSquares:
    """Squares with a common weight.

    Attributes
    ----------
    factors : Factors
        Whose product is the weight.
    sign : float
        Of the weight, 1 or -1.
    scales : list of float
        Above zero, one per square.
    bases : list of Pyomo expressions
        What is squared.
    """

    factors: Factors
    sign: float
    scales: list[float] = field(default_factory=list)
    bases: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Term:
    """``number * product of factors * expression``."""

    number: float
    factors: Factors
    expression: Any


def taken_apart(
    expression: Any, variables: Collection[int], number: float = 1.0
) -> tuple[list[SumOfSquares], list[Term]]:
    """Split ``number * expression`` into sums of squares and the terms that are none.

    Parameters
    ----------
    expression : Pyomo expression
        An objective.
    variables : collection of int
        Ids of the variables that may not stand in a weight.
    number : float
        What all of it is multiplied with.
    """
    sums: dict[tuple[Any, ...], SumOfSquares] = {}
    others: list[Term] = []
    seen: set[int] = set()
    stack = [Term(number, (), expression)]
    while stack:
        term = stack.pop()
        parts = _parts(term, variables, seen)
        if parts is not None:
            stack.extend(reversed(parts))
            continue
        base = _squared(term.expression)
        if base is None or term.number == 0.0:
            others.append(term)
            continue
        sign = 1.0 if term.number > 0.0 else -1.0
        key = (sign, *((id(factor), power) for factor, power in term.factors))
        found = sums.setdefault(key, SumOfSquares(term.factors, sign))
        found.scales.append(abs(term.number))
        found.bases.append(base)
    return list(sums.values()), others


def _parts(term: Term, variables: Collection[int], seen: set[int]) -> list[Term] | None:
    """What a term is the sum of, weights taken over; None where it is to be left as it is."""
    node = term.expression
    match node:
        case ne.MonomialTermExpression():
            return None
        case ne.SumExpression() | ne.LinearExpression():
            return [Term(term.number, term.factors, part) for part in node.args]
        case ne.NegationExpression():
            return [Term(-term.number, term.factors, node.args[0])]
        case ne.ProductExpression():
            left, right = node.args
            if left is right:
                return None
            return _weighed(term, left, 1, right, variables) or _weighed(term, right, 1, left, variables)
        case ne.DivisionExpression():
            return _weighed(term, node.args[1], -1, node.args[0], variables)
    named = getattr(node, "is_named_expression_type", bool)() and not isinstance(node, DataTerm)
    if not named or node.args[0] is None or id(node) in seen:
        return None
    seen.add(id(node))
    return [Term(term.number, term.factors, node.args[0])]


def _weighed(term: Term, factor: Any, power: int, rest: Any, variables: Collection[int]) -> list[Term] | None:
    """The rest with the factor among its weights, where it is one."""
    if factor.__class__ in (int, float):
        if power < 0 and factor == 0:
            return None
        return [Term(term.number * factor if power > 0 else term.number / factor, term.factors, rest)]
    if not _is_weight(factor, variables):
        return None
    return [Term(term.number, (*term.factors, (factor, power)), rest)]


def _is_weight(factor: Any, variables: Collection[int]) -> bool:
    """Whether none of the variables stands in a short expression."""
    stack, nodes = [factor], 0
    while stack:
        node = stack.pop()
        nodes += 1
        if nodes > _LONGEST_WEIGHT or id(node) in variables or isinstance(node, DataTerm):
            return False
        if hasattr(node, "is_expression_type") and node.is_expression_type():
            stack.extend(node.args)
    return True


def _squared(node: Any) -> Any:
    """What is squared, or None."""
    if isinstance(node, ne.PowExpression) and node.args[1].__class__ in (int, float) and node.args[1] == 2:
        return node.args[0]
    product = isinstance(node, ne.ProductExpression) and not isinstance(node, ne.MonomialTermExpression)
    return node.args[0] if product and node.args[0] is node.args[1] else None
