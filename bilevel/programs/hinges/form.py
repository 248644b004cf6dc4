"""A quadratic in few coefficients w and many hinges, one or two for each row of data.

    min_w  1/2 w'H(x)w + q(x)'w + k(x) + sum_k max_{0 <= b <= c_k(x)} (b (h_k(x) - A_k w) - g_k(x) b^2 / 2)

With ``g = 0`` a term is ``c max(0, h - A w)``, with ``c = inf`` too it is the constraint ``A w >= h``, with g above
zero its kink is rounded. A is an array. This is the support vector machine (Cortes and Vapnik 1995), its regression
with a tube (Drucker et al. 1997), quantile regression (Koenker and Bassett 1978, with ``a max(r, 0) + b max(-r, 0)`` as
``-b r + (a + b) max(r, 0)``) and absolute errors: the piecewise linear-quadratic penalties of Aravkin, Burke and
Pillonetto (2013), "Sparse/robust estimation and Kalman smoothing with nonsmooth log-concave densities", JMLR 14, by
their dual. b is called a row's force: what it pulls the coefficients with.

Which variables of the program are coefficients, and which slacks above the rows, is known here; what it follows from in
:mod:`bilevel.programs.hinges.recognition`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import casadi as ca
import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf

from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled

Places = NDArray[np.int_]

_SAME = 1e-11  # costs this far below zero, relative to the largest, are zero
_RANK = 1e-14  # an eigenvalue of a Hessian this far below zero, relative to its size, is zero
_BROKEN = 1e-9


@dataclass(frozen=True, eq=False, slots=True)
class Weights:
    """What depends on x, at one x.

    Attributes
    ----------
    hessian, linear : ndarray of shape (p, p), (p,)
        H and q.
    caps, kinks, rounding : ndarray of shape (m,)
        c, h and g.
    constant : float
        k.
    offsets : ndarray of shape (r,)
        Of the lines, from which the slacks' values follow.
    single : bool
        Whether every slack costs something, so that it is at its least.
    """

    hessian: Array
    linear: Array
    caps: Array
    kinks: Array
    rounding: Array
    constant: float
    offsets: Array
    single: bool


@dataclass(frozen=True, eq=False)
class Lines:
    """What slacks are above, ``offset - P w``: rows of the program, in units of their slack.

    Attributes
    ----------
    matrix : ndarray of shape (r, p)
        P.
    rows : ndarray of int, shape (r,)
        Which row of the program each is.
    factors, bounds : ndarray of shape (r,)
        The offset is ``factor (bound - what the row is at zero)``.
    """

    matrix: Array
    rows: Places
    factors: Array
    bounds: Array


@dataclass(frozen=True, eq=False)
class Sides:
    """The hinges, each by the two lines between which it bends.

    Attributes
    ----------
    over, under : ndarray of int, shape (m,)
        ``h - A w`` is line ``over`` less line ``under``, where that is not -1, and less
    floors : ndarray of shape (m,)
    owners, partners : ndarray of int, shape (m,)
        The slacks whose costs it has; -1 where there is none, as of a constraint on w alone.
    tubes : ndarray of int, shape (k, 2)
        Those of one slack, of which at most one may be positive.
    """

    over: Places
    under: Places
    floors: Array
    owners: Places
    partners: Places
    tubes: Places


@dataclass(frozen=True, eq=False)
class Slacks:
    """Variables at the least that the lines allow: ``floor + sign line`` and the hinges that they own.

    Attributes
    ----------
    places : ndarray of int, shape (s,)
        Where they stand in y; behind its end those of losses over rows, which are in no program.
    lines : ndarray of int, shape (s,)
        The line each starts from, -1 where there is none.
    signs, floors : ndarray of shape (s,)
    curved : ndarray of int, shape (k,)
        Those whose cost is a square.
    written : ndarray of bool, shape (s,)
        Whether the user wrote them: then he sees them where they cost nothing.
    """

    places: Places
    lines: Places
    signs: Array
    floors: Array
    curved: Places
    written: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class HingeForm:
    """A program in this form.

    Attributes
    ----------
    n : int
        Number of the program's variables.
    places : ndarray of int, shape (p,)
        Where the coefficients stand in y.
    matrix : ndarray of shape (m, p)
        A.
    lines, sides, slacks
        Where A, the kinks and the slacks come from.
    entries : tuple of two ndarray of int
        Rows and columns in w of H's entries that move, of both triangles.
    still : ndarray of shape (p, p)
        What of H does not move.
    moving : tuple of SX
        Linear costs of y and of slacks that are in no program, the rows at zero, the moving entries of H, the
        curvatures of curved slacks.
    compiled : Compiled
        The same as numbers, and the constant.
    """

    n: int
    places: Places
    matrix: Array
    lines: Lines
    sides: Sides
    slacks: Slacks
    entries: tuple[Places, Places]
    still: Array
    moving: tuple[ca.SX, ...]
    compiled: Compiled

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return len(self.places)

    @property
    def costs(self) -> int:
        """Number of the linear costs."""
        return int(self.moving[0].numel())

    @property
    def rows(self) -> int:
        """Number of the program's rows."""
        return int(self.moving[1].numel())

    @cached_property
    def based(self) -> NDArray[np.bool_]:
        """Which slacks start from a line."""
        found: NDArray[np.bool_] = self.slacks.lines >= 0
        return found

    def at(self, parameters: Array) -> Weights | None:
        """The weights at a value of the parameters; None where the program is not of this form, or not convex, there.

        Raises
        ------
        FloatingPointError
            If they are no numbers.
        """
        found = self.compiled(parameters)
        if not all(np.isfinite(values).all() for values in found):
            raise FloatingPointError("a weight or a row of the follower is no number at this point")
        costs, at_zero, moving, bends, constant = found
        at_zero = np.append(at_zero, 0.0)  # the last row stands for bounds
        lines, sides, slacks, based = self.lines, self.sides, self.slacks, self.based
        offsets = lines.factors * (lines.bounds - at_zero[lines.rows])
        of_slacks = costs[slacks.places]
        size = _SAME * float(np.abs(costs).max(initial=0.0))
        caps, rounding = self._caps(of_slacks), np.zeros(len(sides.over))
        curved = np.isin(sides.owners, slacks.curved)
        if curved.any():
            curvatures = np.zeros(len(of_slacks))
            curvatures[slacks.curved] = bends
            if (bends <= 0.0).any() or (np.abs(caps[curved]) > size).any():
                return None
            caps[curved], rounding[curved] = np.inf, 1.0 / curvatures[sides.owners[curved]]
        kinks = offsets[sides.over] - sides.floors - np.where(sides.under >= 0, offsets[sides.under], 0.0)
        hessian = self.still.copy()
        np.add.at(hessian, self.entries, moving)
        if (caps < -size).any() or not self._apart(kinks) or not _semidefinite(hessian):
            return None
        pulled = of_slacks[based] * slacks.signs[based]
        linear = costs[self.places] - pulled @ lines.matrix[slacks.lines[based]]
        level = float(constant[0]) + float(pulled @ offsets[slacks.lines[based]]) + float(of_slacks @ slacks.floors)
        free = (caps <= size) & (sides.owners >= 0)
        shown = slacks.written[sides.owners] | (slacks.written[sides.partners] & (sides.partners >= 0))
        single = not (free & shown).any()
        return Weights(hessian, linear, np.maximum(caps, 0.0), kinks, rounding, level, offsets, single)

    def _caps(self, of_slacks: Array) -> Array:
        """What each hinge costs, infinite where no slack pays for it."""
        owners, partners = self.sides.owners, self.sides.partners
        both = np.append(of_slacks, 0.0)  # the last one stands for none
        return np.where(owners >= 0, both[owners] + both[partners], np.inf)

    def _apart(self, kinks: Array) -> bool:
        """Whether of two hinges of one slack at most one is ever positive: their lines are opposite."""
        pairs = kinks[self.sides.tubes]
        return bool((pairs.sum(axis=1) <= _SAME * np.abs(pairs).max(axis=1, initial=0.0)).all())

    def coefficients(self, y: Array) -> Array:
        """W of a point y."""
        return y[self.places]

    def point(self, weights: Weights, w: Array) -> Array:
        """The point y of coefficients w at which the slacks are at their least."""
        sides, slacks, based = self.sides, self.slacks, self.based
        values = slacks.floors.copy()
        lines = slacks.lines[based]
        values[based] += slacks.signs[based] * (weights.offsets[lines] - self.lines.matrix[lines] @ w)
        hinges = np.maximum(weights.kinks - self.matrix @ w, 0.0)
        for owners in (sides.owners, sides.partners):
            np.add.at(values, owners[owners >= 0], hinges[owners >= 0])
        y = np.zeros(self.n)
        own = slacks.places < self.n
        y[self.places], y[slacks.places[own]] = w, values[own]
        return y

    def lowered(self, parameters: Array, y: Array) -> Array:
        """A point with the slacks that nobody wrote at their least."""
        weights = self.at(parameters)
        own = self.slacks.places[~self.slacks.written & (self.slacks.places < self.n)]
        if weights is None or not len(own):
            return y
        found = y.copy()
        found[own] = self.point(weights, self.coefficients(y))[own]
        return found

    def objective(self, weights: Weights, w: Array) -> float:
        """F at w; infinite where a constraint on w alone is broken by more than rounding."""
        short = weights.kinks - self.matrix @ w
        hinges = np.maximum(short, 0.0)
        rounded, bounded = weights.rounding > 0.0, np.isfinite(weights.caps)
        if (~rounded & ~bounded & (hinges > _BROKEN * np.maximum(1.0, np.abs(weights.kinks)))).any():
            return np.inf
        linear = float(weights.caps[bounded] @ hinges[bounded])
        squares = float(np.square(hinges[rounded]) @ (0.5 / weights.rounding[rounded]))
        smooth = 0.5 * float(w @ weights.hessian @ w) + float(weights.linear @ w)
        return smooth + linear + squares + weights.constant


def _semidefinite(hessian: Array) -> bool:
    """Whether a Hessian is, up to rounding."""
    if not (hessian != np.diag(diagonal := hessian.diagonal())).any():
        return bool((diagonal >= 0.0).all())
    noise = _RANK * max(float(np.abs(diagonal).max(initial=0.0)), 1e-300) * len(hessian)
    return not dpotrf(hessian + noise * np.eye(len(hessian)))[1]
