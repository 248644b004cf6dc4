"""Many upper points answered in one call: rows of arrays, each an evaluation when somebody reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array, Point
from bilevel.programs.answer import Status
from bilevel.upper.archive import Evaluation
from bilevel.upper.dimension import Dimension


@dataclass(frozen=True)
class Batch:
    """What came of many upper points.

    Attributes
    ----------
    first : int
        The first one's place in the history.
    points : list of tuple
        Their coordinates.
    dimensions : sequence of Dimension
        What these are of.
    names : sequence of str
        The followers' variables, as they are stacked.
    sense : int
        The leader's: +1 where it minimises.
    costs, violations : ndarray of shape (n,)
        F to be minimised, and the largest violation of an upper constraint.
    lower : ndarray of shape (n, number of followers)
        f of each follower in the user's sense.
    y : ndarray of shape (n, number of followers' variables)
        The answers.
    seconds : float
        Time that one took.
    others : mapping of int to Evaluation
        By place in the batch, what is more than an answer with its proof; arrays are of no meaning there.
    """

    first: int
    points: Sequence[Point]
    dimensions: Sequence[Dimension]
    names: Sequence[str]
    sense: int
    costs: Array
    violations: Array
    lower: Array
    y: Array
    seconds: float
    others: Mapping[int, Evaluation]

    def evaluation(self, place: int) -> Evaluation:
        """The one at a place in the batch."""
        if place in self.others:
            return self.others[place]
        point, cost = self.points[place], float(self.costs[place])
        return Evaluation(
            self.first + place,
            point,
            {d.name: d.value(c) for d, c in zip(self.dimensions, point, strict=True)},
            lower=dict(zip(self.names, self.y[place].tolist(), strict=True)),
            status=Status.OPTIMAL,
            upper_objective=self.sense * cost,
            lower_objective=tuple(self.lower[place].tolist()),
            upper_violation=float(self.violations[place]),
            cost=cost,
            proved=True,
            seconds=self.seconds,
        )

    def best(self) -> int | None:
        """The place of the first feasible one of least cost."""
        places = np.flatnonzero(self._feasible)
        return int(places[self.costs[places].argmin()]) if len(places) else None

    @cached_property
    def _feasible(self) -> NDArray[np.bool_]:
        found = np.isfinite(self.costs) & (self.violations <= tolerances.FEASIBILITY)
        for place, evaluation in self.others.items():
            found[place] = evaluation.feasible
        return found
