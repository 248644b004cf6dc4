r"""How low a follower's part of F can be at x, by what it answered at two points beside it.

Where one upper variable t moves a convex quadratic follower's costs and nothing else, f(t, y) = a(y) + t b(y) over a
fixed set of y, its optimal value V(t) = min_y f(t, y) is concave in t: between two answers it is not below the line
through theirs. So it is known how far an answer y_0 at t_0 is from optimal at t, and how far from every answer y there,

    1/2 |y - y_0|_H^2  <=  f(t, y_0) - V(t)  <=  f(t, y_0) - ((1 - s) V(t_1) + s V(t_2)),   t = (1 - s) t_1 + s t_2,

with H the follower's Hessian, that at the end of t's range where it is least. A convex part p of F cannot fall faster
than its gradient g at y_0 says: p(y) >= p(y_0) - |g| sqrt(2 gap), the norm being the dual one of H (in whose range g
has to be). The gap is of second order in t, so that on a fine grid most points are proved worse than the best one known
before any of their folds is solved (Ndiaye et al. 2019, "Safe grid search with optimal complexity", has the idea for
one loss; here it is every follower of that kind).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.graphs.compiled import Compiled
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program, Shape
from bilevel.reading.variables import ends_of
from bilevel.response.stages.parts_of_f import PartsOfF

Answered = tuple[tuple[float, ...], tuple[float, ...]]
"""x and y at a point where all followers answered, as vectors."""

_VAGUE = 1e-9  # share of a gradient that may be outside of the Hessian's range


@dataclass(frozen=True)
class _Known:
    """What a follower's answer at t says of its answers near there: f and df/dt at it, its part of F, |g|."""

    t: float
    value: float
    slope: float
    part: float
    steepness: float


class _Follower:
    """One follower of the kind."""

    def __init__(self, where: slice, compiled: tuple[Compiled, Compiled], inverse: Array) -> None:
        self._where, self._inverse = where, inverse
        self._objective, self._gradient = compiled

    def known(self, place: int, x: Array, y: Array, part: float) -> _Known:
        """What its answer, in place among all in y, says of its answers near x, where it has that part of F."""
        value, slope = (float(np.ravel(v)[0]) for v in self._objective(x, y[self._where]))
        slopes = np.ravel(self._gradient(y[self._where])[0])
        within = self._inverse @ slopes
        outside = slopes - np.linalg.pinv(self._inverse, hermitian=True) @ within
        spanned = np.linalg.norm(outside) <= _VAGUE * max(float(np.linalg.norm(slopes)), 1e-300)
        steepness = math.sqrt(max(float(within @ slopes), 0.0)) if spanned else math.inf
        return _Known(float(x[place]), value, slope, part, steepness)


def _floor(left: _Known, right: _Known, t: float) -> float:
    """What a follower's part of F is not below at t, which lies between two answers of it."""
    share = (t - left.t) / (right.t - left.t) if right.t > left.t else 0.0
    slack = tolerances.TIE * tolerances.scale(left.value, right.value)  # an order above what engines are asked for
    least = (1.0 - share) * left.value + share * right.value - slack
    found = -math.inf
    for one in (left, right):
        gap = max(one.value + one.slope * (t - one.t) - least, slack)
        found = max(found, one.part - one.steepness * math.sqrt(2.0 * gap))
    return found - tolerances.ENGINE * tolerances.scale(found)


