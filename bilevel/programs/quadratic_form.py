"""A linear or quadratic program as numbers: Hessian, gradient, rows, at any value of its parameters."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.linear_algebra.definiteness import relative_smallest_eigenvalue
from bilevel.linear_algebra.pencil import Pencil

if TYPE_CHECKING:
    from bilevel.programs.program import Program


_NAMES = ("hessian", "gradient", "constant", "matrix", "offset")


class QuadraticForm:
    """``min 0.5 y'H y + c'y + k  s.t.  row_lower - a <= A y <= row_upper - a`` at any value of the parameters.

    What does not depend on the parameters is evaluated once; the rest by one compiled call.

    Parameters
    ----------
    program : Program
        Linear or quadratic in its variables.
    companions : SX of shape (k, 1), optional
        Further functions of the parameters to evaluate in the same call; their values are the attribute ``companions``.
    """

    def __init__(self, program: Program, companions: ca.SX | None = None) -> None:
        self._name = program.name
        y, zero = program.variables, ca.SX.zeros(program.n, 1)
        at_zero = ca.substitute([program.gradient, program.objective, program.rows], [y], [zero])
        blocks = [program.hessian, at_zero[0], at_zero[1], program.jacobian, at_zero[2]]
        moving = [ca.depends_on(block, program.parameters) if program.parameters.numel() else False for block in blocks]
        self.constant_hessian, self.constant_gradient, _, self.constant_matrix, self.constant_rows = (
            not m for m in moving
        )
        fixed = ca.Function("fixed", [], [ca.densify(b) for b, m in zip(blocks, moving, strict=True) if not m])
        values = iter(fixed.call([]))
        self._moving = [k for k, m in enumerate(moving) if m]
        columns = [ca.vec(ca.densify(blocks[k])) for k in self._moving]
        extra = ca.SX(0, 1) if companions is None else companions
        self._compiled = (
            Compiled([program.parameters], [ca.vertcat(*columns, extra)])
            if any(moving) or companions is not None
            else None
        )
        self._ends = np.cumsum([0, *(int(block.numel()) for block in columns)]).tolist()
        buffer = np.zeros(0) if self._compiled is None else self._compiled.outputs[0]
        self._checked, self.companions = buffer[: self._ends[-1]], buffer[self._ends[-1] :]
        parts = iter(np.split(self._checked, self._ends[1:-1]))
        # What moves is a view of the compiled function's own buffer.
        h, c, k, a, r = (
            (next(parts) if m else next(values).full().reshape(-1, order="F")).reshape(b.shape, order="F")
            for b, m in zip(blocks, moving, strict=True)
        )
        self.hessian: Any = np.asfortranarray(h)  # an array; sparse in a SparseForm, as is the matrix
        self.matrix: Any = a
        self.gradient, self.constant, self.offset = c.reshape(-1), k.reshape(-1), r.reshape(-1)

    def at(self, parameters: Array) -> QuadraticForm:
        """Evaluate in place; the attributes hold the numbers until the next call.

        Raises
        ------
        FloatingPointError
            If the data are no numbers there.
        """
        if self._compiled is not None:
            self._compiled(parameters)
            if not math.isfinite(self._checked.dot(self._checked)):
                self._blame()
        return self

    def companions_at(self, parameters: Array) -> Array:
        """The companions' values, evaluated only where nobody asked the form for these parameters just before."""
        if self._compiled is not None and not self._compiled.holds(parameters):
            self._compiled(parameters)
        return self.companions

    def _blame(self) -> None:
        for k, start, end in zip(self._moving, self._ends[:-1], self._ends[1:], strict=True):
            if not np.isfinite(self._checked[start:end]).all():
                raise FloatingPointError(f"{_NAMES[k]} of {self._name} is no number at this point")

    def objective(self, y: Array) -> float:
        """The objective at ``y`` for the parameters last evaluated."""
        return 0.5 * float(y.dot(self.hessian.dot(y))) + float(self.gradient.dot(y)) + float(self.constant[0])

    @property
    def smallest(self) -> float:
        """Smallest eigenvalue of the Hessian last evaluated, relative to the largest; of sparse ones only its sign."""
        return relative_smallest_eigenvalue(self.hessian)

    @cached_property
    def pencil(self) -> Pencil | None:
        """The decomposition that replaces factorizing where the Hessian moves along a line, if that pays."""
        return None

    def without_hessian(self, parameters: Array) -> Array:
        """Evaluate all but the Hessian; its numbers, as the :attr:`pencil` takes them."""
        raise NotImplementedError

    def divided(self, parameters: Array, right: Array) -> Array | None:
        """``H^-1 right`` by the :attr:`pencil`; None where there is none, or it lacks the digits."""
        if self.pencil is None:
            return None
        found, holds = self.pencil.solve(self.without_hessian(parameters)[None], right[None])
        return found[0] if holds[0] else None

    def many(self, parameters: Array) -> tuple[Array, Array, Array]:
        """What moves, at many values of the parameters, shape (m, p).

        Returns
        -------
        ndarray of shape (m, k), (m, n), (m,)
            The numbers of the Hessians as in :meth:`without_hessian`, the gradients and the constants; NaN where they
            are no numbers.
        """
        found: dict[int, Array] = {}
        if self._compiled is not None:
            values = self._compiled.many(parameters)[:, : self._ends[-1]]
            found = dict(zip(self._moving, np.split(values, self._ends[1:-1], axis=1), strict=True))
        m = len(parameters)
        gradient = found.get(1, np.broadcast_to(self.gradient, (m, len(self.gradient))))
        constant = found.get(2, np.broadcast_to(self.constant, (m, 1)))
        return found.get(0, np.zeros((m, 0))), gradient, constant[:, 0]

    @cached_property
    def definiteness(self) -> float:
        """The same of a constant Hessian; meaningless if the Hessian moves."""
        return self.smallest
