"""The optimum of one sum of hinges at many weights: from an answer nearby, else by an interior point; made exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf

from bilevel.arrays import Array
from bilevel.programs.hinges.form import HingeForm, Weights
from bilevel.programs.hinges.units import Scaled, Units
from bilevel.solvers.engines.hinge_sums.interior import Interior, interior_points
from bilevel.solvers.engines.hinge_sums.states import (
    AT,
    BEYOND,
    SHORT,
    Point,
    States,
    balanced,
    finished,
    states_at,
    swept,
)

_EARLIEST = 1e-3  # mu and residual at which the choice of states is first tried
_AGAIN = 0.03  # by how much both fall until it is tried again
_DEGENERATE = 1e-8  # from which on more rows at their kink than coefficients are taken for what is true
_STRICT = 1e-7  # a force this far inside its limits holds its row at the kink in every optimum
_INDEPENDENT = 1e-7  # singular values, relative to the largest


@dataclass(frozen=True, slots=True)
class Optimum:
    """An answer: the coefficients, the rows' forces, and whether the coefficients are proved to be the only ones."""

    w: Array
    forces: Array
    unique: bool


class HingeOptimum:
    """Solves one form at many weights.

    Parameters
    ----------
    form : HingeForm
        The program.
    """

    def __init__(self, form: HingeForm) -> None:
        self._units = Units(form.matrix)

    def __call__(self, weights: Weights, start: Array | None) -> Optimum | None:
        """The optimum; None where it is not found to the digits asked for, or there is none."""
        of = self._units.at(weights)
        pulling = of.caps > 0.0
        kept = of if pulling.all() else of.only(pulling)
        point = None
        if start is not None:
            w = start / kept.sizes
            states = states_at(kept, w)
            point = swept(kept, states, w, np.where(states == SHORT, kept.caps, 0.0))
        if point is None:
            point = _from_within(kept)
        if point is None:
            return None
        forces = np.zeros(len(pulling))
        forces[pulling] = point.forces
        return Optimum(point.w * of.sizes, forces * of.force, _only(kept, point))


def _from_within(of: Scaled) -> Point | None:
    """By an interior point, as far as it takes until the states that it says are those of an optimum."""
    limit = _EARLIEST
    for near in interior_points(of, np.zeros(len(of.linear))):
        reached = max(near.mu, 0.01 * near.residual)
        if reached > limit:
            continue
        limit = _AGAIN * reached
        states = _states_near(of, near)
        many = int(((states == AT) & (of.rounding == 0.0)).sum()) > len(near.w)
        if many and reached > _DEGENERATE:
            continue
        point = finished(of, states, near.w, near.forces)
        if point is None:
            point = swept(of, states, near.w, near.forces)
        if point is None and reached <= _DEGENERATE:
            point = balanced(of, states, near.w, near.forces)
        if point is not None:
            return point
    return None


def _states_near(of: Scaled, near: Interior) -> States:
    """At an interior point: of two numbers whose product is mu the smaller one is zero at the optimum."""
    left = np.where(of.bounded, of.caps - near.forces, np.inf)
    short = of.bounded & (left < near.short)
    return np.where(near.forces < near.beyond, BEYOND, np.where(short, SHORT, AT)).astype(np.int8)


def _only(of: Scaled, point: Point) -> bool:
    """Whether the coefficients are the only optimal ones.

    Every optimum has the same ``H w``, and rows whose force is inside its limits at the same place: they are the only
    ones where both together tell all coefficients apart.
    """
    b = point.forces
    inside = (b > _STRICT) & (b < of.caps - _STRICT * np.where(of.bounded, np.maximum(of.caps, 1.0), 0.0))
    flat = ~of.hessian.any(axis=0)
    if flat.any():
        held = of.rows[np.ix_(inside, flat)]
        if len(held) < flat.sum() or not _independent(held):
            return False
    curved = of.hessian[np.ix_(~flat, ~flat)]
    lengths = np.sqrt(np.maximum(curved.diagonal(), 1e-300))
    factor, failed = dpotrf(curved / (lengths[:, None] * lengths))
    return not failed and (not len(curved) or float(factor.diagonal().min()) > _INDEPENDENT)


def _independent(rows: Array) -> bool:
    """Whether the columns of some rows are."""
    values = np.linalg.svd(rows, compute_uv=False)
    return bool(values[-1] > _INDEPENDENT * values[0])
