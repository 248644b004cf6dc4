"""Terms ``||A(x) w - t(x)||^2`` of a follower's objective: large regressions on features that the leader shapes.

Their Hessian ``2 A'A`` has as many operations as A has entries times columns. Written out in symbols that is what
compiling and evaluating cost; as a product of matrices (:mod:`bilevel.programs.gram`) it costs next to nothing beside A
itself. A symbol stands for each term in the objective.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from bilevel.expressions.affine_rows import FEWEST
from bilevel.expressions.sums_of_squares import Factors, SumOfSquares, taken_apart

SMALLEST = 50_000
"""Products in ``A'A``, rows times squared columns, below which writing them out costs less."""

_FULL = 0.1  # of A's entries that are not zero, below which a product of dense matrices is mostly zeros
_WORTH_KEEPING = 150  # variables from which what is translated already is not thrown away

Translate = Callable[[Sequence[Any]], ca.SX]


@dataclass(frozen=True, eq=False)
class MovingSquare:
    """One term.

    Attributes
    ----------
    symbol : SX scalar
        What stands for it.
    matrix : SX of shape (k, p)
        A, functions of the parameters.
    target : SX of shape (k, 1)
        t, likewise.
    variables : SX of shape (p, 1)
        w.
    places : list of int
        Where w stands among the program's variables.
    """

    symbol: ca.SX
    matrix: ca.SX
    target: ca.SX
    variables: ca.SX
    places: list[int]

    @property
    def residual(self) -> ca.SX:
        """``A w - t``, shape (k, 1)."""
        return ca.mtimes(self.matrix, self.variables) - self.target

    @property
    def written(self) -> ca.SX:
        """The term in symbols."""
        return ca.sumsqr(self.residual)

    @property
    def slope(self) -> ca.SX:
        """Its gradient in w, shape (p, 1)."""
        return 2.0 * ca.mtimes(self.matrix.T, self.residual)

    @property
    def curvature(self) -> ca.SX:
        """Its Hessian in w, shape (p, p)."""
        return 2.0 * ca.mtimes(self.matrix.T, self.matrix)


def gathered(
    expression: Any, variables: dict[int, ca.SX], parameters: ca.SX, number: float, translate: Translate
) -> tuple[ca.SX, tuple[MovingSquare, ...]] | None:
    """``number * expression`` in symbols, with its large moving squares apart; None where it is better whole.

    Parameters
    ----------
    expression : Pyomo expression
        A follower's objective.
    variables : dict of SX
        Symbols of the follower's variables by the variables' ids, in their order.
    parameters : SX of shape (number of upper variables, 1)
        x.
    number : float
        1, or -1 where the follower maximises.
    translate : callable
        From Pyomo expressions to a column of symbols.
    """
    y = ca.vertcat(*variables.values())
    sums, others = taken_apart(expression, variables.keys(), number)
    if not any(len(found.bases) * y.numel() ** 2 >= SMALLEST for found in sums):
        return None
    total, squares = ca.SX(0), []
    for found in sums:
        scale, rows = _rows(found, translate)
        weight = _product(found.factors, found.sign * scale, translate)
        square = _moving_square(rows, y, parameters)
        total += weight * (ca.sumsqr(rows) if square is None else square.symbol)
        squares += [] if square is None else [square]
    if not squares and len(variables) < _WORTH_KEEPING:
        return None
    plain = [term for term in others if not term.factors]
    if len(plain) >= FEWEST:
        others = [term for term in others if term.factors]
        total += ca.dot(ca.DM([term.number for term in plain]), translate([term.expression for term in plain]))
    for term in others:
        total += _product(term.factors, term.number, translate) * translate([term.expression])
    return total, tuple(squares)


def _rows(found: SumOfSquares, translate: Translate) -> tuple[float, ca.SX]:
    """A scale, and the rows, shape (k, 1), whose squares it multiplies."""
    rows = translate(found.bases)
    scales = np.array(found.scales)
    if (scales == scales[0]).all():
        return found.scales[0], rows
    return 1.0, rows * ca.DM(np.sqrt(scales))


def _product(factors: Factors, number: float, translate: Translate) -> ca.SX:
    weight = ca.SX(number)
    for factor, power in factors:
        weight = weight * translate([factor]) if power > 0 else weight / translate([factor])
    return weight


def _moving_square(rows: ca.SX, y: ca.SX, parameters: ca.SX) -> MovingSquare | None:
    """The rows as ``A(x) w - t(x)``; None where they are not affine, A is small, or A does not move."""
    jacobian = ca.jacobian(rows, y)
    columns = sorted(set(jacobian.sparsity().get_triplet()[1]))
    if rows.numel() * len(columns) ** 2 < SMALLEST or not parameters.numel():
        return None
    if jacobian.nnz() < _FULL * rows.numel() * len(columns):  # a product of dense matrices would fill with zeros
        return None
    if ca.depends_on(jacobian, y) or not ca.depends_on(jacobian, parameters):
        return None
    target = -ca.substitute(rows, y, ca.SX.zeros(y.numel(), 1))
    places = [int(k) for k in columns]
    return MovingSquare(ca.SX.sym("square"), jacobian[:, places], target, y[places], places)
