"""Hessians that all move by one factor h(x): divided out, which leaves costs that move with 1/h.

Where the penalty multiplies the only part of f that bends, as in ``hinge(w) + s ||w||^2`` or the pinball loss with a
ridge, ``f / h`` has the same answers, a constant Hessian and costs ``(c0 + s c1) / h(s)``: with ``h = a + b s`` these
are ``c1 / b + (c0 - c1 a / b) t`` in ``t = 1 / h``, affine again (of the support vector machine, ``t`` is its C).
Rows and F know nothing of f, and stay; they must not move with s, in which t is not affine.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bilevel.errors import RefusedError
from bilevel.solvers.homotopy.penalty_axis import PenaltyAxis

Flags = NDArray[np.bool_]

_ALIKE = 1e-15  # relative: numbers of one factor may differ by rounding


def without_factor(axis: PenaltyAxis, bends: Flags, slopes: Flags, name: str) -> PenaltyAxis:
    """The axis of what is left.

    Parameters
    ----------
    axis : PenaltyAxis
        Of everything that may move.
    bends : ndarray of bool, shape (k,)
        Which of its entries are those of Hessians. They have to be positive at some x, taken together with a sign.
    slopes : ndarray of bool, shape (k,)
        Which of its entries are costs.
    name : str
        The upper variable's, for messages.

    Returns
    -------
    PenaltyAxis
        With the same entries, those of Hessians constant: what they are at the upper end of x.

    Raises
    ------
    RefusedError
        If the Hessians move otherwise.
    """
    moving = bends & ((axis.constants != 0.0) | (axis.slopes != 0.0))
    if not axis.slopes[moving].any():
        return axis
    first, last = axis.range
    a, b = axis.constants, axis.slopes
    at_end = a + last * b
    lead = int(np.flatnonzero(moving)[np.abs(at_end[moving]).argmax()])
    left, right = a[moving] * b[lead], b[moving] * a[lead]
    if not (np.abs(left - right) <= _ALIKE * (np.abs(left) + np.abs(right))).all():
        raise RefusedError(f"Hessians move with {name} by more than one factor, so answers are not piecewise linear")
    shift, rate = a[lead] / at_end[lead], b[lead] / at_end[lead]
    if not shift + first * rate > 0.0:
        raise RefusedError(f"the Hessians vanish at an end of {name}; narrow its bounds")
    if b[~bends & ~slopes].any():
        raise RefusedError(f"rows or F move with {name} beside Hessians, so that F is no polynomial between its turns")
    constants = np.where(slopes, b / rate, a)
    rates = np.where(slopes, a - b * (shift / rate), 0.0)
    constants[bends] = at_end[bends]
    return replace(axis, constants=constants, slopes=rates, of=lambda x: 1.0 / (shift + rate * axis.of(x)))
