"""A column over rows (weeks) whose entries are expressions: each a named one, shared by all that mention it.

A recursion such as ``A[t] = x[t] + theta A[t-1]`` written out has T^2 / 2 terms; as a chain of named Expressions it has
T, and whoever walks each of them once (as ``bilevel`` does) pays T operations for values and a small multiple for
derivatives. Pyomo's own ``value`` walks every use again: read columns by ``result.value(column)`` instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.base.expression import ExpressionData, IndexedExpression, ScalarExpression

from bilevel.arrays import Array
from bilevel.errors import ModelError
from bilevel.language.data import insist_on_numbers, plain

TINY = 1e-26
"""What a logarithm of carried spend has added to it, so that weeks without any stay finite."""


class Column(IndexedExpression):
    """An indexed Expression over the rows 0 ... T-1; ``model.name = column`` gives it, and its parts, their names.

    Parameters
    ----------
    rows : iterable of numbers and Pyomo expressions
        The entries.
    **parts : components
        What the entries are made of: columns and single named Expressions. Those without a home when this one gets its
        own are put beside it, as ``<name>_<part>``, and each can be had as ``column.parts["<part>"]``.
    """

    _constructed: bool

    def __init__(self, rows: Iterable[Any], **parts: Any) -> None:
        entries = list(rows)
        self.parts: dict[str, Any] = parts  # first, so that a copy begins with what the entries are made of
        super().__init__(range(len(entries)))
        self.flow: tuple[tuple[float, ...], float, float] | None = None
        for t, entry in enumerate(entries):
            data = ExpressionData(entry, component=self)
            data._index = t
            self._data[t] = data

    def __getitem__(self, index: Any) -> Any:
        """The named Expression of a row, before there is a home as well."""
        return self._data[index] if index in self._data else super().__getitem__(index)

    def construct(self, data: Any = None) -> None:
        """Take a home, for the parts as well."""
        if self._constructed:
            return
        for index in self._anonymous_sets or ():
            index.construct()
        self._constructed = True
        block = self.parent_block()
        for name, part in self.parts.items():
            if part.parent_block() is None and block is not None:
                block.add_component(f"{self.local_name}_{name}", part)


def single(expression: Any) -> ScalarExpression:
    """One named Expression without a home yet."""
    made = ScalarExpression(expr=expression)
    made.construct()
    return made


def entries_of(column: Any, called: str) -> list[Any]:
    """A column's entries: floats where they are numbers, else Pyomo expressions.

    Raises
    ------
    ModelError
        If it is no column, or an entry is neither a finite number nor an expression; says which.
    """
    if hasattr(column, "is_indexed") and column.is_indexed():
        return [_number(member) for member in column.values()]
    if isinstance(column, (list, tuple)) and any(hasattr(entry, "is_expression_type") for entry in column):
        return [scalar_of(_number(entry), f"{called}, row {t},") for t, entry in enumerate(column)]
    try:
        values = plain(np.array(column, dtype=object) if isinstance(column, (list, tuple)) else column)
    except (TypeError, ValueError):
        values = np.asarray(column, dtype=object)
    if values.ndim != 1:
        raise ModelError(f"{called} has {values.ndim} dimensions; give one column: a list, an array or a pandas Series")
    insist_on_numbers(values, column, called)
    return [_number(value) for value in values.tolist()]


def _number(entry: Any) -> Any:
    """A float where the entry is one, also by a name."""
    inner = entry
    while hasattr(inner, "is_named_expression_type") and inner.is_named_expression_type():
        inner = inner.args[0]
    return float(inner) if is_number(inner) else entry


def is_number(entry: Any) -> bool:
    """Whether it is a number, and not an expression."""
    return isinstance(entry, (int, float))


def is_none(entry: Any) -> bool:
    """Whether it is the number 0: no spend, whatever the variables."""
    return is_number(entry) and entry == 0.0


def as_column(rows: Sequence[Any], **parts: Any) -> Column | Array:
    """Numbers as an array, else a :class:`Column`; parts that are numbers are left out."""
    if all(map(is_number, rows)):
        return np.array(rows, dtype=float)
    return Column(rows, **{name: part for name, part in parts.items() if hasattr(part, "parent_block")})


def named(expression: Any) -> Any:
    """A named Expression, or the number it is."""
    return float(expression) if is_number(expression) else single(expression)


def exp(value: Any) -> Any:
    """``e^value`` of a number (infinite where it is too large for one) or an expression."""
    if not is_number(value):
        return pyo.exp(value)
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def log(value: Any) -> Any:
    """The natural logarithm of a number or an expression."""
    return math.log(value) if is_number(value) else pyo.log(value)


def tanh(value: Any) -> Any:
    """The hyperbolic tangent of a number or an expression."""
    return math.tanh(value) if is_number(value) else pyo.tanh(value)


def sqrt(value: Any) -> Any:
    """The square root of a number or an expression."""
    return math.sqrt(value) if is_number(value) else pyo.sqrt(value)


def scalar_of(value: Any, called: str) -> Any:
    """A float, or a Pyomo scalar as it stands.

    Raises
    ------
    ModelError
        If it is neither.
    """
    if hasattr(value, "is_expression_type"):
        if value.is_indexed() if hasattr(value, "is_indexed") else False:
            raise ModelError(f"{called} is the whole of {value.name}; give one member of it")
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ModelError(f"{called} is {value!r}; give a number or a Pyomo expression") from None
    if not np.isfinite(number):
        raise ModelError(f"{called} is {number}; it must be finite")
    return number


def range_of(value: Any) -> tuple[float, float] | None:
    """The least and the largest value a number or a bounded variable can take; None where unknown."""
    if is_number(value):
        return float(value), float(value)
    low, high = getattr(value, "bounds", (None, None)) if hasattr(value, "is_variable_type") else (None, None)
    return None if low is None or high is None else (float(low), float(high))


def positive_of(value: Any, called: str) -> Any:
    """A number or an expression whose least value, where that is known, is positive.

    Raises
    ------
    ModelError
        If it is not.
    """
    number = scalar_of(value, called)
    limits = range_of(number)
    if limits is not None and limits[0] <= 0:
        raise ModelError(f"{called}: its least value is {limits[0]:g}; it must be positive")
    return number
