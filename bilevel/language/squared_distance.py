"""``||R w - t||^2`` with constant R and t as one node of a Pyomo expression.

Whoever knows the node takes the numbers as they are. Everybody else (Pyomo's writers and visitors, the optimality
conditions) meets an ordinary named Expression, whose squares are written out when they are first looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pyomo.core.base.expression import ExpressionData, NamedExpressionData

from bilevel.arrays import Array


@dataclass(frozen=True, eq=False)
class Factor:
    """The numbers: immutable, and shared between clones of a model.

    Attributes
    ----------
    matrix : ndarray of shape (k, p)
        R.
    target : ndarray of shape (k,)
        t.
    """

    matrix: Array
    target: Array

    def __deepcopy__(self, memo: dict[int, Any]) -> Factor:
        return self

    def __call__(self, w: Array) -> float:
        """``||R w - t||^2``."""
        residual = self.matrix @ w - self.target
        return float(residual @ residual)

    def slope(self, w: Array) -> Array:
        """Its gradient ``2 R'(R w - t)``, shape (p,)."""
        return 2.0 * ((self.matrix @ w - self.target) @ self.matrix)

    @cached_property
    def hessian(self) -> Array:
        """``2 R'R``, shape (p, p)."""
        return 2.0 * (self.matrix.T @ self.matrix)

    @cached_property
    def level(self) -> float:
        """The value at w = 0."""
        return float(self.target @ self.target)

    @cached_property
    def at_zero(self) -> Array:
        """The gradient at w = 0, shape (p,)."""
        return -2.0 * (self.target @ self.matrix)


class SquaredDistance(NamedExpressionData):
    """``||R w - t||^2``.

    Parameters
    ----------
    factor : Factor
        R and t.
    coefficients : sequence of p expressions
        w.
    """

    __slots__ = ("_squares", "coefficients", "factor")

    def __init__(self, factor: Factor, coefficients: Sequence[Any]) -> None:
        self.factor = factor
        self.coefficients = tuple(coefficients)
        self._squares: Any = None

    @property
    def _args_(self) -> tuple[Any]:
        """The squares, written out at the first look."""
        if self._squares is None:
            self._squares = self._written_out()
        return (self._squares,)

    @property
    def name(self) -> str:
        """What it says in messages."""
        return f"least_squares in {len(self.coefficients)} coefficients"

    def getname(self, *args: Any, **kwargs: Any) -> str:
        """The same."""
        return self.name

    @property
    def is_written_out(self) -> bool:
        """Whether anybody has looked."""
        return self._squares is not None

    def _written_out(self) -> Any:
        w = self.coefficients
        squares = (
            sum(float(a) * w[j] for j, a in enumerate(row) if a != 0.0) - float(t)
            for row, t in zip(self.factor.matrix, self.factor.target, strict=True)
        )
        return sum(square**2 for square in squares)

    def create_node_with_local_data(self, values: Any, classtype: Any = None) -> Any:
        """An ordinary named Expression: what a visitor put in place of the squares is no distance any more."""
        return (classtype or ExpressionData)(np.asarray(values, dtype=object).reshape(-1)[0])
