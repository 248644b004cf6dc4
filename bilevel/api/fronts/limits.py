"""Which limits the epsilon-constraint method sets next.

Of two objectives: in the middle of the cell in which the best point may hide, so that points lie where the front needs
them (the box method, Hamacher, Pedersen and Ruzika 2007). Of more: a grid of equal steps, from loose to tight in the
last objective, where a run whose answer stays below its limit answers for the limits it passes over as well, and one
without an answer for all that are tighter (AUGMECON2, Mavrotas and Florios 2013).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from bilevel.arrays import Array
from bilevel.upper.front import Cell, Proof

_NARROW = 1e-4  # of a range: a cell that is narrower is not cut once more
_NEARLY = 1e-3  # of a cell


def covered(limits: Sequence[float], proofs: Sequence[Proof], costs: Array) -> bool:
    """Whether it is known already what is best within some limits.

    A run with limits nowhere tighter tells it: where it was infeasible, or where its answer is within these too.
    """
    for proof in proofs:
        if all(mine <= theirs for mine, theirs in zip(limits, proof.limits, strict=True)):
            if proof.bound == math.inf:
                return True
            near = costs[(costs[:, 1:] <= np.array(limits)).all(axis=1)]
            sums = near[:, 0] + near[:, 1:] @ np.array(proof.weights or (0.0,) * len(limits))
            if len(near) and sums.min() - proof.bound <= _NARROW * max(1.0, abs(proof.bound)):
                return True
    return False


def grid(ideal: Array, nadir: Array, points: int) -> Iterator[tuple[float, ...]]:
    """Limits on the objectives from the second on, in equal steps; the loosest is none.

    Parameters
    ----------
    ideal, nadir : ndarray of shape (k,)
        Of the payoff table.
    points : int
        How many there are at least.
    """
    count = len(ideal) - 1
    steps = math.ceil(points ** (1.0 / count)) + 1  # some limits leave nothing
    axes = []
    for low, high in zip(ideal[1:], nadir[1:], strict=True):
        inner = [low + (high - low) * k / steps for k in range(steps - 1, 0, -1)] if high > low else []
        axes.append([math.inf, *inner])
    yield from itertools.product(*axes)


def within_cell(cell: Cell, costs: Array, nadir: Array, width: Array) -> tuple[float, ...] | None:
    """The limits that cut a cell; None where it is too narrow for that.

    In the middle, but just below its upper end where it begins at a limit and no point: there a run stayed below its
    limit already, which on a front without gaps it does not.
    """
    upper = np.where(np.isfinite(cell.upper), cell.upper, np.maximum(nadir[1:], cell.lower))
    wide = (upper - cell.lower) > _NARROW * width[1:]
    if not wide.any() or not np.isfinite(cell.lower).all():
        return None
    reached = (np.abs(costs[:, 1:] - cell.lower) <= _NARROW * width[1:]).any(axis=0)
    place = np.where(reached, 0.5, 1.0 - _NEARLY)
    inside = np.where(wide, cell.lower + place * (upper - cell.lower), cell.upper)
    return tuple(float(v) for v in inside)
