"""F and G along tubes of answers: polynomials in x on a box, and what the tubes' width may add.

With ``y(x) = p(x) + e``, ``|e|_H <= delta`` (:mod:`.answer_tubes`), the mean value theorem in y gives

    |F(x, y(x)) - F(x, p(x))|  <=  |c|_{H^-1} delta + sum_i w_i |e_i|,

where c is the middle and w the radius of the range of F_y over the box and the tube: the ellipsoid is used for what is
large, its extent along the axes for what is small. F(x, p(x)) is a function of x alone, in Taylor form.

Where F is convex in y, it lies above its tangent at p(x), and the range of F_y is taken along p alone: nothing of the
second order in the width is lost. How far above F may be is then not said, and nobody asks.

Losses over rows that jump, as a classifier's errors, have no slope to go by: their symbols stand for all values that
they take within the tubes (Shibagaki, Suzuki, Karasuyama and Takeuchi 2015, "Regularization path of cross-validation
error lower bounds", NIPS 28, with balls in the place of these tubes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.expressions.squares import Square, symbols_of
from bilevel.graphs.taylor import Taylor
from bilevel.graphs.taylor_graph import TaylorGraph
from bilevel.linear_algebra.definiteness import definite
from bilevel.programs.compilation import Compilation
from bilevel.solvers.boxes.loss_rules import RULES
from bilevel.solvers.boxes.row_models import RowModels
from bilevel.solvers.boxes.tube import Tube

_LARGEST = 500  # followers' variables among which F is looked at as a whole
_ROUNDED = 1e-7  # of a Hessian's largest row sum: what a matrix found semidefinite may lack


class LeaderModels:
    """Makes models of F (minimised) and of the rows of all upper constraints.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    taylor : Taylor
        The arithmetic.

    Raises
    ------
    RefusedError
        If a function has no rule in the arithmetic, or jumps.

    Attributes
    ----------
    row_lower, row_upper : ndarray of shape (m,)
        Limits of the rows.
    """

    def __init__(self, compilation: Compilation, taylor: Taylor) -> None:
        self._taylor = taylor
        rows, self.row_lower, self.row_upper = compilation.rows(compilation.problem.constraints)
        x, y = compilation.x, compilation.all_y
        self._terms = [
            term if isinstance(term, Square) else RowModels(taylor, term) for term in compilation.upper_squares
        ]
        symbols = symbols_of(compilation.upper_squares)
        outputs = ca.vertcat(compilation.upper_short, rows)
        jacobian = ca.jacobian(outputs, y)
        self._places = tuple(np.array(k, dtype=int) for k in jacobian.sparsity().get_triplet())
        entries = ca.vertcat(ca.SX(0, 1), *jacobian.nonzeros())
        weights = ca.densify(ca.jacobian(compilation.upper_short, symbols).T) if self._terms else ca.SX(0, 1)
        self._values = TaylorGraph(taylor, [x, y, symbols], outputs)
        if self._values.jumps:
            raise RefusedError("it holds a step or an if-then-else, across which no derivative bounds a difference")
        self._slopes = TaylorGraph(taylor, [x, y, symbols], ca.vertcat(entries, weights))
        self._n = int(y.numel())
        self._tilt = None if len(self.row_lower) else _least_bend(compilation)

    def __len__(self) -> int:
        return len(self._values) + len(self._slopes)

    @property
    def room(self) -> int:
        """Numbers held per box, roughly."""
        of_rows = max((term.room for term in self._terms if isinstance(term, RowModels)), default=0)
        return max(self._values.room, self._slopes.room, of_rows)

    def __call__(self, x: Array, tubes: Sequence[Tube]) -> Array:
        """Models of F and the rows, shape (size, 1 + m, boxes), whose radius holds what the tubes add."""
        y = np.concatenate([tube.model for tube in tubes], axis=1)
        jumps = {k: term.across(y, tubes)[:, 0] for k, term in enumerate(self._terms) if _jumps(term)}
        found = self._values(x, y, self._distances(y, jumps))
        reach = np.concatenate([tube.reach for tube in tubes])
        with np.errstate(all="ignore"):
            if self._tilt is None:
                y[-1] = reach
            else:
                found[-1] += _product(np.full_like(reach, self._tilt), reach**2).sum(axis=0)
            found[-1] += self._spread(self._slope(x, y, jumps), tubes)
        found[-1][np.isnan(found[-1])] = np.inf
        return found

    def _distances(self, y: Array, jumps: Mapping[int, Array]) -> Array:
        """Models of the squares and losses that F holds, shape (size, terms, boxes)."""
        found = np.zeros((self._taylor.size, len(self._terms), y.shape[-1]))
        with np.errstate(all="ignore"):
            for k, term in enumerate(self._terms):
                if k in jumps:
                    found[:, k] = jumps[k]
                else:
                    found[:, k] = term.value(y)[:, 0] if isinstance(term, RowModels) else self._distance(term, y)
        return found

    def _distance(self, square: Square, y: Array) -> Array:
        taylor = self._taylor
        matrix, target = square.factor.matrix, square.factor.target
        residual = taylor.shifted(taylor.mapped(matrix, y[:, square.places]), -target[:, None])
        terms = taylor.multiply(residual, residual)
        terms[-1] += len(target) * 2.0**-52 * np.abs(terms).sum(axis=0)
        total: Array = terms.sum(axis=1)
        return total

    def _slope(self, x: Array, y: Array, jumps: Mapping[int, Array]) -> Array:
        """Models of the derivatives by y on the tubes, shape (size, 1 + m, n, boxes)."""
        taylor = self._taylor
        found = self._slopes(x, y, self._distances(y, jumps))
        rows, columns = self._places
        slopes = np.zeros((taylor.size, 1 + len(self.row_lower), self._n, found.shape[-1]))
        slopes[:, rows, columns] = found[:, : len(rows)]
        for k, term in enumerate(self._terms):
            if k in jumps:
                continue
            weight = found[:, len(rows) + k : len(rows) + k + 1]
            self._add_term(term, weight, y, slopes)
        return slopes

    def _add_term(self, term: Square | RowModels, weight: Array, y: Array, slopes: Array) -> None:
        taylor = self._taylor
        with np.errstate(all="ignore"):
            if isinstance(term, RowModels):
                inner, places = term.slope(y), term.term.places
            else:
                places, factor = term.places, term.factor
                inner = taylor.shifted(taylor.mapped(factor.hessian, y[:, places]), factor.at_zero[:, None])
            inner = taylor.multiply(weight, inner)
            slopes[:, 0, places] = taylor.add(slopes[:, 0, places], inner)

    def _spread(self, slopes: Array, tubes: Sequence[Tube]) -> Array:
        """How much the outputs can move within the tubes, shape (1 + m, boxes)."""
        middle, width = slopes[0], self._taylor.reach(slopes) + slopes[-1]
        total = np.zeros((slopes.shape[1], slopes.shape[-1]))
        offset = 0
        for tube in tubes:
            place = slice(offset, offset + tube.model.shape[1])
            offset = place.stop
            along = middle[:, place].transpose(2, 1, 0)
            length = np.sqrt(np.maximum((along * (tube.inverse @ along)).sum(axis=1), 0.0)).T
            total += _product(length, tube.delta) * (1.0 + 1e-4)
            total += _product(width[:, place], tube.reach).sum(axis=1)
        return total


def _jumps(term: Square | RowModels) -> TypeGuard[RowModels]:
    return isinstance(term, RowModels) and term.jumps


def _least_bend(compilation: Compilation) -> float | None:
    """How little below its tangents F, minimised, may bend by rounding, if it is seen to be convex in y; else None."""
    upper = compilation.upper_program
    weights = ca.vertcat(upper.weights if upper.squares else ca.SX(0, 1), *upper.loss_weights)
    if not weights.is_constant() or not (ca.DM(weights).full() >= 0.0).all():
        return None
    if any(term.kinked or term.rows.loss.name not in RULES or (term.numbers < 0.0).any() for term in upper.losses):
        return None
    hessian = upper.rest.hessian
    if not hessian.nnz():
        return 0.0
    if upper.n > _LARGEST or not hessian.is_constant():
        return None
    numbers = np.asarray(ca.DM(hessian).full())
    return _ROUNDED * float(np.abs(numbers).sum(axis=1).max()) if definite(numbers) == 1 else None


def _product(a: Array, b: Array) -> Array:
    """``a b``, where nothing times infinity is nothing."""
    return np.where(a == 0.0, 0.0, a * b)
