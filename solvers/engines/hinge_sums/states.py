"""Which rows are short of their kink, at it, or beyond it, and the point that goes with such a choice.

The point that goes with a choice solves one linear system (:mod:`bilevel.programs.hinges.kink_system`). Where rows at
a kink depend on each other the shortest correction is taken: from the middle of the optimal forces, where an interior
point ends, it stays within them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.programs.hinges.kink_system import KinkSystem, within_caps
from bilevel.programs.hinges.units import Scaled

BEYOND, AT, SHORT = 0, 1, 2
"""A row beyond its kink pulls with nothing, one short of it with its cap."""

States = NDArray[np.int8]

RESIDUAL = 1e-11
"""What is called an answer, in units of what is summed."""

_SWEEPS = 12
_AT_KINK = 1e-8  # of an answer: how far a row at its kink may be from it


@dataclass(slots=True)
class Point:
    """A point: coefficients and the rows' forces."""

    w: Array
    forces: Array


def states_at(of: Scaled, w: Array) -> States:
    """Where the rows are at an answer nearby."""
    short = of.short(w)
    near = _AT_KINK * max(1.0, float(np.abs(short).max(initial=0.0)))
    softly = (of.rounding > 0.0) & (short > 0.0) & (short < of.rounding * of.caps)
    found = np.where(short > near, SHORT, np.where((short >= -near) | softly, AT, BEYOND))
    return np.where(softly | (~of.bounded & (found == SHORT)), AT, found).astype(np.int8)


def stationary(of: Scaled, states: States, w: Array, forces: Array) -> tuple[Point, bool]:
    """The point that goes with a choice, as near as possible to another; and whether it is the only one."""
    at = np.flatnonzero(states == AT)
    b = np.where(states == SHORT, of.caps, 0.0)
    b[at] = forces[at]
    system, rows = KinkSystem(of, at), of.rows[at]
    for _ in range(2):
        move, push = system.solve(-of.pull(w, b), of.kinks[at] - rows @ w - of.rounding[at] * b[at])
        w = w + move
        b[at] -= push
    return Point(w, b), system.single


def swept(of: Scaled, states: States, w: Array, forces: Array) -> Point | None:
    """An optimum by changes of the choice, every wrong row at once; None where they do not settle."""
    point, seen = Point(w, forces), set[bytes]()
    for _ in range(_SWEEPS):
        if int((states == AT).sum()) > len(w) + int((of.rounding[states == AT] > 0.0).sum()):
            return None
        key = states.tobytes()
        if key in seen:
            return None
        seen.add(key)
        point, single = stationary(of, states, point.w, point.forces)
        if not single:
            return None
        changed = _changed(of, states, point)
        if changed is None:
            return point if _is_optimum(of, states, point) else None
        states = changed
    return None


def finished(of: Scaled, states: States, w: Array, forces: Array) -> Point | None:
    """The optimum that goes with a choice; None where that is not it."""
    point, _ = stationary(of, states, w, forces)
    return point if _changed(of, states, point) is None and _is_optimum(of, states, point) else None


def balanced(of: Scaled, states: States, w: Array, forces: Array) -> Point | None:
    """The same where rows at their kink depend on each other, or pull with nothing: w first, then forces for it."""
    w = stationary(of, states, w, forces)[0].w
    missed, soft = of.short(w), of.rounding > 0.0
    near = RESIDUAL * max(1.0, float(np.abs(of.rows @ w).max(initial=0.0)))
    if soft.any():
        return None
    states = np.where(missed > near, SHORT, np.where(missed < -near, BEYOND, AT)).astype(np.int8)
    if not of.bounded[states == SHORT].all():
        return None
    at, b = states == AT, np.where(states == SHORT, of.caps, 0.0)
    b[at] = within_caps(of.rows[at], of.pull(w, b), of.caps[at]) if at.any() else 0.0
    point = Point(w, b)
    return point if _is_optimum(of, states, point) else None


def _changed(of: Scaled, states: States, point: Point) -> States | None:
    """The choice with every row that is on the wrong side put on the right one; None where there is none."""
    b, short = point.forces, of.short(point.w) - of.rounding * point.forces
    near = RESIDUAL * max(1.0, float(np.abs(of.rows @ point.w).max(initial=0.0)))
    slack = RESIDUAL * np.where(of.bounded, np.maximum(of.caps, 1.0), 1.0)
    found = states.copy()
    at = states == AT
    found[at & (b < -slack)] = BEYOND
    found[at & (b > of.caps + slack)] = SHORT
    found[((states == BEYOND) & (short > near)) | ((states == SHORT) & (short < -near))] = AT
    return None if np.array_equal(found, states) else found


def _is_optimum(of: Scaled, states: States, point: Point) -> bool:
    """Whether the point is stationary, and rows said to be at their kink are."""
    w, b = point.w, point.forces
    size = 1.0 + float(np.abs(of.hessian @ w).max(initial=0.0)) + float(np.abs(of.linear).max(initial=0.0))
    size += float((np.abs(b) @ np.abs(of.rows)).max(initial=0.0)) * 1e-3
    at = states == AT
    off = of.short(w)[at] - (of.rounding * b)[at]
    near = RESIDUAL * max(1.0, float(np.abs(of.rows @ w).max(initial=0.0)))
    still = float(np.abs(of.pull(w, b)).max(initial=0.0)) <= RESIDUAL * size
    return bool(still and np.isfinite(w).all() and (np.abs(off) <= near).all())
