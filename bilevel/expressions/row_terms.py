"""Terms ``sum_i r_i loss(x_i' w, y_i)`` of a compiled function whose X stays an array.

As with squares (:mod:`bilevel.expressions.squares`) a symbol stands for each in what is compiled; values, gradients
``X'(r l')`` and Hessians ``X' diag(r l'') X`` are products of matrices. The weights r of the rows are numbers, or
functions of the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.expressions.squares import Places
from bilevel.expressions.translation import to_casadi
from bilevel.language.row_losses import Rows

SMALLEST = 2_000
"""Entries of X below which the rows are better written out: then all paths take them."""

_AT_ONCE = 2000  # rows whose share of a Hessian is formed while they are in the cache


KINKS = {
    getattr(ca, f"OP_{name}")
    for name in (
        *("FABS", "SIGN", "COPYSIGN", "FMIN", "FMAX", "FLOOR", "CEIL", "FMOD", "REMAINDER"),
        *("LT", "LE", "EQ", "NE", "NOT", "AND", "OR", "IF_ELSE_ZERO"),
    )
}
"""Operations whose derivatives CasADi passes over a kink or a jump."""


@dataclass(frozen=True, eq=False)
class RowTerm:
    """One term.

    Attributes
    ----------
    symbol : SX scalar
        What stands for it.
    rows : Rows
        Loss, X, y, and r where they are numbers.
    variables : SX of shape (p, 1)
        w.
    weights : SX of shape (n, 1) or None
        r where they are functions of the parameters.
    row : Function
        ``(z, t)`` to the loss of one row and its first and second derivative in z.
    places : slice or list of int
        Where w stands in the vector y that the methods take.
    """

    symbol: ca.SX
    rows: Rows
    variables: ca.SX
    weights: ca.SX | None
    row: ca.Function
    places: slice | list[int] = field(default_factory=lambda: slice(0))

    def within(self, y: Places) -> RowTerm | None:
        """The same with its places in y; None where y does not hold all of w."""
        places = y.of(self.variables)
        return None if places is None else replace(self, places=places)

    @property
    def name(self) -> str:
        """What it says in messages."""
        return f"rows_of({self.rows.loss.name!r}) over {len(self.rows.target)} rows"

    @property
    def written(self) -> ca.SX:
        """The term in symbols."""
        self.rows.refuse_written()
        count = len(self.rows.target)
        z = ca.mtimes(ca.sparsify(ca.DM(self.rows.matrix)), self.variables)
        losses = self.row.map(count)(z.T, ca.DM(self.rows.target).T)[0].T
        return ca.dot(losses, self.weights if self.weights is not None else self.numbers)

    @property
    def numbers(self) -> Array:
        """The weights of the rows where they are numbers, else ones."""
        return np.ones(len(self.rows.target)) if self.rows.weights is None else self.rows.weights

    @property
    def kinked(self) -> bool:
        """Whether the loss may have no derivative somewhere: the largest of lines, or a user's formula with a piece."""
        if self.rows.loss.lines is not None:
            return True
        operations = (self.row.instruction_id(k) for k in range(self.row.n_instructions()))
        return self.rows.loss.derivatives is None and not KINKS.isdisjoint(operations)

    def derivatives(self, y: Array) -> tuple[Array, Array, Array]:
        """Of every row, its loss and its first and second derivative in the prediction."""
        z, t = self.rows.matrix @ y[self.places], self.rows.target
        if self.rows.loss.derivatives is not None:
            return self.rows.loss.derivatives(z, t)
        found = self.row.map(len(t))(z[None], t[None])
        loss, slope, bend = (np.array(values.full()[0]) for values in found)
        return loss, slope, bend

    def hessian(self, bends: Array) -> Array:
        """``X' diag(bends) X``, shape (p, p)."""
        matrix = self.rows.matrix
        total = np.zeros((matrix.shape[1], matrix.shape[1]))
        for start in range(0, len(matrix), _AT_ONCE):
            block = matrix[start : start + _AT_ONCE]
            total += (block.T * bends[start : start + _AT_ONCE]) @ block
        return total

    def value(self, y: Array) -> float:
        """The term at a point, shape (n,), its weights numbers."""
        return float(self.numbers @ self.derivatives(y)[0])

    def values(self, y: Array) -> Array:
        """The same at many points, shape (m, n)."""
        return np.array([self.value(point) for point in y])

    def add_slope(self, weight: float, y: Array, total: Array) -> None:
        """Add ``weight`` times the gradient to ``total``, shape (n,), the term's weights numbers."""
        total[self.places] += weight * ((self.numbers * self.derivatives(y)[1]) @ self.rows.matrix)


def row_term(rows: Rows, coefficients: Sequence[ca.SX], weights: Sequence[Any]) -> RowTerm:
    """A term in some variables."""
    row = rows.loss.template
    z, t = ca.SX.sym("z"), ca.SX.sym("t")
    symbols = {id(row.prediction): z, id(row.target): t}
    loss = ca.SX(to_casadi(lambda node: symbols.get(id(node)))(row.expression))
    slope = ca.gradient(loss, z)
    function = ca.Function("row", [z, t], [loss, slope, ca.gradient(slope, z)])
    of_rows = ca.vertcat(*map(ca.SX, weights)) if weights else None
    return RowTerm(ca.SX.sym("rows"), rows, ca.vertcat(*coefficients), of_rows, function)
