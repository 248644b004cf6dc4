"""What a fitted marketing mix says, as tables in the user's units: contributions, returns, curves, fit.

All is computed by numpy from the values of the variables, so a point of the history, a result that was pickled, and a
file written by ``result.to_json`` can be read as well as a result; on the same table the numbers are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from bilevel.blocks.adstock import lag_weights
from bilevel.blocks.plan import Numbers, Plan, value_reader
from bilevel.errors import ModelError

if TYPE_CHECKING:
    from pandas import DataFrame


class Readings:
    """A marketing mix at one point.

    Parameters
    ----------
    model : ConcreteModel
        As :func:`~bilevel.blocks.marketing_mix.marketing_mix` gave it, changed or not.
    at : Result, Evaluation, dict or path
        Where: what has ``upper`` and ``lower``, or a file that ``to_json`` wrote.

    Raises
    ------
    ModelError
        If the model is none of these, or the point is not one of it.
    """

    def __init__(self, model: Any, at: Any) -> None:
        plan = getattr(model, "mix", None)
        if not isinstance(plan, Plan):
            raise ModelError("readings(model, at): the model is not one that bilevel.blocks.marketing_mix made")
        read = value_reader(_point(at))
        values = {
            c: {name: read(model.component(name)[c]) for name in channel.parameters}
            for c, channel in plan.channels.items()
        }
        b = (model.lower if len(plan.folds) == 1 else model.lower[len(plan.folds) - 1]).b
        self.plan: Plan = plan
        self._model = model
        self.penalty = read(model.penalty)
        self.numbers: Numbers = plan.at(values, {name: read(b[name]) for name in b})

    def error(self, period: str) -> float:
        """NRMSE in ``training``, ``validation`` or ``test``: root of the mean squared error over the range there."""
        rows = np.array(self.plan.periods) == period
        actual = self.plan.actual[rows]
        off = self.numbers.fitted[rows] - actual
        return float(np.sqrt(np.mean(off**2)) / np.ptp(actual)) if len(actual) > 1 and np.ptp(actual) else float("nan")

    def errors(self) -> DataFrame:
        """By period: weeks, ``nrmse``, ``mape`` (mean of ``|error / actual|``), ``r2``."""
        rows = []
        periods = np.array(self.plan.periods)
        for period in ("training", "validation", "test"):
            here = periods == period
            if here.any():
                actual, fitted = self.plan.actual[here], self.numbers.fitted[here]
                off, spread = fitted - actual, float(np.sum((actual - actual.mean()) ** 2))
                mape = float(np.mean(np.abs(off[actual != 0] / actual[actual != 0])))
                r2 = 1 - float(np.sum(off**2)) / spread if spread else float("nan")
                rows.append(
                    {"period": period, "weeks": int(here.sum()), "nrmse": self.error(period), "mape": mape, "r2": r2}
                )
        return _pandas().DataFrame(rows).set_index("period")

    def fit(self) -> DataFrame:
        """By week: ``period``, ``actual``, ``fitted``, ``residual``."""
        fitted = self.numbers.fitted
        columns = {"period": self.plan.periods, "actual": self.plan.actual, "fitted": fitted}
        return self._weekly({**columns, "residual": self.plan.actual - fitted})

    def contributions(self) -> DataFrame:
        """By week: ``baseline`` (no spend, mean controls), each control, each channel; their sum is the fit."""
        channels = {name: self.numbers.effect(name) for name in self.plan.channels}
        return self._weekly({"baseline": self.numbers.baseline, **self.numbers.moved, **channels})

    def channels(self) -> DataFrame:
        """By channel, over all but the test weeks.

        ``spend``, ``spend_share``, ``effect`` (in units of the outcome), ``share`` (of all effects), ``roas`` (effect
        per unit of spend), ``marginal_roas`` (of the next unit, spread as the spend was), ``half_life`` (weeks), and
        the parameters.
        """
        rows, plan = list(self.plan.seen), self.plan
        spent = {name: float(channel.spend[rows].sum()) for name, channel in plan.channels.items()}
        effects = {name: float(self.numbers.effect(name, rows).sum()) for name in plan.channels}
        total = sum(effects.values())
        table = {}
        for name in plan.channels:
            table[name] = {
                "spend": spent[name],
                "spend_share": spent[name] / sum(spent.values()),
                "effect": effects[name],
                "share": effects[name] / total if total else 0.0,
                "roas": effects[name] / spent[name],
                "marginal_roas": self.numbers.marginal(name),
                "half_life": self.half_life(name),
                **self.numbers.parameters[name],
            }
        return _pandas().DataFrame.from_dict(table, orient="index").rename_axis("channel")

    def curves(self, points: int = 41, most: float = 2.0) -> DataFrame:
        """Response curves over the spend as it was timed: all of a channel's spend times 0 ... ``most``.

        A row per channel and multiple: ``channel``, ``times``, ``spend`` (a week, on average), ``response`` (the same).
        Taken over the weeks as they were, not at the mean of the spend, which a bent curve does not answer alike.
        """
        rows, times = list(self.plan.seen), np.linspace(0.0, most, points)
        frames = []
        for name, channel in self.plan.channels.items():
            each = {"channel": name, "times": times, "spend": times * channel.spend[rows].mean()}
            frames.append(_pandas().DataFrame({**each, "response": self.numbers.response(name, times) / len(rows)}))
        return _pandas().concat(frames, ignore_index=True)

    def decay(self, name: str) -> Any:
        """Shares of one impulse's adstock felt in the weeks from it on, shape (weeks,)."""
        channel = self.plan.channels[name]
        if channel.adstock == "none":
            return np.array([1.0])
        values = {key: float(value) for key, value in self.numbers.parameters[name].items()}
        weights = lag_weights(channel.adstock, values, channel.length, False)
        total = weights.sum()
        if channel.adstock == "geometric" and channel.length is None and values["theta"] < 1:
            total = 1 / (1 - values["theta"])
        return weights / total

    def half_life(self, name: str) -> float:
        """Weeks in which the recursion halves, ``log(1/2) / log(theta)``; else the lag by which half has been felt."""
        channel = self.plan.channels[name]
        if channel.adstock == "geometric" and channel.length is None:
            theta = float(self.numbers.parameters[name]["theta"])
            return 0.0 if theta <= 0 else float("inf") if theta >= 1 else float(np.log(0.5) / np.log(theta))
        return float(np.argmax(np.cumsum(self.decay(name)) >= 0.5))

    def at_bounds(self) -> list[str]:
        """The upper variables that lie at an end of their range, each in words: wider ranges may fit better."""
        told = []
        variables = [(self._model.penalty, self.penalty)]
        for name, values in self.numbers.parameters.items():
            variables += [(self._model.component(key)[name], float(value)) for key, value in values.items()]
        for variable, value in variables:
            low, high = variable.bounds
            if not variable.fixed and min(value - low, high - value) <= 1e-6 * (high - low):
                end = "least" if value - low <= high - value else "largest"
                told.append(f"{variable.name} is {value:.4g}, the {end} it may be")
        return told

    def _weekly(self, columns: Mapping[str, Any]) -> DataFrame:
        pandas = _pandas()
        dates = self.plan.dates
        index = (
            pandas.RangeIndex(self.plan.weeks, name="row")
            if dates is None
            else pandas.DatetimeIndex(dates, name="date")
        )
        return pandas.DataFrame(dict(columns), index=index)


