"""What a marketing mix was made of: its table, its choices, its weeks; and its numbers at values of its variables.

The model that :func:`~bilevel.blocks.marketing_mix.marketing_mix` gives holds one as ``model.mix``. Its arithmetic is
that of the model's Expressions, by the same functions, which take numbers as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.blocks.adstock import carried_over
from bilevel.blocks.saturation import CURVES
from bilevel.blocks.scaling import peak
from bilevel.errors import ModelError

ADSTOCKS: dict[str, dict[str, tuple[float, float]]] = {
    "geometric": {"theta": (0.0, 0.8)},
    "delayed": {"theta": (0.0, 0.8), "delay": (0.0, 4.0)},
    "weibull_pdf": {"shape": (0.5, 5.0), "scale": (0.5, 6.0)},
    "weibull_cdf": {"shape": (0.5, 2.0), "scale": (0.5, 6.0)},
    "binomial": {"theta": (0.05, 0.95)},
    "none": {},
}
"""The parameters of each carry-over, and their ranges unless others are given."""

SATURATIONS: dict[str, dict[str, tuple[float, float]]] = {
    "hill": {"alpha": (0.5, 3.0), "gamma": (0.3, 1.0)},
    "logistic": {"rate": (0.3, 10.0)},
    "michaelis_menten": {"gamma": (0.1, 3.0)},
    "tanh": {"gamma": (0.1, 3.0)},
    "root": {"alpha": (0.3, 1.0)},
    "none": {},
}


@dataclass(frozen=True)
class Channel:
    """One paid channel.

    Attributes
    ----------
    name : str
        Of its column.
    exposure, spend : ndarray of shape (T,)
        What the effect comes of (money, or impressions), and what was paid, in the user's units.
    scale : float
        What exposure is divided by.
    adstock, saturation : str
        Kinds.
    length : int or None
        Weeks remembered; None for the recursion.
    normalised : bool
        Whether the weights sum to one.
    reference : range or None
        The rows whose largest adstock the saturation is measured by; None for the scale.
    """

    name: str
    exposure: Array
    spend: Array
    scale: float
    adstock: str
    saturation: str
    length: int | None
    normalised: bool
    reference: range | None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its variables."""
        return (*ADSTOCKS[self.adstock], *SATURATIONS[self.saturation])

    def carried(self, values: Mapping[str, Any]) -> Any:
        """Adstock, of numbers or of variables."""
        scaled = (self.exposure / self.scale).tolist()
        if self.adstock == "none":
            return scaled
        return carried_over(self.adstock, scaled, dict(values), self.length, self.normalised)

    def level(self, carried: Any) -> Any:
        """What the saturation is measured by."""
        return 1.0 if self.reference is None else peak(carried, self.reference)

    def shape(self, values: Mapping[str, Any], level: Any) -> tuple[Any, ...]:
        """The saturation's parameters, in the units of the adstock."""
        found = []
        for name in SATURATIONS[self.saturation]:
            value = values[name]
            found.append(value * level if name == "gamma" else value / level if name == "rate" else value)
        return tuple(found)

    def saturated(self, carried: Any, shape: tuple[Any, ...]) -> Any:
        """Saturation of what is carried."""
        return CURVES[self.saturation].apply(carried, *shape)

    def lift(self, carried: Any, saturated: Any, shape: tuple[Any, ...]) -> Any:
        """``A dS/dA`` of one row: what S gains, per unit, where all spend grows in proportion."""
        return CURVES[self.saturation].lift(carried, saturated, *shape)


