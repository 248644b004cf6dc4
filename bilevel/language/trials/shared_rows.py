"""Rows of data that two expressions both read: a test set that is no test.

Seen where the numbers are kept as arrays (``rows_of``, ``least_squares``); of squares that were reduced to a factor the
whole set is recognised, and no part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pyomo.common.numeric_types import native_types

from bilevel.language.data_term import DataTerm
from bilevel.language.row_losses import RowLosses
from bilevel.language.squared_distance import SquaredDistance


def shared_rows(one: Iterable[Any], other: Iterable[Any]) -> tuple[int, int]:
    """How many rows of the first expressions' data the others read too, and how many rows the first have."""
    mine, theirs = set(_rows(one)), set(_rows(other))
    return len(mine & theirs), len(mine)


def _rows(expressions: Iterable[Any]) -> Iterator[bytes]:
    for term in _terms(expressions):
        if isinstance(term, RowLosses):
            matrix, target = term.rows.matrix, term.rows.target
        elif isinstance(term, SquaredDistance):
            matrix, target = term.factor.matrix, term.factor.target
        else:
            continue
        whole = np.column_stack([matrix, target]) + 0.0  # -0.0 is 0.0
        yield from (row.tobytes() for row in whole)


def _terms(expressions: Iterable[Any]) -> Iterator[DataTerm]:
    """Terms over data in expressions, each shared part looked at once and none written out."""
    seen: set[int] = set()
    stack = list(expressions)
    while stack:
        node = stack.pop()
        if type(node) in native_types or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, DataTerm):
            yield node
        elif node.is_expression_type():
            stack.extend(node.args)
