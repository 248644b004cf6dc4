"""Constraints' bodies and bounds in symbols, errors named after the component."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import casadi as ca
import numpy as np
import pyomo.environ as pyo

from bilevel.arrays import Array
from bilevel.errors import ModelError, UntranslatableError
from bilevel.expressions.translation import Translator


def translate(translator: Translator, expression: Any, owner: str) -> ca.SX:
    """Translate, and name the component where that fails."""
    try:
        return ca.SX(translator(expression))
    except UntranslatableError as error:
        raise UntranslatableError(f"{owner}: {error}") from None
    except ModelError as error:
        raise ModelError(f"{owner}: {error}") from None


def translate_rows(translator: Translator, constraints: Iterable[Any]) -> tuple[ca.SX, Array, Array]:
    """Bodies and bounds of some constraints, as a column of symbols and two arrays."""
    bodies, lower, upper = [], [], []
    for constraint in constraints:
        bodies.append(translate(translator, constraint.body, constraint.name))
        lower.append(_bound(constraint, constraint.lower, -math.inf))
        upper.append(_bound(constraint, constraint.upper, math.inf))
    return ca.vertcat(*bodies) if bodies else ca.SX(0, 1), np.array(lower, dtype=float), np.array(upper, dtype=float)


def _bound(constraint: Any, bound: Any, missing: float) -> float:
    value = missing if bound is None else float(pyo.value(bound))
    if math.isnan(value) or value == -missing:
        raise ModelError(f"{constraint.name}: a bound is {value}; every number in a model must be finite")
    return value