@dataclass(frozen=True)
class Plan:
    """What a model was made of.

    Attributes
    ----------
    outcome : str
        The column that is explained.
    actual : ndarray of shape (T,)
        Its values.
    channels : dict of str to Channel
        By name.
    controls : dict of str to ndarray of shape (T,)
        Other columns: the table's, trend, seasons, holidays.
    folds : tuple of (range, range)
        Training and validation rows of each origin, the last one the latest.
    dates : list of date, optional
        Of the rows.
    """

    outcome: str
    actual: Array
    channels: dict[str, Channel]
    controls: dict[str, Array]
    folds: tuple[tuple[range, range], ...]
    dates: list[date] | None = None
    signs: dict[str, str] = field(default_factory=dict)

    @property
    def weeks(self) -> int:
        """T."""
        return len(self.actual)

    @property
    def seen(self) -> range:
        """The rows that fit and choice may look at: all before the test rows."""
        return range(self.folds[-1][1].stop)

    @property
    def periods(self) -> list[str]:
        """What each row is to the latest origin: training, validation or test."""
        train, judge = self.folds[-1]
        return ["training" if t in train else "validation" if t in judge else "test" for t in range(self.weeks)]

    def at(self, values: Mapping[str, Mapping[str, float]], coefficients: Mapping[str, float]) -> Numbers:
        """All numbers at values of the channels' parameters and of the latest follower's coefficients."""
        train = list(self.folds[-1][0])
        size = float(np.std(self.actual[train]))
        carried, shapes, saturated, factors = {}, {}, {}, {}
        baseline = np.full(self.weeks, float(np.mean(self.actual[train])))
        for name, channel in self.channels.items():
            mine = values[name]
            carried[name] = np.asarray(channel.carried(mine), dtype=float)
            shapes[name] = channel.shape(mine, channel.level(carried[name]))
            saturated[name] = np.asarray(channel.saturated(carried[name], shapes[name]), dtype=float)
            spread = float(np.std(saturated[name][train]))
            factors[name] = size * coefficients[name] / spread if spread else 0.0
            baseline -= factors[name] * float(np.mean(saturated[name][train]))
        moved = {}
        for name, column in self.controls.items():
            spread = float(np.std(column[train]))
            moved[name] = (
                size * coefficients[name] * (column - np.mean(column[train])) / spread if spread else 0 * column
            )
        return Numbers(self, dict(values), baseline, moved, factors, carried, saturated, shapes)


@dataclass(frozen=True)
class Numbers:
    """A plan at one point.

    Attributes
    ----------
    plan : Plan
    parameters : dict of str to dict of str to float
        By channel and name.
    baseline : ndarray of shape (T,)
        The outcome without any spend, the controls at their training means.
    moved : dict of str to ndarray of shape (T,)
        What each control adds.
    factors : dict of str to float
        The outcome per unit of saturation, by channel.
    carried, saturated : dict of str to ndarray of shape (T,)
        Adstock and saturation.
    shapes : dict of str to tuple
        The saturations' parameters.
    """

    plan: Plan
    parameters: dict[str, Mapping[str, float]]
    baseline: Array
    moved: dict[str, Array]
    factors: dict[str, float]
    carried: dict[str, Array]
    saturated: dict[str, Array]
    shapes: dict[str, tuple[Any, ...]]

    def effect(self, name: str, rows: Sequence[int] | None = None) -> Array:
        """What a channel brings in each row."""
        gained: Array = self.factors[name] * self.saturated[name]
        return gained if rows is None else gained[list(rows)]

    @property
    def fitted(self) -> Array:
        """The outcome as the model has it, shape (T,)."""
        total = self.baseline.copy()
        for column in self.moved.values():
            total += column
        for name in self.factors:
            total += self.effect(name)
        return total

    def marginal(self, name: str) -> float:
        """The outcome per unit more of money, spread over the seen weeks in proportion to what was spent."""
        rows = list(self.plan.seen)
        channel = self.plan.channels[name]
        gains = channel.lift(self.carried[name][rows], self.saturated[name][rows], self.shapes[name])
        return float(self.factors[name] * np.sum(gains) / channel.spend[rows].sum())

    def response(self, name: str, times: Array) -> Array:
        """A channel's effect over the seen weeks where all its spend is multiplied, shape of ``times``."""
        carried = self.carried[name][list(self.plan.seen)]  # adstock is linear in spend
        saturated = self.plan.channels[name].saturated(np.outer(times, carried).ravel(), self.shapes[name])
        gained: Array = self.factors[name] * np.asarray(saturated, dtype=float).reshape(len(times), -1).sum(axis=1)
        return gained


def value_reader(at: Any) -> Callable[[Any], float]:
    """What reads a variable's value from a result, an evaluation of its history, or their dictionaries.

    Raises
    ------
    ModelError
        If there are no such values.
    """
    if isinstance(at, Mapping):
        upper, lower = at.get("upper"), at.get("lower")
    else:
        upper, lower = getattr(at, "upper", None), getattr(at, "lower", None)
    if not upper and not lower:
        raise ModelError("there is no point to read at: give a result that has one, or a dict of its upper and lower")
    known = {**(upper or {}), **(lower or {})}

    def read(variable: Any) -> float:
        if variable.name in known:
            return float(known[variable.name])
        if variable.fixed:
            return float(variable.value)
        raise ModelError(f"the point has no value of {variable.name}; was it found on another model?")

    return read
