"""Constraints' bodies and bounds in symbols, errors named after the component."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.errors import ModelError, UntranslatableError, first_line
from bilevel.expressions.affine_rows import FEWEST, Columns
from bilevel.expressions.translation import Translator


def translate(translator: Translator, expression: Any, owner: Any) -> ca.SX:
    """Translate, and name the component (by itself, or by its name) where that fails."""
    try:
        return ca.SX(translator(expression))
    except UntranslatableError as error:
        raise UntranslatableError(f"{_name(owner)}: {error}") from None
    except ModelError as error:
        raise ModelError(f"{_name(owner)}: {error}") from None
    except Exception as error:  # Pyomo's own, Python's: a Param without a value, a number that is none
        raise ModelError(f"{_name(owner)}: {first_line(error)}; mend it") from None


def _name(owner: Any) -> str:
    return str(getattr(owner, "name", owner))


def column(translator: Translator, expressions: Sequence[Any], owners: Sequence[Any], columns: Columns | None) -> ca.SX:
    """Some expressions as a column of symbols, shape (k, 1); many affine ones at once, where ``columns`` are given."""
    if columns is None or len(expressions) < FEWEST:
        parts = [translate(translator, e, owner) for e, owner in zip(expressions, owners, strict=True)]
        return ca.vertcat(*parts) if parts else ca.SX(0, 1)
    found, others = columns.rows(expressions)
    if others:
        found[others] = ca.vertcat(*(translate(translator, expressions[k], owners[k]) for k in others))
    return found


def translate_rows(
    translator: Translator, constraints: Iterable[Any], columns: Columns | None = None
) -> tuple[ca.SX, Array, Array]:
    """Bodies and bounds of some constraints, as a column of symbols and two arrays."""
    owners = list(constraints)
    bodies, lower, upper = [], [], []
    for constraint in owners:
        low, body, high = constraint.to_bounded_expression(evaluate_bounds=True)
        bodies.append(body)
        lower.append(-math.inf if low is None else float(low))
        upper.append(math.inf if high is None else float(high))
    return column(translator, bodies, owners, columns), np.array(lower, dtype=float), np.array(upper, dtype=float)
