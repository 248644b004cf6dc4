"""Every tolerance, stated once.

All are relative to ``max(1, |value|)`` of what they compare, unless said otherwise; those of bounds and rows to
:func:`size`, which is less where a variable or a row varies by less.
"""

from __future__ import annotations

import math

FEASIBILITY = 1e-6
"""Largest violation of a constraint or bound at a point that counts as feasible."""

OPTIMALITY = 1e-6
"""Largest excess of f(x, y) over the best f for that x at a point that counts as lower-level optimal."""

CERTIFICATE = 1e-5
"""Largest gap between F and a proved bound that closes: the tolerance of ``certified_global``.

A global solver enforces its rows to 1e-6 or so, hence its bound can be off by that times a multiplier; asking for less
than 1e-5 would claim digits that the bound does not have.
"""

ENGINE = 1e-9
"""Tolerance asked of the engines that solve one lower level (an order stricter than what is then checked)."""

GLOBAL_GAP = 1e-6
"""Gap at which a global solver may stop, absolute or relative."""

GLOBAL_FEASIBILITY = 1e-7
"""Row tolerance of the global solver; below it SCIP spends its time on digits that rounding takes back."""

TIE = 1e-8
"""How far from the best f a point may be to stand among the follower's optima when a tie is broken."""

FINE_TIE = 1e-10
"""The same where slack does more than let rounding pass: a curved optimal set, where y moves by its root, and the
pessimistic choice, where it makes points infeasible that are not."""

SHARP = 2e-8
"""How far f may be above its proved bound where the lower level is not convex and a certificate is asked for.

Such a follower's near-optima may lie far from its optima, and F there far from F at any true answer: with f allowed to
be worse by e, the best F is v(e) <= v(0), often v(0) - c e^p with a root p. The bound on F is v(1e-7) at most, since
that much slack stands in its rows; the incumbent is no better than v(2e-8). Where the two meet v is flat between them,
and what is left between v(2e-8) and v(0) is about CERTIFICATE again at most (for p >= 1/3). SCIP's own bounds are right
to 1e-8, so that less cannot be asked for.
"""

SAME = 1e-12
"""How much worse f may be at one answer than at another for both to be the same answer to the last digits."""

CLOSE = 1e-4
"""How far apart the two may lie: an interior point keeps half its digits at a weakly active row. Where f is flat, a
fourth power say, points with the same f lie farther apart, and are not the same answer."""

INFINITE = 1e20
"""From here on a bound is none, and a value is no answer: what SCIP takes for infinity, the least of all solvers."""

INTEGRALITY = 1e-6
"""Distance from the nearest integer (absolute)."""

DEFINITE = 1e-11
"""An eigenvalue above this, relative to the largest, counts as positive."""


NOISE = 1e-8
"""A row of a matrix this small beside the largest may be what rounding left of zero."""


def scale(*values: float) -> float:
    """``max(1, |v|)`` over the finite values."""
    return max([1.0, *(abs(v) for v in values if math.isfinite(v))])


def size(value: float, middle: float = 0.0, width: float = math.inf) -> float:
    """What a tolerance is relative to at one value of something that varies by ``width`` about ``middle``.

    ``max(1, |value|)``, unless it varies by less: a constant in it says nothing about what counts, nor do units in
    which all of it is small. With y in [0, 1e-6] a millionth is all of it.
    """
    varies = max(width, abs(value - middle))
    return min(scale(value), varies) if varies > 0.0 else scale(value)


def closes(objective: float, bound: float, tolerance: float = CERTIFICATE, scale: float | None = None) -> bool:
    """Whether a lower bound closes on a minimised objective, relative to ``max(1, |objective|)`` or another scale."""
    finite = math.isfinite(objective) and math.isfinite(bound)
    relative = max(1.0, abs(objective)) if scale is None else scale
    return finite and objective - bound <= tolerance * relative
