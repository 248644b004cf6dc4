"""A table of weeks, checked: each column numbers without holes, dates without gaps, spend that is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.blocks.calendar_columns import as_dates
from bilevel.errors import ModelError

_MONTH = range(28, 32)  # days


class Table:
    """Named columns of one length, with the date of each row where one is given.

    Parameters
    ----------
    frame : pandas DataFrame, or mapping of name to column
        A row per period, the oldest first.
    dates : str, optional
        The column of dates.

    Raises
    ------
    ModelError
        If it is no table, or its dates are missing, double, out of order or not evenly spaced; names the row.
    """

    def __init__(self, frame: Any, dates: str | None) -> None:
        if not hasattr(frame, "keys") or not hasattr(frame, "__getitem__"):
            kind = type(frame).__name__
            raise ModelError(
                f"marketing_mix(frame): a {kind} is no table; give a pandas DataFrame or a dict of columns"
            )
        self._frame = frame
        self.names = [str(name) for name in frame.keys()]  # noqa: SIM118 - a DataFrame's keys are its columns
        if not self.names:
            raise ModelError("marketing_mix(frame): the table has no columns")
        self.length = len(frame[next(iter(frame.keys()))])
        self.dates = None if dates is None else self._read_dates(dates)

    def week(self, t: int) -> str:
        """What a row is called in a message."""
        return f"row {t}" if self.dates is None else f"the period of {self.dates[t]} (row {t})"

    def column(self, name: str) -> Array:
        """A column as floats.

        Raises
        ------
        ModelError
            If there is none of that name, or an entry is no finite number; names the column and the period.
        """
        values = self._raw(name)
        if len(values) != self.length:
            raise ModelError(f"column {name!r} has {len(values)} rows where the table has {self.length}")
        numbers = np.empty(self.length)
        for t, value in enumerate(values):
            try:
                number = np.nan if isinstance(value, (str, bytes)) else float(value)
            except (TypeError, ValueError):
                number = np.nan
            if not np.isfinite(number):
                told = repr(value) if isinstance(value, (str, bytes)) else str(value)
                cure = "make it a column of 0 and 1" if isinstance(value, str) and value.strip() else "fill it"
                raise ModelError(f"column {name!r} is {told} in {self.week(t)}; it has to hold finite numbers: {cure}")
            numbers[t] = number
        return numbers

    def spend(self, name: str, train: int) -> Array:
        """A column of spend or exposure.

        Raises
        ------
        ModelError
            If it is negative somewhere, or nothing in all of the training rows.
        """
        values = self.column(name)
        below = np.flatnonzero(values < 0)
        if len(below):
            raise ModelError(
                f"column {name!r} is {values[below[0]]:g} in {self.week(int(below[0]))}; spend cannot be negative: book"
                " refunds where the money was spent"
            )
        if not values[:train].any():
            when = "at all" if not values.any() else f"before {self.week(train)}, where training ends"
            raise ModelError(f"column {name!r} has no spend {when}: there is no effect to fit; leave the channel out")
        return values

    def _raw(self, name: str) -> Sequence[Any]:
        if name not in self.names:
            raise ModelError(f"there is no column {name!r}; the table has {', '.join(self.names)}")
        key = next(key for key in self._frame.keys() if str(key) == name)  # noqa: SIM118
        column = self._frame[key]
        return column.tolist() if hasattr(column, "tolist") else list(column)

    def _read_dates(self, name: str) -> list[date]:
        found = as_dates(self._raw(name), f"column {name!r}")
        steps = [(after - before).days for before, after in pairwise(found)]
        for t, step in enumerate(steps):
            if step <= 0:
                what = "twice" if step == 0 else f"after {found[t]}"
                raise ModelError(
                    f"column {name!r}: {found[t + 1]} stands {what} (row {t + 1}); one row per period, the oldest first"
                )
        usual = Counter(steps).most_common(1)[0][0] if steps else 0
        for t, step in enumerate(steps):
            if step != usual and not (step in _MONTH and usual in _MONTH):
                raise ModelError(
                    f"column {name!r}: {found[t + 1]} follows {found[t]} after {step} days where {usual} are usual (row"
                    f" {t + 1}); add the missing periods, with 0 where nothing was spent"
                )
        return found


def names_of(given: Any, called: str) -> list[str]:
    """A list of column names; a single one may be given alone.

    Raises
    ------
    ModelError
        If it is none, or a name stands twice.
    """
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise ModelError(f"marketing_mix({called}): give the names of columns, such as ['tv', 'search']")
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise ModelError(f"marketing_mix({called}): {double[0]!r} stands twice")
    return names


def per_channel(given: Any, channels: Sequence[str], called: str) -> dict[str, Any]:
    """A choice for each channel, from one for all or a mapping.

    Raises
    ------
    ModelError
        If the mapping names what is no channel, or misses one.
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(channels, given)
    strangers = [name for name in given if name not in channels]
    missing = [name for name in channels if name not in given]
    if strangers or missing:
        why = f"{strangers[0]!r} is no channel" if strangers else f"{missing[0]!r} is missing"
        raise ModelError(f"marketing_mix({called}): {why}; the channels are {', '.join(channels)}")
    return dict(given)
