"""How the answer of a sum of hinges moves with x: one factorization of the rows that stay at their kink.

As long as those rows K stay there and the others on their side, the coefficients and the forces solve

    H w + q = A_K'b_K + A_S'c_S,    h_K - A_K w = g_K b_K

with S the rows short of their kink, and so does their motion, with the derivatives of H, q, c, h and g on the right.
What is symmetric is its own adjoint: one solve gives the derivative of a function of the answer with respect to every
number that x moves, and the compiled numbers' own derivatives the rest.
"""

from __future__ import annotations

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.programs.hinges.forces import Forces, ForcesAt
from bilevel.programs.hinges.form import HingeForm, Weights
from bilevel.programs.program import Program


class HingeMotion:
    """Derivatives of functions of one follower's answer; see :class:`bilevel.sensitivity.answer_motion.Sensitivity`.

    Parameters
    ----------
    program : Program
        The follower's.
    form : HingeForm
        What it is.

    Attributes
    ----------
    total : SX scalar
        Minus the numbers that x moves, each by what a function of the answer gains with it: a function of the
        program's parameters and of :attr:`symbols`.
    symbols : tuple of SX
        What it gains.
    """

    def __init__(self, program: Program, form: HingeForm) -> None:
        self._form, self._forces = form, ForcesAt(form)
        numbers = ca.vertcat(*form.moving)
        gains = ca.SX.sym("gain", numbers.numel())
        self.total = -ca.dot(gains, numbers)
        self.symbols = (gains,)
        self._parameters = program.parameters
        self._mixed: Compiled | None = None

    def __call__(self, x: Array, y: Array, slopes: Array) -> tuple[Array, bool]:
        """``slopes' dy/dx`` at the optimum y for x, and whether the point is regular."""
        p = self._parameters
        if self._mixed is None:
            self._mixed = Compiled([p, *self.symbols], [ca.gradient(self.total, p)])
        found, regular = np.empty((slopes.shape[1], len(x))), True
        for k in range(len(found)):
            values, regular = self.adjoint(x, y, slopes[:, k])
            np.negative(self._mixed(x, *values)[0], out=found[k])
        return found, regular

    def adjoint(self, x: Array, y: Array, slope: Array) -> tuple[tuple[Array, ...], bool]:
        """Values of :attr:`symbols` for one function with the gradient ``slope`` in y; and whether F is smooth."""
        form, weights = self._form, self._form.at(x)
        if weights is None:
            return (np.zeros(self.symbols[0].numel()),), False
        forces = self._forces(weights, form.coefficients(y))
        gains = self._gains(weights, forces, slope)
        return (gains,), bool(forces.strict and forces.system.single and weights.single)

    def _gains(self, weights: Weights, forces: Forces, slope: Array) -> Array:
        """What the function gains with each number that moves."""
        form, of, held = self._form, forces.of, forces.held
        sides, slacks, lines = form.sides, form.slacks, form.lines
        seen = np.append(slope, np.zeros(form.costs - form.n))
        of_slacks = np.append(seen[slacks.places], 0.0)  # the last one stands for none
        on = forces.short | (of.rounding > 0.0) & (forces.values > 0.0)
        direct = np.where(on, of_slacks[sides.owners] + of_slacks[sides.partners], 0.0)
        of_lines = np.zeros(len(lines.rows))
        based = np.flatnonzero(form.based)
        of_lines[slacks.lines[based]] = of_slacks[based] * slacks.signs[based]
        pull = slope[form.places] - direct @ form.matrix - of_lines @ lines.matrix
        v, u = forces.system.solve(of.sizes * pull, np.zeros(len(held)))
        v, u = v * of.sizes / (of.force * of.kink), u / of.kink

        of_kinks = direct
        of_kinks[held] += u
        np.add.at(of_lines, sides.over, of_kinks)
        under = sides.under >= 0
        np.add.at(of_lines, sides.under[under], -of_kinks[under])
        of_rows = np.zeros(form.rows + 1)
        np.add.at(of_rows, lines.rows, -lines.factors * of_lines)

        costs = np.zeros(form.costs)
        costs[form.places] = -v
        along = form.matrix @ v
        paid = forces.short & np.isfinite(weights.caps)
        for owners in (sides.owners, sides.partners):
            known = paid & (owners >= 0)
            np.add.at(costs, slacks.places[owners[known]], along[known])
        costs[slacks.places[based]] += slacks.signs[based] * (lines.matrix[slacks.lines[based]] @ v)

        bends = np.zeros(len(slacks.places))
        b = forces.values[held] * of.force
        round_ones = of.rounding[held] > 0.0
        rounding = weights.rounding[held]
        np.add.at(bends, sides.owners[held][round_ones], (u * b * rounding * rounding)[round_ones])
        rows, columns = form.entries
        of_hessian = -v[rows] * (forces.w * of.sizes)[columns]
        return np.concatenate([costs, of_rows[:-1], of_hessian, bends[slacks.curved]])
