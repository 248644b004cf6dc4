"""Pessimistic linear levels: the follower's worst optimum for the leader, written as sides too.

Among the optima ``Psi(x)`` of a linear follower the worst for a linear function ``d'y`` is an optimum of ``min (c'y,
-d'y)``, the second only where the first is equal. Over the face ``{y feasible: c'y = f*}`` it is optimal exactly where

    sum_i mu_i n_i + E'nu = -c,    sum_i eta_i n_i + E'pi + t c = d,    mu, eta >= 0,

with mu and eta zero on inactive sides (Schrijver 1986, ch. 7.9, on complementary slackness; t is free, since mu takes
what is below zero). These are multipliers of one polyhedron that does not move with x, as those of the follower alone
are: its sides stand twice, with normals in a space of twice the size, and whoever branches on sides need not know. So
the set of all (x, y) with y worst is a finite union of polyhedra, closed, and its best point is attained.

The leader reckons with the worst optimum for F, and for every coupling constraint with the one that breaks it most
(:mod:`bilevel.language.attitude`): y stands there once for each, with the follower's rows, the same f, and every
coupling constraint, which all optima meet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bilevel.arrays import Array
from bilevel.solvers.sides.follower_sides import Sides
from bilevel.solvers.sides.hot_program import HotProgram


def with_worst_answers(
    program: HotProgram, sides: Sides, followers: Sequence[NDArray[np.int_]], own_rows: NDArray[np.bool_]
) -> tuple[HotProgram, Sides]:
    """Write the copies.

    Parameters
    ----------
    program : HotProgram
        The high-point problem.
    sides : Sides
        Of its followers.
    followers : sequence of ndarray of int
        The columns of each one's variables, in the order of ``sides``.
    own_rows : ndarray of bool, shape (m,)
        Which rows are the followers'.

    Returns
    -------
    tuple of HotProgram and Sides
        The program, whose first columns are those of the high-point problem, with y the worst optimum for F; and the
        sides of all copies.
    """
    return _Copies(program, sides, followers, own_rows).written()


class _Copies:
    """What is worst for F, then for every side of a coupling constraint."""

    def __init__(
        self, program: HotProgram, sides: Sides, followers: Sequence[NDArray[np.int_]], own_rows: NDArray[np.bool_]
    ) -> None:
        self._program, self._sides, self._followers = program, sides, followers
        self._matrix = program.matrix.tocsr()
        self._m, self._n = self._matrix.shape
        self._columns = np.concatenate(followers)
        touching = np.zeros(self._m, dtype=bool)
        touching[np.unique(self._matrix[:, self._columns].tocoo().row)] = True
        self._kept = np.flatnonzero(touching)  # rows that every copy has to keep
        coupling = np.flatnonzero(touching & ~own_rows)
        self._worst = [program.cost[self._columns]]  # what each copy has most of
        for row in coupling.tolist():
            body = self._matrix[[row]].toarray()[0, self._columns]
            self._worst += [sign * body for sign, end in self._ends(row) if math.isfinite(end)]

    def _ends(self, row: int) -> tuple[tuple[float, float], tuple[float, float]]:
        return (1.0, float(self._program.high[row])), (-1.0, float(self._program.low[row]))

    def written(self) -> tuple[HotProgram, Sides]:
        program, copies = self._program, len(self._worst) - 1
        width, ny = self._n + copies * len(self._columns), len(self._columns)
        parts, low, high = [_widened(self._matrix, width)], [program.low[: self._m]], [program.high[: self._m]]
        for k in range(copies):
            parts.append(self._moved(k, width))
            low.append(program.low[self._kept])
            high.append(program.high[self._kept])
            cuts, floors = self._dominance(k, width)
            parts.append(cuts)
            low.append(floors)
            high.append(np.where(np.arange(len(floors)) < len(self._followers), 0.0, np.inf))
        ranges = program.ranges
        columns = np.concatenate([np.arange(self._n), *[self._columns] * copies])
        assert len(columns) == self._n + copies * ny
        wide = HotProgram(
            np.concatenate([program.cost, np.zeros(copies * ny)]),
            sparse.vstack(parts, format="csr"),
            np.concatenate(low),
            np.concatenate(high),
            program.low[self._m :][columns],
            program.high[self._m :][columns],
            (ranges[0][columns], ranges[1][columns]),
            program.constant,
        )
        return wide, self._doubled(sum(len(each) for each in low))

    def _moved(self, k: int, width: int) -> sparse.csr_array:
        """The kept rows over copy k in place of y."""
        rows = self._matrix[self._kept].tocoo()
        place = np.full(self._n, -1)
        place[self._columns] = self._n + k * len(self._columns) + np.arange(len(self._columns))
        columns = np.where(place[rows.col] >= 0, place[rows.col], rows.col)
        return sparse.csr_array((rows.data, (rows.row, columns)), shape=(len(self._kept), width))

    def _dominance(self, k: int, width: int) -> tuple[sparse.csr_array, Array]:
        """Copy k is as good as y to each follower, and no worse for F than y."""
        start = self._n + k * len(self._columns)
        cuts, first = np.zeros((len(self._followers) + 1, width)), 0
        for f, columns in enumerate(self._followers):
            slope = self._sides.slope[first : first + len(columns)]
            cuts[f, columns] = slope
            cuts[f, start + first : start + first + len(columns)] = -slope
            first += len(columns)
        cuts[-1, self._columns] = self._worst[0]
        cuts[-1, start : start + len(self._columns)] = -self._worst[0]
        return sparse.csr_array(cuts), np.zeros(len(cuts))

    def _doubled(self, m: int) -> Sides:
        """The sides of all copies, each in a space of its own, and again where something is worst in it."""
        found = [self._at(k, m) for k in range(len(self._worst))]
        blocks = [
            block for sides, worst in zip(found, self._worst, strict=True) for block in self._blocks(sides, worst)
        ]
        return Sides(
            np.concatenate([b.places for b in blocks]),
            np.concatenate([b.signs for b in blocks]),
            np.concatenate([b.limits for b in blocks]),
            _diagonal([b.normals for b in blocks]),
            np.concatenate([b.sizes for b in blocks]),
            _diagonal([b.equalities for b in blocks]),
            np.concatenate([b.slope for b in blocks]),
        )

    def _at(self, copy: int, m: int) -> Sides:
        """The followers' sides at their places in one copy, the first of which is y itself."""
        places = self._sides.places
        rows, columns = np.arange(self._m), np.arange(self._n)
        if copy:
            cuts, kept = len(self._followers) + 1, len(self._kept)
            rows[self._kept] = self._m + (copy - 1) * (kept + cuts) + np.arange(kept)
            columns[self._columns] = self._n + (copy - 1) * len(self._columns) + np.arange(len(self._columns))
        is_row = places < self._m
        moved = np.where(is_row, rows[np.where(is_row, places, 0)], m + columns[np.where(is_row, 0, places - self._m)])
        return replace(self._sides, places=moved)

    def _blocks(self, sides: Sides, worst: Array) -> Iterator[Sides]:
        """The conditions of the followers' optimality, and of being worst among their optima."""
        yield sides
        slope, frees, first = np.zeros(len(worst)), [], 0
        for columns in self._followers:
            own = slice(first, first + len(columns))
            size = np.abs(worst[own]).max(initial=0.0)
            if size > 0.0:
                slope[own] = -worst[own] / size
                frees.append(np.zeros(len(worst)))
                frees[-1][own] = sides.slope[own]
            first += len(columns)
        if frees:
            yield replace(sides, slope=slope, equalities=np.vstack([sides.equalities, *frees]))


def _widened(matrix: sparse.csr_array, width: int) -> sparse.csr_array:
    matrix = matrix.tocsr()
    return sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], width))


def _diagonal(blocks: list[Array]) -> Array:
    """One under the other, each in columns of its own."""
    width = sum(block.shape[1] for block in blocks)
    rows, first = [], 0
    for block in blocks:
        rows.append(np.zeros((len(block), width)))
        rows[-1][:, first : first + block.shape[1]] = block
        first += block.shape[1]
    return np.vstack(rows)
