"""First and second derivatives of a follower's program at a point, as numbers."""

from __future__ import annotations

from typing import Protocol

import casadi as ca
import numpy as np

from bilevel.compiled import Array, Compiled
from bilevel.program import Program
from bilevel.smooth_form import smooth_form
from bilevel.squares import Square


class Derivatives(Protocol):
    """What the system of a follower's optimality is made of."""

    @property
    def fresh(self) -> bool:
        """Whether the curvature is written anew by each call, so that a factor may take its place."""

    def first(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """The objective's gradient, the rows' Jacobian, shape (m, n), and the rows."""

    def curvature(self, x: Array, y: Array, weights: Array) -> Array:
        """The Lagrangian's Hessian, shape (n, n), with the rows weighed by their multipliers.

        Asked for right after :meth:`first` at the same x, if that is asked at all.
        """


class OfForm:
    """First and second derivatives of a linear or quadratic program: matrices that its form has anyway."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stands: Array | None = None  # the x whose Hessian nobody has had yet

    @property
    def fresh(self) -> bool:
        """See :class:`Derivatives`."""
        return not self._program.quadratic_form.constant_hessian

    def first(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """See :class:`Derivatives`."""
        form, self._stands = self._program.quadratic_form.at(x), x
        return form.hessian @ y + form.gradient, form.matrix, form.matrix @ y + form.offset

    def curvature(self, x: Array, y: Array, weights: Array) -> Array:
        """See :class:`Derivatives`."""
        form = self._program.quadratic_form
        known, self._stands = self._stands is x, None
        return form.hessian if known else form.at(x).hessian


class OfGraph:
    """The same of a nonlinear program."""

    fresh = True

    def __init__(self, program: Program) -> None:
        self._form = smooth_form(program)
        self._none = np.zeros(program.m)

    def first(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """See :class:`Derivatives`."""
        form = self._form.at(x)
        form(y, self._none)
        return form.gradient.copy(), form.jacobian.copy(), form.rows.copy()

    def curvature(self, x: Array, y: Array, weights: Array) -> Array:
        """See :class:`Derivatives`."""
        self._form.at(x)(y, weights)
        return self._form.hessian


class Crossing:
    """``crossing(x, y, weights)`` gives ``L_yx``, shape (n, p), and the rows' derivative in x, shape (m, p)."""

    def __init__(self, program: Program, slope: ca.SX, weights: ca.SX, squares: tuple[Square, ...]) -> None:
        p, y = program.parameters, program.variables
        self._squares = squares
        of_weights = ca.jacobian(program.weights, p) if squares else ca.SX(0, p.numel())
        self._shapes = [(program.n, p.numel()), (program.m, p.numel()), of_weights.shape]
        blocks = [ca.jacobian(slope, p), ca.jacobian(program.rows, p), of_weights]
        self._compiled = Compiled([p, y, weights], [ca.vec(ca.densify(block)) for block in blocks])

    def __call__(self, x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
        """Both, with the rows weighed by their multipliers."""
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
