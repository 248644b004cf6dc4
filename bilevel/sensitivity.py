"""How a follower's optimum moves with x: derivatives of functions of it, by one linear system.

Where the follower's active constraints are known, its optimum solves the square system ``grad_y L(x, y, m) = 0``,
``a(x, y) = 0`` with the Lagrangian L and the active rows a. Differentiated (Fiacco 1983, *Introduction to Sensitivity
and Stability Analysis*, theorem 2.4.4), it gives the motion of the answer,

    [ L_yy  a_y' ] [dy/dx]     [L_yx]
    [ a_y    0   ] [dm/dx] = - [ a_x],

and, transposed, the adjoints of functions h(y): with (v, w) the solution for the right side (h_y, 0),
``h_y dy/dx = -(v' L_yx + w' a_x)``, the gradient in x of the scalar ``-(v' grad_y L + w' a)``: one sweep of reverse
differentiation for each h. The matrix is the same for all of them. Where there are more functions than upper
variables the motion is solved for instead.

Where a constraint is active with a zero multiplier (no strict complementarity) y(x) has a kink. The derivative given
is then that of one of the pieces that meet there, and the point is not regular.
"""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dgesv, dposv

from bilevel import tolerances
from bilevel.compiled import Array, Compiled
from bilevel.program import Program, Shape
from bilevel.squares import Square

_WEAK = 1e-7  # a multiplier below this, relative to the objective's gradient, counts as zero
_ON = 1e-7  # distance from a bound, relative to its size, that counts as on it


