"""What a search has been told, and what it has proposed and not yet been told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.contracts import Point

from .encoding import Array, Encoding
from .warping import warp, warp_violation

if TYPE_CHECKING:
    from bilevel.archive import Evaluation

_PROGRESS = 1e-3
"""An improvement below this share of (median - best) does not count as progress; it is kept all the same."""


class Memory:
    """Points, costs and violations told, pending points, and how long there has been no progress.

    Attributes
    ----------
    seen : set of Point
        Told or pending: never to be proposed again.
    pending : dict of Point to ndarray
        Proposed and not yet told, with their unit coordinates.
    successes, failures : int
        Evaluations in a row with, and without, progress.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.seen: set[Point] = set()
        self.pending: dict[Point, Array] = {}
        self.successes = self.failures = 0
        self._units: list[Array] = []
        self._rows: list[tuple[float, float, bool, bool]] = []
        self._told: set[Point] = set()
        self._merit = math.inf

    def __len__(self) -> int:
        return len(self._units)

    def propose(self, point: Point) -> None:
        """Mark a point as proposed."""
        self.seen.add(point)
        self.pending[point] = self.encoding.unit(point)

    def gather(self, count: int, following: Callable[[], Point | None]) -> list[Point]:
        """Up to ``count`` proposals, one after the other, until there are no more."""
        points: list[Point] = []
        while len(points) < count:
            point = following()
            if point is None:
                break
            self.propose(point)
            points.append(point)
        return points

    def tell(self, evaluation: Evaluation) -> bool:
        """Take an outcome; False if this point is known already, and then the first outcome stands."""
        point = evaluation.point
        self.pending.pop(point, None)
        self.seen.add(point)
        if point in self._told:
            return False
        self._told.add(point)
        violation = evaluation.upper_violation if math.isfinite(evaluation.upper_violation) else 0.0
        violation = 0.0 if violation <= tolerances.FEASIBILITY else violation
        cost = evaluation.cost if evaluation.answered else math.nan
        self._units.append(self.encoding.unit(point))
        self._rows.append((cost, violation, evaluation.answered, evaluation.feasible))
        self._count(evaluation)
        return True

    def _count(self, evaluation: Evaluation) -> None:
        spread = 0.0
        if evaluation.feasible and self.feasible.sum() > 1:
            costs = self._column(0)[self.feasible]
            spread = _PROGRESS * max(float(np.median(costs)) - self._merit, 0.0) if math.isfinite(self._merit) else 0.0
        progress = evaluation.feasible and evaluation.cost < self._merit - spread
        if evaluation.feasible:
            self._merit = min(self._merit, evaluation.cost)
        self.successes, self.failures = (self.successes + 1, 0) if progress else (0, self.failures + 1)

    def _column(self, k: int) -> Array:
        return np.array([row[k] for row in self._rows], dtype=float)

    @property
    def units(self) -> Array:
        """Unit coordinates told, shape (n, d)."""
        return np.array(self._units).reshape(len(self), len(self.encoding))

    @property
    def waiting(self) -> Array:
        """Unit coordinates of pending points, shape (m, d)."""
        return np.array(list(self.pending.values())).reshape(len(self.pending), len(self.encoding))

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Where there is a cost."""
        return self._column(2).astype(bool)

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Where the point may be the incumbent."""
        return self._column(3).astype(bool)

    @property
    def coupled(self) -> bool:
        """Whether any answered point broke an upper constraint."""
        return bool((self._column(1) > 0).any())

    def targets(self) -> Array:
        """What a surrogate of the cost is fitted to."""
        return warp(self._column(0), self.answered, self.feasible)

    def violations(self) -> Array:
        """What a surrogate of the violation is fitted to."""
        return warp_violation(self._column(1), self.answered)

    def telling(self, most: int) -> NDArray[np.int_]:
        """Indices, in order, of the points to keep where there are too many: the best two thirds and the latest."""
        if len(self) <= most:
            return np.arange(len(self))
        best = self.ranked()[: 2 * most // 3]
        return np.union1d(best, np.arange(len(self) - most // 3, len(self)))

    def ranked(self) -> NDArray[np.int_]:
        """Indices from best to worst: feasible by cost, then answered by violation, then failures."""
        cost, violation = self._column(0), self._column(1)
        key = np.where(self.feasible, cost, violation)
        tier = np.where(self.feasible, 0, np.where(self.answered, 1, 2))
        return np.lexsort((key, tier)).astype(np.int_)
