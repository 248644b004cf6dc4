"""What allocations say, as tables: a plan beside today's, budgets of several sizes, what the next unit brings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bilevel.blocks.budget.allocation import Fit, Flighting
from bilevel.errors import ModelError

if TYPE_CHECKING:
    from pandas import DataFrame

_STEP = 1e-4  # relative, of central differences


def response_of(flighting: Flighting, fit: Fit, channel: str, spend: Mapping[int, float]) -> float:
    """The response of a channel over the planned weeks and those after.

    Parameters
    ----------
    flighting : Flighting
        ``model.flighting``.
    fit : dict of ResponseCurve
        One of ``model.fits``.
    channel : str
        Which.
    spend : dict of float
        By period.
    """
    base, per_unit = flighting.carried(channel, fit[channel])
    carried = base + sum(spend[p] * per_unit[p] for p in range(len(flighting.periods)))
    return float(np.sum(fit[channel].saturated(carried)))


def allocation_table(model: Any, plan: Mapping[Any, float]) -> DataFrame:
    """A plan beside what was spent, a row per channel, in the user's units (needs pandas).

    Parameters
    ----------
    model : ConcreteModel
        From :func:`~bilevel.blocks.budget.allocation.allocation`.
    plan : Result, or dict of float
        What ``bilevel.solve(model)`` found; or spend by ``(channel, period)``.

    Returns
    -------
    DataFrame
        ``current``, ``proposed`` spend, the ``change`` between them; ``response_now``, ``response``; ``roas``, response
        per unit of spend, and ``marginal``, what the next unit brings. With several fits the mean of theirs.
    """
    import pandas

    flighting, fits = model.flighting, model.fits
    spend = _spend_of(model, plan)
    rows = []
    for channel in flighting.channels:
        now = {p: flighting.current(channel, p) for p in range(len(flighting.periods))}
        then = {p: spend[channel, p] for p in now}
        total = sum(then.values())
        rows.append(
            {
                "channel": channel,
                "current": sum(now.values()),
                "proposed": total,
                "change": total - sum(now.values()),
                "response_now": _mean(flighting, fits, channel, now),
                "response": _mean(flighting, fits, channel, then),
                "marginal": _marginal(flighting, fits, channel, then),
            }
        )
    table = pandas.DataFrame(rows).set_index("channel")
    table.insert(5, "roas", table["response"] / table["proposed"].where(table["proposed"] > 0.0))
    return table


def budget_curve(model: Any, swept: DataFrame) -> DataFrame:
    """What each total of a sweep brings, with the band of the fits, what the next unit of it brings, and where it goes.

    Parameters
    ----------
    model : ConcreteModel
        From :func:`~bilevel.blocks.budget.allocation.allocation`.
    swept : DataFrame
        ``bilevel.sweep(model, "total", totals)``.

    Returns
    -------
    DataFrame
        By total: ``response``, the mean of the fits, ``low`` and ``high``, the least and the largest of them;
        ``marginal``, the total's multiplier: the slope of the curve of ``low``, which is what the plans maximise, by
        differences between neighbouring totals; the ``verdict``; and the spend of each channel. Not a number where no
        plan was found, nor the slope of a single total.

    Raises
    ------
    ModelError
        If the frame is no sweep of this model.
    """
    import pandas

    columns = {key: var.name for key, var in model.lower.spend.items()}
    missing = next((name for name in (*columns.values(), "verdict") if name not in swept), None)
    if missing is not None:
        raise ModelError(f"the frame has no column {missing!r}: give what bilevel.sweep(model, 'total', ...) returned")
    rows = {
        total: _at_total(model, {key: row[name] for key, name in columns.items()}) for total, row in swept.iterrows()
    }
    table = pandas.DataFrame(rows).T.rename_axis(index=swept.index.name)
    ordered = table["low"][~table.index.duplicated()].dropna().sort_index()
    totals = ordered.index.to_numpy(dtype=float)
    slopes = np.gradient(ordered.to_numpy(), totals) if len(totals) > 1 else np.full(len(totals), math.nan)
    table.insert(3, "marginal", pandas.Series(slopes, ordered.index).reindex(table.index))
    table.insert(4, "verdict", swept["verdict"])
    return table


def _at_total(model: Any, spend: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """One row, all but the slope."""
    flighting, fits, periods = model.flighting, model.fits, range(len(model.flighting.periods))
    by_channel = {c: {p: spend[c, p] for p in periods} for c in flighting.channels}
    sums = [sum(response_of(flighting, fit, c, by_channel[c]) for c in by_channel) for fit in fits]
    spent = {c: sum(by_channel[c].values()) for c in by_channel}
    return {"response": float(np.mean(sums)), "low": float(min(sums)), "high": float(max(sums)), **spent}


def _spend_of(model: Any, plan: Any) -> dict[tuple[str, int], float]:
    if isinstance(plan, Mapping):
        return {key: float(value) for key, value in plan.items()}
    if not plan.lower:
        raise ModelError(f"the result holds no plan: {plan.verdict}")
    return {key: float(plan.lower[var.name]) for key, var in model.lower.spend.items()}


def _mean(flighting: Flighting, fits: Iterable[Fit], channel: str, spend: Mapping[int, float]) -> float:
    return float(np.mean([response_of(flighting, fit, channel, spend) for fit in fits]))


def _marginal(flighting: Flighting, fits: Iterable[Fit], channel: str, spend: Mapping[int, float]) -> float:
    """By what the response grows per unit, of all periods together in proportion."""
    total = sum(spend.values())
    if total <= 0.0:
        return float("nan")
    ends = [
        _mean(flighting, fits, channel, {p: s * (1.0 + sign * _STEP) for p, s in spend.items()}) for sign in (-1, 1)
    ]
    return (ends[1] - ends[0]) / (2.0 * _STEP * total)
