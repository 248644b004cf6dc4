"""A follower's program as one that a path can be followed through, and the way back to its variables.

Kinks written as rows are taken out (:mod:`bilevel.solvers.homotopy.kinks`), which leaves the lasso without any.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import casadi as ca
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.linear_algebra.definiteness import definite
from bilevel.programs.program import Program, Shape
from bilevel.solvers.homotopy.kinks import Kink, at_ends, without_kinks
from bilevel.solvers.homotopy.parametric_program import Curvature, ParametricProgram
from bilevel.solvers.homotopy.units import in_units

_MOST_WITH_ROWS = 1_200  # variables and rows of a program whose rows are held densely


@dataclass(frozen=True, eq=False)
class Numbers:
    """A program's numbers; what moves with x stands in :attr:`moving`, all else is here.

    Attributes
    ----------
    program : Program
        It.
    moving : SX of shape (n + m + k, 1)
        The slope at zero and the rows at zero, without the squares, as functions of x; then what the Hessian is made
        of: its entries beside the squares, and the weights of these.
    """

    program: Program
    moving: ca.SX

    @property
    def bends(self) -> NDArray[np.bool_]:
        """Which of these are the Hessian's."""
        return np.arange(self.moving.numel()) >= self.program.n + self.program.m

    @property
    def slopes(self) -> NDArray[np.bool_]:
        """Which of these are costs."""
        return np.arange(self.moving.numel()) < self.program.n


@dataclass(frozen=True, eq=False)
class Followed:
    """A program to follow, and ``y = back @ z``.

    Attributes
    ----------
    program : ParametricProgram
        In z, with s between the ends of its range as the parameter.
    back : csr_array of shape (number of the follower's variables, n)
    idle : ndarray of int
        Variables of the follower that cost nothing somewhere: what they are there is nobody's to say.
    """

    program: ParametricProgram
    back: sp.csr_array
    idle: NDArray[np.int_]


def numbers_of(program: Program) -> Numbers:
    """What of a program may move.

    Raises
    ------
    RefusedError
        If something moves that keeps the answers from being piecewise linear.
    """
    name, x, y = program.name, program.parameters, program.variables
    if program.discrete:
        raise RefusedError(f"{name} holds integer variables")
    if program.losses or program.moving or program.shape is Shape.NONLINEAR:
        raise RefusedError(f"{name} is not a quadratic program with constant data")
    if ca.depends_on(ca.vec(program.jacobian), x):
        raise RefusedError(f"the rows of {name} move with x, so that its answers are not piecewise linear")
    weights = program.weights if program.squares else ca.SX(0, 1)
    bends = ca.vertcat(ca.SX(0, 1), *program.rest.hessian.nonzeros(), weights)
    if program.m and program.n + program.m > _MOST_WITH_ROWS and not program.tops:
        raise RefusedError(f"{name} has more than {_MOST_WITH_ROWS} variables and rows")
    at_zero = ca.substitute([program.rest.gradient, program.rows], [y], [ca.SX.zeros(program.n, 1)])
    return Numbers(program, ca.vertcat(*(ca.densify(part) for part in at_zero), bends))


def followed(numbers: Numbers, constants: Array, slopes: Array, ends: tuple[float, float]) -> Followed:
    """The program along ``constants + s slopes``, which are those of :attr:`Numbers.moving`; the Hessian is constant.

    Raises
    ------
    RefusedError
        If it is too large.
    """
    program, n = numbers.program, numbers.program.n
    whole, m = np.stack([constants, slopes]), program.m
    costs, offset, bends = whole[:, :n], whole[:, n : n + m], constants[n + m :]
    count = len(program.squares)
    weights = bends[len(bends) - count :]
    matrix, places = _data(program, weights)
    if len(matrix):
        costs[0, places] -= 2.0 * (matrix.T @ _targets(program, weights))
    rows, rest = _constant(program.jacobian), _hessian(program, bends[: len(bends) - count])
    kept, kinks = without_kinks(program, rows, rest, offset, costs, ends)
    back, owners, signs, split = _parts(n, kinks)
    lower, upper = program.lower[owners], program.upper[owners]
    lower, upper = np.where(signs < 0.0, -upper, lower), np.where(signs < 0.0, -program.lower[owners], upper)
    lower = np.where(split, 0.0, lower)
    column = np.full(n, -1)
    column[places] = np.arange(len(places))
    owner = column[owners]
    curvature = Curvature(
        math.sqrt(2.0) * matrix,
        np.where(owner >= 0, owner, 0),
        np.where(owner >= 0, signs, 0.0),
        sp.csr_array(back.T @ rest @ back),
    )
    if len(kept) and len(kept) + len(owners) > _MOST_WITH_ROWS:
        raise RefusedError(f"{program.name} has more than {_MOST_WITH_ROWS} variables and rows")
    _refuse_not_convex(program.name, curvature)
    low, high = (
        np.stack([limit[kept] - offset[0, kept], np.where(np.isfinite(limit[kept]), -offset[1, kept], 0.0)])
        for limit in (program.row_lower, program.row_upper)
    )
    reduced = (rows[kept] @ back).toarray() if len(kept) else np.zeros((0, len(owners)))
    moved = np.stack([back.T @ costs[0], back.T @ costs[1]])
    idle = np.array([t for t, *_ in kinks if min(at_ends(costs[:, t], ends)) <= 0.0], dtype=int)
    scaled, units = in_units(ParametricProgram(curvature, moved, reduced, low, high, lower, upper))
    return Followed(scaled, sp.csr_array(back @ sp.diags_array(units)), idle)


