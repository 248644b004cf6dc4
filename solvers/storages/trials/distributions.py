"""Upper variables as Optuna's distributions, under their own names and values.

A sequence with equal steps is a float or an integer with a step, any other a list of choices; a category is a list of
its values, as text where Optuna takes no such value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bilevel.arrays import as_python
from bilevel.upper.dimension import Dimension, spelled

_PLAIN = (type(None), bool, int, float, str)
_EQUAL = 1e-9  # of a step, by which steps may differ


def distribution_of(dimension: Dimension) -> Any:
    """The ``optuna.distributions.BaseDistribution`` that a dimension is."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.values is None:
        if dimension.integer:
            return IntDistribution(int(dimension.lower), int(dimension.upper))
        return FloatDistribution(dimension.lower, dimension.upper, log=dimension.scale == "log")
    step = _step(dimension)
    if step is None:
        return CategoricalDistribution([stored_value(value) for value in dimension.values])
    low, high = dimension.values[0], dimension.values[-1]
    if all(isinstance(value, int) for value in dimension.values):
        return IntDistribution(low, high, step=int(step))
    return FloatDistribution(float(low), float(high), step=step)


def _step(dimension: Dimension) -> float | None:
    """The distance between neighbours, where it is the same between all of them and none is a rounding away."""
    values = dimension.values or ()
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    if dimension.categorical or not numbers or len(values) < 2:
        return None
    low, step = values[0], (values[-1] - values[0]) / (len(values) - 1)
    if all(isinstance(value, int) for value in values):
        return step if step > 0 and all(v == low + k * step for k, v in enumerate(values)) else None
    text = float(f"{step:.12g}")  # Optuna reads a step by its digits
    same = text > 0 and all(abs(v - (low + k * text)) <= _EQUAL * text for k, v in enumerate(values))
    return text if same else None


def told_by(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Distributions that hold some values by name, where nothing else is known of the parameters."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for point in points for name in point):
        values = [stored_value(point[name]) for point in points if name in point]
        if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            found[name] = CategoricalDistribution(list(dict.fromkeys(values)))
        elif all(isinstance(value, int) for value in values):
            found[name] = IntDistribution(min(values), max(values))
        else:
            found[name] = FloatDistribution(float(min(values)), float(max(values)))
    return found


def stored_value(value: Any) -> Any:
    """A value as Optuna takes it: numbers, words, truth and nothing as they are, others as text."""
    plain = as_python(value)
    return plain if type(plain) in _PLAIN else spelled(value)


def internal(distribution: Any, value: Any) -> float:
    """A value as Optuna stores it: a choice by its number."""
    found: float = distribution.to_internal_repr(stored_value(value))
    return found
