"""Answers at the centres of boxes: each from that at the nearest point answered before, where engines gain from it."""

from __future__ import annotations

import numpy as np

from bilevel.arrays import Array
from bilevel.response.replies import Replies, Reply
from bilevel.response.response import Response

_KEPT = 2_000  # of the last answers


class Centres:
    """Asks a response.

    Parameters
    ----------
    response : Response
        Without a memory of its own.
    low, high : ndarray of shape (d,)
        Of x; what is near is seen in logarithms where these are positive.
    """

    def __init__(self, response: Response, low: Array, high: Array) -> None:
        self._response = response
        self._logs = (low > 0.0) & (high > low)
        ends = (np.where(self._logs, np.log(np.where(self._logs, end, 1.0)), end) for end in (low, high))
        width = -np.subtract(*ends)
        self._width = np.where(width > 0.0, width, 1.0)
        self._places = np.zeros((0, len(low)))
        self._answers: list[Array] = []

    def __call__(self, points: Array) -> Replies:
        """The answers at points of shape (k, d)."""
        if not self._response.warms:
            return self._response.many(points)
        found = [self._from_nearby(point) for point in points]
        return Replies.of(found, len(self._response.engines), len(self._response.problem.lower_variables))

    def _from_nearby(self, point: Array) -> Reply:
        place = np.where(self._logs, np.log(np.where(self._logs, point, 1.0)), point) / self._width
        start = None
        if self._answers:
            start = self._answers[int(((self._places - place) ** 2).sum(axis=1).argmin())]
        reply = self._response.tried(point, None, start)
        if reply.y is not None:
            self._places = np.concatenate([self._places, place[None]])[-_KEPT:]
            self._answers = [*self._answers, reply.y][-_KEPT:]
        return reply
