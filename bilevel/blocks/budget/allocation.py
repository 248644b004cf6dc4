"""A budget over channels: the follower splits it for the largest response, the leader decides its size.

Response is that of the historical flighting, not of mean spend, which overstates what a saturating channel brings: in
every week a channel spends its budget times that week's share, on top of what is carried over from before, and what is
carried beyond the last week counts as well. Where several fits are given the worst of them counts (max-min).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyomo.environ as pyo

from bilevel.arrays import Array
from bilevel.blocks.budget.response_curve import ResponseCurve
from bilevel.errors import ModelError
from bilevel.language.lower_level import LowerLevel

Fit = Mapping[str, ResponseCurve]

_CARRIED_OUT = 13  # weeks after the last that are looked at unless another number is given


@dataclass(frozen=True)
class Flighting:
    """When each channel's budget is spent.

    Attributes
    ----------
    channels : tuple of str
        Names.
    spend : dict of ndarray of shape (weeks,)
        What was spent in the weeks that are planned again.
    before : dict of ndarray
        What was spent in the weeks before them, which is carried into them.
    periods : tuple of range
        Weeks that have a budget of their own.
    after : int
        Weeks after the last in which what was carried over still counts.
    """

    channels: tuple[str, ...]
    spend: dict[str, Array]
    before: dict[str, Array]
    periods: tuple[range, ...]
    after: int

    @property
    def weeks(self) -> int:
        """How many are planned."""
        return self.periods[-1].stop

    def current(self, channel: str, period: int) -> float:
        """What was spent in a period."""
        return float(self.spend[channel][self._slice(period)].sum())

    def pattern(self, channel: str, period: int) -> Array:
        """The share of a period's budget that each planned week spends, shape (weeks,); even where none was spent."""
        shares, part = np.zeros(self.weeks), self._slice(period)
        spent = self.spend[channel][part]
        shares[part] = spent / spent.sum() if spent.sum() > 0.0 else 1.0 / len(spent)
        return shares

    def _slice(self, period: int) -> slice:
        return slice(self.periods[period].start, self.periods[period].stop)

    def carried(self, channel: str, curve: ResponseCurve) -> tuple[Array, Array]:
        """Adstock without a budget, shape (weeks + after,), and per unit of each period's, shape (periods, same)."""
        rest = np.zeros(self.after)
        base = curve.carried(np.concatenate([self.before[channel], np.zeros(self.weeks), rest]))
        start = len(self.before[channel])
        per_unit = [curve.carried(np.concatenate([self.pattern(channel, p), rest])) for p in range(len(self.periods))]
        return base[start:], np.array(per_unit)


