"""dF/dx, and the derivatives of the coupling constraints, through the followers' optimality.

F and G reach x directly and through the answers, ``dF/dx = F_x + F_y dy/dx``. The second part costs one adjoint solve
for each function, whatever the number of upper variables, or one motion of the answer for all of them
(:mod:`bilevel.sensitivity.answer_motion`).

Where an answer has a kink F has one too, in general. The gradient is then that of one piece, and ``smooth`` is False.
Where a follower has several optima it is that of the choice that counts, as long as the constraints active there go on
to hold it; ``smooth`` is False there as well, for across a jump to another choice there is no derivative.
"""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.expressions.squares import symbols_of
from bilevel.graphs.compiled import Compiled
from bilevel.programs.compilation import Compilation
from bilevel.programs.hinges.recognition import hinge_form
from bilevel.programs.l1.recognition import l1_form
from bilevel.programs.program import Program
from bilevel.reading.variables import ends_of
from bilevel.sensitivity.answer_motion import Sensitivity
from bilevel.sensitivity.hinge_motion import HingeMotion
from bilevel.sensitivity.l1_motion import L1Motion

Motion = Sensitivity | L1Motion | HingeMotion


@dataclass(slots=True)
class Gradient:
    """The gradient of F, minimised, and the coupling constraints with theirs, at one upper point.

    Attributes
    ----------
    value : ndarray of shape (number of upper variables,)
        dF/dx in the variables' own units.
    smooth : bool
        Whether the answers are differentiable there as far as can be told: strict complementarity, and a regular
        system.
    coupling : ndarray of shape (m,)
        The bodies of the coupling constraints, G(x, y(x)), in the order of ``problem.coupling``.
    jacobian : ndarray of shape (m, number of upper variables)
        Their derivatives dG/dx.
    """

    value: Array
    smooth: bool
    coupling: Array
    jacobian: Array


class Hypergradient:
    """Differentiates F and the coupling constraints through the followers' answers.

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
        self._parts: list[tuple[slice, Motion]] = []
        offset = 0
        box = ends_of(compilation.problem.variables)
        for follower in compilation.problem.followers:
            program = compilation.programs[follower.name]
            self._parts.append((slice(offset, offset + program.n), _motion(program, box)))
            offset += program.n
        x, y, self._squares = compilation.x, compilation.all_y, compilation.upper_squares
        upper, symbols = compilation.upper_short, symbols_of(compilation.upper_squares)
        by_x, by_y, by_square = (ca.gradient(upper, place) for place in (x, y, symbols))
        self._coupling = _Coupling(compilation) if compilation.problem.coupling else None
        self._below = Compiled([x, y, symbols], [by_y, by_square])
        if self._coupling is None:  # one sweep over what F and the followers share
            adjoints = [symbol for _, sensitivity in self._parts for symbol in sensitivity.symbols]
            whole = upper - sum(sensitivity.total for _, sensitivity in self._parts)
            self._above = Compiled([x, y, symbols, *adjoints], [ca.gradient(whole, x)])
        else:
            self._above = Compiled([x, y, symbols], [by_x])
        self._none = np.zeros(0), np.zeros((0, int(x.numel())))

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
        """The derivatives at x, given the followers' stacked optimal answers y.

        Parameters
        ----------
        x : ndarray of shape (number of upper variables,)
            In the order of the problem.
        y : ndarray
            As in :attr:`bilevel.response.replies.Reply.y`.
        """
        squares = [square.value(y) for square in self._squares]
        by_y, by_square = self._below(x, y, squares)
        if self._squares:
            by_y = by_y.copy()
        for square, weight in zip(self._squares, by_square, strict=True):
            square.add_slope(float(weight), y, by_y)
        if self._coupling is not None:
            return self._with_coupling(x, y, self._above(x, y, squares)[0], by_y)
        adjoints: list[Array] = []
        smooth = True
        for place, sensitivity in self._parts:
            values, regular = sensitivity.adjoint(x, y[place], by_y[place])
            adjoints += values
            smooth = smooth and regular
        return Gradient(self._above(x, y, squares, *adjoints)[0].copy(), smooth, *self._none)

    def _with_coupling(self, x: Array, y: Array, by_x: Array, by_y: Array) -> Gradient:
        assert self._coupling is not None
        rows, rows_by_x, rows_by_y = self._coupling(x, y)
        total, slopes, smooth = np.vstack([by_x, rows_by_x]), np.vstack([by_y, rows_by_y]).T, True
        for place, sensitivity in self._parts:
            through, regular = sensitivity(x, y[place], slopes[place])
            total += through
            smooth = smooth and regular
        return Gradient(total[0], smooth, rows, total[1:])


def _motion(program: Program, box: tuple[Array, Array]) -> Motion:
    """How a follower's answer moves, by what he is."""
    form = l1_form(program)
    if form is not None:
        return L1Motion(program, form, box)
    hinges = hinge_form(program)
    return Sensitivity(program, box) if hinges is None else HingeMotion(program, hinges)


class _Coupling:
    """``coupling(x, y)`` gives the coupling rows and their partial derivatives, shapes (m,), (m, p) and (m, n)."""

    def __init__(self, compilation: Compilation) -> None:
        rows, _, _ = compilation.rows(compilation.problem.coupling)
        x, y = compilation.x, compilation.all_y
        blocks = [rows, ca.jacobian(rows, x), ca.jacobian(rows, y)]
        self._compiled = Compiled([x, y], [ca.vec(ca.densify(block)) for block in blocks])

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        rows, by_x, by_y = self._compiled(x, y)
        m = len(rows)
        return rows.copy(), by_x.reshape((m, len(x)), order="F"), by_y.reshape((m, len(y)), order="F")
