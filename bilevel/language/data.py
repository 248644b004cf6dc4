"""Data that hold something else than finite numbers: what, and where, in the words of whoever gave them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bilevel.errors import ModelError


def plain(data: Any) -> Any:
    """As an array: of numbers, or of objects where it holds Pyomo expressions or what is no number."""
    array = data if isinstance(data, np.ndarray) else np.asarray(data)
    if array.dtype.kind in "biuf":
        return array
    array = array.astype(object)
    if any(hasattr(value, "is_expression_type") or _is_hole(value) for value in array.flat):
        return array
    return array.astype(float)


def insist_on_numbers(array: Any, data: Any, called: str, first: int = 0) -> None:
    """Refuse what is neither a finite number nor a Pyomo expression.

    Parameters
    ----------
    array : ndarray of shape (n,) or (n, p)
        Some rows of the data.
    data : array_like
        As given: the labels of a pandas frame or series are told.
    called : str
        What the data are called in the message.
    first : int
        The number of the first of these rows.

    Raises
    ------
    ModelError
        If there is any; names the first by row and column.
    """
    holes = np.frompyfunc(_is_hole, 1, 1)(array).astype(bool) if array.dtype.kind == "O" else ~np.isfinite(array)
    places = np.argwhere(holes)
    if not len(places):
        return
    row, *column = places[0].tolist()
    where = f"row {first + row}{_label(data, 'index', first + row)}"
    where += f", column {column[0]}{_label(data, 'columns', column[0])}" if column else ""
    value = array[tuple(places[0])]
    told = repr(value) if isinstance(value, (str, bytes)) else str(value)
    more = f" ({len(places) - 1} more follow)" if len(places) > 1 else ""
    raise ModelError(
        f"{called} is {told} at {where}{more}; rows and columns are counted from 0, and each has to hold a finite"
        " number: fill it, or leave the row out"
    )


def _label(data: Any, axis: str, place: int) -> str:
    """The label in a pandas frame or series, where it says more than the number."""
    labels = getattr(data, axis, None)
    if labels is None or callable(labels):
        return ""
    label = labels[place]
    return "" if isinstance(label, (int, np.integer)) and label == place else f" ({label})"


def _is_hole(value: Any) -> bool:
    if hasattr(value, "is_expression_type"):
        return False
    if value is None or isinstance(value, (str, bytes, complex, np.complexfloating)):
        return True
    try:
        return not math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return True
