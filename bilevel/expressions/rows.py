"""Constraints' bodies and bounds in symbols, errors named after the component."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.errors import ModelError, UntranslatableError, first_line
from bilevel.expressions.translation import Translator


def translate(translator: Translator, expression: Any, owner: str) -> ca.SX:
    """Translate, and name the component where that fails."""
    try:
        return ca.SX(translator(expression))
    except UntranslatableError as error:
        raise UntranslatableError(f"{owner}: {error}") from None
    except ModelError as error:
        raise ModelError(f"{owner}: {error}") from None
    except Exception as error:  # Pyomo's own, Python's: a Param without a value, a number that is none
        raise ModelError(f"{owner}: {first_line(error)}; mend it") from None


def translate_rows(translator: Translator, constraints: Iterable[Any]) -> tuple[ca.SX, Array, Array]:
    """Bodies and bounds of some constraints, as a column of symbols and two arrays."""
    bodies, lower, upper = [], [], []
    for constraint in constraints:
        bodies.append(translate(translator, constraint.body, constraint.name))
        lower.append(-math.inf if constraint.lb is None else float(constraint.lb))
        upper.append(math.inf if constraint.ub is None else float(constraint.ub))
    return ca.vertcat(*bodies) if bodies else ca.SX(0, 1), np.array(lower, dtype=float), np.array(upper, dtype=float)
