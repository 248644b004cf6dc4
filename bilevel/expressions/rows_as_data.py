"""Sums written row by row, told as the one term over data that they are.

``sum_i (sum_j X_ij w_j - y_i)^2`` with numbers X and y is ``least_squares(X, y, w)``, and a long
``sum_i log(1 + exp(-y_i sum_j X_ij w_j))`` is ``rows_of("logistic", X, w, y)``, whoever wrote them. Recognised, they
cost arrays from here on and not a graph per row. Few rows, rows that move with x, and rows with few nonzeros, whose
product X'X would fill, stay as they were written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pyomo.core.expr import numeric_expr as ne

from bilevel.arrays import Array
from bilevel.expressions.affine_rows import FEWEST, affine
from bilevel.expressions.sums_of_squares import SumOfSquares, Term, taken_apart
from bilevel.language.data_term import DataTerm
from bilevel.language.formulas import least_squares
from bilevel.language.row_losses import rows_of

_FULL = 0.3  # of the entries of X that are not zero
_LARGE = 20_000  # entries of X from which no exact path would come to an end over the rows of a loss

_NEAR_THE_ROOT = (ne.SumExpression, ne.ProductExpression, ne.DivisionExpression, ne.NegationExpression)


def with_data(expression: Any, variables: Iterable[Any]) -> Any:
    """An expression whose long sums over rows are terms over data; itself where it has none.

    Parameters
    ----------
    expression : Pyomo expression
        An objective.
    variables : iterable of VarData
        Followers' variables: those that may stand in the rows, and may not in their weight.
    """
    if not _has_a_long_sum(expression):
        return expression
    own = {id(var): var for var in variables}
    sums, others = taken_apart(expression, own.keys())
    squares = {k: term for k, found in enumerate(sums) if (term := _squares(found, own)) is not None}
    losses, rest = _losses(others, own)
    if not squares and not losses:
        return expression
    parts = [squares.get(k) or _written_squares(found) for k, found in enumerate(sums)]
    return ne.SumExpression([_written(part) for part in (*parts, *losses, *rest)])


def _has_a_long_sum(expression: Any) -> bool:
    """Whether some sum near the root has many terms."""
    stack, seen = [expression], set[int]()
    while stack:
        node = stack.pop()
        if isinstance(node, ne.SumExpression) and node.nargs() >= FEWEST:
            return True
        named = getattr(node, "is_named_expression_type", bool)() and not isinstance(node, DataTerm)
        if (named or isinstance(node, _NEAR_THE_ROOT)) and id(node) not in seen:
            seen.add(id(node))
            stack.extend(node.args)
    return False


def _squares(found: SumOfSquares, own: Mapping[int, Any]) -> Term | None:
    """The squares as one term; None where they are better left."""
    read = _read(found.bases, own)
    if read is None:
        return None
    matrix, constants, w = read
    sizes = np.sqrt(found.scales)
    return Term(found.sign, found.factors, least_squares(matrix * sizes[:, None], -constants * sizes, w))


def _losses(terms: Sequence[Term], own: Mapping[int, Any]) -> tuple[list[Term], list[Term]]:
    """Those of the terms that are losses over rows, gathered; and the rest."""
    alike: dict[tuple[Any, ...], list[tuple[Term, Any]]] = {}
    for term in terms:
        name, inside = _loss(term.expression)
        if name:
            key = name, term.number > 0.0, *((id(factor), power) for factor, power in term.factors)
            alike.setdefault(key, []).append((term, inside))
    gathered, taken = [], set[int]()
    for (name, *_), group in alike.items():
        read = _read([inside for _, inside in group], own)
        if read is None or read[0].size < _LARGE or read[1].any():
            continue
        matrix, constants, w = read
        first, sizes = group[0][0], np.abs([term.number for term, _ in group])
        even = bool((sizes == sizes[0]).all())
        target = np.full(len(matrix), -1.0) if name == "logistic" else constants
        loss = rows_of(name, matrix, w, target, None if even else sizes)
        size = abs(first.number) if even else 1.0
        gathered.append(Term(size if first.number > 0.0 else -size, first.factors, loss))
        taken.update(id(term) for term, _ in group)
    return gathered, [term for term in terms if id(term) not in taken]


def _loss(node: Any) -> tuple[str, Any]:
    """``log(1 + exp(z))`` is logistic, ``exp(z)`` Poisson's without its linear part; the name and z, or nothing."""
    if not isinstance(node, ne.UnaryFunctionExpression):
        return "", None
    if node.getname() == "exp":
        return "poisson", node.args[0]
    inside = node.args[0]
    if node.getname() != "log" or not isinstance(inside, ne.SumExpression) or inside.nargs() != 2:
        return "", None
    one, other = inside.args if inside.args[0].__class__ in (int, float) else reversed(inside.args)
    power = isinstance(other, ne.UnaryFunctionExpression) and other.getname() == "exp"
    return ("logistic", other.args[0]) if power and one.__class__ in (int, float) and one == 1 else ("", None)


def _read(expressions: Sequence[Any], own: Mapping[int, Any]) -> tuple[Array, Array, list[Any]] | None:
    """X, the constants and w of many affine expressions; None where these are few, no such, or mostly zeros."""
    if len(expressions) < FEWEST:
        return None
    places = {key: place for place, key in enumerate(own)}
    rows: list[dict[int, float]] = []
    constants = []
    for expression in expressions:
        rows.append({})
        constants.append(affine(expression, places, rows[-1]))
        if constants[-1] is None:
            return None
    used = {place: column for column, place in enumerate(sorted(set().union(*rows)))}
    if not used or sum(map(len, rows)) < _FULL * len(rows) * len(used):
        return None
    matrix = np.zeros((len(rows), len(used)))
    for k, row in enumerate(rows):
        matrix[k, [used[place] for place in row]] = list(row.values())
    numbers = np.array(constants, dtype=float)
    if not (np.isfinite(matrix).all() and np.isfinite(numbers).all()):
        return None  # whoever translates it says what is wrong
    variables = list(own.values())
    return matrix, numbers, [variables[place] for place in used]


def _written_squares(found: SumOfSquares) -> Term:
    inside = ne.SumExpression([scale * base**2 for scale, base in zip(found.scales, found.bases, strict=True)])
    return Term(found.sign, found.factors, inside)


def _written(part: Term) -> Any:
    """Back to one expression."""
    inside = part.expression
    for factor, power in part.factors:
        inside = inside * factor if power > 0 else inside / factor
    return part.number * inside
