"""Epigraphs made strongly convex, which a tube asks for: their variables t enter f linearly.

For ``t >= e_1(x, y)`` and ``t >= e_2(x, y)`` the product of the two slacks is not negative where the rows hold and zero
where t is the larger piece, as it may be taken to be at every answer. Hence

    f(x, y, t) + c (t - e_1) (t - e_2),    c > 0,

has the same answers y, and bends in t. (For an absolute value the product is ``t^2 - e^2``.) It costs f some of its
curvature along e, so c is small against that. Where f is only known to be convex in y near an answer, the same holds
for the minimum over a box of (y, t) with this one in its interior: if a product were positive there, a smaller t would
be better; if all are zero, a better point of f nearby would be one of the sum as soon as its t are lowered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.graphs.intervals import Interval
from bilevel.programs.program import Program

_SHARES = (0.5, 0.25, 0.1, 0.03, 0.01)  # of what f's least curvature allows, tried in turn


def with_bends(program: Program, box: Sequence[Interval]) -> Program:
    """A program of the same answers, strongly convex in its epigraphs' variables too where that can be had.

    Parameters
    ----------
    program : Program
        A follower's, with rows linear in both levels' variables.
    box : sequence of tuple of float
        Of the parameters, finite.
    """
    products = [_slacks(program, place, rows) for place, rows in program.tops]
    if not products or any(product is None for product in products):
        return program
    total = ca.sum1(ca.vertcat(*products))
    share = _share(program, total, box)
    return program if share is None else program.but(objective=program.short + share * total)


def _slacks(program: Program, place: int, rows: tuple[int, ...]) -> ca.SX | None:
    """The product of the slacks of two pieces that hold no other epigraph's variable; None for others."""
    top, low = program.variables[place], float(program.lower[place])
    others = program.variables[[k for k, _ in program.tops if k != place]]
    slacks = [-program.rows[k] for k in rows] + ([top - low] if math.isfinite(low) else [])
    if len(slacks) != 2 or (others.numel() and ca.depends_on(ca.vertcat(*slacks), others)):
        return None
    return slacks[0] * slacks[1]


def _share(program: Program, total: ca.SX, box: Sequence[Interval]) -> float | None:
    """How much of the products keeps f definite at some x: the share that leaves the most curvature."""
    p, y = program.parameters, program.variables
    bends = ca.Function("bends", [p, y], [program.hessian, ca.hessian(total, y)[0]])
    at = np.clip(0.0, program.lower, program.upper)
    low, high = np.array(box).reshape(-1, 2).T
    pairs = [[m.full() for m in bends(x, at)] for x in (low, 0.75 * low + 0.25 * high, (low + high) / 2, high)]
    own = np.setdiff1d(np.arange(program.n), [place for place, _ in program.tops])
    least = min(_smallest(hessian[np.ix_(own, own)]) for hessian, _ in pairs)
    if not least > 0.0:
        return None
    size = max(float(np.linalg.norm(product, 2)) for _, product in pairs)
    left = {share: min(_smallest(h + share * least / size * product) for h, product in pairs) for share in _SHARES}
    best = max(left, key=lambda share: left[share])
    return best * least / size if left[best] > 0.0 else None


def _smallest(matrix: Array) -> float:
    return float(np.linalg.eigvalsh(matrix)[0]) if np.isfinite(matrix).all() else -math.inf
