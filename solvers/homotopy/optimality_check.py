"""Whether a path is what it says: the optimality conditions on every piece, and where answers are not the only ones.

All that the conditions ask is linear in s on a piece: feasibility, the signs of the multipliers, a Lagrangian without
slope. Hence they hold throughout where they hold at both ends, however the piece was found. They are computed here from
the program alone, at both ends and in the middle.

The optima at an s are ``z + N`` with N in the null space of H and of all constraints whose multipliers are not zero
(Mangasarian 1988, *Oper. Res. Letters* 7, 21-26), within the other constraints. Where N is not trivial F has to say
whether that matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.solvers.homotopy.active_set import EQUAL, FIXED, FREE, LOOSE, LOWER, UPPER
from bilevel.solvers.homotopy.parametric_program import ParametricProgram
from bilevel.solvers.homotopy.path_following import Piece
from bilevel.solvers.homotopy.units import Sizes

_ALLOWED = 1e-8  # a condition may be missed by this much, relative to the costs or the limits
_WEAK = 1e-9  # a multiplier below this, relative to the costs, may be zero
_FLAT = 1e-10  # a singular value below this, relative to the largest, is zero
_AT_ONCE = 64  # pieces
_LARGEST = 1_500  # variables among which a null space is looked for

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ambiguity:
    """Other optima than the path's: ``z + null @ u``.

    Attributes
    ----------
    piece : int
    at : float or None
        The s at which they are, one of the piece's ends; None for all of the piece.
    null : ndarray of shape (n, k)
    strong : ndarray of bool, shape (n + m,)
        Which variables and rows are held at every optimum.
    """

    piece: int
    at: float | None
    null: Array
    strong: Flags


class OptimalityCheck:
    """Looks at the pieces of one path.

    Parameters
    ----------
    program : ParametricProgram
    pieces : sequence of Piece

    Raises
    ------
    RefusedError
        If a piece misses a condition.
    """

    def __init__(self, program: ParametricProgram, pieces: Sequence[Piece]) -> None:
        self.program, self.pieces = program, pieces
        self._sizes = Sizes.of(program)
        count, n, m = len(pieces), program.n, program.m
        self._held = np.zeros((3, count, n + m), dtype=bool)  # at the start, in the middle, at the end
        if not count or pieces[0].start != 0.0 or pieces[-1].end != 1.0:
            raise RefusedError("the path does not reach from end to end")
        for first in range(0, count, _AT_ONCE):
            self._look(first, min(first + _AT_ONCE, count))

    def _look(self, first: int, last: int) -> None:
        pieces, program = self.pieces[first:last], self.program
        at, row_at = np.array([p.at for p in pieces]), np.array([p.row_at for p in pieces])
        z, rows = np.array([p.z for p in pieces]), np.array([p.rows for p in pieces])
        starts, ends = np.array([p.start for p in pieces]), np.array([p.end for p in pieces])
        for k, s in enumerate((starts, 0.5 * (starts + ends), ends)):
            here, weights = z[:, 0] + s[:, None] * z[:, 1], rows[:, 0] + s[:, None] * rows[:, 1]
            slope = program.curvature.times(here.T).T + program.costs[0] + np.outer(s, program.costs[1])
            slope += weights @ program.matrix
            self._check(here, slope, weights, s, at, row_at)
            weak = _WEAK * self._sizes.slope, _WEAK * self._sizes.multiplier
            held = (np.isin(at, (LOWER, UPPER)) & (np.abs(slope) > weak[0])) | (at == FIXED)
            row_held = (np.isin(row_at, (LOWER, UPPER)) & (np.abs(weights) > weak[1])) | (row_at == EQUAL)
            self._held[k, first:last] = np.hstack([held, row_held])

    def _check(self, z: Array, slope: Array, weights: Array, s: Array, at: Array, row_at: Array) -> None:
        program = self.program
        sizes, size = self._sizes, _ALLOWED * max(self._sizes.variable, float(np.abs(z).max(initial=0.0)))
        outside = (z < program.lower - size) | (z > program.upper + size)
        body = z @ program.matrix.T
        low, high = (limit[0] + np.outer(s, limit[1]) for limit in (program.low, program.high))
        row_size = size * np.maximum(1.0, np.abs(program.matrix).sum(axis=1))
        beyond = (body < low - row_size) | (body > high + row_size)
        apart = ((row_at > 0) & (body < high - row_size)) | ((row_at == LOWER) & (body > low + row_size))
        away = ((at == LOWER) & (z != program.lower)) | ((at == UPPER) & (z != program.upper))
        allowed, much = _ALLOWED * sizes.slope, _ALLOWED * sizes.multiplier
        tilted = ((at != FIXED) & (at != UPPER) & (slope < -allowed)) | (
            (at != FIXED) & (at != LOWER) & (slope > allowed)
        )
        wrong = ((row_at != EQUAL) & (row_at != UPPER) & (weights > much)) | (
            (row_at != EQUAL) & (row_at != LOWER) & (weights < -much)
        )
        for broken in (outside, beyond, apart, away, tilted, wrong, ~np.isfinite(slope)):
            if broken.any():
                where = float(s[np.flatnonzero(broken.any(axis=1))[0]])
                raise RefusedError(f"rounding has taken the path from the answers at {where:.9g} of the way")

    def ambiguities(self) -> Iterator[Ambiguity]:
        """Wherever an optimum is not seen to be the only one.

        What has a multiplier above zero in any pair of optimal z and multipliers is held at every optimum: where two
        pieces meet, that of both.
        """
        last = len(self.pieces) - 1
        for k, piece in enumerate(self.pieces):
            if not self._regular(k, self._held[1, k]):
                yield from self._found(k, None, self._held[1, k])
            strong = self._held[0, k] if k == 0 else self._held[0, k] | self._held[2, k - 1]
            if not (self._regular(k, strong) or (k > 0 and self._regular(k - 1, strong))):
                yield from self._found(k, piece.start, strong)
        if not self._regular(last, self._held[2, last]):
            yield from self._found(last, 1.0, self._held[2, last])

    def _regular(self, k: int, strong: Flags) -> bool:
        """Whether all that a piece holds is held at every optimum: its working set is regular."""
        piece = self.pieces[k]
        held = np.concatenate([piece.at != FREE, piece.row_at != LOOSE])
        return bool((strong | ~held).all())

    def _found(self, k: int, at: float | None, strong: Flags) -> Iterator[Ambiguity]:
        null = self._null(strong)
        if null.shape[1]:
            yield Ambiguity(k, at, null, strong)

    def _null(self, strong: Flags) -> Array:
        """The null space of H and of what is held, shape (n, k)."""
        program = self.program
        n = program.n
        own = np.flatnonzero(~strong[:n])
        if len(own) > _LARGEST:
            raise RefusedError(f"too many variables ({len(own)}) rest where they cost nothing")
        matrix = program.matrix[strong[n:]][:, own]
        curved = program.curvature.block(own, own)
        size = float(np.abs(curved).max(initial=0.0)) or 1.0
        stacked = np.vstack([curved / size, matrix / max(float(np.abs(matrix).max(initial=0.0)), 1e-300)])
        null = np.zeros((n, 0))
        if len(own):
            _, values, vectors = np.linalg.svd(stacked)
            rank = int((values > _FLAT * max(float(values.max(initial=0.0)), 1e-300)).sum())
            null = np.zeros((n, len(own) - rank))
            null[own] = vectors[rank:].T
        return null
