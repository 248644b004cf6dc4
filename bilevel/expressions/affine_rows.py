"""Many affine expressions at once: their coefficients read into a sparse matrix, not term by term into a graph.

A model of thousands of rows is mostly ``a_1 y_1 + a_2 y_2 + b``. One product of a matrix and the vector of all symbols
says what thousands of operations would, in a hundredth of the time. What is not affine with numbers for coefficients,
and what repeats a named Expression, is left to the translator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
from pyomo.common.numeric_types import native_numeric_types
from pyomo.core.expr import numeric_expr as ne

FEWEST = 200
"""Expressions from which it is worth it; fewer keep their terms in the order in which they were written."""

_LONGEST = 10_000  # nodes of one expression


@dataclass(frozen=True)
class Columns:
    """Symbols, and where each variable's stands among them.

    Attributes
    ----------
    symbols : SX of shape (n, 1)
        All of them.
    places : mapping of int to int
        By the variable's id.
    """

    symbols: ca.SX
    places: Mapping[int, int]

    def rows(self, expressions: Sequence[Any]) -> tuple[ca.SX, list[int]]:
        """The affine ones among some expressions, shape (k, 1), zero in the place of others; and where those are."""
        rows: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        constants = [0.0] * len(expressions)
        others = []
        for row, expression in enumerate(expressions):
            found: dict[int, float] = {}
            constant = affine(expression, self.places, found)
            if constant is None or not math.isfinite(constant + sum(found.values())):
                others.append(row)  # whoever translates it says what is wrong
                continue
            constants[row] = constant
            rows.extend([row] * len(found))
            columns.extend(found)
            values.extend(found.values())
        count = len(expressions)
        matrix = ca.sparsify(ca.DM.triplet(rows, columns, ca.DM(values), count, self.symbols.numel()))
        return ca.densify(ca.mtimes(matrix, self.symbols)) + ca.sparsify(ca.DM(constants)), others


def affine(expression: Any, places: Mapping[int, int], found: dict[int, float]) -> float | None:
    """Enter the coefficients of an affine expression by place; its constant, or None where it is not one.

    Parameters
    ----------
    expression : Pyomo expression
        What is read.
    places : mapping of int to int
        Of the variables by their ids; any other one is nothing that can be read.
    found : dict of int to float
        Takes the coefficients.
    """
    constant, nodes = 0.0, 0
    stack = [(expression, 1.0)]
    while stack:
        node, factor = stack.pop()
        kind = node.__class__
        nodes += 1
        if kind in native_numeric_types:
            constant += factor * node
        elif kind is ne.MonomialTermExpression:
            coefficient, variable = node.args
            place = places.get(id(variable))
            if place is None or coefficient.__class__ not in native_numeric_types:
                return None
            found[place] = found.get(place, 0.0) + factor * coefficient
        elif kind in _SUMS:
            if nodes > _LONGEST:
                return None
            stack.extend([(part, factor) for part in reversed(node.args)])
        elif kind is ne.NegationExpression:
            stack.append((node.args[0], -factor))
        elif kind is ne.ProductExpression and node.args[0].__class__ in native_numeric_types:
            stack.append((node.args[1], factor * node.args[0]))
        elif kind is ne.DivisionExpression and node.args[1].__class__ in native_numeric_types and node.args[1] != 0:
            stack.append((node.args[0], factor / node.args[1]))
        else:
            place = places.get(id(node))
            if place is None:
                return None
            found[place] = found.get(place, 0.0) + factor
    return constant


_SUMS = (ne.SumExpression, ne.LinearExpression)
