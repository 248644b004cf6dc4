"""The numeric form of a quadratic program whose objective holds ``||R w - t||^2`` with a large R.

``H(x) = sum_k c_k(x) 2 R_k'R_k + S(x)``: where R_k is constant the products are formed once; where it moves with x its
entries are compiled and multiplied at each x. S is sparse and compiled. Compiling is free of the size of constant
squares, which cost an evaluation one copy of a matrix.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.expressions.squares import Square
from bilevel.graphs.compiled import Compiled
from bilevel.linear_algebra.pencil import LARGEST, SMALLEST, Pencil
from bilevel.programs.gram import Gram
from bilevel.programs.quadratic_form import QuadraticForm

if TYPE_CHECKING:
    from bilevel.programs.program import Program

_BLOCKS = ("entries", "weights", "gradient", "constant", "matrix", "offset")


class DataForm(QuadraticForm):
    """See :class:`bilevel.programs.quadratic_form.QuadraticForm`.

    Parameters
    ----------
    program : Program
        Quadratic in its variables, with squares.
    companions : SX of shape (k, 1), optional
        Further functions of the parameters to evaluate in the same call.
    """

    def __init__(self, program: Program, companions: ca.SX | None = None) -> None:
        self._name, self._parameters = program.name, int(program.parameters.numel())
        rest, n, p = program.rest, program.n, program.parameters
        zero = ca.SX.zeros(n, 1)
        slope, constant, offset = ca.substitute([rest.gradient, rest.objective, rest.rows], [program.variables], [zero])
        rows, columns = (np.array(k, dtype=int) for k in rest.hessian.sparsity().get_triplet())
        entries = ca.vertcat(ca.SX(0, 1), *rest.hessian.nonzeros())
        blocks = [entries, program.weights, slope, constant, rest.jacobian, offset]
        moving = [_moving(block, p) for block in blocks]
        values = ca.Function("still", [p], [ca.densify(b) for b in blocks]).call([np.full(p.numel(), math.nan)])
        entry, weight, slope_0, constant_0, matrix, offset_0 = (value.full() for value in values)

        still = ~moving[0]
        self._base = np.zeros((n, n), order="F")
        np.add.at(self._base, (rows[still], columns[still]), entry[still, 0])
        self._places = (columns * n + rows)[moving[0]]
        self._slope, self._constant = np.zeros(n), 0.0
        self._weighed: list[tuple[int, Square]] = []
        for k, square in enumerate(program.squares):
            if moving[1][k]:
                self._weighed.append((k, square))
                continue
            _add_curvature(square, float(weight[k, 0]), self._base)
            self._slope[square.places] += float(weight[k, 0]) * square.factor.at_zero
            self._constant += float(weight[k, 0]) * square.factor.level

        self._asked = [k for k, where in enumerate(moving) if where.any()]
        if 0 in self._asked:
            blocks[0] = entries[np.flatnonzero(moving[0]).tolist()]
        self._grams = [Gram(square, p, n) for square in program.moving]
        outputs = [blocks[k] for k in self._asked] + [gram.columns for gram in self._grams]
        outputs += [program.moving_weights] if self._grams else []
        outputs += [] if companions is None else [companions]
        self._compiled = Compiled([p], outputs) if outputs else None
        self._symbols, self._blocks = p, [blocks[k] for k in self._asked]
        self.companions = np.zeros(0) if companions is None or self._compiled is None else self._compiled.outputs[-1]
        self.constant_hessian = not (moving[0].any() or moving[1].any() or self._grams)
        self.constant_gradient = not (moving[1].any() or moving[2].any() or self._grams)
        self.constant_matrix, self.constant_rows = not moving[4].any(), not moving[5].any()
        self.hessian = self._base if self.constant_hessian else self._base.copy(order="F")
        self._flat = self.hessian.reshape(-1, order="F")
        self._slope += np.where(moving[2], 0.0, slope_0[:, 0])
        self._constant += 0.0 if moving[3].any() else float(constant_0[0, 0])
        self.gradient, self.constant = self._slope.copy(), np.array([self._constant])
        self.matrix, self.offset = matrix, offset_0[:, 0]
        self._where = np.flatnonzero(moving[2])

    def at(self, parameters: Array) -> QuadraticForm:
        """See :meth:`bilevel.programs.quadratic_form.QuadraticForm.at`."""
        if self._compiled is None:
            return self
        numbers = self.without_hessian(parameters)
        if not self.constant_hessian:
            self.write_hessian(numbers, self.hessian)
        if self._grams:
            self._multiply(self._values[len(self._asked) :])
        return self

    def without_hessian(self, parameters: Array) -> Array:
        """Evaluate all but the Hessian and the squares that move.

        Returns
        -------
        ndarray of shape (k,)
            The numbers that :meth:`write_hessian` makes a Hessian of.

        Raises
        ------
        FloatingPointError
            If the data are no numbers there.
        """
        if self._compiled is None:
            return np.zeros(0)
        self._values = self._compiled(parameters)
        found = dict(zip(self._asked, self._values, strict=False))
        for k, value in found.items():
            if not np.isfinite(value).all():
                raise FloatingPointError(f"{_BLOCKS[k]} of {self._name} is no number at this point")
        if not self.constant_gradient:
            np.copyto(self.gradient, self._slope)
        self.constant[0] = self._constant
        for k, value in found.items():
            self._put(k, value)
        return np.concatenate([found[k] for k in (0, 1) if k in found] or [np.zeros(0)])

    def write_hessian(self, numbers: Array, out: Array) -> None:
        """Write the Hessian that belongs to these numbers into an array of shape (n, n), Fortran order."""
        np.copyto(out, self._base)
        self.add_hessian(numbers, out)

    def add_hessian(self, numbers: Array, out: Array) -> None:
        """Add what is linear in the numbers."""
        count = len(self._places)
        out.reshape(-1, order="F")[self._places] += numbers[:count]
        weights = numbers[count:]
        for k, square in self._weighed:
            _add_curvature(square, float(weights[k]), out)

    def many(self, parameters: Array) -> tuple[Array, Array, Array]:
        """See :class:`bilevel.programs.quadratic_form.QuadraticForm`; not for squares that move."""
        m, found = len(parameters), dict.fromkeys(range(len(_BLOCKS)), np.zeros((len(parameters), 0)))
        if self._blocks:
            ends = np.cumsum([block.numel() for block in self._blocks])[:-1].tolist()
            found |= zip(self._asked, np.split(self._column.many(parameters), ends, axis=1), strict=True)
        gradient, constant = np.tile(self._slope, (m, 1)), np.full(m, self._constant)
        for k, square in self._weighed:
            gradient[:, square.places] += np.multiply.outer(found[1][:, k], square.factor.at_zero)
            constant += found[1][:, k] * square.factor.level
        if 2 in self._asked:
            gradient[:, self._where] += found[2][:, self._where]
        if 3 in self._asked:
            constant += found[3][:, 0]
        return np.hstack([found[0], found[1]]), gradient, constant

    @cached_property
    def _column(self) -> Compiled:
        """All that moves in one column, for many points in one call."""
        return Compiled([self._symbols], [ca.vertcat(*(ca.vec(ca.densify(block)) for block in self._blocks))])

    @cached_property
    def pencil(self) -> Pencil | None:
        """See :class:`bilevel.programs.quadratic_form.QuadraticForm`."""
        n = len(self.gradient)
        if self.constant_hessian or self._grams or not SMALLEST <= n <= LARGEST:
            return None
        return Pencil.of(self, n, self._parameters)

    def _multiply(self, values: tuple[Array, ...]) -> None:
        """Add the squares that move: their columns one after the other, then their weights."""
        weights = values[len(self._grams)].tolist()
        for gram, columns, weight in zip(self._grams, values, weights, strict=False):
            columns = columns.reshape(gram.columns.shape, order="F")
            self.constant[0] += gram.add(columns, weight, self._flat, self.gradient)

    def _put(self, block: int, value: Array) -> None:
        """Take over what one compiled block says of anything but the Hessian."""
        match _BLOCKS[block]:
            case "weights":
                for k, square in self._weighed:
                    self.gradient[square.places] += float(value[k]) * square.factor.at_zero
                    self.constant[0] += float(value[k]) * square.factor.level
            case "gradient":
                self.gradient[self._where] += value[self._where]
            case "constant":
                self.constant[0] += value[0]
            case "matrix":
                self.matrix = value.reshape(self.matrix.shape, order="F")
            case "offset":
                self.offset = value


def _moving(block: ca.SX, parameters: ca.SX) -> NDArray[np.bool_]:
    """Which entries of a block depend on the parameters."""
    column = ca.vec(ca.densify(block))
    if not column.numel() or not parameters.numel():
        return np.zeros(column.numel(), dtype=bool)
    return np.array(ca.which_depends(column, parameters, 1, True), dtype=bool)


def _add_curvature(square: Square, weight: float, hessian: Array) -> None:
    """Add ``weight`` times the Hessian of a term."""
    places = square.places
    if isinstance(places, slice):
        hessian[places, places] += weight * square.factor.hessian
    else:
        hessian[np.ix_(places, places)] += weight * square.factor.hessian
