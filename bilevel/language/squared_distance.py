"""``||R w - t||^2`` with constant R and t as one node of a Pyomo expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bilevel.arrays import Array
from bilevel.language.data_term import DataTerm


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


class SquaredDistance(DataTerm):
    """``||R w - t||^2``.

    Parameters
    ----------
    factor : Factor
        R and t.
    coefficients : sequence of p expressions
        w.
    """

    __slots__ = ("coefficients", "factor")

    def __init__(self, factor: Factor, coefficients: Sequence[Any]) -> None:
        super().__init__()
        self.factor = factor
        self.coefficients = tuple(coefficients)

    @property
    def operands(self) -> tuple[Any, ...]:
        """The coefficients."""
        return self.coefficients

    @property
    def size(self) -> int:
        """See :class:`bilevel.language.data_term.DataTerm`."""
        return len(self.coefficients) ** 2

    @property
    def name(self) -> str:
        """What it says in messages."""
        return f"least_squares in {len(self.coefficients)} coefficients"

    def at(self, values: Array) -> float:
        """See :class:`bilevel.language.data_term.DataTerm`."""
        return self.factor(values)

    def written_out(self) -> Any:
        """See :class:`bilevel.language.data_term.DataTerm`."""
        w = self.coefficients
        squares = (
            sum(float(a) * w[j] for j, a in enumerate(row) if a != 0.0) - float(t)
            for row, t in zip(self.factor.matrix, self.factor.target, strict=True)
        )
        return sum(square**2 for square in squares)
