"""How far the next step may go, by what became of the last (Conn, Gould, Toint 2000, *Trust-Region Methods*, 6.1)."""

from __future__ import annotations

FIRST = 0.25
"""Of the unit box."""


def adapted(radius: float, ratio: float, length: float, short: float = 0.25) -> float:
    """The radius after a step.

    Parameters
    ----------
    radius : float
        That of the step.
    ratio : float
        What was gained over what the model promised; NaN counts as nothing.
    length : float
        Of the step, in the largest coordinate.
    short : float
        By how much of the step's length the next is shortened where the model promised too much.
    """
    if not ratio >= 0.25:
        return short * length
    return min(2.0 * radius, 1.0) if ratio > 0.75 and length > 0.8 * radius else radius
