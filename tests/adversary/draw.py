"""Random numbers, units and declarations for the families of problems."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from stated_problem import Follower, Stated, Variable

UNITS = (1.0, 1.0, 1.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e9)


class Draw:
    """A family's random choices, the same for the same seed."""

    def __init__(self, family: str, seed: int) -> None:
        self.family, self.seed = family, seed
        self._rng = np.random.default_rng([seed, sum(family.encode())])

    def number(self, low: float, high: float, digits: int = 3) -> float:
        """A number of few digits."""
        return float(f"{self._rng.uniform(low, high):.{digits}g}")

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self._rng.integers(low, high + 1))

    def pick(self, *options: Any) -> Any:
        """One of some options."""
        return options[int(self._rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return bool(self._rng.random() < probability)

    def unit(self) -> float:
        """Of a variable or an objective: one in a fifth of the cases, else a power of ten."""
        return float(self.pick(*UNITS))

    def objective(self, formula: str, constant: float = 0.2) -> tuple[str, str, str]:
        """A formula to be minimised, as stated in some unit and sense, with this probability beside a large constant.

        Returns the formula, the sense, and the formula without the constant.
        """
        unit, sense = self.unit(), self.pick("minimize", "minimize", "maximize")
        plain = formula if unit == 1.0 else f"{unit!r}*({formula})"
        plain = plain if sense == "minimize" else f"-({plain})"
        if self.chance(1.0 - constant):
            return plain, sense, plain
        return f"{plain} + {float(self.pick(1e2, 1e4, 1e6, 1e8)) * unit!r}", sense, plain

    def stated(self, upper: Any, followers: Any, formula: str, rows: tuple[str, ...] = (), **more: Any) -> Stated:
        """The problem with F to be minimised in some unit and sense; a single follower may stand alone."""
        followers = followers if isinstance(followers, tuple) else (followers,)
        upper = upper if isinstance(upper, tuple) else (upper,)
        if "sense" not in more:
            formula, more["sense"], _ = self.objective(formula)
        return Stated(self.family, self.seed, upper, followers, formula, tuple(rows), **more)

    def follower(self, variables: Any, formula: str, rows: tuple[str, ...] = (), name: str = "low") -> Follower:
        """A follower that minimises a formula, in some unit and sense, perhaps with a large constant."""
        variables = variables if isinstance(variables, tuple) else (variables,)
        stated, sense, plain = self.objective(formula, constant=0.4)
        return Follower(name, variables, stated, tuple(rows), sense, plain)


def real(name: str, low: float, high: float, unit: float = 1.0) -> Variable:
    """A real variable between bounds, given in units."""
    low, high = _round(low * unit), _round(high * unit)
    return Variable(name, f"bounds=({low!r}, {high!r})", ((low, high),))


def free(name: str, low: float, high: float, below: bool = True, above: bool = True) -> Variable:
    """A variable without one bound or both, and the window in which what matters of it lies."""
    ends = (None if below else low), (None if above else high)
    return Variable(name, f"bounds={ends!r}", ((low, high),), open_low=below, open_high=above)


def integer(name: str, low: float, high: float, domain: str = "pyo.Integers") -> Variable:
    """An integer with any bounds, fractional ones too."""
    values = range(math.ceil(low), math.floor(high) + 1)
    return Variable(name, f"within={domain}, bounds=({low!r}, {high!r})", tuple((float(v), float(v)) for v in values))


def per(name: str, unit: float) -> str:
    """A variable measured in its unit."""
    return name if unit == 1.0 else f"({name}/{unit!r})" if unit >= 1 else f"({_round(1 / unit)!r}*{name})"


def _round(value: float) -> float:
    return float(f"{value:.12g}")
