"""Terms ``||R w - t||^2`` of a compiled function whose R stays an array, so that no symbol stands for its entries.

A function of y that holds such terms is compiled with a symbol in the place of each; values, gradients and Hessians of
the terms themselves are matrix products.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.language.squared_distance import Factor

SMALLEST = 24
"""Coefficients below which writing a term out costs less than a call of the linear algebra."""

_MOST_OF_A_COMBINATION = 4  # variables of a coefficient, on average, from which w is data of its own


class Written(Protocol):
    """A term for which a symbol stands."""

    @property
    def symbol(self) -> ca.SX:
        """The symbol."""

    @property
    def written(self) -> ca.SX:
        """The term."""


class OfVariables(Written, Protocol):
    """One in variables whose places are known."""

    @property
    def variables(self) -> ca.SX:
        """They."""

    def within(self, y: Places) -> Any:
        """The same with its places in y; None where y does not hold all of them."""

    def value(self, y: Array) -> float:
        """The term at a point, shape (n,)."""

    def values(self, y: Array) -> Array:
        """The term at many points, shape (m, n)."""

    def add_slope(self, weight: float, y: Array, total: Array) -> None:
        """Add ``weight`` times the gradient to ``total``, shape (n,)."""


class Places:
    """Where symbols stand in a vector.

    Parameters
    ----------
    y : SX of shape (n, 1)
    """

    def __init__(self, y: ca.SX) -> None:
        self._place = {element.element_hash(): k for k, element in enumerate(y.elements())}

    def of(self, variables: ca.SX) -> slice | list[int] | None:
        """The places of some variables, as a slice if possible; None where y does not hold all of them, each once."""
        places = [self._place.get(element.element_hash(), -1) for element in variables.elements()]
        if min(places) < 0 or len(set(places)) < len(places):
            return None
        first, count = places[0], len(places)
        together = places == list(range(first, first + count))
        return slice(first, first + count) if together else places


Term = TypeVar("Term", bound=Written)
Placed = TypeVar("Placed", bound=OfVariables)


@dataclass(frozen=True, eq=False)
class Square:
    """One term.

    Attributes
    ----------
    symbol : SX scalar
        What stands for it.
    factor : Factor
        R and t.
    variables : SX of shape (p, 1)
        w.
    places : slice or list of int
        Where w stands in the vector y that the methods take.
    """

    symbol: ca.SX
    factor: Factor
    variables: ca.SX
    places: slice | list[int] = field(default_factory=lambda: slice(0))

    def within(self, y: Places) -> Square | None:
        """The same with its places in y; None where y does not hold all of w."""
        places = y.of(self.variables)
        return None if places is None else replace(self, places=places)

    @property
    def written(self) -> ca.SX:
        """The term in symbols."""
        return in_symbols(self.factor, self.variables)

    def value(self, y: Array) -> float:
        """The term at a point, shape (n,)."""
        return self.factor(y[self.places])

    def values(self, y: Array) -> Array:
        """The term at many points, shape (m, n)."""
        residuals = y[:, self.places] @ self.factor.matrix.T - self.factor.target
        return np.asarray(np.einsum("ij,ij->i", residuals, residuals))

    def add_slope(self, weight: float, y: Array, total: Array) -> None:
        """Add ``weight`` times the gradient to ``total``, shape (n,)."""
        total[self.places] += weight * self.factor.slope(y[self.places])

    def add_curvature(self, weight: float, direction: Array, total: Array) -> None:
        """Add ``weight`` times the Hessian times a direction, shape (n,), to ``total``."""
        matrix = self.factor.matrix
        total[self.places] += (2.0 * weight) * ((matrix @ direction[self.places]) @ matrix)

    def along(self, y: Array, direction: Array) -> float:
        """The derivative in a direction, shape (n,)."""
        return float(self.factor.slope(y[self.places]) @ direction[self.places])


def square_of(factor: Factor, w: Sequence[ca.SX | float]) -> Square | None:
    """A term in variables, or in affine functions of some with constant coefficients; None for any other w.

    Of ``w = T v + s`` the term is ``||(R T) v - (t - R s)||^2``: a split ``w = u - v`` keeps its data an array.
    """
    column = ca.vertcat(*map(ca.SX, w))
    if all(element.is_symbolic() for element in column.elements()) and len(set(_hashes(column))) == len(w):
        return Square(ca.SX.sym("square"), factor, column)
    variables = ca.vertcat(ca.SX(0, 1), *ca.symvar(column))
    map_of = ca.jacobian(column, variables)
    if not variables.numel() or map_of.nnz() > _MOST_OF_A_COMBINATION * len(w) or not map_of.is_constant():
        return None
    at_zero = ca.Function("at_zero", [variables], [column, map_of])
    shift, combined = at_zero(ca.DM.zeros(variables.numel()))
    matrix = np.ascontiguousarray(factor.matrix @ combined.sparse())
    return Square(ca.SX.sym("square"), Factor(matrix, factor.target - factor.matrix @ shift.full()[:, 0]), variables)


def _hashes(column: ca.SX) -> list[int]:
    return [int(element.element_hash()) for element in column.elements()]


def symbols_of(squares: Sequence[Written]) -> ca.SX:
    """What stands for the terms, shape (k, 1)."""
    return ca.vertcat(*(square.symbol for square in squares)) if squares else ca.SX(0, 1)


def in_symbols(factor: Factor, w: ca.SX) -> ca.SX:
    """A term written out."""
    return ca.sumsqr(ca.mtimes(ca.sparsify(ca.DM(factor.matrix)), w) - factor.target)


def held_by(expression: ca.SX, squares: Iterable[Term]) -> list[Term]:
    """Those that an expression mentions."""
    return [square for square in squares if ca.depends_on(expression, square.symbol)]


def write_out(expression: ca.SX, squares: Iterable[Written]) -> ca.SX:
    """The expression with the terms it holds in symbols."""
    held = held_by(expression, squares)
    if not held:
        return expression
    return ca.substitute(expression, symbols_of(held), ca.vertcat(*(square.written for square in held)))


def _placed(held: Sequence[Placed], y: ca.SX) -> list[Placed | None]:
    if not held:
        return []
    places = Places(y)
    return [square.within(places) for square in held]


def weighed(expression: ca.SX, squares: Iterable[Placed], y: ca.SX) -> tuple[ca.SX, tuple[Placed, ...]]:
    """The expression, with those terms kept that are in y alone and enter it linearly, weighed by no entry of y.

    Parameters
    ----------
    expression : SX scalar
        Holds squares.
    squares : iterable of Square and other terms
        Those it may hold.
    y : SX of shape (n, 1)
        What their places are counted in.
    """
    held = held_by(expression, squares)
    symbols = symbols_of(held)
    weights = ca.jacobian(expression, symbols)
    others = _placed(held, y)
    kept, lost = [], []
    for k, (square, own) in enumerate(zip(held, others, strict=True)):
        linear = not ca.depends_on(weights[k], ca.vertcat(y, symbols))
        if own is not None and linear:
            kept.append(own)
        else:
            lost.append(square)
    return write_out(expression, lost), tuple(kept)
