"""dF/dx through the follower's optimality, by one adjoint solve.

Where the follower's active constraints are known, its optimum solves the square system ``grad_y L(x, y, m) = 0``,
``a(x, y) = 0`` with the Lagrangian L and the active rows a. Differentiating it (Fiacco 1983, *Introduction to
Sensitivity and Stability Analysis*, theorem 2.4.4) and solving the transposed system once for F,

    [ L_yy  a_y' ] [v]   [F_y]
    [ a_y    0   ] [w] = [ 0 ],      dF/dx = F_x - (v' L_yx + w' a_x),

costs one linear solve whatever the number of upper variables; the last term is the gradient in x of the scalar
``v' grad_y L + w' a``, one sweep of reverse differentiation over the same graph.

Where a constraint is active with a zero multiplier (no strict complementarity) F has a kink. The gradient of the piece
on which that constraint is inactive is given then, and ``smooth`` is False.
"""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dgesv, dposv

from bilevel import tolerances
from bilevel.compiled import Array, Compiled
from bilevel.compiling import Compilation
from bilevel.errors import RefusedError
from bilevel.program import Program, Shape
from bilevel.squares import symbols_of

_WEAK = 1e-7  # a multiplier below this, relative to the objective's gradient, counts as zero
_ON = 1e-7  # distance from a bound, relative to its size, that counts as on it


@dataclass(slots=True)
class Gradient:
    """The gradient of F, minimised, at one upper point.

    Attributes
    ----------
    value : ndarray of shape (number of upper variables,)
        dF/dx in the variables' own units.
    smooth : bool
        Whether F is differentiable there as far as can be told: strict complementarity, and a regular adjoint system.
    """

    value: Array
    smooth: bool


class Hypergradient:
    """Differentiates F through the followers' answers.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.

    Raises
    ------
    RefusedError
        If a follower has integer variables or answers by a function, or the upper level mentions a multiplier.
    """

    def __init__(self, compilation: Compilation) -> None:
        reason = self.refusal(compilation)
        if reason is not None:
            raise RefusedError(reason)
        self._parts = []
        offset = 0
        for follower in compilation.problem.followers:
            program = compilation.programs[follower.name]
            self._parts.append((slice(offset, offset + program.n), _Adjoint(program)))
            offset += program.n
        x, y, self._squares = compilation.x, compilation.all_y, compilation.upper_squares
        upper, symbols = compilation.upper_short, symbols_of(compilation.upper_squares)
        slopes = [ca.gradient(upper, x), ca.gradient(upper, y), ca.gradient(upper, symbols)]
        self._direct = Compiled([x, y, symbols], slopes)

    @staticmethod
    def refusal(compilation: Compilation) -> str | None:
        """Why F has no gradient through the followers, or None; nothing is built to say so."""
        if compilation.problem.multipliers:
            return "F mentions a multiplier, whose derivative is not known; use a search without gradients"
        for follower in compilation.problem.followers:
            program = compilation.programs.get(follower.name)
            if program is None or program.integer.any():
                reason = "answers by a Python function" if program is None else "has integer variables"
                return f"{follower.name} {reason}: F has no gradient through it; use a search without gradients"
        return None

    def __call__(self, x: Array, y: Array) -> Gradient:
        """The gradient at x, given the followers' stacked optimal answers y.

        Parameters
        ----------
        x : ndarray of shape (number of upper variables,)
            In the order of the problem.
        y : ndarray
            As in :attr:`bilevel.replies.Reply.y`.
        """
        by_x, by_y, by_square = self._direct(x, y, [square.value(y) for square in self._squares])
        total, slope, smooth = by_x.copy(), by_y.copy(), True
        for square, weight in zip(self._squares, by_square, strict=True):
            square.add_slope(float(weight), y, slope)
        for place, adjoint in self._parts:
            indirect, regular = adjoint(x, y[place], slope[place])
            total -= indirect
            smooth = smooth and regular
        return Gradient(total, smooth)


