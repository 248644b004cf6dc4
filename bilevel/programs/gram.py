"""Value, gradient at zero and Hessian of ``||A w - t||^2`` from the numbers of A and t, as products of matrices.

With ``M = [A t]`` all three stand in ``M'M``. The columns of M that never move are multiplied with each other once.
"""

from __future__ import annotations

import math

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.expressions.moving_squares import MovingSquare


class Gram:
    """The products of one term.

    Parameters
    ----------
    square : MovingSquare
        The term.
    parameters : SX of shape (number of parameters, 1)
        What its columns may move with.
    n : int
        Number of the program's variables.

    Attributes
    ----------
    columns : SX of shape (k, q)
        The columns of M that move.
    """

    def __init__(self, square: MovingSquare, parameters: ca.SX, n: int) -> None:
        whole = ca.densify(ca.horzcat(square.matrix, square.target))
        rows, count = whole.shape
        moves = np.array(ca.which_depends(ca.vec(whole), parameters, 1, True), dtype=bool).reshape(count, rows).any(1)
        first, last = np.flatnonzero(moves), np.flatnonzero(~moves)
        self.columns = whole[:, first.tolist()]
        still = ca.Function("still", [parameters], [whole[:, last.tolist()]]).call([np.zeros(parameters.numel())])[0]
        self._still: Array = np.asfortranarray(still.full())
        self._moving = len(first)
        self._product = np.zeros((count, count), order="F")
        self._product[self._moving :, self._moving :] = self._still.T @ self._still
        self._flat = self._product.reshape(-1, order="F")
        place = np.argsort(np.concatenate([first, last]))  # of each column of M in the product
        self._hessian = _flat(place[:-1], place[:-1], count)
        self._slope = _flat(place[:-1], place[-1:], count)
        self._level = int(place[-1]) * (count + 1)
        self._places = np.array(square.places)
        self._into = _flat(self._places, self._places, n)

    def add(self, columns: Array, weight: float, hessian: Array, gradient: Array) -> float:
        """Add ``weight`` times the Hessian and the gradient at zero.

        Parameters
        ----------
        columns : ndarray of shape (k, q)
            The values of :attr:`columns`.
        weight : float
            What the term is multiplied with.
        hessian : ndarray of shape (n * n,)
            Of the program, column by column; changed in place.
        gradient : ndarray of shape (n,)
            Of the program at zero, changed in place.

        Returns
        -------
        float
            ``weight`` times the value at zero.

        Raises
        ------
        FloatingPointError
            If the columns or the weight are no numbers.
        """
        product, q = self._product, self._moving
        product[:q, :q] = columns.T @ columns
        if len(product) > q:
            product[:q, q:] = columns.T @ self._still
            product[q:, :q] = product[:q, q:].T
        if not math.isfinite(weight * float(product.sum())):
            raise FloatingPointError("a feature or its weight is no number at this point")
        hessian[self._into] += (2.0 * weight) * self._flat[self._hessian]
        gradient[self._places] -= (2.0 * weight) * self._flat[self._slope]
        return weight * float(self._flat[self._level])


def _flat(rows: NDArray[np.int_], columns: NDArray[np.int_], n: int) -> NDArray[np.int_]:
    """Places of a block, column by column, in a matrix of n rows that is read so too."""
    return (columns[:, None] * n + rows).reshape(-1)
