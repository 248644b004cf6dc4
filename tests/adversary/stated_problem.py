"""A bilevel problem as plain text and numbers, from which both a Pyomo model and numpy functions are made.

Formulas are strings that Pyomo and numpy read alike. So a failure prints as a script that stands alone, and the truth
shares nothing with the package but these strings.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

EQUAL = 1e-11
Pieces = tuple[tuple[float, float], ...]


def _largest(values: list[Any]) -> Any:
    return functools.reduce(np.maximum, values)


_LOSSES = {
    "logistic": lambda z, t: np.logaddexp(0.0, -t * z),
    "poisson": lambda z, t: np.exp(z) - t * z,
    "huber": lambda z, t: np.where(abs(z - t) <= 1, (z - t) ** 2 / 2, abs(z - t) - 0.5),
    "squared_hinge": lambda z, t: np.maximum(0.0, 1 - t * z) ** 2,
}


def _over_rows(loss: str, rows: tuple[tuple[float, ...], ...], w: tuple[Any, ...], targets: tuple[float, ...]) -> Any:
    predicted = [sum(a * c for a, c in zip(row, w, strict=True)) for row in rows]
    return sum(_LOSSES[loss](z, t) for z, t in zip(predicted, targets, strict=True))


_NUMPY = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "inf": math.inf, "maximum": _largest,
    "rows_of": _over_rows,
}  # fmt: skip
_HEADER = """import pyomo.environ as pyo
from pyomo.environ import exp, log, sqrt

import bilevel
from bilevel import LowerLevel, maximum, rows_of

inf = float("inf")
m = pyo.ConcreteModel()
"""


@dataclass(frozen=True)
class Variable:
    """A variable as Pyomo is told of it, and the values that are truly allowed.

    Attributes
    ----------
    declared : str
        The arguments of ``pyo.Var``.
    pieces : tuple of (low, high)
        The allowed values, written down independently: intervals and, with ``low == high``, single values. Empty where
        there are none. For an unbounded variable the window in which the truth looks.
    open_low, open_high : bool
        Whether that end of the window is no bound: an answer that lies there is no answer.
    """

    name: str
    declared: str
    pieces: Pieces
    open_low: bool = False
    open_high: bool = False

    @property
    def width(self) -> float:
        """From the least allowed value to the largest, or the magnitude of an only one."""
        if not self.pieces:
            return 1.0
        low, high = self.pieces[0][0], self.pieces[-1][1]
        return high - low or abs(high) or 1.0

    def distance(self, value: float) -> float:
        """How far a value is from the nearest allowed one."""
        away = [
            max((low - value) * (not (self.open_low and low == self.pieces[0][0])),
                (value - high) * (not (self.open_high and high == self.pieces[-1][1])), 0.0)
            for low, high in self.pieces
        ]  # fmt: skip
        return min(away, default=math.inf)


@dataclass(frozen=True)
class Follower:
    """One lower level; ``plain`` is its objective without what a computer's digits would be lost in."""

    name: str
    variables: tuple[Variable, ...]
    objective: str
    rows: tuple[str, ...] = ()
    sense: str = "minimize"
    plain: str = ""

    @property
    def sign(self) -> int:
        return 1 if self.sense == "minimize" else -1


@dataclass(frozen=True)
class Stated:
    """A problem. ``expected`` is ``point``, or what is true instead: ``infeasible``, ``unbounded``, ``empty``.

    ``empty`` is a declaration that encloses nothing, where an error is as good as the word ``infeasible``.
    ``free`` names lower variables that their follower does not mention: with an optimistic leader they are the leader's.
    """

    family: str
    seed: int
    upper: tuple[Variable, ...]
    followers: tuple[Follower, ...]
    objective: str
    rows: tuple[str, ...] = ()
    sense: str = "minimize"
    expected: str = "point"
    free: tuple[str, ...] = ()

    @property
    def sign(self) -> int:
        return 1 if self.sense == "minimize" else -1

    @property
    def variables(self) -> dict[str, Variable]:
        """Every variable, by its short name."""
        return {v.name: v for v in (*self.upper, *(v for f in self.followers for v in f.variables))}

    @property
    def names(self) -> dict[str, str]:
        """The component names that the package reports, with the short ones that the formulas use."""
        inner = {f"{f.name}.{v.name}": v.name for f in self.followers for v in f.variables}
        return {**{v.name: v.name for v in self.upper}, **inner}

    def model_script(self) -> str:
        """The Pyomo model as a user would write it."""
        lines = [f"{v.name} = m.{v.name} = pyo.Var({v.declared})" for v in self.upper]
        for follower in self.followers:
            level = f"m.{follower.name}"
            lines.append(f"{level} = LowerLevel()")
            lines += [f"{v.name} = {level}.{v.name} = pyo.Var({v.declared})" for v in follower.variables]
            lines += [f"{level}.row{k} = pyo.Constraint(expr={row})" for k, row in enumerate(follower.rows)]
            lines.append(f"{level}.obj = pyo.Objective(expr={follower.objective}, sense=pyo.{follower.sense})")
        lines += [f"m.row{k} = pyo.Constraint(expr={row})" for k, row in enumerate(self.rows)]
        lines.append(f"m.obj = pyo.Objective(expr={self.objective}, sense=pyo.{self.sense})")
        return _HEADER + "\n".join(lines) + "\n"

    def script(self, method: str, options: dict[str, Any], comment: str = "") -> str:
        """The model, the call and what is wrong with its answer, as one program."""
        given = "".join(f", {key}={value!r}" for key, value in options.items())
        return f"# {comment}\n{self.model_script()}print(bilevel.solve(m, {method!r}{given}))\n"

    def model(self) -> Any:
        """The Pyomo model."""
        scope: dict[str, Any] = {}
        exec(self.model_script(), scope)
        return scope["m"]

    @classmethod
    def of_dict(cls, plain: dict[str, Any]) -> Stated:
        """What ``dataclasses.asdict`` and JSON made of a problem."""
        followers = (
            Follower(**{**f, "variables": _variables(f["variables"]), "rows": tuple(f["rows"])})
            for f in plain["followers"]
        )
        lists = {name: tuple(plain[name]) for name in ("rows", "free")}
        return cls(**{**plain, **lists, "upper": _variables(plain["upper"]), "followers": tuple(followers)})


def _variables(plain: list[dict[str, Any]]) -> tuple[Variable, ...]:
    return tuple(Variable(**{**v, "pieces": tuple((low, high) for low, high in v["pieces"])}) for v in plain)


def value_of(formula: str, at: dict[str, Any]) -> Any:
    """A formula's value at numbers or arrays; NaN where it has none."""
    with np.errstate(all="ignore"):
        return eval(formula, {"__builtins__": {}}, {**_NUMPY, **at})


def excess_of(row: str, at: dict[str, Any]) -> Any:
    """By how much a row ``a <= b``, ``a >= b``, ``a == b`` or ``inequality(a, b, c)`` is violated; at most 0 if it holds."""
    if row.startswith("pyo.inequality("):
        left, middle, right = row.removeprefix("pyo.inequality(").removesuffix(")").split(", ")
        low, value, high = (value_of(part, at) for part in (left, middle, right))
        return np.maximum(low - value, value - high)
    left, relation, right = re.split(r"\s(<=|>=|==)\s", row)
    one, other = value_of(left, at), value_of(right, at)
    if relation == "==":  # what a grid cannot hit: it may miss by the rounding of a search
        return np.maximum(abs(one - other) - EQUAL * (abs(one) + abs(other)), 0.0)
    return one - other if relation == "<=" else other - one
