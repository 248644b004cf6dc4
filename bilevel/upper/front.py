r"""A front of several objectives: who is dominated, how much it covers, and what may be missing from it.

All on arrays of costs, shape (n, k), every objective minimised. A point dominates another that is nowhere better and
somewhere worse (Miettinen 1999, def. 2.2.1). The hypervolume is the volume dominated by the points up to a reference
point (Zitzler and Thiele 1998), by dimension sweep (Fonseca, Paquete and Lopez-Ibanez 2006).

What is missing: a run of the epsilon-constraint method proves of a limit e on the other objectives that

    z_2 <= e_2, ..., z_k <= e_k   implies   z_1 + sum_j w_j z_j >= B,

with B infinite where it was infeasible. The limits and the points cut (z_2, ..., z_k) into cells. In a cell with the
upper ends u <= e this makes z_1 >= B - sum_j w_j u_j, and the lower corner of the cell, with the best of these bounds,
is at least as good as any point there. So every point of the true front is matched to within ``max over corners c, min
over points p, max_i (p_i - c_i) / r_i`` of the ranges r: the additive epsilon indicator (Zitzler et al. 2003) of what
was found against all that can be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array

REFERENCE = 1.1
"""The reference point of hypervolumes, where the ideal is 0 and the nadir 1 in every objective."""
_MOST_CELLS = 200_000


def nondominated(costs: Array, slack: Array | float = 0.0) -> NDArray[np.bool_]:
    """Which points no other one dominates; of equal ones the first.

    Parameters
    ----------
    costs : ndarray of shape (n, k)
        Rows that are not finite are dominated.
    slack : float or ndarray of shape (k,)
        Differences up to this are none: a point that is better by less in one objective alone, and worse in another
        by more, is weakly dominated, and goes.
    """
    finite = np.asarray(np.isfinite(costs).all(axis=1))
    kept = finite.copy()
    for i in np.flatnonzero(finite):
        no_worse = (costs <= costs[i] + slack).all(axis=1) & kept
        better = (costs < costs[i] - slack).any(axis=1)
        equal = ~better & (np.arange(len(costs)) < i)
        no_worse[i] = False
        if (no_worse & (better | equal)).any():
            kept[i] = False
    return kept


def hypervolume(costs: Array, reference: Array) -> float:
    """The volume that is dominated by some points and dominates the reference point.

    Parameters
    ----------
    costs : ndarray of shape (n, k)
        The points; those that do not dominate the reference add nothing.
    reference : ndarray of shape (k,)
        As good as nothing.
    """
    inside = costs[(costs < reference).all(axis=1)]
    return _volume(inside[nondominated(inside)], reference) if len(inside) else 0.0


def _volume(costs: Array, reference: Array) -> float:
    """Slices along the last objective, each with the volume of what is below it in the others."""
    if len(reference) == 1:
        return float(reference[0] - costs.min())
    order = costs[np.argsort(costs[:, -1], kind="stable")]
    if len(reference) == 2:
        best = np.minimum.accumulate(order[:, 0])
        heights = np.diff(np.append(order[:, 1], reference[1]))
        return float(((reference[0] - best) * heights).sum())
    heights = np.diff(np.append(order[:, -1], reference[-1]))
    total = 0.0
    for k in np.flatnonzero(heights > 0):
        below = order[: k + 1, :-1]
        total += heights[k] * _volume(below[nondominated(below)], reference[:-1])
    return total


def ends(costs: Array) -> tuple[Array, Array]:
    """Ideal and nadir of a front: the best and the worst of each objective on it, shape (k,) each."""
    return costs.min(axis=0), costs.max(axis=0)


def ranges_of(ideal: Array, nadir: Array) -> Array:
    """Nadir less ideal, 1 where the two are the same."""
    width = nadir - ideal
    return np.where(width > 0, width, 1.0)


def normalised_hypervolume(costs: Array, front: Array) -> float:
    """The hypervolume where a reference front has its ideal at 0 and its nadir at 1, up to ``REFERENCE`` in each."""
    ideal, nadir = ends(front)
    scaled = (costs - ideal) / ranges_of(ideal, nadir)
    return hypervolume(scaled, np.full(costs.shape[1], REFERENCE))


@dataclass(frozen=True)
class Proof:
    """What one run proved: ``z_1 + sum_j w_j z_j >= bound`` of every point within the limits.

    Attributes
    ----------
    limits : tuple of float
        On the costs from the second on; infinite where there is none.
    bound : float
        Infinite where there is no point at all.
    weights : tuple of float
        Of the costs from the second on, none negative; empty where all are 0.
    """

    limits: tuple[float, ...]
    bound: float
    weights: tuple[float, ...] = ()

    def least(self, upper: Array) -> float:
        """What the first cost is at least where the others are at most ``upper``, within the limits."""
        taken = (w * u for w, u in zip(self.weights, upper.tolist(), strict=True) if w) if self.weights else ()
        return self.bound - sum(taken) if self.bound < math.inf else math.inf


@dataclass(frozen=True)
class Cell:
    """Where a better point may hide.

    Attributes
    ----------
    lower, upper : ndarray of shape (k - 1,)
        Its ends in the costs from the second on; the last upper ends are infinite.
    gap : float
        By how much of the ranges, in the worst objective, a point there could be better than the best match found.
    """

    lower: Array
    upper: Array
    gap: float


def missed(costs: Array, proofs: Sequence[Proof], ideal: Array, width: Array) -> list[Cell]:
    """The cells in which a point that is better than those found is not ruled out, the worst first.

    Parameters
    ----------
    costs : ndarray of shape (n, k)
        The points found.
    proofs : sequence of Proof
        What was proved.
    ideal : ndarray of shape (k,)
        Proved: no point has a lower cost; the first entry is not used.
    width : ndarray of shape (k,)
        The ranges.

    Returns
    -------
    list of Cell
        Empty where every point of the true front is matched by one that was found.
    """
    limits = np.array([proof.limits for proof in proofs]).reshape(len(proofs), costs.shape[1] - 1)
    axes = [_cuts(np.concatenate([limits[:, j], costs[:, j + 1]]), ideal[j + 1]) for j in range(limits.shape[1])]
    if math.prod(len(axis) - 1 for axis in axes) > _MOST_CELLS:
        return [Cell(ideal[1:], np.full(len(axes), math.inf), math.inf)]
    found = []
    for places in itertools.product(*(range(len(axis) - 1) for axis in axes)):
        lower = np.array([axis[p] for axis, p in zip(axes, places, strict=True)])
        upper = np.array([axis[p + 1] for axis, p in zip(axes, places, strict=True)])
        covering = [proofs[k].least(upper) for k in np.flatnonzero((limits >= upper).all(axis=1)).tolist()]
        corner = np.append(max(covering, default=-math.inf), lower)
        if corner[0] == math.inf:
            continue
        gap = float(((costs - corner) / width).max(axis=1).min()) if len(costs) else math.inf
        if gap > 0:
            found.append(Cell(lower, upper, gap))
    return sorted(found, key=lambda cell: -cell.gap)


def _cuts(values: Array, ideal: float) -> Array:
    """From the ideal through all values in between to infinity."""
    inner = np.unique(values[np.isfinite(values) & (values > ideal)])
    return np.concatenate([[ideal], inner, [math.inf]])
