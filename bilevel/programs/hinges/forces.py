"""What the rows pull with at an answer, and the bound on the best f that follows: weak duality.

At an optimum rows short of their kink pull with their caps, those beyond it with nothing, and those at it with what
keeps the coefficients still, ``H w + q = A'b``. For any such w, and forces within their caps,

    f >= h'b - b'G b / 2 - w'H w / 2 + k

whoever found them, because f's dual (Aravkin, Burke and Pillonetto 2013) is maximised over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.programs.hinges.form import HingeForm, Weights
from bilevel.programs.hinges.kink_system import KinkSystem, within_caps
from bilevel.programs.hinges.units import Scaled, Units

AT_KINK = 1e-8
"""How far a row at its kink may be from it, in units of the largest of them."""

_WEAK = 1e-7  # a force within this of its limits, in units of the caps, may leave them as x moves
_STILL = 1e-9  # of what is summed: what the forces may leave of the slope
_OUTSIDE = 1e-9  # of the caps: rounding


@dataclass(frozen=True, slots=True)
class Forces:
    """The rows' forces at an answer, in the units of a scaled program.

    Attributes
    ----------
    of : Scaled
        The program.
    w, values : ndarray of shape (p,), (m,)
        The answer, and b.
    short : ndarray of bool, shape (m,)
        Rows that pull with their cap.
    held : ndarray of int, shape (k,)
        Rows that stay at their kink, or on its round part, as x moves: their force is inside its limits.
    strict : bool
        Whether this is known of every row that is at its kink.
    system : KinkSystem
        Of these rows.
    """

    of: Scaled
    w: Array
    values: Array
    short: NDArray[np.bool_]
    held: NDArray[np.int_]
    strict: bool
    system: KinkSystem


class ForcesAt:
    """Finds the forces of one form at answers.

    Parameters
    ----------
    form : HingeForm
        The program.
    """

    def __init__(self, form: HingeForm) -> None:
        self._units = Units(form.matrix)

    def __call__(self, weights: Weights, w: Array) -> Forces:
        """The forces at the coefficients w."""
        of = self._units.at(weights)
        w = w / of.sizes
        missed, soft = of.short(w), of.rounding > 0.0
        near = AT_KINK * max(1.0, float(np.abs(missed).max(initial=0.0)))
        limit = np.where(soft, np.where(of.bounded, of.rounding * of.caps, np.inf), 0.0)
        short = of.bounded & (missed > limit + near)
        at = ~short & (missed >= -near) & (of.caps > 0.0)
        b = np.where(short, of.caps, 0.0)
        rows = np.flatnonzero(at)
        system = KinkSystem(of, rows)
        b[rows] = -system.solve(-of.pull(w, b), missed[rows])[1]
        room = np.where(of.bounded, np.maximum(of.caps, 1.0), 1.0)
        if not system.single and ((b < -_OUTSIDE * room) | (b > of.caps + _OUTSIDE * room)).any():
            b[rows] = 0.0
            b[rows] = within_caps(of.rows[rows], of.pull(w, b), of.caps[rows])
        inside = at & (b > _WEAK * room) & (b < of.caps - np.where(of.bounded, _WEAK * room, 0.0))
        held = np.flatnonzero(inside)
        strict = len(held) == len(rows)
        if not strict:
            own = KinkSystem(of, held)
            if own.single or not len(rows):
                system = own
            else:  # of several optima it is all of them that hold the one which was chosen
                held = rows
        short |= at & of.bounded & (b > 0.5 * np.where(of.bounded, of.caps, np.inf))
        short[held] = False
        return Forces(of, w, b, short, held, strict, system)


def lower_bound(form: HingeForm, weights: Weights, forces: Forces) -> float:
    """What f is never below, by the forces; minus infinity where they do not balance the slope up to rounding.

    What rounding leaves of the slope is taken at three times the coefficients.
    """
    of = forces.of
    b, w = np.clip(forces.values, 0.0, of.caps), forces.w
    left, weighed = of.pull(w, b), of.hessian @ w
    size = 1.0 + np.abs(weighed) + np.abs(of.linear) + b @ np.abs(of.rows)
    if not (np.abs(left) <= _STILL * size).all():
        return -np.inf
    dual = float(of.kinks @ b) - 0.5 * float(np.square(b) @ of.rounding) - 0.5 * float(w @ weighed)
    return (dual - 3.0 * float(np.abs(left) @ np.abs(w))) * of.force * of.kink + weights.constant
