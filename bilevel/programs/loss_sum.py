"""A program's losses over rows as numbers: value, gradient and Hessian of ``sum_k q_k(p)' loss_k(X_k w)``.

Each is linear in q, which holds one number for a loss whose rows have constant weights, and one for each row where they
move. What was computed last is kept: a derivative of the answer is asked for where Newton's method has just ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.expressions.row_terms import RowTerm
from bilevel.graphs.compiled import Compiled


class LossSum:
    """The sum at given parameters.

    Parameters
    ----------
    parameters : SX of shape (p, 1)
        Symbols.
    terms : sequence of RowTerm
        Their places are counted in the vectors y that the methods take.
    weights : sequence of SX
        q of each, functions of the parameters (:attr:`bilevel.programs.program.Program.loss_weights`).
    """

    def __init__(self, parameters: ca.SX, terms: Sequence[RowTerm], weights: Sequence[ca.SX]) -> None:
        ends = list(accumulate((int(q.numel()) for q in weights), initial=0))
        self._parts = [(term, slice(*pair)) for term, pair in zip(terms, pairwise(ends), strict=True)]
        self._weights = Compiled([parameters], [ca.vertcat(*weights)])
        self._q = np.full(ends[-1], np.nan)
        self._y: Array | None = None
        self._hessian: Array | None = None

    def at(self, parameters: Array) -> LossSum:
        """Take over the parameters of the calls that follow."""
        (q,) = self._weights(parameters)
        if not np.array_equal(q, self._q):
            self._q, self._y = q.copy(), None
        return self

    def value(self, y: Array) -> float:
        """The sum."""
        self._visit(y)
        return sum(float(self._weights_of(k) @ of_rows[0]) for k, of_rows in enumerate(self._rows))

    def gradient(self, y: Array) -> Array:
        """Its gradient, shape (n,)."""
        self._visit(y)
        total = np.zeros(len(y))
        for k, (term, _) in enumerate(self._parts):
            total[term.places] += (self._weights_of(k) * self._rows[k][1]) @ term.rows.matrix
        return total

    def hessian(self, y: Array) -> Array:
        """Its Hessian, shape (n, n); not to be overwritten."""
        self._visit(y)
        if self._hessian is None:
            self._hessian = np.zeros((len(y), len(y)))
            for k, (term, _) in enumerate(self._parts):
                places = term.places
                block = (places, places) if isinstance(places, slice) else np.ix_(places, places)
                self._hessian[block] += term.hessian(self._weights_of(k) * self._rows[k][2])
        return self._hessian

    def along(self, y: Array, direction: Array) -> Array:
        """The derivative in a direction, shape (n,), of what each entry of q multiplies."""
        self._visit(y)
        found = np.empty(len(self._q))
        for k, (term, place) in enumerate(self._parts):
            moved = self._rows[k][1] * (term.rows.matrix @ direction[term.places])
            found[place] = moved if term.weights is not None else term.numbers @ moved
        return found

    def crossed(self, y: Array, motion: Array) -> Array:
        """The gradient's derivative where q moves, shape (len(q), p), as shape (n, p)."""
        self._visit(y)
        total = np.zeros((len(y), motion.shape[1]))
        for k, (term, place) in enumerate(self._parts):
            slopes = self._rows[k][1]
            if term.weights is not None:
                total[term.places] += term.rows.matrix.T @ (slopes[:, None] * motion[place])
            else:
                total[term.places] += np.outer((term.numbers * slopes) @ term.rows.matrix, motion[place][0])
        return total

    def _visit(self, y: Array) -> None:
        if self._y is None or not np.array_equal(y, self._y):
            self._rows = [term.derivatives(y) for term, _ in self._parts]
            self._y, self._hessian = y.copy(), None

    def _weights_of(self, k: int) -> Array:
        """Of the rows of one loss, all that multiplies them."""
        term, place = self._parts[k]
        return self._q[place] if term.weights is not None else self._q[place] * term.numbers
