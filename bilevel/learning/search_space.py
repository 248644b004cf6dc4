"""What may stand for a hyperparameter's values, and the upper variable that it becomes.

Lists, ranges and arrays are sequences in the order given (the order in which neighbours are close), or categories where
they hold more than numbers; the estimator is handed the user's own objects. ``(low, high)`` is a range of reals,
``(low, high, "log")`` one searched in logarithms, ``(low, high, "int")`` one of integers. Frozen distributions of SciPy
are read as ``RandomizedSearchCV`` takes them, and Optuna's as its samplers do, without loading Optuna.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from bilevel.errors import SpaceError
from bilevel.language.domains import discretize, is_number, set_scale

_WORDS = ("linear", "log", "int")
_TAIL = 1e-3  # of a distribution without ends, on each side, that is not searched
_LOG_INTEGERS = 200  # values at most of an integer range in logarithms
_CURE = (
    "give a list of values, a range, (low, high), (low, high, 'log'), (low, high, 'int'), a frozen distribution of"
    " scipy.stats such as loguniform(1e-3, 1e3), or a distribution of Optuna"
)


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter and its values.

    Attributes
    ----------
    name : str
        As ``set_params`` takes it.
    low, high : float
        Of a range.
    integer, log : bool
        Whether it holds integers, and is searched in logarithms.
    members : tuple or None
        The values of a sequence, the user's own objects.
    quantile : callable or None
        From (0, 1) to the value, of a distribution that is neither uniform nor log-uniform.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    integer: bool = False
    log: bool = False
    members: tuple[Any, ...] | None = None
    quantile: Callable[[float], Any] | None = None

    @property
    def keys(self) -> tuple[Any, ...]:
        """What stands for the members in the model: themselves, or labels where they are no plain values."""
        assert self.members is not None
        plain = all(m is None or isinstance(m, str) or (is_number(m) and math.isfinite(m)) for m in self.members)
        if plain and len(set(self.members)) == len(self.members):
            return self.members
        return tuple(f"{k}: {str(m)[:40]}" for k, m in enumerate(self.members))

    @property
    def size(self) -> float:
        """Number of different values; infinite for reals."""
        if self.members is not None:
            return len(self.members)
        return self.high - self.low + 1 if self.integer and self.quantile is None else math.inf

    def add_to(self, model: Any) -> Any:
        """Declare the upper variable on a model; its name is the parameter's, where Pyomo lets it."""
        integer = self.integer and self.quantile is None
        bounds = (self.low, self.high) if self.members is None else None
        variable = pyo.Var(within=pyo.Integers if integer else pyo.Reals, bounds=bounds)
        model.add_component(self.name if not hasattr(model, self.name) else f"{self.name}_", variable)
        if self.members is not None:
            discretize(variable, self.keys)
        elif self.log:
            set_scale(variable, "log")
        return variable

    def value(self, x: Any) -> Any:
        """What the estimator is handed where the variable is ``x``."""
        if self.members is not None:
            return self.members[self.keys.index(x)]
        if self.quantile is not None:
            return int(self.quantile(float(x))) if self.integer else float(self.quantile(float(x)))
        return round(x) if self.integer else float(x)


def read_space(space: Any, estimator: Any) -> list[Parameter]:
    """The hyperparameters of a space, in the order in which ``ParameterGrid`` has them.

    Raises
    ------
    SpaceError
        If the space is no dictionary, is empty, names what the estimator does not have, or a value cannot be read.
    """
    if not isinstance(space, Mapping) or not space:
        raise SpaceError(f"space={space!r}: a dictionary such as {{'alpha': (1e-3, 1e3, 'log')}} is needed")
    known = estimator.get_params(deep=True)
    for name in space:
        head = str(name).partition("__")[0]
        if name not in known and (head == name or head not in known or head not in space):
            close = difflib.get_close_matches(str(name), known, 1)
            cure = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(sorted(known))}"
            raise SpaceError(f"space[{name!r}]: {type(estimator).__name__} has no such parameter; {cure}")
    return [parameter(name, space[name]) for name in sorted(space)]


