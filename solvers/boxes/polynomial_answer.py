"""A follower's answer as a polynomial of degree 2 in x on a box: a guess, good where the active set does not change.

Newton's method on the optimality conditions with the active set of the box's centre, all coefficients at once: two
steps from the centre's answer get those of degree 2 right. Whatever comes out keeps to the follower's constraints on
the whole box, and multipliers to their sign. How good it is, :mod:`bilevel.solvers.boxes.answer_tubes` measures.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bilevel.arrays import Array
from bilevel.graphs.taylor import Taylor
from bilevel.programs.program import Program
from bilevel.solvers.boxes.hessian_below import Bends, Flags

_NEAR = 1e-7  # distance from a bound or a row, relative to its size, that starts as active
_ROUNDS = 4  # in which rows and bounds that the polynomial would leave are held


class Parts(Protocol):
    """What is asked of the follower."""

    program: Program
    taylor: Taylor
    matrix: Array

    def ends(self, y: Array) -> tuple[Array, Array]:
        """Bounds of the variables near answers of shape (n, boxes): shapes (n, 1) or (n, boxes)."""

    def slopes(self, x: Array, y: Array) -> Array:
        """Models of f_y."""

    def bends(self, x: Array, y: Array) -> Bends:
        """Models of f_yy."""

    def row_models(self, x: Array, y: Array) -> Array:
        """Models of the rows."""


class PolynomialAnswer:
    """Polynomials p and multipliers l for one batch of boxes.

    Parameters
    ----------
    parts : Parts
        The follower's slopes, Hessians and rows in Taylor form.
    x : ndarray of shape (size, d, boxes)
        The boxes.
    y : ndarray of shape (n, boxes)
        The answers at their centres.

    Attributes
    ----------
    y, weights : ndarray of shape (size, n, boxes), (size, m, boxes)
        p and l, without a radius.
    bends : Bends
        The Hessians, at the answers at the centres.
    """

    def __init__(self, parts: Parts, x: Array, y: Array) -> None:
        self.of, self.taylor, self.program, self.x = parts, parts.taylor, parts.program, x
        program = parts.program
        self.low, self.high = parts.ends(y)
        self.row_low, self.row_high = program.row_lower[:, None], program.row_upper[:, None]
        self.boxes = y.shape[1]
        self.y = self.taylor.constant(np.clip(y, self.low, self.high))
        self.weights = np.zeros((self.taylor.size, program.m, self.boxes))  # l
        self.bends = parts.bends(x, self.y)
        self.middle = self.bends.middle
        at = self.y[0]
        self.at_low, self.at_high = at - self.low <= _near(self.low), self.high - at <= _near(self.high)
        rows = parts.row_models(x, self.y)[0]
        self.row_at_low = rows - self.row_low <= _near(self.row_low)
        self.row_at_high = self.row_high - rows <= _near(self.row_high)
        self.equal = np.repeat(program.equality[:, None], self.boxes, axis=1)

    @property
    def held(self) -> Flags:
        """Which variables are held at a bound."""
        held: Flags = self.at_low | self.at_high
        return held

    @property
    def row_held(self) -> Flags:
        """Which rows are held at a limit."""
        held: Flags = self.row_at_low | self.row_at_high
        return held

    def fit(self) -> None:
        """From the answers at the centres to polynomials that keep to the constraints on the whole boxes."""
        slopes = self.of.slopes(self.x, self.y)
        first = self._correction(slopes)[1][0] if self.program.m else self.weights[0]
        self._release(first, slopes[0])
        self._move(slopes)
        for _ in range(_ROUNDS if self.program.m else 1):
            anew = self._hold_what_leaves()
            self._move(self.of.slopes(self.x, self.y))
            if not anew:
                break
        self._keep_inside()
        self._sign_weights()

    def _release(self, weights: Array, slopes: Array) -> None:
        """Let go of what has a multiplier of the wrong sign."""
        self.row_at_low &= (weights <= 0.0) | self.equal
        self.row_at_high &= (weights >= 0.0) | self.equal
        reduced = slopes + self.of.matrix.T @ np.where(self.row_held, weights, 0.0)
        fixed = self.low == self.high
        self.at_low &= (reduced >= 0.0) | fixed
        self.at_high &= (reduced <= 0.0) | fixed

    def _move(self, slopes: Array) -> None:
        """One Newton step, of all coefficients at once."""
        self._onto_bounds()
        step, weights = self._correction(slopes)
        self.y[:-1] += step
        self.weights[:-1] += weights
        self._onto_bounds()

    def _onto_bounds(self) -> None:
        self.y[1:, self.held] = 0.0
        self.y[0] = np.where(self.at_low, self.low, np.where(self.at_high, self.high, self.y[0]))
        self.y[0] = np.clip(self.y[0], self.low, self.high)

    def _correction(self, slopes: Array) -> tuple[Array, Array]:
        """Steps of y and of the multipliers, by the conditions of the held constraints linearised at the centre.

        The corner that keeps dependent rows from being singular touches the step of the multipliers alone, which
        vanishes as they are repeated.
        """
        n, m, count = self.program.n, self.program.m, self.taylor.size - 1
        free, on = ~self.held.T, self.row_held.T
        system = np.zeros((self.boxes, n + m, n + m))
        system[:, :n, :n] = self.middle * free[:, :, None] * free[:, None, :]
        system[:, n:, :n] = self.of.matrix * on[:, :, None] * free[:, None, :]
        system[:, :n, n:] = system[:, n:, :n].transpose(0, 2, 1)
        size = np.abs(self.middle).max(axis=(1, 2), initial=0.0)[:, None]
        diagonal = np.arange(n + m)
        system[:, diagonal, diagonal] += np.concatenate([~free, np.where(on, -1e-15 * size, 1.0)], axis=1)
        right = np.zeros((self.boxes, n + m, count))
        right[:, :n] = -np.where(self.held, 0.0, slopes[:-1]).transpose(2, 1, 0)
        if m:
            slopes = slopes[:-1] + self.of.matrix.T @ np.where(self.row_held, self.weights[:-1], 0.0)
            right[:, :n] = -np.where(self.held, 0.0, slopes).transpose(2, 1, 0)
            missing = -self.of.row_models(self.x, self.y)[:-1]
            missing[0] += np.where(self.row_at_low, self.row_low, self.row_high)
            right[:, n:] = np.where(self.row_held, missing, 0.0).transpose(2, 1, 0)
        usable = np.isfinite(system).all(axis=(1, 2)) & np.isfinite(right).all(axis=(1, 2))
        system[~usable], right[~usable] = np.eye(n + m), 0.0
        found = _solved(system, right).transpose(2, 1, 0)
        return found[:, :n], found[:, n:]

    def _hold_what_leaves(self) -> bool:
        """Hold at its bound what the polynomial would take beyond it; whether there was anything.

        Without rows a variable that leaves on less than half of its way is shrunk later instead: that is nearer.
        """
        before = int(self.held.sum() + self.row_held.sum())
        far = self.taylor.reach(self.y) / (1.0 if self.program.m else 2.0)
        self.at_low |= self.y[0] - self.low < far
        self.at_high |= (self.high - self.y[0] < far) & ~self.at_low
        if self.program.m:
            rows = self.of.row_models(self.x, self.y)
            far = np.where(self.row_held, -np.inf, self.taylor.reach(rows))
            self.row_at_low |= rows[0] - self.row_low < far
            self.row_at_high |= (self.row_high - rows[0] < far) & ~self.row_at_low
        return int(self.held.sum() + self.row_held.sum()) > before

    def _keep_inside(self) -> None:
        """Shrink what moves until no bound is left, and with rows all of it alike."""
        room = np.minimum(self.y[0] - self.low, self.high - self.y[0])
        share = _share(room, self.taylor.reach(self.y))
        if self.program.m:
            rows = self.of.row_models(self.x, self.y)
            room = np.minimum(rows[0] - self.row_low, self.row_high - rows[0])
            share_of_rows = np.where(self.row_held, 1.0, _share(np.maximum(room, 0.0), self.taylor.reach(rows)))
            share = np.minimum(share.min(axis=0), share_of_rows.min(axis=0))
        self.y[1:] *= share

    def _sign_weights(self) -> None:
        """Multipliers of the right sign on the whole box."""
        weights = self.weights
        up, down = self.row_at_high & ~self.equal, self.row_at_low & ~self.equal
        weights[0] = np.where(up, np.maximum(weights[0], 0.0), np.where(down, np.minimum(weights[0], 0.0), weights[0]))
        weights[:, ~self.row_held] = 0.0
        share = np.where(self.equal, 1.0, _share(np.abs(weights[0]), self.taylor.reach(weights)))
        weights[1:] *= share


def _near(bound: Array) -> Array:
    return _NEAR * np.where(np.isfinite(bound), np.maximum(1.0, np.abs(bound)), 1.0)


def _share(room: Array, reach: Array) -> Array:
    """The largest factor up to 1 by which a reach fits into its room, rounding left out."""
    share = np.where(reach > room, room / np.maximum(reach, 1e-300) * (1.0 - 1e-12), 1.0)
    return np.clip(share, 0.0, 1.0)


def _solved(system: Array, right: Array) -> Array:
    """Solutions of linear systems; zero where one is singular, which makes a poor guess but no wrong one."""
    try:
        found = np.asarray(np.linalg.solve(system, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        found = np.asarray(np.linalg.pinv(system) @ right, dtype=np.float64)
    return np.where(np.isfinite(found), found, 0.0)
