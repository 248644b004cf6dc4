"""Active sets for least squares with a kink and bounds on every coefficient, ended by one exact factorization.

A coefficient is free on one side of zero, or rests at zero or at a bound. Those free solve a linear system. First
that is guessed in one sweep for all coefficients at once (a semismooth Newton method, Hintermueller, Ito and Kunisch
2003), which from an answer nearby takes a few steps; where it does not settle, sets change so that f falls each time
(the feature-sign search, Lee, Battle, Raina and Ng 2007), which ends because no set returns. Columns of the free
coefficients stay independent: one that depends on the others enters by a step along which the data see nothing, until
one of them comes to rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs

from bilevel.arrays import Array
from bilevel.programs.l1.form import L1Form, Weights

_GUESSES = 15
_VIOLATED = 1e-12  # past its penalty by this much, in units of the gradient at zero, a coefficient has to move
_RESIDUAL = 1e-10  # what is called an answer
_WEAK = 1e-9  # in the same units: within this of its penalty a coefficient that rests might move as well
_SMALLEST_PIVOT = 1e-6  # relative to the largest, in units in which the diagonal is one
_GRAM = 2000  # coefficients up to which all products are kept
_MOST_AT_ONCE = 32
_STALLED = 10

_ZERO, _LOW, _HIGH = 0, -2, 2  # at rest; -1 and 1: free on that side


@dataclass(slots=True)
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
        self._gram = 2.0 * (form.matrix.T @ form.matrix) if form.p <= _GRAM else None
        self._at_zero = -2.0 * (form.target @ form.matrix)

    def __call__(self, weights: Weights, start: Array | None) -> Optimum | None:
        """The optimum; None where it is not found to the digits asked for, or there is none."""
        form = self._form
        self._of, self._unit = weights, form.unit(weights)
        bent = weights.above + weights.below > 0.0
        self._ends = np.where(bent, 0.0, form.lower), np.where(bent, 0.0, form.upper)
        w = np.zeros(form.p) if start is None else np.clip(start, form.lower, form.upper)
        state = self._state(w, bent)
        found = self._guessed(state.copy()) if start is not None else None
        if found is None:
            found = self._descended(w, state) if start is not None else None
        if found is None:
            w = np.zeros(form.p)
            found = self._descended(w, self._state(w, bent))
        return None if found is None else self._finished(found)

    def _state(self, w: Array, bent: NDArray[np.bool_]) -> NDArray[np.int8]:
        state = np.sign(w).astype(np.int8)
        state[w <= self._form.lower] = _LOW
        state[w >= self._form.upper] = _HIGH
        state[(w == 0.0) & bent] = _ZERO
        state[(state == _ZERO) & ~bent] = 1
        return state

    def _resting(self, state: NDArray[np.int8]) -> Array:
        """What coefficients at rest are, zero for the free ones."""
        form = self._form
        return np.where(state == _HIGH, form.upper, np.where(state == _LOW, form.lower, 0.0))

    def _factor(self, free: NDArray[np.int_]) -> Array | None:
        """Cholesky's factor of the Hessian of the free coefficients; None where their columns depend on each other."""
        hessian = self._block(free)
        diagonal = hessian.diagonal()
        if not (diagonal > 0.0).all():
            return None
        factor, failed = dpotrf(hessian)
        pivots = factor.diagonal() / np.sqrt(diagonal)
        return None if failed or not len(free) or not pivots.min() > _SMALLEST_PIVOT else factor

    def _block(self, free: NDArray[np.int_]) -> Array:
        weights = self._of
        if self._gram is None:
            columns = self._form.matrix[:, free]
            block = 2.0 * (columns.T @ columns)
        else:
            block = self._gram[free[:, None], free]
        if weights.scale != 1.0:
            block *= weights.scale
        block[np.arange(len(free)), np.arange(len(free))] += weights.ridge[free]
        return np.asfortranarray(block)

    def _solved(self, state: NDArray[np.int8]) -> tuple[Array, NDArray[np.int_]] | None:
        """The coefficients at which the free ones are stationary, wherever that is."""
        w = self._resting(state)
        free = np.flatnonzero(np.abs(state) == 1)
        if not len(free):
            return w, free
        factor = self._factor(free)
        if factor is None:
            return None
        side = np.where(state[free] > 0, self._of.above[free], -self._of.below[free])
        slope = self._form.slope(self._of, w) if w.any() else self._of.scale * self._at_zero + self._of.linear
        w[free] = dpotrs(factor, -(slope[free] + side))[0]
        return w, free

    def _moves(self, state: NDArray[np.int8], slope: Array) -> tuple[Array, NDArray[np.int8]]:
        """By how much coefficients at rest want to leave, and to which side."""
        form, weights, tolerance = self._form, self._of, _VIOLATED * self._unit
        up = np.where(state == _ZERO, -slope - weights.above, np.where(state == _LOW, -slope + weights.below, -np.inf))
        down = np.where(state == _ZERO, slope - weights.below, np.where(state == _HIGH, slope + weights.above, -np.inf))
        up = np.where((state == _LOW) & (form.lower == 0.0), -slope - weights.above, up)
        down = np.where((state == _HIGH) & (form.upper == 0.0), slope - weights.below, down)
        up[(state == _ZERO) & (form.upper == 0.0)] = -np.inf
        down[(state == _ZERO) & (form.lower == 0.0)] = -np.inf
        excess = np.maximum(up, down)
        excess[excess <= tolerance] = 0.0
        return excess, np.where(up >= down, 1, -1).astype(np.int8)

    def _segment(self, state: NDArray[np.int8], free: NDArray[np.int_]) -> tuple[Array, Array]:
        """The ends between which free coefficients keep their slope."""
        side, form = state[free], self._form
        low = np.where(side > 0, self._ends[0][free], form.lower[free])
        high = np.where(side < 0, self._ends[1][free], form.upper[free])
        return low, high

    def _rest(self, state: NDArray[np.int8], places: NDArray[np.int_], at: Array) -> None:
        """Put coefficients to rest where they are: at a bound, else at zero."""
        form = self._form
        bound = np.where(at >= form.upper[places], _HIGH, np.where(at <= form.lower[places], _LOW, _ZERO))
        bent = (self._of.above + self._of.below)[places] > 0.0
        state[places] = np.where((at == 0.0) & bent, _ZERO, bound)

    def _guessed(self, state: NDArray[np.int8]) -> NDArray[np.int8] | None:
        """The states at the optimum by sweeps over all coefficients; None where they do not settle."""
        for _ in range(_GUESSES):
            solved = self._solved(state)
            if solved is None:
                return None
            w, free = solved
            low, high = self._segment(state, free)
            at = w[free]
            out = (at < low) | (at > high)
            excess, side = self._moves(state, self._form.slope(self._of, w))
            enters = excess > 0.0
            if not out.any() and not enters.any():
                return state
            self._rest(state, free[out], np.where(at < low, low, high)[out])
            state[enters] = side[enters]
        return None

    def _descended(self, w: Array, state: NDArray[np.int8]) -> NDArray[np.int8] | None:
        """The states at the optimum by steps along which f falls."""
        most, best, stalled = 1, math.inf, 0
        for _ in range(100 + 20 * self._form.p):
            if not self._settle(w, state):
                return None
            excess, side = self._moves(state, self._form.slope(self._of, w))
            wanting = np.flatnonzero(excess)
            objective = self._form.objective(self._of, w)
            stalled = 0 if objective < best else stalled + 1
            best = min(best, objective)
            if (
                stalled > _STALLED
            ):  # f is at its digits, and who wants to leave is rounding's choice, or nobody's answer
                return state if float(excess.max(initial=0.0)) <= 0.5 * _RESIDUAL * self._unit else None
            if not len(wanting):
                return state
            order = wanting[np.argsort(-excess[wanting], kind="stable")]
            before = state.copy()
            if most > 1:
                state[order[:most]] = side[order[:most]]
                if self._solved(state) is not None and self._settle(w, state) and (state != before).any():
                    most = min(2 * most, _MOST_AT_ONCE)
                    continue
                state[:] = before
            most = 2
            if not self._enter(w, state, int(order[0]), int(side[order[0]])):
                return None
        return None

    def _settle(self, w: Array, state: NDArray[np.int8]) -> bool:
        """Move the free coefficients to where they are stationary, those that meet an end coming to rest there."""
        for _ in range(len(w) + 1):  # each step but the last puts one to rest
            solved = self._solved(state)
            if solved is None:
                return False
            target, free = solved
            if not self._step(w, state, free, target[free] - w[free], 1.0):
                return True
        return False

    def _enter(self, w: Array, state: NDArray[np.int8], place: int, side: int) -> bool:
        """Free one coefficient, along a direction without curvature where its column depends on the others'."""
        free = np.flatnonzero(np.abs(state) == 1)
        state[place] = side
        both = np.append(free, place)
        if self._factor(np.sort(both)) is not None:
            return True
        direction = np.full(len(both), float(side))
        if len(free):
            factor = self._factor(free)
            if factor is None:
                return False
            direction[:-1] = -side * dpotrs(factor, self._block(both)[:-1, -1].copy())[0]
        curved = float(direction @ self._block(both) @ direction)
        slope = self._form.slope(self._of, w)[both]
        slope += np.where(state[both] > 0, self._of.above[both], -self._of.below[both])
        falls = -float(slope @ direction)
        longest = falls / curved if curved > 0.0 else math.inf
        return bool(falls > 0.0 and self._step(w, state, both, direction, longest))

    def _step(
        self, w: Array, state: NDArray[np.int8], free: NDArray[np.int_], direction: Array, longest: float
    ) -> bool:
        """Go along a direction to the first end that is met; whether one was, before the longest step."""
        low, high = self._segment(state, free)
        end = np.where(direction > 0.0, high, low)
        with np.errstate(divide="ignore", invalid="ignore"):
            lengths = np.where(direction == 0.0, math.inf, np.maximum((end - w[free]) / direction, 0.0))
        length = float(lengths.min(initial=math.inf))
        if length >= longest:
            w[free] += longest * direction
            return False
        if not math.isfinite(length):
            return False
        met = lengths <= length * (1.0 + 1e-14)
        w[free] += length * direction
        w[free[met]] = end[met]
        self._rest(state, free[met], end[met])
        return True

    def _finished(self, state: NDArray[np.int8]) -> Optimum | None:
        """The answer that goes with the states, whatever the way to them, to the last digits."""
        solved = self._solved(state)
        if solved is None:
            return None
        w, free = solved
        if len(free):
            factor = self._factor(free)
            assert factor is not None
            side = np.where(state[free] > 0, self._of.above[free], -self._of.below[free])
            w[free] -= dpotrs(factor, self._form.slope(self._of, w)[free] + side)[0]
            low, high = self._segment(state, free)
            w[free] = np.clip(w[free], low, high)
        slope = self._form.slope(self._of, w)
        left, right = self._form.slopes_around(self._of, w)
        if float(np.maximum(-slope - right, slope + left).max(initial=0.0)) > _RESIDUAL * self._unit:
            return None
        near = _WEAK * self._unit
        touched = ((-slope >= right - near) | (-slope <= left + near)) & (np.abs(state) != 1)
        unique = not touched.any() or self._factor(np.union1d(free, np.flatnonzero(touched))) is not None
        return Optimum(w, unique and self._of.single)