def allocation(
    fits: Fit | Sequence[Fit],
    history: Mapping[str, Any],
    *,
    total: float | tuple[float, float] | None = None,
    weeks: int | None = None,
    periods: int = 1,
    after: int = _CARRIED_OUT,
    bounds: tuple[float, float] | Mapping[str, tuple[float, float]] = (0.5, 2.0),
    fixed: Iterable[str] = (),
    none_or_at_least: Mapping[str, float] | None = None,
    groups: Mapping[str, tuple[Sequence[str], float, float]] | None = None,
    margin: float = 1.0,
    response: float | None = None,
    roas: float | None = None,
    marginal_roas: float | None = None,
) -> Any:
    """A model of a budget and its allocation: ordinary Pyomo, to be changed at will and solved by ``bilevel.solve``.

    The leader decides ``model.total``, the follower ``model.lower.spend[channel, period]`` for the largest
    ``model.lower.outcome``; both want the same, so that ``method="joint"`` (what ``auto`` takes) proves the optimum,
    S-shaped curves included.

    Parameters
    ----------
    fits : dict of ResponseCurve by channel, or several such dicts
        With several, the least of their responses counts: the plan that is best in the worst case.
    history : DataFrame, or dict of sequences by channel
        Spend a week, earliest first.
    total : float or (float, float), optional
        The budget, or the range in which it is chosen; what was spent unless given, up to twice that with a target.
    weeks : int, optional
        How many of the last weeks are planned again, all unless given; the others are carried into them.
    periods : int
        Into how many parts of about the same length they are divided, each with a budget of its own per channel.
    after : int
        Weeks after the last in which carry-over still counts.
    bounds : (float, float), or dict of these by channel
        Of each channel's spend in a period, relative to what was spent there; absolute where nothing was.
    fixed : iterable of str
        Channels that keep what they spent.
    none_or_at_least : dict of float, optional
        Channels that may be dropped in a period, else spend at least so much in it.
    groups : dict of (channels, least, most), optional
        Sums over all periods that have limits.
    margin : float
        What one unit of response earns; the leader maximises ``margin * response - total``.
    response, roas : float, optional
        A response, or a response per unit of spend, to be reached: the leader then spends the least, or the most.
    marginal_roas : float, optional
        What the last unit of money must bring: the leader spends until it brings no more, which is what a ``margin`` of
        ``1 / marginal_roas`` means, and finds the largest ``response - marginal_roas * total``.

    Raises
    ------
    ModelError
        If two targets are given. Naming the channel, if a table has no such column, spend is negative or no number, or
        limits cross.
    """
    every = [fits] if isinstance(fits, Mapping) else list(fits)
    flighting = flighting_of(every, history, weeks, periods, after)
    model = pyo.ConcreteModel(name="budget allocation")
    spent = sum(flighting.current(c, p) for c in flighting.channels for p in range(periods))
    targets = {"response": response, "roas": roas, "marginal_roas": marginal_roas}
    given = [name for name, value in targets.items() if value is not None]
    if len(given) > 1:
        raise ModelError(f"{given[0]}= and {given[1]}= are two targets for one budget: give one of them")
    if marginal_roas is not None and not 0.0 < marginal_roas < math.inf:
        raise ModelError(f"marginal_roas={marginal_roas!r} is no return on a unit of money: a number above 0")
    low, high = _range(total, spent, bool(given))
    if not 0.0 <= low <= high or not math.isfinite(high):
        raise ModelError(f"total=({low!r}, {high!r}) is no range of budgets: the first must be at most the second")
    model.total = pyo.Var(bounds=(low, high), initialize=min(max(spent, low), high))
    model.lower = LowerLevel()
    _decisions(model.lower, flighting, bounds, set(fixed), dict(none_or_at_least or {}))
    spend = model.lower.spend
    model.lower.budget = pyo.Constraint(expr=sum(spend[key] for key in spend) <= model.total)
    for name, (channels, least, most) in (groups or {}).items():
        _known(channels, flighting.channels, f"groups[{name!r}]")
        row = pyo.Constraint(expr=(least, sum(spend[c, p] for c in channels for p in range(periods)), most))
        model.lower.add_component(f"group_{name}", row)
    _responses(model.lower, flighting, every)
    gained = model.lower.outcome
    model.lower.obj = pyo.Objective(expr=gained, sense=pyo.maximize)
    if response is not None:
        model.target = pyo.Constraint(expr=gained >= response)
    if roas is not None:
        model.roas = pyo.Constraint(expr=gained - roas * model.total >= 0)
    if response is not None:
        model.obj = pyo.Objective(expr=model.total)
    elif roas is not None:
        model.obj = pyo.Objective(expr=model.total, sense=pyo.maximize)
    elif marginal_roas is not None:
        model.obj = pyo.Objective(expr=gained - marginal_roas * model.total, sense=pyo.maximize)
    else:
        model.obj = pyo.Objective(expr=margin * gained - model.total, sense=pyo.maximize)
    model.flighting, model.fits = flighting, every
    return model


def _range(total: float | tuple[float, float] | None, spent: float, wide: bool) -> tuple[float, float]:
    if isinstance(total, tuple):
        return total
    if total is None:
        return (0.0, 2.0 * spent) if wide else (spent, spent)
    return total, total


def _decisions(
    lower: Any,
    flighting: Flighting,
    bounds: tuple[float, float] | Mapping[str, tuple[float, float]],
    fixed: set[str],
    least: dict[str, float],
) -> None:
    """Spend by channel and period, and a binary where it may be none at all."""
    _known(fixed, flighting.channels, "fixed")
    _known(least, flighting.channels, "none_or_at_least")
    if isinstance(bounds, Mapping):
        _known(bounds, flighting.channels, "bounds")
    keys = [(c, p) for c in flighting.channels for p in range(len(flighting.periods))]
    lower.spend = pyo.Var(keys)
    lower.used = pyo.Var([key for key in keys if key[0] in least], within=pyo.Binary, initialize=1)
    lower.dropped, lower.limited = pyo.Constraint(list(lower.used)), pyo.Constraint(list(lower.used))
    for channel, period in keys:
        now = flighting.current(channel, period)
        low, high = bounds.get(channel, (0.5, 2.0)) if isinstance(bounds, Mapping) else bounds
        unit = now if now > 0.0 else 1.0
        low, high = (now, now) if channel in fixed else (low * unit, high * unit)
        if not 0.0 <= low <= high or not math.isfinite(high):
            raise ModelError(f"the bounds of {channel} cross or are no numbers: {low:g} to {high:g}")
        var = lower.spend[channel, period]
        var.value = min(max(now, low), high)
        if channel in least:
            if least[channel] > high:
                raise ModelError(f"none_or_at_least[{channel!r}] = {least[channel]:g} is above its bound, {high:g}")
            used = lower.used[channel, period]
            var.bounds = (0.0, high)
            lower.dropped[channel, period] = var <= high * used
            lower.limited[channel, period] = var >= max(low, least[channel]) * used
        else:
            var.bounds = (low, high)