class _Adjoint:
    """The adjoint system of one follower."""

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
        self._derivatives = _OfForm(program) if numeric else _OfGraph(program, slope, weights)
        self._free = not program.has_inequalities and not program.m
        self._none = np.zeros(program.m)
        self._bounds = _Ends(program.lower, program.upper)
        self._row_bounds = _Ends(program.row_lower, program.row_upper)

    def __call__(self, x: Array, y: Array, by_y: Array) -> tuple[Array, bool]:
        """``(v' L_yx + w' a_x)'``, what dF/dx loses to the direct part, and whether the point is regular."""
        if self._free:
            curvature = self._derivatives.curvature(x, y, self._none)
            _, v, failed = dposv(curvature, by_y, overwrite_a=self._derivatives.fresh)
            regular = not failed
            if failed:
                curvature = self._derivatives.curvature(x, y, self._none)
                v, _, regular = _solve(curvature, np.zeros((0, len(y))), by_y)
            return self._crossed(x, y, self._none, v, self._none), regular
        return self._constrained(x, y, by_y)

    def _crossed(self, x: Array, y: Array, weights: Array, v: Array, w: Array) -> Array:
        along = [square.along(y, v) for square in self._squares]
        return self._mixed(x, y, weights, v, w, along)[0]

    def _constrained(self, x: Array, y: Array, by_y: Array) -> tuple[Array, bool]:
        program = self._program
        n, m = program.n, program.m
        slope, jacobian, rows = self._derivatives.first(x, y)
        held = self._bounds.at(y)
        active = self._row_bounds.at(rows) & jacobian.any(axis=1)
        matrix, owners = _active_rows(jacobian, active, held, n)
        multipliers = np.linalg.lstsq(matrix.T, -slope, rcond=None)[0] if len(matrix) else np.zeros(0)
        fixed = np.concatenate([program.equality[active], (program.lower == program.upper)[held]])
        strict = fixed | (np.abs(multipliers) > _WEAK * tolerances.scale(float(np.abs(slope).max(initial=0.0))))
        matrix, owners, multipliers = matrix[strict], owners[strict], multipliers[strict]
        of_rows = owners >= 0
        weights, row_weights = np.zeros(m), np.zeros(m)
        weights[owners[of_rows]] = multipliers[of_rows]
        v, w, regular = _solve(self._derivatives.curvature(x, y, weights), matrix, by_y)
        row_weights[owners[of_rows]] = w[of_rows]
        return self._crossed(x, y, weights, v, row_weights), regular and bool(strict.all())


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


def _active_rows(
    jacobian: Array, active: NDArray[np.bool_], held: NDArray[np.bool_], n: int
) -> tuple[Array, NDArray[np.int_]]:
    """Gradients of the active rows and bounds, and which row each belongs to (-1 for a bound)."""
    matrix = np.vstack([jacobian[active], np.eye(n)[held]])
    owners = np.concatenate([np.flatnonzero(active), np.full(int(held.sum()), -1)])
    return matrix, owners


def _solve(curvature: Array, matrix: Array, right: Array) -> tuple[Array, Array, bool]:
    """The adjoint system; by least squares where it is singular, and then not regular."""
    n, k = len(right), len(matrix)
    if not k:
        _, v, failed = dposv(curvature, right)
        if not failed:
            return v, np.zeros(0), True
    system = np.zeros((n + k, n + k))
    system[:n, :n], system[:n, n:], system[n:, :n] = curvature, matrix.T, matrix
    target = np.concatenate([right, np.zeros(k)])
    _, _, solution, failed = dgesv(system, target)
    limit = 1e-6 * tolerances.scale(float(np.abs(target).max()))
    if not failed and float(np.abs(system @ solution - target).max()) <= limit:
        return solution[:n], solution[n:], True
    solution = np.linalg.lstsq(system, target, rcond=None)[0]
    return solution[:n], solution[n:], False
