"""Losses over rows of data in Taylor form: one row's rule or graph, evaluated for all rows and boxes at once.

``sum_i r_i l(x_i'y, t_i)`` has the gradient ``X'(r l')`` and the Hessian ``X' diag(r l'') X``. Nothing is written out:
the rule or graph is that of one loss and its two derivatives, the rest are products with X. Where every ``l''`` has a
range on the box, the Hessian is at least ``X' diag(r min l'') X`` in the order of symmetric matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.expressions.row_terms import RowTerm
from bilevel.graphs.taylor import Taylor
from bilevel.graphs.taylor_graph import TaylorGraph
from bilevel.solvers.boxes.loss_rules import RULES
from bilevel.solvers.boxes.tube import Tube

_MOST_NUMBERS = 2_000_000  # of X: products with it for every batch of boxes


class RowModels:
    """Models of one term.

    Parameters
    ----------
    taylor : Taylor
        The arithmetic.
    term : RowTerm
        Its rows weighed by numbers that are not negative.

    Raises
    ------
    RefusedError
        If it is not of this kind, too large, or its loss has no rule in the arithmetic.
    """

    def __init__(self, taylor: Taylor, term: RowTerm) -> None:
        if term.weights is not None:
            raise RefusedError(f"the weights of the rows of {term.name} are variables")
        if (term.numbers < 0.0).any():
            raise RefusedError(f"{term.name} holds rows of negative weight")
        if term.rows.matrix.size > _MOST_NUMBERS:
            raise RefusedError(f"{term.name} holds more than {_MOST_NUMBERS} numbers")
        self._taylor, self.term = taylor, term
        self._matrix, self._weights = np.asarray(term.rows.matrix), term.numbers
        self._pull = np.ascontiguousarray(self._matrix.T * self._weights)
        named = term.rows.loss.derivatives is not None  # a user's formula may have any name
        self._rules = RULES.get(term.rows.loss.name) if named else None
        row = ca.SX.sym("row", 2)
        self._graphs = [TaylorGraph(taylor, [row], part) for part in term.row(row[0], row[1])]

    @property
    def jumps(self) -> bool:
        """Whether the loss of a row is written with a step, so that its slopes say nothing: see :meth:`across`."""
        return self._rules is None and self._graphs[0].jumps

    @property
    def room(self) -> int:
        """Numbers held per box, roughly."""
        return len(self._weights) * (max(graph.room for graph in self._graphs) + 4 * self._taylor.size)

    def across(self, y: Array, tubes: Sequence[Tube]) -> Array:
        """The term at every answer within the tubes around y, shape (size, 1, boxes): sound where the loss jumps too.

        A row's prediction is off by ``delta |x_i|_{H^-1}`` at most.
        """
        z = self._taylor.mapped(self._matrix, y[:, self.term.places])
        columns = np.zeros((len(self._matrix), y.shape[1]))
        columns[:, self.term.places] = self._matrix
        offset = 0
        with np.errstate(all="ignore"):
            for tube in tubes:
                part = columns[:, offset : offset + tube.model.shape[1]]
                offset += part.shape[1]
                if part.any():
                    length = np.sqrt(np.maximum(((part @ tube.inverse) * part).sum(axis=-1), 0.0)).T
                    z[-1] += np.where(length == 0.0, 0.0, length * tube.delta) * (1.0 + 1e-4)
        z[-1][np.isnan(z[-1])] = np.inf
        return self._taylor.mapped(self._weights[None], self._of_predictions(0, z))

    def _of_rows(self, order: int, y: Array) -> Array:
        """Models of every row's loss, or a derivative of it in the prediction: shape (size, rows, boxes)."""
        return self._of_predictions(order, self._taylor.mapped(self._matrix, y[:, self.term.places]))

    def _of_predictions(self, order: int, z: Array) -> Array:
        """The same from models of the predictions, shape (size, rows, boxes)."""
        taylor, target = self._taylor, self.term.rows.target[:, None]
        if self._rules is not None:
            with np.errstate(all="ignore"):
                found = taylor.composed(taylor.scaled(z, target), self._rules[order])
            return taylor.scaled(found, target**order)
        rows = np.zeros((taylor.size, 2, z.shape[1] * z.shape[2]))
        rows[:, 0] = z.reshape(len(z), -1)
        rows[0, 1] = np.repeat(target[:, 0], z.shape[2])
        return self._graphs[order](rows).reshape(z.shape)

    def value(self, y: Array) -> Array:
        """The term, shape (size, 1, boxes), from models of y, shape (size, n, boxes)."""
        return self._taylor.mapped(self._weights[None], self._of_rows(0, y))

    def slope(self, y: Array) -> Array:
        """Its gradient in the variables it holds, shape (size, p, boxes)."""
        return self._taylor.mapped(self._pull, self._of_rows(1, y))

    def hessians(self, y: Array, least: Array, most: Array) -> tuple[Array, Array]:
        """At the boxes' centres, and below on all of them: both of shape (boxes, p, p).

        The second is of the term times a factor within ``[least, most]``, shape (boxes,), and holds no numbers where
        that may be negative: then the term is not convex.
        """
        bends = self._of_rows(2, y)
        low = self._taylor.ranges(bends)[0]
        with np.errstate(all="ignore"):
            below = low * np.where(low >= 0.0, least, most)
            below[:, ~(least >= 0.0)] = np.nan
        return self._formed(bends[0]), self._formed(below)

    def _formed(self, bends: Array) -> Array:
        """``X' diag(r b) X`` for b of shape (rows, boxes)."""
        with np.errstate(all="ignore"):
            weighed = (self._weights[:, None] * bends).T[:, :, None] * self._matrix
            formed: Array = self._matrix.T @ weighed
        return formed