def _parts(n: int, kinks: list[Kink]) -> tuple[sp.csr_array, NDArray[np.int_], Array, NDArray[np.bool_]]:
    """The way back to n variables; of each new variable, whose part it is, with what sign, and whether of a split."""
    split = np.array(sorted({w for _, w, _, _ in kinks}), dtype=int)
    single = np.setdiff1d(np.arange(n), np.concatenate([split, np.array([t for t, *_ in kinks], dtype=int)]))
    owners, first, count = np.concatenate([single, split, split]), len(single), len(split)
    signs = np.concatenate([np.ones(first + count), -np.ones(count)])
    place = {int(w): first + k for k, w in enumerate(split)}
    entries = list(zip(owners.tolist(), range(len(owners)), signs.tolist(), strict=True))
    for t, w, up, down in kinks:
        entries += [(t, place[w], up), (t, place[w] + count, down)]
    rows, columns, values = (np.array(part) for part in zip(*entries, strict=True))
    back = sp.csr_array((values.astype(float), (rows.astype(int), columns.astype(int))), shape=(n, len(owners)))
    return back, owners, signs, np.arange(len(owners)) >= first


def _refuse_not_convex(name: str, curvature: Curvature) -> None:
    """Refuse a Hessian that is not semidefinite; what stands beside the data is asked first."""
    rest = curvature.rest
    diagonal = rest.diagonal()
    if rest.nnz == np.count_nonzero(diagonal) and (diagonal >= 0.0).all():
        return
    everything = np.arange(len(diagonal))
    if len(everything) > _MOST_WITH_ROWS or definite(curvature.block(everything, everything)) <= 0:
        raise RefusedError(f"{name} is not proved convex in its variables")


def _constant(matrix: ca.SX) -> sp.csr_array:
    """A matrix without symbols, sparse."""
    values = ca.Function("constant", [], [matrix]).call([])[0]
    found = ca.DM(values)
    return sp.csr_array(sp.csc_array(found.sparse()), shape=found.shape)


def _hessian(program: Program, entries: Array) -> sp.csr_array:
    """The Hessian beside the squares."""
    rows, columns = program.rest.hessian.sparsity().get_triplet()
    return sp.csr_array((entries, (rows, columns)), shape=(program.n, program.n))


def _data(program: Program, weights: Array) -> tuple[Array, NDArray[np.int_]]:
    """R of all squares with the root of their weights in it, stacked over the variables they hold."""
    if not program.squares:
        return np.zeros((0, 1)), np.zeros(0, dtype=int)
    if not (weights >= 0.0).all():
        raise RefusedError(f"{program.name} is not convex: a square has a negative weight")
    everything = np.arange(program.n)
    places = [everything[square.places] for square in program.squares]
    union = np.unique(np.concatenate(places))
    blocks = []
    for square, own, weight in zip(program.squares, places, weights, strict=True):
        block = np.zeros((len(square.factor.matrix), len(union)))
        block[:, np.searchsorted(union, own)] = math.sqrt(weight) * square.factor.matrix
        blocks.append(block)
    return np.vstack(blocks), union


def _targets(program: Program, weights: Array) -> Array:
    return np.concatenate(
        [math.sqrt(w) * square.factor.target for w, square in zip(weights, program.squares, strict=True)]
    )
