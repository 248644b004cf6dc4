"""What a search has been told, and what it has proposed and not yet been told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array, Point
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.warping import warp, warp_violation, warped_errors

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation

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
    told : list of Evaluation
        In the order in which they were told.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.seen: set[Point] = set()
        self.pending: dict[Point, Array] = {}
        self.successes = self.failures = 0
        self._units: list[Array] = []
        self._rows: list[tuple[float, float, bool, bool]] = []
        self.told: list[Evaluation] = []
        self._slopes: list[Array] = []
        self._places: dict[Point, int] = {}
        self._merit = math.inf

    def __len__(self) -> int:
        return len(self._units)

    def propose(self, point: Point) -> None:
        """Mark a point as proposed."""
        self.seen.add(point)
        self.pending[point] = self.encoding.unit(point)

    def elsewhere(self, point: Point, ended: bool) -> None:
        """Take a point of somebody else's as pending, or as unknown again."""
        if ended and point not in self._places:
            self.pending.pop(point, None)
            self.seen.discard(point)
        elif not ended and point not in self.seen:
            self.propose(point)

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
        if point in self._places:
            return False
        self._places[point] = len(self.told)
        self.told.append(evaluation)
        self._slopes.append(self._slope(evaluation))
        violation = evaluation.upper_violation if math.isfinite(evaluation.upper_violation) else 0.0
        violation = 0.0 if violation <= tolerances.FEASIBILITY else violation
        guessed = evaluation.pruned and math.isfinite(evaluation.estimate)  # as good as seen, never the incumbent
        cost = evaluation.cost if evaluation.answered else evaluation.estimate if guessed else math.nan
        self._units.append(self.encoding.unit(point))
        self._rows.append((cost, violation, evaluation.answered or guessed, evaluation.feasible or guessed))
        self._count(evaluation)
        return True

    def _slope(self, evaluation: Evaluation) -> Array:
        if evaluation.gradient is None or not evaluation.feasible:
            return np.full(len(self.encoding), math.nan)
        return np.asarray(evaluation.gradient) * self.encoding.space.unit_slopes(evaluation.point)

    def place(self, point: Point) -> int:
        """When a point was told."""
        return self._places[point]

    def cost_at(self, point: Point) -> float:
        """The cost told of a point where it counts, else infinite."""
        place = self._places.get(point)
        return self.told[place].cost if place is not None and self.told[place].feasible else math.inf

    @property
    def spread(self) -> float:
        """How far the best feasible cost lies below their median."""
        costs = self._column(0)[self.feasible]
        return float(np.median(costs) - costs.min()) if len(costs) else 0.0

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
    def slopes(self) -> Array:
        """dF/d(unit coordinates), shape (n, d); NaN where there is none or the point does not count."""
        return np.array(self._slopes).reshape(len(self), len(self.encoding))

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

    def errors(self) -> Array | None:
        """Standard errors of the targets, where functions were asked more than once; None where none was."""
        known = np.array([evaluation.standard_error for evaluation in self.told])
        known = np.where(np.isfinite(known), known, 0.0)
        if not known.any():
            return None
        return warped_errors(self._column(0), known, self.answered, self.feasible)

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
