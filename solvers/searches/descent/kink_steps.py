"""Steps across kinks: the pieces of F seen near a point are a bundle, and the next point minimises its model.

Where the follower's active constraints change, F is continuous and its gradient jumps; a line search along the
gradient of one piece gets no further there, and a quasi-Newton model learns a curvature that is none. The model
``max_i f_i + g_i'(u - u_i)`` over the evaluations i near the best point u_0 knows both sides (bundle methods: Kiwiel
1985, *Methods of Descent for Nondifferentiable Optimization*); coupling constraints hold for every piece. It is
minimised by a linear program within a box, which grows after a good step and shrinks after bad ones. As F need not be
convex, no piece may be above F, nor break a constraint, at u_0 itself: this makes the model one of sampled gradients
there (Burke, Lewis and Overton 2005; with constraints Curtis and Overton 2012, doi 10.1137/090780201).

Where the follower has no answer nothing is known but that: a plane that keeps these points from the others, with the
largest margin, stands for the edge, and the steps go along it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from bilevel import tolerances
from bilevel.arrays import Array

_FIRST = 0.05  # of the unit box
_LARGEST = 0.25
_SMALLEST = 1e-8
_REACH = 2.0  # how far from u_0 pieces count, in radii
_ENOUGH = 0.1  # share of the promised descent that makes a good step
_SHRINK = 0.4
_SHRINK_AT_WALL = 0.8  # less: the points on both sides of the edge, seen from not too near, tell its direction
_PART = 0.3  # of the way to the points without an answer that a step may go
_SHARPLY = {"primal_feasibility_tolerance": tolerances.ENGINE, "dual_feasibility_tolerance": tolerances.ENGINE}
_TINY = 1e-9  # a promised descent that is none, in units of the spread of F


@dataclass(frozen=True)
class Piece:
    """What is known at one point.

    Attributes
    ----------
    unit : ndarray of shape (n,)
        Where.
    value : float
        F.
    slope : ndarray of shape (n,)
        Its gradient.
    room, room_slopes : ndarray of shape (m,), (m, n)
        Functions that are nonnegative where the constraints hold, and their derivatives.
    feasible : bool
        Whether they all hold.
    """

    unit: Array
    value: float
    slope: Array
    room: Array
    room_slopes: Array
    feasible: bool

    @property
    def deficit(self) -> float:
        """By how much the constraints are broken: no step may go deeper into what feasibility tolerates."""
        return -float(self.room.min(initial=0.0))


def cross(look: Callable[[Array], Piece | None], known: list[Piece], walls: list[Array], steps: int) -> None:
    """Go down from the best feasible one of some pieces.

    Parameters
    ----------
    look : callable
        ``look(u)`` evaluates a point of the unit box; None where there is no answer.
    known : list of Piece
        Those seen before; what is looked at is added.
    walls : list of ndarray
        Points seen before that have no answer; added to as well.
    steps : int
        Largest number of looks.
    """
    feasible = [piece for piece in known if piece.feasible]
    if not feasible:
        return
    best, radius = min(feasible, key=lambda piece: piece.value), _FIRST
    for _ in range(steps):
        move, promised = _step(best, known, radius, walls)
        while promised <= _TINY and radius > _SMALLEST:
            radius *= 0.1 * _SHRINK
            move, promised = _step(best, known, radius, walls)
        if promised <= _TINY:
            return
        aim = np.clip(best.unit + move, 0.0, 1.0)
        there = look(aim)
        if there is None:
            walls.append(aim)
        else:
            known.append(there)
        good = there is not None and there.feasible and there.deficit <= max(best.deficit, tolerances.ENGINE)
        if there is not None and good and best.value - there.value >= _ENOUGH * promised:
            best, radius = there, min(2.0 * radius, _LARGEST)
        else:
            radius *= _SHRINK if there is not None else _SHRINK_AT_WALL


def _step(best: Piece, known: list[Piece], radius: float, walls: list[Array]) -> tuple[Array, float]:
    """The move that the model likes best within the radius, and the descent it promises."""
    if np.abs(best.slope).sum() * radius <= _TINY:
        return best.slope, 0.0
    near = [piece for piece in known if np.abs(piece.unit - best.unit).max() <= _REACH * radius]
    moves = [best.unit - piece.unit for piece in near]
    n = len(best.unit)
    slopes = np.array([piece.slope for piece in near])
    at_best = [p.value + p.slope @ move - best.value for p, move in zip(near, moves, strict=True)]
    sides = [np.column_stack([slopes, -np.ones(len(near))])]
    limits = [-np.minimum(at_best, 0.0)]
    for piece, move in zip(near, moves, strict=True):
        sides.append(np.column_stack([-piece.room_slopes, np.zeros(len(piece.room))]))
        limits.append(np.maximum(piece.room + piece.room_slopes @ move, 0.0))
    wall = _wall(best.unit, near, walls, radius)
    if wall is not None:
        sides.append(np.append(wall[0], 0.0)[None])
        limits.append(np.array([wall[1]]))
    # Moves are measured in radii: what a linear program's rows tolerate shrinks with them.
    box = np.column_stack([np.maximum(-1.0, -best.unit / radius), np.minimum(1.0, (1.0 - best.unit) / radius)])
    bounds = [*map(tuple, box.tolist()), (None, None)]
    cost, rows = np.append(np.zeros(n), 1.0), np.vstack(sides)
    found = scipy.optimize.linprog(cost, rows, np.concatenate(limits) / radius, bounds=bounds, options=_SHARPLY)
    if found.status != 0:
        return np.zeros(n), 0.0
    return radius * found.x[:n], -radius * float(found.x[n])


def _wall(centre: Array, near: list[Piece], walls: list[Array], radius: float) -> tuple[Array, float] | None:
    """A half-space ``w'd <= b`` of moves that holds the answered points nearby and not those without an answer.

    The one that keeps furthest from the latter; None where no plane through the centre has them all on one side.
    """
    beyond = [u - centre for u in walls if np.abs(u - centre).max() <= _REACH * radius]
    if not beyond:
        return None
    n = len(centre)
    within = [piece.unit - centre for piece in near]
    rows = np.vstack(
        [np.column_stack([within, np.zeros(len(within))]), np.column_stack([-np.array(beyond), np.ones(len(beyond))])]
    )
    found = scipy.optimize.linprog(
        np.append(np.zeros(n), -1.0), rows / radius, np.zeros(len(rows)), bounds=[(-1.0, 1.0)] * n + [(None, None)]
    )
    if found.status != 0 or not found.x[n] > 0.0:
        return None
    return found.x[:n], _PART * float(found.x[n])
