"""Units of columns: standardised by the training rows, and the largest adstock that a saturation is measured by."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.blocks.column import Column, as_column, entries_of, is_number, named, single, sqrt
from bilevel.errors import ModelError
from bilevel.language.formulas import maximum

_PIECES = 100  # of the decay's range, when weeks are excluded from being the peak


def standardised(column: Any, train: int | Iterable[int]) -> Column | Array:
    """In units of the training rows: less their mean, over their population standard deviation.

    A column that does not move in training tells nothing, and becomes 0 everywhere (its coefficient is then 0).

    Parameters
    ----------
    column : column of T numbers or expressions
        Mean and deviation are expressions too where it holds any, and so have their derivatives:
        ``parts["mean"]``, ``parts["spread"]``.
    train : int or iterable of int
        The first so many rows, or the places of the training rows.

    Raises
    ------
    ModelError
        If it is no column, or there are no such rows.

    Examples
    --------
    >>> from bilevel.blocks import standardised
    >>> standardised([1, 3, 5], train=2).tolist()
    [-1.0, 1.0, 3.0]
    """
    entries = entries_of(column, "standardised(column)")
    rows = list(range(train)) if isinstance(train, (int, np.integer)) else [int(row) for row in train]
    if not rows or min(rows) < 0 or max(rows) >= len(entries):
        raise ModelError(f"standardised(train): there are {len(entries)} rows, counted from 0; name some of them")
    seen = [entries[t] for t in rows]
    if all(map(is_number, seen)):
        middle, spread = float(np.mean(seen)), float(np.std(seen))
        if spread <= 1e-12 * max(map(abs, seen)) or spread == 0.0:
            return np.zeros(len(entries))
        return as_column([(entry - middle) / spread for entry in entries], of=column)
    mean = single(sum(seen) / len(rows))
    deviation = single(sqrt(sum((entry - mean) ** 2 for entry in seen) / len(rows)))
    return as_column([(entry - mean) / deviation for entry in entries], of=column, mean=mean, spread=deviation)


def peak(carried: Any, rows: int | Iterable[int] | None = None) -> Any:
    """The largest entry of a column, exact, over as few weeks as can be it.

    Of a geometric adstock of known spend, weeks whose adstock stays below another's for every decay in its range are
    left out: it grows with the decay, so on a piece [p, q] of the range a week whose adstock at q is below the largest
    at p is never the peak. Where two weeks remain, the peak has a kink.

    Parameters
    ----------
    carried : column of T numbers or expressions
        A.
    rows : int or iterable of int, optional
        Over these alone: training rows, where a later week shall not set the scale.

    Returns
    -------
    named Expression, or float
        Of a column of numbers, a float.

    Raises
    ------
    ModelError
        If there are no such rows.
    """
    entries = entries_of(carried, "peak(carried)")
    chosen = range(len(entries)) if rows is None else range(rows) if isinstance(rows, int) else sorted(map(int, rows))
    if not chosen or chosen[0] < 0 or chosen[-1] >= len(entries):
        raise ModelError(f"peak(rows): there are {len(entries)} rows, counted from 0; name some of them")
    flow = carried.flow if isinstance(carried, Column) else None
    kept = list(chosen) if flow is None else _can_be_peak(flow, list(chosen))
    return named(maximum(entries[t] for t in kept))


def _can_be_peak(flow: tuple[tuple[float, ...], float, float], rows: list[int]) -> list[int]:
    """The rows that attain the largest adstock for some decay in [low, high], and perhaps a few more."""
    spend, low, high = flow
    decays = np.linspace(low, high, _PIECES + 1) if high > low else np.array([low, high])
    carried = np.zeros((len(decays), len(spend)))
    before = np.zeros(len(decays))
    for t, x in enumerate(spend):
        before = carried[:, t] = x + decays * before
    curves = carried[:, rows]
    found = {int(t) for at_p, at_q in pairwise(curves) for t in np.flatnonzero(at_q >= at_p.max())}
    return [rows[t] for t in sorted(found)]