class Sensitivity:
    """Derivatives of functions of one follower's answer.

    Parameters
    ----------
    program : Program
        The follower's; continuous.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        p, y = program.parameters, program.variables
        numeric = program.shape is not Shape.NONLINEAR  # then the curvature comes from the quadratic form
        self._squares = program.squares if numeric else ()
        weights, v, w = ca.SX.sym("weights", program.m), ca.SX.sym("v", program.n), ca.SX.sym("w", program.m)
        along = ca.SX.sym("along", len(self._squares))
        symbolic = program.rest if numeric else program
        slope = symbolic.gradient + ca.mtimes(program.jacobian.T, weights)
        total = ca.dot(v, slope) + ca.dot(w, program.rows)
        if self._squares:
            total += ca.dot(program.weights, along)
        self._mixed = Compiled([p, y, weights, v, w, along], [ca.gradient(total, p)])
        self._cross: tuple[ca.SX, ca.SX] | _Crossing = (slope, weights)
        self._derivatives = _OfForm(program) if numeric else _OfGraph(program, slope, weights)
        self._free = not program.has_inequalities and not program.m
        self._bounds = _Ends(program.lower, program.upper)
        self._row_bounds = _Ends(program.row_lower, program.row_upper)
        self._nothing = _Active(np.zeros((0, program.n)), np.zeros(0, dtype=int), np.zeros(program.m), True)

    def __call__(self, x: Array, y: Array, slopes: Array) -> tuple[Array, bool]:
        """``slopes' dy/dx`` at the optimum y for x, and whether the point is regular.

        Parameters
        ----------
        x : ndarray of shape (p,)
            The program's parameters.
        y : ndarray of shape (n,)
            Its optimum there.
        slopes : ndarray of shape (n, k)
            The gradients in y of k functions.

        Returns
        -------
        ndarray of shape (k, p), bool
            What moving answers contribute to the functions' derivatives; and whether they are differentiable there as
            far as can be told: strict complementarity, and a system that is not singular.
        """
        active = self._nothing if self._free else self._active(x, y)
        if slopes.shape[1] > len(x):
            motion, regular = self._motion(x, y, active)
            return slopes.T @ motion, regular
        v, w, regular = self._solve(x, y, active, slopes, None)
        of_rows = active.owners >= 0
        row_weights = np.zeros((self._program.m, slopes.shape[1]))
        row_weights[active.owners[of_rows]] = w[of_rows]
        found = np.empty((slopes.shape[1], len(x)))
        for k in range(len(found)):
            along = [square.along(y, v[:, k]) for square in self._squares]
            np.negative(self._mixed(x, y, active.weights, v[:, k], row_weights[:, k], along)[0], out=found[k])
        return found, regular and active.strict

    def of_one(self, x: Array, y: Array, slope: Array) -> tuple[Array, bool]:
        """The same of one function, its gradient of shape (n,): a result of shape (p,)."""
        if self._free:
            curvature = self._derivatives.curvature(x, y, self._nothing.weights)
            _, v, failed = dposv(curvature, slope, overwrite_a=self._derivatives.fresh)
            if not failed:
                along = [square.along(y, v) for square in self._squares]
                none = self._nothing.weights
                return -self._mixed(x, y, none, v, none, along)[0], True
        found, regular = self(x, y, slope[:, None])
        return found[0], regular

    def _motion(self, x: Array, y: Array, active: _Active) -> tuple[Array, bool]:
        """``dy/dx``, shape (n, p), by solving for it."""
        if not isinstance(self._cross, _Crossing):
            self._cross = _Crossing(self._program, *self._cross, self._squares)
        of_slope, of_rows = self._cross(x, y, active.weights)
        of_active = np.where((active.owners >= 0)[:, None], of_rows[active.owners], 0.0) if len(of_rows) else None
        moved, _, regular = self._solve(x, y, active, -of_slope, None if of_active is None else -of_active)
        return moved, regular and active.strict

    def _solve(
        self, x: Array, y: Array, active: _Active, right: Array, below: Array | None
    ) -> tuple[Array, Array, bool]:
        """The symmetric system for right sides (right, below), shapes (n, k) and (active, k); ``below`` zero if None.

        By least squares where it is singular, and then not regular.
        """
        curvature = self._derivatives.curvature(x, y, active.weights)
        n, k = len(right), len(active.matrix)
        if not k:
            _, v, failed = dposv(curvature, right, overwrite_a=self._derivatives.fresh)
            if not failed:
                return v, np.zeros((0, right.shape[1])), True
            curvature = self._derivatives.curvature(x, y, active.weights)
        system = np.zeros((n + k, n + k))
        system[:n, :n], system[:n, n:], system[n:, :n] = curvature, active.matrix.T, active.matrix
        target = np.zeros((n + k, right.shape[1]))
        target[:n] = right
        if below is not None:
            target[n:] = below
        _, _, solution, failed = dgesv(system, target)
        limit = 1e-6 * tolerances.scale(float(np.abs(target).max(initial=0.0)))
        regular = not failed and float(np.abs(system @ solution - target).max(initial=0.0)) <= limit
        if not regular:
            solution = np.linalg.lstsq(system, target, rcond=None)[0]
        return solution[:n], solution[n:], regular

    def _active(self, x: Array, y: Array) -> _Active:
        """The constraints that hold y, with their multipliers."""
        program = self._program
        slope, jacobian, rows = self._derivatives.first(x, y)
        held = self._bounds.at(y)
        on = self._row_bounds.at(rows) & jacobian.any(axis=1)
        matrix = np.vstack([jacobian[on], np.eye(program.n)[held]])
        owners = np.concatenate([np.flatnonzero(on), np.full(int(held.sum()), -1)])
        multipliers = np.linalg.lstsq(matrix.T, -slope, rcond=None)[0] if len(matrix) else np.zeros(0)
        fixed = np.concatenate([program.equality[on], (program.lower == program.upper)[held]])
        strict = fixed | (np.abs(multipliers) > _WEAK * tolerances.scale(float(np.abs(slope).max(initial=0.0))))
        weights = np.zeros(program.m)
        of_rows = strict & (owners >= 0)
        weights[owners[of_rows]] = multipliers[of_rows]
        return _Active(matrix[strict], owners[strict], weights, bool(strict.all()))


@dataclass(slots=True)
class _Active:
    """The constraints that hold an answer.

    Attributes
    ----------
    matrix : ndarray of shape (k, n)
        Their gradients.
    owners : ndarray of int, shape (k,)
        The row each belongs to, -1 for a bound.
    weights : ndarray of shape (m,)
        The rows' multipliers.
    strict : bool
        Whether no other constraint is active, with a zero multiplier.
    """

    matrix: Array
    owners: NDArray[np.int_]
    weights: Array
    strict: bool


class _Crossing:
    """``crossing(x, y, weights)`` gives ``L_yx``, shape (n, p), and the rows' derivative in x, shape (m, p)."""

    def __init__(self, program: Program, slope: ca.SX, weights: ca.SX, squares: tuple[Square, ...]) -> None:
        p, y = program.parameters, program.variables
        self._squares = squares
        of_weights = ca.jacobian(program.weights, p) if squares else ca.SX(0, p.numel())
        self._shapes = [(program.n, p.numel()), (program.m, p.numel()), of_weights.shape]
        blocks = [ca.jacobian(slope, p), ca.jacobian(program.rows, p), of_weights]
        self._compiled = Compiled([p, y, weights], [ca.vec(ca.densify(block)) for block in blocks])

    def __call__(self, x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
        values = self._compiled(x, y, weights)
        of_slope, of_rows, of_weights = (
            value.reshape(shape, order="F") for value, shape in zip(values, self._shapes, strict=True)
        )
        if self._squares:
            of_slope = of_slope.copy()
        for square, moved in zip(self._squares, of_weights, strict=True):
            pull = np.zeros(len(y))
            square.add_slope(1.0, y, pull)
            of_slope += np.outer(pull, moved)
        return of_slope, of_rows


class _OfForm:
    """First and second derivatives of a linear or quadratic program: matrices that its form has anyway."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def fresh(self) -> bool:
        """Whether the curvature is written anew by each call, so that a factor may take its place."""
        return not self._program.quadratic_form.constant_hessian

    def first(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """The objective's gradient, the rows' Jacobian, shape (m, n), and the rows."""
        form = self._program.quadratic_form.at(x)
        return form.hessian @ y + form.gradient, form.matrix, form.matrix @ y + form.offset

    def curvature(self, x: Array, y: Array, weights: Array) -> Array:
        """The Lagrangian's Hessian, shape (n, n)."""
        return self._program.quadratic_form.at(x).hessian


class _OfGraph:
    """The same of a nonlinear program."""

    def __init__(self, program: Program, slope: ca.SX, weights: ca.SX) -> None:
        p, y = program.parameters, program.variables
        self._first = Compiled([p, y], [program.gradient, program.jacobian, program.rows])
        self._second = Compiled([p, y, weights], [ca.jacobian(slope, y)])
        self._shape = program.jacobian.shape
        self.fresh = True

    def first(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """The objective's gradient, the rows' Jacobian, shape (m, n), and the rows."""
        slope, jacobian, rows = self._first(x, y)
        return slope, jacobian.reshape(self._shape, order="F"), rows

    def curvature(self, x: Array, y: Array, weights: Array) -> Array:
        """The Lagrangian's Hessian, shape (n, n)."""
        return self._second(x, y, weights)[0].reshape(len(y), len(y))


class _Ends:
    """Bounds, and the test of who stands on them."""

    def __init__(self, lower: Array, upper: Array) -> None:
        self._low = lower + _ON * np.where(np.isfinite(lower), np.maximum(1.0, np.abs(lower)), 0.0)
        self._high = upper - _ON * np.where(np.isfinite(upper), np.maximum(1.0, np.abs(upper)), 0.0)

    def at(self, values: Array) -> NDArray[np.bool_]:
        """Which values stand on one of their bounds."""
        on: NDArray[np.bool_] = (values <= self._low) | (values >= self._high)
        return on
