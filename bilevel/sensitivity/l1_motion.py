"""How the answer of least squares with an l1 term moves with x: one factorization of the columns that are free.

As long as the coefficients at rest stay there, the free ones solve ``H_AA w_A = -(q + s)_A`` with the penalties' slopes
s, and so does their motion with the derivatives on the right. The rest is as in
:mod:`bilevel.sensitivity.answer_motion`, whose system has twice the variables and all their rows.

Where a coefficient at rest is at the edge of its penalty the answer has a kink. Those of them move that a motion of x
into its box frees: the rates, in the direction of their side, of a quadratic program with bounds alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf

from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.programs.l1.form import L1Form, Weights
from bilevel.programs.program import Program
from bilevel.sensitivity.active_constraints import inward, nonnegative

_WEAK = 1e-8  # within this of its penalty, in units of the gradient at zero and of its column, one at rest may move
_REST = 1e-9  # a coefficient this small, relative to the largest, is zero
_RANK = 1e-10
_INDEPENDENT = 1e-7  # pivots of columns of length one above this say that they do not depend on each other


@dataclass(slots=True)
class _Piece:
    """Which coefficients are free, the side of zero of each, and whether no other choice was possible."""

    free: NDArray[np.int_]
    sides: Array
    strict: bool


class L1Motion:
    """Derivatives of functions of one follower's answer; see :class:`bilevel.sensitivity.answer_motion.Sensitivity`.

    Parameters
    ----------
    program : Program
        The follower's.
    form : L1Form
        What it is.
    box : tuple of ndarray
        Bounds of the parameters: a piece on the inner side of them is chosen.

    Attributes
    ----------
    total : SX scalar
        ``v' grad_y f``, a function of the program's symbols and of :attr:`symbols`.
    symbols : tuple of SX
        v, and the derivatives of the program's squares along it.
    """

    def __init__(self, program: Program, form: L1Form, box: tuple[Array, Array]) -> None:
        self._program, self._form, self._box = program, form, box
        v, along = ca.SX.sym("v", program.n), ca.SX.sym("along", len(program.squares))
        self._slope = program.moving_gradient
        self.total = ca.dot(v, self._slope) + ca.dot(program.weights, along)
        self.symbols = v, along
        self._mixed: Compiled | None = None
        self._rates: Compiled | None = None

    def __call__(self, x: Array, y: Array, slopes: Array) -> tuple[Array, bool]:
        """``slopes' dy/dx`` at the optimum y for x, and whether the point is regular."""
        p = self._program.parameters
        if self._mixed is None:
            self._mixed = Compiled([p, self._program.variables, *self.symbols], [ca.gradient(self.total, p)])
        found, regular = np.empty((slopes.shape[1], len(x))), True
        for k in range(len(found)):
            values, regular = self.adjoint(x, y, slopes[:, k])
            np.negative(self._mixed(x, y, *values)[0], out=found[k])
        return found, regular

    def adjoint(self, x: Array, y: Array, slope: Array) -> tuple[tuple[Array, ...], bool]:
        """Values of :attr:`symbols` for one function with the gradient ``slope`` in y; and whether F is smooth."""
        form, weights = self._form, self._form.at(x)
        w = form.coefficients(y)
        motion, sides, regular = np.zeros(form.p), np.sign(w), False
        if weights is not None:
            piece = self._piece(x, y, weights, w)
            sides = piece.sides
            motion[piece.free], regular = _solved(
                self._block(weights, piece.free, piece.free), form.drawn(slope, sides)[piece.free]
            )
            regular = regular and piece.strict and weights.single
        v = form.spread(motion, sides)
        return (v, np.array([square.along(y, v) for square in self._program.squares])), regular

    def _block(self, weights: Weights, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Array:
        """Some rows and columns of the Hessian."""
        matrix = self._form.matrix
        found = (2.0 * weights.scale) * (matrix[:, rows].T @ matrix[:, columns])
        found[rows[:, None] == columns[None, :]] += weights.ridge[np.intersect1d(rows, columns)]
        return np.asarray(found)

    def _piece(self, x: Array, y: Array, weights: Weights, w: Array) -> _Piece:
        form, sides = self._form, np.sign(w)
        lengths = np.sqrt((2.0 * weights.scale) * np.einsum("ij,ij->j", form.matrix, form.matrix) + weights.ridge)
        lengths[lengths == 0.0] = 1.0  # what a coefficient is large in, and what a slope is
        small = _REST * float(np.abs(w * lengths).max(initial=0.0)) / lengths
        bent = weights.above + weights.below > 0.0
        at_end = (w <= form.lower + small) | (w >= form.upper - small)
        rests = at_end | ((np.abs(w) <= small) & bent)
        slope = form.slope(weights, w)
        at = np.where(rests & (np.abs(w) <= small), 0.0, w)
        left, right = form.slopes_around(weights, np.clip(at, form.lower, form.upper))
        near = _WEAK * float(np.abs(form.slope(weights, np.zeros(form.p)) / lengths).max(initial=0.0)) * lengths
        up, down = rests & (-slope >= right - near), rests & (-slope <= left + near)
        free, weak = np.flatnonzero(~rests), np.flatnonzero(up | down)
        if not len(weak):
            return _Piece(free, sides, True)
        way = np.where(up, 1.0, -1.0)
        sides[weak] = np.where(at[weak] == 0.0, way[weak], sides[weak])
        met = self._met(x, y, weights, free, weak, way[weak], sides)
        return _Piece(np.sort(np.concatenate([free, weak[met]])), sides, False)

    def _met(
        self,
        x: Array,
        y: Array,
        weights: Weights,
        free: NDArray[np.int_],
        weak: NDArray[np.int_],
        way: Array,
        sides: Array,
    ) -> NDArray[np.bool_]:
        """Which of the coefficients at the edge are freed as x moves into its box."""
        rate = self._form.drawn(self._rate(x, y), sides)
        gram, push = self._block(weights, weak, weak), -rate[weak]
        if len(free):
            across, own = self._block(weights, free, weak), self._block(weights, free, free)
            moved = np.column_stack([_solved(own, right)[0] for right in [*across.T, rate[free]]])
            gram = gram - across.T @ moved[:, :-1]
            push = push + across.T @ moved[:, -1]
        gram, push = way[:, None] * gram * way, way * push
        met = np.zeros(len(weak), dtype=bool)
        factor, failed = dpotrf(gram + _RANK * float(np.trace(gram)) * np.eye(len(weak)))
        if not failed:
            met = nonnegative(factor, solve_triangular(factor, push, trans="T")) > 0.0
        return met

    def _rate(self, x: Array, y: Array) -> Array:
        """The motion of f's gradient in y as x moves into its box and y rests."""
        program = self._program
        if self._rates is None:
            p, d = program.parameters, ca.SX.sym("d", program.parameters.numel())
            moved = [ca.jtimes(block, p, d) for block in (ca.densify(self._slope), program.weights)]
            self._rates = Compiled([p, program.variables, d], moved)
        of_slope, of_weights = self._rates(x, y, inward(x, self._box))
        total = of_slope.copy()
        for square, moved in zip(program.squares, of_weights, strict=True):
            square.add_slope(float(moved), y, total)
        return total


def _solved(matrix: Array, right: Array) -> tuple[Array, bool]:
    """The solution, the shortest where there are several, and whether it is the only one."""
    if not len(right):
        return right, True
    lengths = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
    lengths[lengths == 0.0] = 1.0
    equal = matrix / (lengths[:, None] * lengths)
    try:
        factor = cho_factor(equal)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(equal, right / lengths, rcond=None)[0]) / lengths, False
    return np.asarray(cho_solve(factor, right / lengths)) / lengths, bool(factor[0].diagonal().min() > _INDEPENDENT)
