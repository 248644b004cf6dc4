"""Quadratic programs whose Hessian moves along a line, ``H(x) = A + s(x) D``: one factorization for all x.

A ridge penalty moves the Hessian of its regression along a line whatever the number of coefficients. With V such that
``V'AV = I`` and ``V'DV = diag(d)`` (Golub and Van Loan, *Matrix Computations*, 8.7.2; A positive definite)

    H(x)^-1 = V diag(1 / (1 + s(x) d)) V',

so that a solve costs two products with V instead of a factorization, and many x at once are products of matrices. Where
``1 + s d`` cancels the answer loses digits; a step of iterative refinement brings them back. Where too many are lost,
or the Hessian left the line, there is no answer and the caller factorizes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh

from bilevel.arrays import Array

SMALLEST = 80  # variables below which a factorization is as fast as five products
LARGEST = 1500  # above which the decomposition, some sixty factorizations, is too long a start
_PROBES = (1.0, 0.1, 0.0, 1e-3, -1.0, 1e3, 1e5)  # where the parameters are put to see how the numbers move
_APART = 1e-3  # relative: numbers nearer to each other say little of the line through them
_ON_THE_LINE = 256.0 * np.finfo(float).eps
_RESIDUAL = 1e-8
"""Of the first answer, relative to the right side. One step of refinement squares it, down to rounding, as both steps
go through the same inverse (Higham, *Accuracy and Stability*, 12.1)."""
_LEAST = 1e-10  # of ``1 + s d`` relative to its largest: below it definiteness is for a factorization to say


class Moving(Protocol):
    """A quadratic form whose Hessian is affine in a few numbers."""

    def without_hessian(self, parameters: Array) -> Array:
        """The numbers at a value of the parameters; raises ArithmeticError where they are none."""

    def write_hessian(self, numbers: Array, out: Array) -> None:
        """Write the Hessian that belongs to the numbers, shape (n, n), Fortran order."""

    def add_hessian(self, numbers: Array, out: Array) -> None:
        """Add what is linear in them."""


class Line:
    """Numbers that move as ``first + s step``.

    Parameters
    ----------
    first, second : ndarray of shape (k,)
        Two that lie on it.
    """

    def __init__(self, first: Array, second: Array) -> None:
        self.first, self.step = first, second - first
        size = np.abs(first) + np.abs(second) + np.finfo(float).tiny
        self._lead = int(np.argmax(np.abs(self.step) / size))

    def place(self, numbers: Array) -> tuple[Array, NDArray[np.bool_]]:
        """The place s of each row of numbers, shape (m, k), and whether the row lies on the line, up to rounding."""
        s: Array = (numbers[:, self._lead] - self.first[self._lead]) / self.step[self._lead]
        moved = np.multiply.outer(s, self.step)
        limit = _ON_THE_LINE * (np.abs(numbers) + np.abs(self.first) + np.abs(moved))
        return s, np.asarray((np.abs(numbers - self.first - moved) <= limit).all(axis=1))


class Pencil:
    """``H = A + s D`` decomposed once.

    Parameters
    ----------
    line : Line
        Of the numbers of such Hessians.
    form : Moving
        Makes Hessians of numbers.
    n : int
        Variables.

    Raises
    ------
    LinAlgError
        If the first Hessian is not positive definite.
    """

    def __init__(self, line: Line, form: Moving, n: int) -> None:
        self._line = line
        self._base, change = np.zeros((n, n), order="F"), np.zeros((n, n), order="F")
        form.write_hessian(line.first, self._base)
        form.add_hessian(line.step, change)  # not a difference of two Hessians: that has lost the digits of a penalty
        self._rates, vectors = eigh(change, self._base, check_finite=False)
        self._vectors: Array = np.asfortranarray(vectors)
        diagonal = change.diagonal().copy()
        self._change = diagonal if np.count_nonzero(change) == np.count_nonzero(diagonal) else change

    @classmethod
    def of(cls, form: Moving, n: int, parameters: int) -> Pencil | None:
        """For a form of so many variables and parameters; None where its Hessians do not move along a line."""
        seen = list(itertools.islice(_numbers(form, parameters), 3))
        if len(seen) < 3:
            return None
        line = Line(seen[0], seen[1])
        if not line.place(seen[2][None])[1].all():
            return None
        try:
            return cls(line, form, n)
        except LinAlgError:
            return None

    def solve(self, numbers: Array, right: Array) -> tuple[Array, NDArray[np.bool_]]:
        """``H^-1 right`` for many Hessians, and where these are the solutions.

        Parameters
        ----------
        numbers : ndarray of shape (m, k)
            Of the Hessians, one a row.
        right : ndarray of shape (m, n)
            Right sides.

        Returns
        -------
        ndarray of shape (m, n), ndarray of bool of shape (m,)
        """
        s, holds = self._line.place(numbers)
        spectrum = 1.0 + np.multiply.outer(s, self._rates)
        holds &= spectrum.min(axis=1) > _LEAST * spectrum.max(axis=1)
        inverse = 1.0 / np.where(spectrum > 0.0, spectrum, 1.0)
        vectors = self._vectors
        y: Array = (inverse * (right @ vectors)) @ vectors.T
        turned = y * self._change if self._change.ndim == 1 else y @ self._change
        residual = right - y @ self._base - s[:, None] * turned
        holds &= np.abs(residual).max(axis=1) <= _RESIDUAL * np.abs(right).max(axis=1)
        return y + (inverse * (residual @ vectors)) @ vectors.T, holds


def _numbers(form: Moving, parameters: int) -> Iterator[Array]:
    """The numbers at values of the parameters that are no multiples of each other, where there are any."""
    weights = np.linspace(1.0, 1.7, parameters)
    first: Array | None = None
    for k, level in enumerate(_PROBES):
        try:
            found = form.without_hessian(level * (weights if k % 2 else weights[::-1])).copy()
        except ArithmeticError:
            continue
        if first is None or (np.abs(found - first) > _APART * np.abs(first)).any():
            first = found if first is None else first
            yield found
