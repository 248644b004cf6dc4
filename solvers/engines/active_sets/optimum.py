"""The optimum of one form at many weights: from an answer nearby, or along falling penalties from where all is zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bilevel.arrays import Array
from bilevel.programs.l1.form import L1Form, Weights
from bilevel.solvers.engines.active_sets.pieces import HIGH, LOW, ZERO, Pieces
from bilevel.solvers.engines.active_sets.search import Search
from bilevel.solvers.engines.active_sets.unit_columns import GRAM, UnitColumns

Way = Callable[[Array], Array | None]

_RESIDUAL = 1e-10  # what is called an answer, in units of the gradient at zero
_OF_A_PENALTY = 1e-4  # the same in units of the smallest penalty, where that is less
_PULLED = 1e-13  # by less than this a coefficient is not pulled
_WEAK = 1e-9  # within this of its penalty a coefficient at rest might move as well
_WEAK_PENALTY = 1e-6  # the same in units of the penalty, where that is less
_INDEPENDENT = 1e-6  # pivots above this prove that columns do not depend on each other
_FALL = 0.5  # of the penalties from one step to the next


@dataclass(frozen=True, slots=True)
class Optimum:
    """An answer: the coefficients, and whether they are proved to be the only ones."""

    w: Array
    unique: bool


class ActiveSets:
    """Solves one form at many weights.

    Parameters
    ----------
    form : L1Form
        The program.
    """

    def __init__(self, form: L1Form) -> None:
        self._form = form
        self._gram = form.matrix.T @ form.matrix if form.p <= GRAM else None
        self._norms = np.einsum("ij,ij->j", form.matrix, form.matrix)

    def __call__(self, weights: Weights, start: Array | None) -> Optimum | None:
        """The optimum; None where it is not found to the digits asked for, or there is none."""
        of = UnitColumns(self._form, weights, self._gram, self._norms)
        pieces = Pieces(of)
        flat = self._flat(of, pieces)
        if flat is None:
            return None
        tolerance = max(_PULLED * of.unit, of.noise)
        search, near = Search(of, pieces, tolerance), flat
        if start is not None:
            z = np.clip(start * of.lengths, of.lower, of.upper)
            z[of.flat] = flat[of.flat]
            found = self._finished(of, pieces, search, search.guessed(z))
            if found is not None:
                return found
            near = flat if pieces.bent.any() else z  # without penalties nothing leads from zero to the optimum
        z = self._along_penalties(of, pieces, tolerance, near)
        for way in (search.guessed, search.descended):
            found = self._finished(of, pieces, search, way(z))
            if found is not None:
                return found
        return self._finished(of, pieces, search, search.descended(flat))

    def _flat(self, of: UnitColumns, pieces: Pieces) -> Array | None:
        """The point with coefficients of no curvature where they are least, others zero; None if one falls for ever."""
        z = np.zeros(self._form.p)
        if of.flat.any():
            slope = of.slope(z)
            up, down = pieces.pulls(np.zeros(len(z), dtype=np.int8), slope)
            z[of.flat & (up > of.noise)] = of.upper[of.flat & (up > of.noise)]
            z[of.flat & (down > of.noise)] = of.lower[of.flat & (down > of.noise)]
        return z if np.isfinite(z).all() else None

    def _along_penalties(self, of: UnitColumns, pieces: Pieces, tolerance: float, z: Array) -> Array:
        """A point near the optimum, by those of penalties that fall from where every penalised coefficient is zero."""
        if not pieces.bent.any():
            return z
        free = Search(of, pieces.scaled(1e200), tolerance)
        z = _first((free.guessed, free.descended), z)
        slope = np.abs(of.slope(z))[pieces.bent & ~of.flat]
        penalty = np.minimum(pieces.above, pieces.below)[pieces.bent & ~of.flat]
        penalty = np.where(penalty > 0.0, penalty, np.maximum(pieces.above, pieces.below)[pieces.bent & ~of.flat])
        share = float((slope / penalty).max(initial=0.0))
        while share > 1.0 / _FALL:
            share *= _FALL
            search = Search(of, pieces.scaled(share), tolerance)
            z = _first((search.guessed, search.descended), z)
        return z

    def _finished(self, of: UnitColumns, pieces: Pieces, search: Search, z: Array | None) -> Optimum | None:
        """The answer that goes with the state at a point, whatever the way to it, to the last digits."""
        if z is None:
            return None
        state = pieces.state(z)
        free = np.flatnonzero(np.abs(state) == 1)
        low, high = pieces.segment(state, free)
        for _ in range(2):
            better = search.stationary(z, state, free)
            if better is None:
                return None
            better[free] = np.clip(better[free], low, high)
            z = better
        slope = of.slope(z)
        penalties = np.concatenate([pieces.above, pieces.below])
        least = float(penalties[penalties > 0.0].min(initial=np.inf))
        if pieces.residual(z, slope) > max(min(_RESIDUAL * of.unit, _OF_A_PENALTY * least), 30.0 * of.noise):
            return None
        penalty = np.where(pieces.bent, np.maximum(pieces.above, pieces.below), np.inf)
        weak = np.maximum(np.minimum(_WEAK * of.unit, _WEAK_PENALTY * penalty), 30.0 * of.noise)
        up, down = pieces.pulls(np.where(np.abs(state) == 1, ZERO, state), slope)
        touched = (np.abs(state) != 1) & (np.maximum(up, down) >= -weak)
        unique = not touched[of.flat].any()
        if unique and len(free) + touched.sum():
            factor = of.factor(np.union1d(free, np.flatnonzero(touched)))
            unique = factor is not None and factor.least > _INDEPENDENT
        w = np.clip(z / of.lengths, self._form.lower, self._form.upper)
        w = np.where(state == HIGH, self._form.upper, np.where(state == LOW, self._form.lower, w))
        return Optimum(w, unique and of.weights.single)


def _first(ways: tuple[Way, ...], z: Array) -> Array:
    """Where the first way leads that leads anywhere, else where it started."""
    return next((found for found in (way(z) for way in ways) if found is not None), z)
