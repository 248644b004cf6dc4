"""Where an evaluation starts below: at the answer to the nearest upper point already known.

A follower's answer moves little where x does, and Newton's method then needs a step or two. But a history must depend
on the seed alone, on the number of workers at most, and a study must go on to the last bit; so the start may not be
whatever was solved last by whoever evaluates. It is a function of the history: of the evaluations that are told when
the point is sent out, where the search learns (that is what it chose the point by as well); elsewhere of those at least
a fixed number of places before the point, however many are out.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

LAG = 64
"""Places between a point and what it may start from, where the search does not learn; no more points may be out."""

_MOST = 20_000  # evaluations looked through, the last ones
_FIRST = 256  # rows made room for at first


class Anchors(Protocol):
    """Gives each point its start."""

    def add(self, evaluation: Evaluation) -> None:
        """Take note of an outcome that was told; they come in the order of their places."""

    def start(self, point: Point, index: int) -> Array | None:
        """The followers' variables to start from at a point with that place; None for the engine's own start."""


class NoAnchors:
    """Where no engine gains from a start."""

    def add(self, evaluation: Evaluation) -> None:
        """See :class:`Anchors`."""

    def start(self, point: Point, index: int) -> Array | None:
        """See :class:`Anchors`."""
        return None


class NearestAnswers:
    """The answer at the nearest point, in the unit box.

    Parameters
    ----------
    space : Space
        Measures.
    names : sequence of str
        The followers' variables, as they are stacked.
    lag : int
        How many places before a point what it starts from must lie at least.
    """

    def __init__(self, space: Space, names: list[str], lag: int) -> None:
        self._space, self._names, self._lag = space, names, lag
        self._units = np.zeros((len(space.dimensions), _FIRST))  # one row per dimension: sums go along the long side
        self._places = np.zeros(_FIRST, dtype=int)
        self._answers: list[Evaluation] = []

    def add(self, evaluation: Evaluation) -> None:
        """See :class:`Anchors`."""
        if not evaluation.answered or not evaluation.lower:  # of a point that others evaluated only F is known
            return
        count = len(self._answers)
        if count == len(self._places):
            self._units = np.hstack([self._units, np.zeros_like(self._units)])
            self._places = np.concatenate([self._places, np.zeros_like(self._places)])
        self._units[:, count] = self._space.to_unit(evaluation.point)
        self._places[count] = evaluation.index
        self._answers.append(evaluation)

    def start(self, point: Point, index: int) -> Array | None:
        """See :class:`Anchors`; the earliest of several that are as near."""
        count = int(np.searchsorted(self._places[: len(self._answers)], index - self._lag, side="right"))
        if not count:
            return None
        first = max(0, count - _MOST)
        away = self._units[:, first:count] - self._space.to_unit(point)[:, None]
        nearest = self._answers[first + int((away * away).sum(axis=0).argmin())]
        return np.array([nearest.lower[name] for name in self._names])