def parameter(name: str, values: Any) -> Parameter:
    """One hyperparameter from whatever stands for its values.

    Raises
    ------
    SpaceError
        If it cannot be read; says what can.
    """
    if hasattr(values, "rvs"):
        return _from_scipy(name, values)
    if type(values).__module__.partition(".")[0] == "optuna":
        return _from_optuna(name, values)
    if isinstance(values, tuple) and (_is_range(values) or any(isinstance(v, str) and v in _WORDS for v in values)):
        return _from_tuple(name, values)
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return _sequence(name, values.tolist())
    if isinstance(values, (list, tuple, range)) or (hasattr(values, "__iter__") and hasattr(values, "__len__")):
        if isinstance(values, (str, bytes, Mapping, np.ndarray)):
            raise SpaceError(f"space[{name!r}] = {values!r} is no set of values; {_CURE}")
        return _sequence(name, list(values))
    raise SpaceError(f"space[{name!r}] = {values!r} is no set of values; {_CURE}")


def _sequence(name: str, values: list[Any]) -> Parameter:
    if not values:
        raise SpaceError(f"space[{name!r}] is empty; {_CURE}")
    kept: list[Any] = []
    for value in values:
        if not is_number(value) or not any(is_number(k) and type(k) is type(value) and k == value for k in kept):
            kept.append(value)
    return Parameter(name, members=tuple(kept))


def _is_range(values: tuple[Any, ...]) -> bool:
    return len(values) == 2 and all(is_number(v) and not isinstance(v, bool) for v in values)


def _from_tuple(name: str, values: tuple[Any, ...]) -> Parameter:
    words = set(values[2:])
    if not _is_range(values[:2]) or not words <= set(_WORDS):
        raise SpaceError(f"space[{name!r}] = {values!r} is neither a list nor a range; {_CURE}")
    return _range(name, values[0], values[1], log="log" in words, integer="int" in words)


def _range(name: str, low: Any, high: Any, *, log: bool, integer: bool) -> Parameter:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise SpaceError(f"space[{name!r}]: the range from {low} to {high} must be finite and rise")
    if log and low <= 0:
        raise SpaceError(f"space[{name!r}]: in logarithms low must be above 0, not {low}; leave 'log' out or raise it")
    if integer:
        low, high = math.ceil(low), math.floor(high)
        if low > high:
            raise SpaceError(f"space[{name!r}]: there is no integer in that range; widen it")
    if low == high:
        return Parameter(name, members=(int(low) if integer else float(low),))
    if integer and log:
        spaced = np.geomspace(low, high, min(_LOG_INTEGERS, high - low + 1)).round().astype(int)
        return Parameter(name, members=tuple(np.unique(spaced).tolist()))
    return Parameter(name, low=low, high=high, integer=integer, log=log)


def _from_scipy(name: str, values: Any) -> Parameter:
    if not hasattr(values, "ppf") or not hasattr(values, "support"):
        raise SpaceError(f"space[{name!r}] = {values!r} has rvs, but no quantiles (ppf); {_CURE}")
    kind = getattr(getattr(values, "dist", None), "name", "")
    low, high = (float(end) for end in values.support())
    if kind in ("uniform", "loguniform", "reciprocal", "randint"):
        return _range(name, low, high, log=kind in ("loguniform", "reciprocal"), integer=kind == "randint")
    ends = (0.0 if math.isfinite(low) else _TAIL, 1.0 if math.isfinite(high) else 1.0 - _TAIL)
    discrete = hasattr(getattr(values, "dist", None), "pmf")
    if discrete:
        ends = (max(ends[0], _TAIL), ends[1])
    return Parameter(name, low=ends[0], high=ends[1], integer=discrete, quantile=values.ppf)


def _from_optuna(name: str, values: Any) -> Parameter:
    if hasattr(values, "choices"):
        return _sequence(name, list(values.choices))
    if not hasattr(values, "high"):
        raise SpaceError(f"space[{name!r}] = {values!r} is no distribution that is known; {_CURE}")
    integer, step = isinstance(values.low, int), values.step
    if step is not None and (step != 1 or not integer):
        count = math.floor((values.high - values.low) / step + 1e-9) + 1
        return _sequence(name, [values.low + k * step for k in range(count)])
    return _range(name, values.low, values.high, log=values.log, integer=integer)