def _responses(lower: Any, flighting: Flighting, fits: Sequence[Fit]) -> None:
    """The response of each fit by channel, and what counts: its sum, or the least of the sums."""
    keys = [(k, c) for k in range(len(fits)) for c in flighting.channels]
    lower.by_channel = pyo.Expression(keys)
    for k, fit in enumerate(fits):
        for channel in flighting.channels:
            lower.by_channel[k, channel] = _response(lower, flighting, channel, fit[channel])
    totals = [sum(lower.by_channel[k, c] for c in flighting.channels) for k in range(len(fits))]
    if len(fits) == 1:
        lower.outcome = pyo.Expression(expr=totals[0])
        return
    most = max(
        sum(curve.effect * (flighting.weeks + flighting.after) for curve in fit.values() if curve.saturation != "root")
        for fit in fits
    )
    lower.worst = pyo.Var(bounds=(0.0, most if all(_bounded(fit) for fit in fits) else None))
    lower.least = pyo.Constraint(range(len(fits)), rule=lambda _, k: lower.worst <= totals[k])
    lower.outcome = pyo.Expression(expr=lower.worst)


def _bounded(fit: Fit) -> bool:
    return all(curve.saturation != "root" for curve in fit.values())


def _response(lower: Any, flighting: Flighting, channel: str, curve: ResponseCurve) -> Any:
    """Of one channel over the planned weeks and those after."""
    base, per_unit = flighting.carried(channel, curve)
    total = 0.0
    for t in range(len(base)):
        carried = base[t] + sum(
            float(share) * lower.spend[channel, p] for p, share in enumerate(per_unit[:, t]) if share > 0.0
        )
        if not isinstance(carried, float) or carried > 0.0:
            total += curve.saturated(carried)
    return total


def flighting_of(
    fits: Sequence[Fit], history: Mapping[str, Any], weeks: int | None, periods: int, after: int
) -> Flighting:
    """The weeks that are planned and those before, checked."""
    if not fits or not fits[0]:
        raise ModelError("fits holds no channel: give a ResponseCurve by channel")
    channels = tuple(fits[0])
    for fit in fits:
        if set(fit) != set(channels):
            raise ModelError(f"every fit must have the same channels: {', '.join(sorted(set(fit) ^ set(channels)))}")
    spend = {channel: _series(history, channel) for channel in channels}
    length = len(spend[channels[0]])
    for channel, series in spend.items():
        if len(series) != length:
            raise ModelError(f"history[{channel!r}] has {len(series)} weeks where {channels[0]!r} has {length}")
    planned = length if weeks is None else weeks
    if not 1 <= periods <= planned <= length:
        raise ModelError(
            f"{planned} weeks in {periods} periods cannot be planned of a history of {length}: weeks= is at most what"
            " there is, periods= at most the weeks"
        )
    ends = [round(planned * k / periods) for k in range(periods + 1)]
    return Flighting(
        channels,
        {c: series[length - planned :] for c, series in spend.items()},
        {c: series[: length - planned] for c, series in spend.items()},
        tuple(range(a, b) for a, b in pairwise(ends)),
        after,
    )


def _series(history: Mapping[str, Any], channel: str) -> Array:
    if channel not in history:
        raise ModelError(f"history has no column {channel!r}; it has {', '.join(map(str, history))}")
    try:
        series = np.asarray(history[channel], dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"history[{channel!r}] holds what is no number") from None
    wrong = np.flatnonzero(~(np.isfinite(series) & (series >= 0.0)))
    if wrong.size:
        raise ModelError(f"history[{channel!r}] is {series[wrong[0]]} in week {wrong[0]}: spend is a number from 0 on")
    return series


def _known(given: Iterable[str], channels: Sequence[str], where: str) -> None:
    for channel in given:
        if channel not in channels:
            raise ModelError(f"{where} names {channel!r}, which is no channel; these are {', '.join(channels)}")