def readings(model: Any, at: Any) -> Readings:
    """The tables of a marketing mix at a point; needs pandas where one is asked for.

    Parameters
    ----------
    model : ConcreteModel
        As :func:`~bilevel.blocks.marketing_mix.marketing_mix` gave it.
    at : Result, Evaluation, dict or path
        The answer of ``bilevel.solve``, a point of its history, ``{"upper": ..., "lower": ...}``, or the path of a file
        that ``result.to_json`` wrote.

    Raises
    ------
    ModelError
        If the model was not made there, or the point is not one of it.
    """
    return Readings(model, at)


def spread(model: Any, points: Iterable[Any]) -> DataFrame:
    """How far what is said of each channel differs between points that fit about as well.

    Parameters
    ----------
    model : ConcreteModel
        As :func:`~bilevel.blocks.marketing_mix.marketing_mix` gave it.
    points : iterable of Evaluation or Result
        ``result.near(0.01)``, say.

    Returns
    -------
    DataFrame
        A row per channel and quantity (shares, returns, half-life, parameters): ``least``, ``median``, ``largest``, and
        ``of_range``: their distance as a share of the range the variable may have, where it is one.

    Raises
    ------
    ModelError
        If there are no points.
    """
    pandas = _pandas()
    tables = [Readings(model, point).channels() for point in points]
    if not tables:
        raise ModelError(
            "spread(model, points): there are no points; result.near(0.01) gives those within 1 % of the best"
        )
    rows = []
    for name in tables[0].index:
        for quantity in tables[0].columns.drop(["spend", "spend_share"]):
            values = np.array([table.loc[name, quantity] for table in tables], dtype=float)
            if not np.isnan(values).all():
                low, middle, high = (float(v) for v in (values.min(), np.median(values), values.max()))
                rows.append((name, quantity, low, middle, high, _of_range(model, name, quantity, high - low)))
    columns = ["channel", "quantity", "least", "median", "largest", "of_range"]
    return pandas.DataFrame(rows, columns=columns).set_index(["channel", "quantity"])


def _of_range(model: Any, channel: str, quantity: str, width: float) -> float:
    variable = model.component(quantity)
    if quantity not in model.mix.channels[channel].parameters:
        return float("nan")
    low, high = variable[channel].bounds
    return width / (high - low) if high > low else 0.0


def _pandas() -> Any:
    """Pandas, which tables need and nothing else does."""
    try:
        import pandas
    except ImportError:
        raise ModelError("the tables of a marketing mix are pandas frames: pip install pandas") from None
    return pandas


def start_from(model: Any, at: Any) -> None:
    """Let a search of a model begin where another one ended: last month's answer, on a table a month longer.

    Parameters
    ----------
    model : ConcreteModel
        Whose upper variables get the values found as initial ones, moved into their ranges. Searches try them first.
    at : Result, Evaluation, dict or path
        As of :func:`readings`; what the model does not have is passed over.

    Raises
    ------
    ModelError
        If there are no values in it.
    """
    point = _point(at)
    value_reader(point)
    known = point.get("upper", {}) if isinstance(point, Mapping) else point.upper
    for variable in model.component_data_objects(pyo.Var, descend_into=pyo.Block):
        if variable.name in known and not variable.fixed:
            low, high = variable.bounds
            variable.value = min(max(float(known[variable.name]), low), high)


def _point(at: Any) -> Any:
    """What holds values, read from a file where it is a path."""
    return json.loads(Path(at).read_text(encoding="utf-8")) if isinstance(at, (str, Path)) else at
