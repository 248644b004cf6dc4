"""A marketing mix from a table: carry-over, saturation and penalty tuned on held-out weeks over a ridge fit.

    min_{shapes, lambda}  NRMSE on the validation weeks
    s.t.  b in argmin { 1/(2n) ||y - Z b||^2 + lambda/2 ||b||^2 : b_c >= 0 for every channel c }

Z holds the saturated adstock of each channel, which the upper variables shape, and the controls, each in units of its
training mean and deviation, as y is; NRMSE is the root of the mean squared error over the range of the outcome in those
weeks. With several origins there is a follower for each, and their errors' mean is minimised (rolling origin: Tashman
2000). The split of the weeks is data and never decided on.

Robyn's formulas are the defaults, with three differences: lambda is searched in logarithms, seasons and trend are
columns of the calendar instead of a forecast that has seen the test weeks, and the saturation is measured by the
training weeks alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyomo.environ as pyo

from bilevel.blocks.choices import SIGNS, penalty_range, plan_of, ranges_of
from bilevel.blocks.column import entries_of, is_none
from bilevel.blocks.pictures import PICTURES
from bilevel.blocks.plan import Plan
from bilevel.blocks.scaling import standardised
from bilevel.blocks.table import Table
from bilevel.language.domains import set_scale
from bilevel.language.lower_level import LowerLevel

_SMALL = 1e-12  # of the outcome: what keeps shares of no effect at all numbers


def marketing_mix(
    frame: Any,
    *,
    outcome: str,
    media: Sequence[str],
    controls: Sequence[str] = (),
    dates: str | None = None,
    spend: Mapping[str, str] | None = None,
    adstock: str | Mapping[str, str] = "geometric",
    length: int | None = None,
    normalised: bool | None = None,
    saturation: str | Mapping[str, str] = "hill",
    reference: str | None = None,
    ranges: Mapping[str, Any] | None = None,
    penalty: Any = None,
    seasons: int | None = None,
    trend: bool = True,
    holidays: Mapping[str, Any] | None = None,
    signs: Mapping[str, str] | None = None,
    split: tuple[float, float] = (0.7, 0.15),
    folds: int = 1,
) -> pyo.ConcreteModel:
    """A marketing mix from a table, as an ordinary bilevel model that may be changed before it is solved.

    Parameters
    ----------
    frame : pandas DataFrame, or mapping of name to column
        A row per period (a week, say), the oldest first, none missing.
    outcome : str
        The column to explain: revenue, or a count of sales.
    media : sequence of str
        Columns of spend, or of exposure, a channel each.
    controls : sequence of str
        Columns of what else moves the outcome.
    dates : str, optional
        The column of dates; without one there are neither seasons nor holidays.
    spend : mapping, optional
        ``{channel: column of its cost}`` where a channel's own column counts impressions or clicks.
    adstock : str or mapping by channel
        ``"geometric"`` (the recursion), ``"delayed"``, ``"weibull_pdf"``, ``"weibull_cdf"``, ``"binomial"``,
        ``"none"``.
    length : int, optional
        Weeks remembered: 13 unless given, for ever by the recursion.
    normalised : bool, optional
        Whether the weights sum to one: not so for the recursion and so for all others, unless given.
    saturation : str or mapping by channel
        ``"hill"``, ``"logistic"``, ``"michaelis_menten"``, ``"tanh"``, ``"root"``, ``"none"``.
    reference : str, optional
        What ``gamma`` and ``rate`` are measured by: ``"training peak"``, the largest adstock of the (first) training
        weeks, the default of the recursion; ``"peak"``, of all weeks, as Robyn; ``"largest"``, the largest spend of the
        training weeks, the default elsewhere.
    ranges : mapping, optional
        ``{"theta": (0, 0.5), "alpha": {"tv": (1, 3), "radio": 1.0}}``: ranges of the upper variables, for all channels
        or some, a number to hold one. Usual: theta 0 to 0.8, alpha 0.5 to 3, gamma 0.3 to 1 (Robyn's); the others in
        ``bilevel.blocks.ADSTOCKS`` and ``SATURATIONS``.
    penalty : (low, high) or number, optional
        The range of lambda, which is searched in logarithms; from the data unless given: 1e-4 to 10 times the largest
        correlation of a column with the outcome.
    seasons : int, optional
        Fourier pairs of the year: 3 with dates.
    trend : bool
        A straight line.
    holidays : mapping, optional
        ``{name: dates}``, a column each: the days of it in the period.
    signs : mapping, optional
        ``{column: "positive" | "negative" | "free"}`` of coefficients: media positive, controls free, unless given.
    split : (train, validation)
        Weeks, or shares of all weeks; what is left is the test.
    folds : int
        Origins: the last trains on ``train`` weeks, each one before on a validation block less.

    Returns
    -------
    ConcreteModel
        Upper variables ``theta[c]``, ``alpha[c]``, ``gamma[c]`` (or those of the kinds chosen) and ``penalty``; a
        follower ``lower`` with coefficients ``b`` (one for each origin, where there are several). Named Expressions in
        the table's units, of the latest origin and over all but the test weeks: ``contribution[c, t]`` (all weeks),
        ``effect[c]``, ``share[c]`` of the effects, ``roas[c]``, ``marginal_roas[c]``; ``nrmse``, ``test_nrmse``
        (which no choice depends on), ``share_distance`` (of effect shares from spend shares:
        Robyn's DECOMP.RSSD without its jumps). A constraint on them is a line,
        ``model.floor = pyo.Constraint(expr=model.roas["tv"] >= 0.5)``. ``mix`` is what it was made of.

    Raises
    ------
    ModelError
        If an argument or an entry of the table is wrong: names the column, the period, and a cure.

    Examples
    --------
    >>> import bilevel
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> tv, search = rng.gamma(1.0, size=60), rng.gamma(2.0, size=60)
    >>> table = {"tv": tv, "search": search, "sales": 10 + tv / (1 + tv) + 2 * search / (2 + search)}
    >>> model = bilevel.blocks.marketing_mix(table, outcome="sales", media=["tv", "search"])
    >>> result = bilevel.solve(model, "gradient", budget=60, seed=0)
    >>> result.upper_objective < 0.05
    True
    """
    table = Table(frame, dates)
    columns: dict[str, Any] = {"outcome": outcome, "media": media, "controls": controls, "spend": spend, "signs": signs}
    columns |= {"seasons": seasons, "trend": trend, "holidays": holidays}
    kinds: dict[str, Any] = {"adstock": adstock, "length": length, "normalised": normalised, "saturation": saturation}
    plan = plan_of(table, columns, kinds | {"reference": reference}, {"split": split, "folds": folds})
    model = pyo.ConcreteModel()
    model.mix, model.pictures = plan, PICTURES
    model.media = pyo.Set(initialize=list(plan.channels))
    model.controls = pyo.Set(initialize=list(plan.controls))
    _declare_variables(model, ranges_of(plan, ranges), penalty_range(plan, penalty))
    shaped = _transform(model)
    errors = _followers(model, shaped)
    model.nrmse = pyo.Expression(expr=errors[0] if len(errors) == 1 else sum(errors) / len(errors))
    _readings(model, shaped)
    model.obj = pyo.Objective(expr=model.nrmse)
    return model


def _declare_variables(
    model: Any, ranges: Mapping[str, Mapping[str, tuple[float, float]]], penalty: tuple[float, float]
) -> None:
    """The upper level: a variable per parameter and channel, and lambda."""
    for name, by_channel in ranges.items():
        var = pyo.Var(list(by_channel))
        model.add_component(name, var)
        for c, (low, high) in by_channel.items():
            var[c].setlb(low)
            var[c].setub(high)
            var[c].value = (low + high) / 2
            if low == high:
                var[c].fix()
    low, high = penalty
    model.penalty = pyo.Var(bounds=(low, high), initialize=float(np.sqrt(low * high)))
    if low == high:
        model.penalty.fix()
    else:
        set_scale(model.penalty, "log")


class _Shaped(NamedTuple):
    """A channel's adstock and saturation by rows, and the saturation's parameters."""

    carried: list[Any]
    saturated: list[Any]
    shape: tuple[Any, ...]


def _transform(model: Any) -> dict[str, _Shaped]:
    """Adstock and saturation of each channel, on ``model.channel[c]``."""
    model.channel = pyo.Block(model.media)
    found = {}
    for c, channel in model.mix.channels.items():
        block = model.channel[c]
        values = {name: model.component(name)[c] for name in channel.parameters}
        carried = _put(block, "carried", channel.carried(values))
        level = _put(block, "level", channel.level(carried))
        shape = channel.shape(values, level)
        saturated = _put(block, "saturated", channel.saturated(carried, shape))
        found[c] = _Shaped(entries_of(carried, c), entries_of(saturated, c), shape)
    return found


def _put(block: Any, name: str, part: Any) -> Any:
    """A part, with a home where it is a component."""
    if hasattr(part, "ctype"):
        block.add_component(name, part)
    return part


def _followers(model: Any, shaped: Mapping[str, _Shaped]) -> list[Any]:
    """A follower per origin, on ``model.lower``; NRMSE of each on its validation weeks."""
    plan: Plan = model.mix
    several = len(plan.folds) > 1
    model.lower = LowerLevel(range(len(plan.folds))) if several else LowerLevel()
    model.origin = pyo.Block(range(len(plan.folds)))
    return [_follower(model, k, model.lower[k] if several else model.lower, shaped) for k in range(len(plan.folds))]


def _follower(model: Any, k: int, follower: Any, shaped: Mapping[str, _Shaped]) -> Any:
    """One origin: its columns in its own units, its ridge regression, its error."""
    plan: Plan = model.mix
    (train, judge), block = plan.folds[k], model.origin[k]
    n, weeks = len(train), range(plan.weeks if k == len(plan.folds) - 1 else judge.stop)
    block.channel = pyo.Block(model.media)
    columns = {
        c: _put(block.channel[c], "column", standardised(shaped[c].saturated[: len(weeks)], n)) for c in model.media
    }
    controls = {name: standardised(values, n).tolist() for name, values in plan.controls.items()}
    block.target = standardised(plan.actual, n).tolist()
    follower.b = pyo.Var(model.media | model.controls)
    for name, var in follower.b.items():
        low, high = SIGNS[plan.signs[name]]
        var.setlb(low)
        var.setub(high)
    b = follower.b
    block.residual = pyo.Expression(weeks)
    for t in weeks:
        by_media = sum(b[c] * columns[c][t] for c in model.media)
        block.residual[t] = by_media + sum(b[j] * controls[j][t] for j in model.controls) - block.target[t]
    shrinkage = model.penalty / 2 * sum(b[j] ** 2 for j in b)
    follower.obj = pyo.Objective(expr=sum(block.residual[t] ** 2 for t in train) / (2 * n) + shrinkage)
    return _error(block, judge)


def _error(block: Any, rows: range) -> Any:
    """NRMSE over rows."""
    observed = [block.target[t] for t in rows]
    rmse = pyo.sqrt(sum(block.residual[t] ** 2 for t in rows) / len(rows))
    return rmse / (max(observed) - min(observed))


def _readings(model: Any, shaped: Mapping[str, _Shaped]) -> None:
    """What the latest fit says of the channels, in the table's units, as named Expressions."""
    plan: Plan = model.mix
    last = len(plan.folds) - 1
    train, block = plan.folds[last][0], model.origin[last]
    b = (model.lower if last == 0 else model.lower[last]).b
    size, seen = float(np.std(plan.actual[list(train)])), plan.seen
    model.coefficient, model.marginal_roas = pyo.Expression(model.media), pyo.Expression(model.media)
    model.effect, model.contribution = pyo.Expression(model.media), pyo.Expression(model.media, range(plan.weeks))
    for c, (carried, saturated, shape) in shaped.items():
        channel, spread = plan.channels[c], _spread(block.channel[c], saturated, train)
        model.coefficient[c] = size * b[c] / spread if spread is not None else 0.0
        for t in range(plan.weeks):
            model.contribution[c, t] = model.coefficient[c] * saturated[t]
        model.effect[c] = model.coefficient[c] * sum(saturated[t] for t in seen)
        gains = sum(channel.lift(carried[t], saturated[t], shape) for t in seen if not is_none(saturated[t]))
        model.marginal_roas[c] = model.coefficient[c] * gains / float(channel.spend[list(seen)].sum())
    _shares(model)
    rows = range(seen.stop, plan.weeks)
    if len(rows) > 1 and np.ptp(plan.actual[list(rows)]) > 0:
        model.test_nrmse = pyo.Expression(expr=_error(block, rows))


def _shares(model: Any) -> None:
    """Returns on spend, shares of the effect, and how far these are from the shares of spend."""
    plan: Plan = model.mix
    spent = {c: float(channel.spend[list(plan.seen)].sum()) for c, channel in plan.channels.items()}
    least = _SMALL * float(np.abs(plan.actual[list(plan.seen)]).sum())
    model.total_effect = pyo.Expression(expr=sum(model.effect[c] for c in model.media))
    model.roas, model.share = pyo.Expression(model.media), pyo.Expression(model.media)
    for c in model.media:
        model.roas[c] = model.effect[c] / spent[c]
        model.share[c] = model.effect[c] / (model.total_effect + least)
    whole = sum(spent.values())
    apart = sum((model.share[c] - spent[c] / whole) ** 2 for c in model.media)
    model.share_distance = pyo.Expression(expr=pyo.sqrt(apart + _SMALL))


def _spread(block: Any, saturated: Sequence[Any], train: range) -> Any:
    """The training deviation of a channel's saturation; None where it does not move."""
    column = block.component("column")
    if column is not None:
        return column.parts["spread"]
    seen = [saturated[t] for t in train]
    return float(np.std(seen)) or None
