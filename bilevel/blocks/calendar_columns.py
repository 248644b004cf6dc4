"""What the calendar says of a week: seasons, trend, holidays, as columns of numbers from dates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.errors import ModelError

YEAR = 365.25
"""Days."""


def seasons(dates: Iterable[Any], pairs: int = 3, period: float = YEAR) -> dict[str, Array]:
    """Fourier pairs of the day of the year: ``sin(2 pi k day / period)`` and ``cos``, k = 1 ... pairs.

    Parameters
    ----------
    dates : column of T dates
        Python, numpy or pandas dates, or text ``2024-12-30``.
    pairs : int
        One bends once a year, three give each month its say.
    period : float
        Days after which they repeat.

    Returns
    -------
    dict of str to ndarray of shape (T,)
        ``sin1``, ``cos1``, ``sin2``, ...

    Examples
    --------
    >>> from bilevel.blocks import seasons
    >>> {name: column.round(2).tolist() for name, column in seasons(["2024-01-01", "2024-07-01"], 1).items()}
    {'sin1': [0.02, -0.01], 'cos1': [1.0, -1.0]}
    """
    day = np.array([found.timetuple().tm_yday for found in as_dates(dates)], dtype=float)
    columns = {}
    for k in range(1, pairs + 1):
        columns[f"sin{k}"] = np.sin(2 * np.pi * k * day / period)
        columns[f"cos{k}"] = np.cos(2 * np.pi * k * day / period)
    return columns


def trend(dates: Iterable[Any]) -> Array:
    """Periods since the first date, shape (T,): a straight line. A period is the step between the first two.

    Examples
    --------
    >>> from bilevel.blocks import trend
    >>> trend(["2024-01-01", "2024-01-08", "2024-01-15"]).tolist()
    [0.0, 1.0, 2.0]
    """
    found = as_dates(dates)
    step = (found[1] - found[0]).days if len(found) > 1 else 1
    return np.array([(moment - found[0]).days / step for moment in found], dtype=float)


def holidays(dates: Iterable[Any], days: Mapping[str, Iterable[Any]]) -> dict[str, Array]:
    """How many days of each holiday lie in a period, from its date up to the next one's.

    Parameters
    ----------
    dates : column of T dates
        Where periods begin, in order; the last is as long as the one before.
    days : mapping of name to dates
        ``{"christmas": ["2023-12-25", "2024-12-25"]}``; a date outside the table counts nowhere.

    Returns
    -------
    dict of str to ndarray of shape (T,)
        A column per holiday.

    Examples
    --------
    >>> from bilevel.blocks import holidays
    >>> holidays(["2024-12-16", "2024-12-23", "2024-12-30"], {"christmas": ["2024-12-25", "2024-12-26"]})
    {'christmas': array([0., 2., 0.])}
    """
    begins = as_dates(dates)
    step = begins[-1] - begins[-2] if len(begins) > 1 else timedelta(days=1)
    edges = np.array([*begins, begins[-1] + step], dtype="datetime64[D]")
    return {
        name: np.histogram(
            np.array(as_dates(each, f"holidays({name})"), dtype="datetime64[D]").astype(float), edges.astype(float)
        )[0].astype(float)
        for name, each in days.items()
    }


def as_dates(dates: Iterable[Any], called: str = "dates") -> list[date]:
    """Dates of any kind as Python's.

    Raises
    ------
    ModelError
        If one is none; says which.
    """
    return [_as_date(value, f"{called}: row {t}") for t, value in enumerate(dates)]


def _as_date(value: Any, where: str) -> date:
    if isinstance(value, np.datetime64) and not np.isnat(value):
        value = value.astype("datetime64[D]").item()
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ModelError(f"{where} is {value!r}; write dates as 2024-12-30") from None
    if isinstance(value, datetime) and value == value:
        return value.date()
    if isinstance(value, date) and value == value:
        return value
    raise ModelError(f"{where} is {value!r}, which is no date; write dates as 2024-12-30, or give a column of dates")
