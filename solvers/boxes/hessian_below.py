"""A definite matrix below a symmetric matrix function on whole boxes, from Taylor models of its entries.

On a box ``M(t) = M_0 + sum_j t_j M_j + sum_jk t_j t_k M_jk + E(t)``, E within the radii. Two ways to go below it:

- ``M_0`` less the row sums of all that the entries deviate by (Gershgorin): exact for deviations on the diagonal, of a
  penalty say.
- With ``M_0 = L L'`` and ``N = L^-1 M L^-T``: ``t N >= -|N|`` and ``t^2 N >= -N_-`` in the order of symmetric matrices,
  |N| and N_- from eigenvalues. Hence ``L (I - sum_j |N_j| - sum_jj N_jj- - sum_j<k |N_jk|) L'`` less the row sums of
  the radii. It costs eigenvalues, and keeps a Hessian ``R(x)'R(x)`` plus a small penalty definite on wider boxes, whose
  deviations are small where the Hessian is. It is tried where the first is not definite, up to 60 rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.graphs.taylor import Taylor

Flags = NDArray[np.bool_]
Places = tuple[NDArray[np.int_], NDArray[np.int_]]

_PIVOT = 1e-8  # smallest pivot, relative to the diagonal, that counts as positive
_LITTLE = 1e-12  # taken off for rounding, relative to the size of the entries

_MOST = 60  # rows up to which eigenvalues of every coefficient of every box are not too dear
_SLACK = 1e-9  # by which losses are enlarged, relative: what changing the basis may round


@dataclass
class Bends:
    """What is known of Hessians on boxes.

    Attributes
    ----------
    taylor : Taylor
        The arithmetic.
    middle : ndarray of shape (boxes, n, n)
        The Hessians at the centres.
    lowest : ndarray of shape (boxes, n, n)
        The same, with what only ever multiplies a semidefinite matrix at the low end of its range.
    entries : ndarray of shape (size, entries, boxes)
        Models of the other entries that move.
    places : tuple of ndarray
        Their rows and columns in the lower triangle.
    """

    taylor: Taylor
    middle: Array
    lowest: Array
    entries: Array
    places: Places

    def inverse_below(self) -> tuple[Array, Flags]:
        """Inverses of matrices below, shape (boxes, n, n), and where there is a definite one."""
        deviation = self.taylor.reach(self.entries) + self.entries[-1]
        below = _less_row_sums(self.lowest, deviation, self.places)
        inverse, definite = inverses(below)
        if not definite.all() and len(self.places[0]) and len(self.middle[0]) <= _MOST:
            again = np.flatnonzero(~definite & np.isfinite(below).all(axis=(1, 2)))
            inverse[again], definite[again] = inverses(self._by_eigenvalues(again))
        return inverse, definite

    def _by_eigenvalues(self, boxes: NDArray[np.int_]) -> Array:
        """The second way, for some of the boxes."""
        lowest, entries = self.lowest[boxes], self.entries[:, :, boxes]
        n = lowest.shape[1]
        outer, definite = inverses(lowest)
        outer[~definite] = np.eye(n)
        root = np.linalg.cholesky(outer)  # outer = root root' = M_0^-1, hence root' M_0 root = I
        lost = np.zeros_like(lowest)
        squares = set(self.taylor.squares.tolist())
        for k in range(1, len(entries) - 1):
            piece = np.zeros_like(lowest)
            scatter(piece, entries[k], self.places)
            values, vectors = np.linalg.eigh(root.transpose(0, 2, 1) @ piece @ root)
            loss = np.maximum(-values, 0.0) if k in squares else np.abs(values)
            loss += _LITTLE * n * np.abs(values).max(axis=1, initial=0.0)[:, None]
            lost += (vectors * loss[:, None, :]) @ vectors.transpose(0, 2, 1)
        back = np.linalg.inv(root)  # whatever root is, t N >= -|N| goes over to back' N back
        lost = back.transpose(0, 2, 1) @ lost @ back * (1.0 + _SLACK)
        below = lowest - 0.5 * (lost + lost.transpose(0, 2, 1))
        below[~definite] = -np.eye(n)
        return _less_row_sums(below, entries[-1], self.places)

    @property
    def sway(self) -> Array:
        """How much each variable x moves the Hessian over a box, relative to its diagonal: shape (d, boxes)."""
        taylor, (rows, columns) = self.taylor, self.places
        root = np.sqrt(np.abs(self.middle.diagonal(axis1=1, axis2=2))).T
        sizes = np.abs(self.entries) / np.maximum(root[rows] * root[columns], 1e-300)
        total: Array = sizes[taylor.linear].sum(axis=1)
        for (j, k), size in zip(taylor.pairs, sizes[taylor.quadratic].sum(axis=1), strict=True):
            total[j] += 0.5 * size
            total[k] += 0.5 * size
        return total


def scatter(matrices: Array, entries: Array, places: Places) -> None:
    """Add entries of shape (entries, boxes) to symmetric matrices of shape (boxes, n, n)."""
    rows, columns = places
    apart = rows != columns
    matrices[:, rows, columns] += entries.T
    matrices[:, columns[apart], rows[apart]] += entries.T[:, apart]


def _less_row_sums(matrices: Array, deviation: Array, places: Places) -> Array:
    """Below every symmetric matrix whose entries deviate by so much, shape (entries, boxes), at most."""
    rows, columns = places
    total = np.zeros((matrices.shape[1], matrices.shape[0]))
    apart = rows != columns
    np.add.at(total, rows, deviation)
    np.add.at(total, columns[apart], deviation[apart])
    size = np.abs(matrices).max(axis=(1, 2), initial=0.0)
    below = matrices.copy()
    diagonal = np.arange(matrices.shape[1])
    below[:, diagonal, diagonal] -= total.T + _LITTLE * size[:, None]
    return below


def inverses(below: Array) -> tuple[Array, Flags]:
    """Inverses of matrices of shape (boxes, n, n), and where they are definite beyond rounding."""
    n = below.shape[1]
    definite: Flags = np.asarray(np.isfinite(below).all(axis=(1, 2)))
    below = np.where(definite[:, None, None], below, np.eye(n))
    diagonal = below.diagonal(axis1=1, axis2=2)
    definite &= (diagonal > 0.0).all(axis=1)
    below = np.where(definite[:, None, None], below, np.eye(n))
    try:
        factor = _factor(below)
    except np.linalg.LinAlgError:
        root = np.sqrt(below.diagonal(axis1=1, axis2=2))
        scaled = below / root[:, :, None] / root[:, None, :]
        definite &= np.linalg.eigvalsh(scaled)[:, 0] > _PIVOT
        below = np.where(definite[:, None, None], below, np.eye(n))
        factor = _factor(below)
    pivots = factor.diagonal(axis1=1, axis2=2) ** 2 / below.diagonal(axis1=1, axis2=2)
    definite &= (pivots > _PIVOT).all(axis=1)
    below = np.where(definite[:, None, None], below, np.eye(n))
    inverse = np.asarray(np.linalg.inv(below), dtype=np.float64)
    return 0.5 * (inverse + inverse.transpose(0, 2, 1)), definite


def _factor(matrices: Array) -> Array:
    return np.asarray(np.linalg.cholesky(matrices), dtype=np.float64)