class NearbyFloors:
    """``floors.at(x, near)`` by follower.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    parts : PartsOfF
        F taken apart.

    Attributes
    ----------
    place : int or None
        Of the upper variable t; None where no follower is of the kind, and there are no such floors.
    """

    def __init__(self, compilation: Compilation, parts: PartsOfF) -> None:
        self._parts = parts
        self.place: int | None = None
        self._followers: dict[str, _Follower] = {}
        self._seen: dict[tuple[float, ...], dict[str, _Known]] = {}
        first = 0
        for follower in compilation.problem.followers:
            where = slice(first, first + len(follower.variables))
            first = where.stop
            program, part = compilation.programs.get(follower.name), parts.convex_quadratic(follower.name)
            place = None if program is None or part is None else _moved_by(program)
            if program is None or part is None or place is None or self.place not in (None, place):
                continue
            inverse = _inverse(compilation, program, place)
            if inverse is not None:
                self.place = place
                compiled = _compiled(program, part, place)
                self._followers[follower.name] = _Follower(where, compiled, inverse)

    def at(self, x: Array, near: Sequence[Answered]) -> dict[str, float]:
        """Floors of the parts of F at x, by follower.

        Parameters
        ----------
        x : ndarray of shape (number of upper variables,)
            The point.
        near : sequence of (x, y)
            Points beside it with their answers.
        """
        if self.place is None:
            return {}
        t, known = float(x[self.place]), [self._known(*answered) for answered in near]
        below, above = [k for k in known if _t(k) <= t], [k for k in known if _t(k) >= t]
        if not below or not above:
            return {}
        left, right = max(below, key=_t), min(above, key=_t)
        return {name: _floor(left[name], right[name], t) for name in self._followers}

    def _known(self, x: tuple[float, ...], y: tuple[float, ...]) -> dict[str, _Known]:
        assert self.place is not None
        if x not in self._seen:
            at, answers = np.array(x), np.array(y)
            self._seen[x] = {
                name: follower.known(self.place, at, answers, self._parts.value(name, at, answers))
                for name, follower in self._followers.items()
            }
        return self._seen[x]


def _t(known: dict[str, _Known]) -> float:
    return next(iter(known.values())).t


def _moved_by(program: Program) -> int | None:
    """The one parameter that moves the costs, affinely, of a quadratic program over a fixed convex set; else None."""
    p, y = program.parameters, program.variables
    if program.discrete or program.losses or program.moving or program.shape is Shape.NONLINEAR:
        return None
    if ca.depends_on(program.rows, p) or ca.depends_on(ca.jacobian(program.rows, y), y):
        return None
    moving = [j for j in range(int(p.numel())) if ca.depends_on(program.objective, p[j])]
    if len(moving) != 1 or ca.depends_on(ca.jacobian(program.objective, p[moving[0]]), p):
        return None
    return moving[0]


def _inverse(compilation: Compilation, program: Program, place: int) -> Array | None:
    """The pseudo-inverse of a Hessian that is nowhere in t's range above the follower's; None where there is none."""
    p, y = program.parameters, program.variables
    hessian = ca.hessian(program.objective, y)[0]
    low, high = (end[place] for end in ends_of(compilation.problem.variables))
    if ca.depends_on(hessian, y) or not (math.isfinite(low) and math.isfinite(high)):
        return None
    at, x = Compiled([p], [ca.densify(hessian)]), np.zeros(int(p.numel()))
    ends = []
    for end in (low, high):
        x[place] = end
        ends.append(np.array(at(x)[0], dtype=float).reshape(program.n, program.n))  # the compiled one's is its own
    size = max(float(np.abs(ends).max()), 1e-300)
    moved = np.linalg.eigvalsh(ends[1] - ends[0])
    if moved[0] < -tolerances.DEFINITE * size and moved[-1] > tolerances.DEFINITE * size:
        return None
    least = ends[0] if moved[-1] > tolerances.DEFINITE * size else ends[1]
    sizes, basis = np.linalg.eigh(least)
    if sizes[0] < -tolerances.DEFINITE * size:
        return None
    kept = sizes > _VAGUE * size
    inverse: Array = (basis[:, kept] / sizes[kept]) @ basis[:, kept].T
    return inverse


def _compiled(program: Program, part: Program, place: int) -> tuple[Compiled, Compiled]:
    """The follower's objective with its slope in t, and the gradient of the part of F."""
    p, y = program.parameters, program.variables
    slope = ca.jacobian(program.objective, p[place])
    gradient: Any = ca.densify(ca.gradient(part.objective, part.variables))
    return Compiled([p, y], [program.objective, slope]), Compiled([part.variables], [gradient])
