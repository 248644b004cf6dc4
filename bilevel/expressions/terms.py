"""A Pyomo expression's terms, to name the one to blame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyomo.core.expr import numeric_expr as ne

from bilevel.language.data_term import DataTerm


def degree_of(expression: Any) -> int | None:
    """Its degree as a polynomial; None where it is none, or where Pyomo, asked for it, divides by zero."""
    try:
        degree: int | None = expression.polynomial_degree()
    except (ArithmeticError, TypeError, ValueError):  # what is no number is named by whoever translates it
        return None
    return degree


def terms_of(expression: Any, sign: int) -> Iterator[tuple[Any, int]]:
    """The terms of a Pyomo sum, with their signs."""
    stack = [(expression, sign)]
    while stack:
        node, sign = stack.pop()
        if isinstance(node, (ne.SumExpression, ne.LinearExpression)):
            stack += [(arg, sign) for arg in reversed(node.args)]
        elif isinstance(node, ne.NegationExpression):
            stack.append((node.args[0], -sign))
        elif hasattr(node, "is_named_expression_type") and node.is_named_expression_type():
            stack.append((node.expr, sign))
        else:
            yield node, sign


def scaled_terms(expression: Any) -> Iterator[tuple[Any, float]]:
    """The terms of a Pyomo sum with constant factors, through sums and products with numbers; in a fixed order."""
    stack = [(expression, 1.0)]
    while stack:
        node, factor = stack.pop()
        if isinstance(node, (ne.SumExpression, ne.LinearExpression)):
            stack += [(arg, factor) for arg in reversed(node.args)]
        elif isinstance(node, ne.NegationExpression):
            stack.append((node.args[0], -factor))
        elif isinstance(node, ne.ProductExpression) and _is_number(node.args[0]):
            stack.append((node.args[1], factor * float(node.args[0])))
        elif isinstance(node, ne.ProductExpression) and _is_number(node.args[1]):
            stack.append((node.args[0], factor * float(node.args[1])))
        elif isinstance(node, ne.DivisionExpression) and _is_number(node.args[1]):
            stack.append((node.args[0], factor / float(node.args[1])))
        elif _is_named(node) and not isinstance(node, DataTerm):
            stack.append((node.expr, factor))
        else:
            yield node, factor


def _is_number(node: Any) -> bool:
    return isinstance(node, (int, float)) and node != 0


def _is_named(node: Any) -> bool:
    return hasattr(node, "is_named_expression_type") and bool(node.is_named_expression_type())


def text_of(term: Any) -> str:
    """A term as written, where that is short."""
    stack, count, names = [term], 0, []
    while stack and count < 60:
        node = stack.pop()
        count += 1
        if hasattr(node, "is_expression_type") and node.is_expression_type():
            stack += node.args
        elif hasattr(node, "is_variable_type") and node.is_variable_type() and node.name not in names:
            names.append(node.name)
    text = str(term) if count < 60 else ""
    return text if 0 < len(text) <= 80 else f"in {', '.join(names[:4])}, ..."
