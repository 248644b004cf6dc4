"""The optima of a sum of hinges: one of them, and a polyhedron around it in few variables.

All optima have the same forces for their dual (Burke and Ferris 1991, "Characterization of solution sets of convex
programs"): a row whose force is inside its limits is at its kink in all of them, a row that pulls with its cap is never
beyond it, one that does not pull never short of it; and they all have the same ``H w``.
"""

from __future__ import annotations

import numpy as np

from bilevel.arrays import Array
from bilevel.programs.answer import Face
from bilevel.programs.hinges.forces import ForcesAt
from bilevel.programs.hinges.form import HingeForm, Weights

_INSIDE = 1e-7  # a force this far inside its limits, in units of the caps
_SEEN = 1e-10  # singular values below this, relative to the largest, are zero


def hinge_face(form: HingeForm, forces_at: ForcesAt, weights: Weights, y: Array) -> Face | None:
    """The set of optima, given one; None where a slack that costs nothing has a set of its own."""
    if not weights.single or (weights.rounding > 0.0).any():
        return None
    forces = forces_at(weights, form.coefficients(y))
    of, b = forces.of, forces.values
    room = np.where(of.bounded, np.maximum(of.caps, 1.0), 1.0) * _INSIDE
    full = of.bounded & (b >= of.caps - room)
    held = (b > room) & ~full
    seen = np.vstack([of.hessian, of.rows[held]])
    _, sizes, across = np.linalg.svd(seen)
    unseen = across[int((sizes > _SEEN * sizes.max(initial=0.0)).sum()) :].T
    missed = of.short(forces.w)
    free = ~held & (of.caps > 0.0)
    low = np.where(full, -np.inf, missed)[free]  # of the motion of A w
    high = np.where(full, missed, np.inf)[free]

    motions = of.sizes[:, None] * unseen
    directions = np.zeros((form.n, unseen.shape[1]))
    directions[form.places] = motions
    slacks, sides, based = form.slacks, form.sides, form.based
    moved = np.zeros((len(slacks.places), unseen.shape[1]))
    moved[based] = -slacks.signs[based][:, None] * (form.lines.matrix[slacks.lines[based]] @ motions)
    falling = np.where(full[:, None], -(form.matrix @ motions), 0.0)
    for owners in (sides.owners, sides.partners):
        np.add.at(moved, owners[owners >= 0], falling[owners >= 0])
    own = slacks.places < form.n
    directions[slacks.places[own]] = moved[own]
    return Face(directions, of.rows[free] @ unseen, low, high)
