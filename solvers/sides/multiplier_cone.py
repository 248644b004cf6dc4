"""Which sides can carry a follower's optimum: its multipliers, and the directions that say there are none.

Linear followers with constant costs have the multipliers of one polyhedron, ``sum_i mu_i n_i + E'nu = -c`` with
``mu >= 0``, whatever x is. An answer is optimal exactly where some of them vanish on all inactive sides. Where none do,
Farkas' lemma names a direction v in which y improves (``c'v < 0``, ``E v = 0``) and which only the sides with
``n_i'v > 0`` can block: one of *these* is active, with a multiplier above zero, at every bilevel-feasible point. That
is the disjunction a node is branched on (in the manner of Hu, Mitchell, Pang, Bennett and Kunapuli 2008, doi
10.1137/060673072, whose cuts on complementarity patterns are such sets). The fewer and the dearer its sides, the
better.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bilevel.arrays import Array
from bilevel.solvers.sides.follower_sides import Sides
from bilevel.solvers.sides.hot_program import HotProgram

_NOISE = 1e-11  # of a direction's length: what counts as no step towards a side
_ROUGH = 1e-7  # below this it is rounded to none, if that can be done
_IMPROVES = 1e-6  # of it: what counts as improving
CARRIES = 1e-9  # of the costs: what counts as a multiplier that is not zero
_CHEAP = 1e-3  # a cost below which sides are alike
_DEAREST = 1e2  # how much sooner a dear side is taken than the cheapest that is allowed


class MultiplierCone:
    """The multipliers of linear followers.

    Parameters
    ----------
    sides : Sides
        Of the followers.
    """

    def __init__(self, sides: Sides) -> None:
        self._sides, self._count = sides, len(sides)
        free = len(sides.equalities)
        size = np.abs(sides.slope).max(initial=0.0)
        self._slope = sides.slope / size if size > 0 else sides.slope
        self._open = np.concatenate([np.full(self._count, math.inf), np.full(free, math.inf)])
        self._lp = HotProgram(
            np.zeros(self._count + free),
            sparse.csr_array(np.vstack([sides.normals, sides.equalities]).T),
            -self._slope,
            -self._slope,
            np.concatenate([np.zeros(self._count), np.full(free, -math.inf)]),
            self._open,
        )
        self._excluded: frozenset[int] = frozenset()
        self._hint = 0.0

    def least(self, weights: Array, excluded: Collection[int]) -> tuple[float, Array | None]:
        """The least weighed sum of multipliers that are zero on the excluded sides, and these multipliers.

        Infinite where no multipliers are.
        """
        if excluded != self._excluded:
            upper = self._open.copy()
            upper[list(excluded)] = 0.0
            self._lp.change_upper(upper)
            self._excluded = frozenset(excluded)
        self._lp.change_cost(np.concatenate([weights, np.zeros(len(self._open) - self._count)]))
        point, empty = self._lp.suggest()
        if point is None:
            return (math.inf if empty else math.nan), None
        return float(self._lp.cost @ point), point[: self._count]

    def carried(self, inactive: NDArray[np.bool_], excluded: Collection[int]) -> Array | None:
        """Multipliers that vanish on inactive sides; None where there are none."""
        value, multipliers = self.least(inactive.astype(float), excluded)
        return multipliers if value <= CARRIES else None

    def blocking(
        self, dearness: Array, allowed: NDArray[np.bool_], excluded: Collection[int]
    ) -> tuple[list[int], Array] | None:
        """Sides of which one is active wherever multipliers are zero on the excluded ones, and their direction.

        Parameters
        ----------
        dearness : ndarray of shape (k,)
            What it costs to make a side active: the cheapest of the set is as dear as can be.
        allowed : ndarray of bool, shape (k,)
            Sides that may be in the set; the others do not block the direction.
        excluded : collection of int
            Sides whose multipliers are zero.

        Returns
        -------
        tuple of list and ndarray, or None
            An empty list where there are no such multipliers at all. None where nothing is proved.
        """
        levels = np.unique(dearness[allowed])
        if not len(levels):
            value, _ = self.least(np.zeros(len(dearness)), excluded)
            return self._read(value, excluded)
        level = self._level(levels, dearness, allowed, excluded)
        weights = 1.0 / np.clip((_CHEAP + dearness) / (_CHEAP + level), 1.0, _DEAREST)
        value, _ = self.least(np.where(allowed & (dearness >= level), weights, 0.0), excluded)
        found = self._read(value, excluded)
        return found if found is None or allowed[found[0]].all() else None

    def _level(self, levels: Array, dearness: Array, allowed: NDArray[np.bool_], excluded: Collection[int]) -> float:
        """The dearest level at which sides that cost no less have to carry something; sought from the last one on."""

        def blocks(k: int) -> bool:
            value, _ = self.least(np.where(allowed & (dearness >= levels[k]), 1.0, 0.0), excluded)
            return value > CARRIES

        low, high = 0, len(levels)  # it blocks at low, if at all, and not at high
        guess, step = int(np.searchsorted(levels, self._hint)), 1
        while high - low > 1:
            k = min(max(guess, low + 1), high - 1)
            if blocks(k):
                low, guess = k, k + step
            else:
                high, guess = k, k - step
            step *= 2
            if not low < guess < high:
                guess = (low + high) // 2
        self._hint = float(levels[low])
        return self._hint

    def _read(self, value: float, excluded: Collection[int]) -> tuple[list[int], Array] | None:
        """The direction behind the last answer, judged by itself."""
        direction = self._lp.ray() if value == math.inf else self._lp.dual_values()[0]
        length = 0.0 if direction is None else float(np.abs(direction).max(initial=0.0))
        if direction is None or not 0.0 < length < math.inf:
            return None
        for v in (direction / length, -direction / length):
            if self._slope @ v < -_IMPROVES:
                return self._settled(v, excluded)
        return None

    def _settled(self, v: Array, excluded: Collection[int]) -> tuple[list[int], Array] | None:
        """The sides a direction runs into, once what is noise is none."""
        normals, equalities = self._sides.normals, self._sides.equalities
        counted = np.ones(self._count, dtype=bool)
        counted[list(excluded)] = False
        towards = normals @ v
        rounded = counted & (np.abs(towards) <= _ROUGH)
        if (towards[rounded] > _NOISE).any() or np.abs(equalities @ v).max(initial=0.0) > _NOISE:
            level = np.vstack([normals[rounded], equalities])  # along these it is to run exactly
            v = v - np.linalg.lstsq(level, level @ v, rcond=None)[0]
            towards = normals @ v
            if np.abs(level @ v).max() > _NOISE or not self._slope @ v < -_IMPROVES:
                return None
        return np.flatnonzero(counted & (towards > _NOISE)).tolist(), v
