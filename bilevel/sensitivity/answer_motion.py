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

Where constraints are active with a zero multiplier (no strict complementarity) y(x) has a kink. The derivative given is
then that of one of the pieces that meet there, and the point is not regular. Which of these constraints hold on a piece
cannot be chosen one by one: they are those that the answer meets as x moves into one direction, which a quadratic
program says (Jittorntrum 1984, doi 10.1007/BFb0121216; Ralph and Dempe 1995, doi 10.1007/BF01585934), here in the rates
of their multipliers. Where the active gradients are linearly dependent a basis of them holds the answer; where the
others leave the system singular, the follower has several optima, and all that are active hold the one chosen.
"""

from __future__ import annotations

from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dposv, dpotrf

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.linear_algebra.sparsity import dense
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.units.scaled_program import scaled
from bilevel.sensitivity.active_constraints import Active, Ends, basic_multipliers, inward, nonnegative
from bilevel.sensitivity.follower_derivatives import Crossing, derivatives_of
from bilevel.sensitivity.optimality_system import signed, stacked, system_of

_WEAK = 1e-7  # a multiplier below this, relative to the objective's gradient, counts as zero
_RANK = 1e-10  # curvature below this counts as none, relative to the constraints' gradients


class Sensitivity:
    """Derivatives of functions of one follower's answer.

    Parameters
    ----------
    program : Program
        The follower's; continuous.
    box : tuple of ndarray, optional
        Lower and upper bounds of the parameters, each of shape (p,): a piece on the inner side of them is chosen.

    Attributes
    ----------
    total : SX scalar
        ``v' grad_y L + w' a``, a function of the program's symbols and of :attr:`symbols`.
    symbols : tuple of SX
        The rows' multipliers, v, w, and the derivatives of the program's squares and losses along v: see
        :meth:`adjoint`.
    """

    def __init__(self, program: Program, box: tuple[Array, Array] | None = None) -> None:
        own, written = scaled(program), program.variables
        self._units = None if own is None else own.units
        self._program = program = program if own is None else own.program
        everywhere = np.full(program.parameters.numel(), np.inf)
        self._box = (-everywhere, everywhere) if box is None else box
        self._numeric = numeric = (
            program.shape is not Shape.NONLINEAR
        )  # then the curvature comes from the quadratic form
        self._squares = program.squares if numeric else ()
        weights, v, w = ca.SX.sym("weights", program.m), ca.SX.sym("v", program.n), ca.SX.sym("w", program.m)
        self._losses = program.loss_sum if program.losses else None
        multiplied = ca.vertcat(*([program.weights] if self._squares else []), *program.loss_weights)
        along = ca.SX.sym("along", multiplied.numel())
        slope = program.moving_gradient if numeric else program.without_losses.gradient
        slope = slope + ca.mtimes(program.jacobian.T, weights)
        total = ca.dot(v, slope) + ca.dot(w, program.rows)
        if multiplied.numel():
            total += ca.dot(multiplied, along)
        self.symbols, self._total = (weights, v, w, along), total
        self.total = total if own is None else ca.substitute(total, program.variables, written / ca.DM(own.units))
        self._mixed: Compiled | None = None
        self._cross: tuple[ca.SX, ca.SX] | Crossing = (slope, weights)
        self._derivatives = derivatives_of(program, slope, weights)
        self._system = system_of(program, self._derivatives)
        self._free = not program.has_inequalities and not program.m
        self._bounds = Ends(program.lower, program.upper)
        self._row_bounds = Ends(program.row_lower, program.row_upper)
        self._nothing = Active(np.zeros((0, program.n)), np.zeros(0, dtype=int), np.zeros(program.m), True)
        self._fixed = np.concatenate([program.equality, program.lower == program.upper])
        self._owners = np.concatenate([np.arange(program.m), np.full(program.n, -1)])

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
        if self._units is not None:
            y, slopes = y / self._units, slopes * self._units[:, None]
        active = self._nothing if self._free else self._active(x, y)
        if slopes.shape[1] > len(x):
            motion, regular = self._motion(x, y, active)
            return slopes.T @ motion, regular
        if self._mixed is None:
            p = self._program.parameters
            self._mixed = Compiled([p, self._program.variables, *self.symbols], [ca.gradient(self._total, p)])
        v, w, regular = self._system.solve(x, y, active, slopes, None)
        found = np.empty((slopes.shape[1], len(x)))
        for k in range(len(found)):
            np.negative(self._mixed(x, y, *self._values(x, y, active, v[:, k], w[:, k]))[0], out=found[k])
        return found, regular and active.strict

    def adjoint(self, x: Array, y: Array, slope: Array) -> tuple[tuple[Array, ...], bool]:
        """Values of :attr:`symbols` for one function with the gradient ``slope`` in y, shape (n,).

        With them the function's derivative through y is minus that of :attr:`total` in the parameters, v and w held.
        Last, whether the point is regular.
        """
        if self._units is not None:
            y, slope = y / self._units, slope * self._units
        if self._free and not self._program.sparse:
            along = numeric_form(self._program).divided(x, slope) if self._numeric else None
            if along is not None:
                return self._values(x, y, self._nothing, along, np.zeros(0)), True
            curvature = self._derivatives.curvature(x, y, self._nothing.weights)
            _, v, failed = dposv(curvature, slope, overwrite_a=self._derivatives.fresh)
            if not failed:
                return self._values(x, y, self._nothing, v, np.zeros(0)), True
        active = self._nothing if self._free else self._active(x, y)
        v, w, regular = self._system.solve(x, y, active, slope[:, None], None)
        return self._values(x, y, active, v[:, 0], w[:, 0]), regular and active.strict

    def _values(self, x: Array, y: Array, active: Active, v: Array, w: Array) -> tuple[Array, ...]:
        of_rows = active.owners >= 0
        row_weights = np.zeros(self._program.m)
        row_weights[active.owners[of_rows]] = w[of_rows]
        along = np.array([square.along(y, v) for square in self._squares])
        if self._losses is not None:
            along = np.concatenate([along, self._losses.at(x).along(y, v)])
        return active.weights, v, row_weights, along

    def _motion(self, x: Array, y: Array, active: Active) -> tuple[Array, bool]:
        """``dy/dx``, shape (n, p), by solving for it."""
        of_slope, of_active = self._crossed(x, y, active)
        moved, _, regular = self._system.solve(x, y, active, -dense(of_slope), -dense(of_active))
        return moved, regular and active.strict

    def _crossed(self, x: Array, y: Array, active: Active) -> tuple[Any, Any]:
        """``L_yx``, shape (n, p), and the active constraints' derivative in x, shape (k, p)."""
        if not isinstance(self._cross, Crossing):
            self._cross = Crossing(self._program, *self._cross, self._squares)
        of_slope, of_rows = self._cross(x, y, active.weights)
        of_rows = of_rows[np.maximum(active.owners, 0)] if self._program.m else np.zeros((len(active.owners), len(x)))
        return of_slope, signed((active.owners >= 0).astype(float), of_rows)

    def _active(self, x: Array, y: Array) -> Active:
        """The constraints that hold y, with their multipliers."""
        program = self._program
        slope, jacobian, rows = self._derivatives.first(x, y)
        touched = abs(jacobian).sum(axis=1) > 0.0 if program.sparse else jacobian.any(axis=1)
        every = np.concatenate([self._row_bounds.side(rows) * touched, self._bounds.side(y)])
        places = np.flatnonzero(every)
        matrix, owners = self._system.gradients(jacobian, places), self._owners[places]
        if not len(places):
            return self._nothing
        fixed, sides = self._fixed[places], every[places]
        multipliers, independent = self._system.multipliers(matrix, owners, slope)
        if not independent:
            gain = self._crossed(x, y, Active(matrix, owners, np.zeros(program.m), False))[1] @ inward(x, self._box)
            multipliers = basic_multipliers(matrix, slope, np.where(fixed, 0.0, sides), gain)
        strict = fixed | (np.abs(multipliers) > _WEAK * tolerances.scale(float(np.abs(slope).max(initial=0.0))))
        weights = np.zeros(program.m)
        of_rows = strict & (owners >= 0)
        weights[owners[of_rows]] = multipliers[of_rows]
        if strict.all():
            return Active(matrix, owners, weights, True)
        active = Active(matrix[strict], owners[strict], weights, False)
        weak = Active(signed(sides[~strict], matrix[~strict]), owners[~strict], weights, False)
        met = self._met(x, y, active, weak, sides[~strict])
        owned = np.concatenate([active.owners, weak.owners[met]])
        return Active(stacked(active.matrix, matrix[~strict][met]), owned, weights, False)

    def _met(self, x: Array, y: Array, active: Active, weak: Active, sides: Array) -> NDArray[np.bool_]:
        """Which of the weakly active constraints the answer meets as x moves into its box."""
        met = np.zeros(len(sides), dtype=bool)
        direction = inward(x, self._box)
        of_slope, of_active = self._crossed(x, y, active)
        moved, _, regular = self._system.solve(
            x, y, active, -(of_slope @ direction)[:, None], -(of_active @ direction)[:, None]
        )
        if not regular:  # there are several optima: the leader's choice among them rests on the others
            return ~met
        of_weak = sides * (self._crossed(x, y, weak)[1] @ direction)
        broken = weak.matrix @ moved[:, 0] + of_weak
        if (broken <= _WEAK * tolerances.scale(float(np.abs(broken).max()))).all():
            return met
        pushed, _, _ = self._system.solve(x, y, active, dense(weak.matrix.T), None)
        gram = weak.matrix @ pushed
        open_ = np.flatnonzero(gram.diagonal() > _RANK * (weak.matrix**2).sum(axis=1))  # not held by the others anyway
        gram = gram[np.ix_(open_, open_)]
        factor, failed = dpotrf(gram + _RANK * float(np.trace(gram)) * np.eye(len(open_)))
        if not failed and len(open_):  # the rates r >= 0 of the multipliers minimise r' gram r / 2 - broken' r
            rates = nonnegative(factor, solve_triangular(factor, broken[open_], trans="T"))
            met[open_] = rates > 0.0
        return met
