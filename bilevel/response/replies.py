"""What the followers answered: at one upper point, and at many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from bilevel.arrays import Array
from bilevel.programs.answer import Status


@dataclass(slots=True)
class Reply:
    """What the followers answered at one upper point.

    Attributes
    ----------
    status : Status
        OPTIMAL, or why there is no answer.
    y : ndarray of shape (n,), optional
        Every follower's variables, stacked, and the multipliers used above.
    cost : float
        F, minimised (the leader's sense taken out).
    lower : tuple of float
        f of each follower, minimised.
    violation : float
        Largest relative violation of a coupling constraint.
    proved : bool
        Whether each answer and the choice among ties is proved.
    message : str
        Which follower failed, and why; or what of an answer is not proved.
    misshapen : bool
        Whether it failed because a response function's answer was of a wrong shape.
    error : float
        Standard error of F, where functions were asked more than once and y is the mean of their answers.
    bound : float
        What F, minimised, is proved to be no better than, where that was reason enough to stop.
    spared : tuple of int
        Followers' solves left out then, and all there are.
    """

    status: Status
    y: Array | None = None
    cost: float = math.nan
    lower: tuple[float, ...] = ()
    violation: float = math.nan
    proved: bool = False
    message: str = ""
    misshapen: bool = False
    error: float = math.nan
    bound: float = math.nan
    spared: tuple[int, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it is an answer with its proof and no more."""
        return self.status is Status.OPTIMAL and self.proved and not self.message


class Replies(Sequence[Reply]):
    """Replies to many upper points, in their order.

    Attributes
    ----------
    cost : ndarray of shape (n,)
        F, minimised; NaN where there is no answer.
    violation : ndarray of shape (n,)
        Of the coupling constraints.
    lower : ndarray of shape (n, number of followers)
        f of each follower, minimised.
    y : ndarray of shape (n, number of followers' variables)
        The answers; NaN where there is none.
    others : dict of Reply
        By place, those that are more than their row: without an answer, without a proof, with a message.
    """

    def __init__(self, cost: Array, violation: Array, lower: Array, y: Array, others: dict[int, Reply]) -> None:
        self.cost, self.violation, self.lower, self.y, self.others = cost, violation, lower, y, others
        for place, reply in others.items():
            self.cost[place], self.violation[place] = reply.cost, reply.violation
            self.lower[place] = reply.lower or math.nan
            self.y[place] = math.nan if reply.y is None else reply.y

    @classmethod
    def of(cls, replies: Sequence[Reply], followers: int, variables: int) -> Replies:
        """The columns of some replies."""
        n, no_lower, no_y = len(replies), (math.nan,) * followers, np.full(variables, math.nan)
        cost = np.array([reply.cost for reply in replies])
        violation = np.array([reply.violation for reply in replies])
        lower = np.array([reply.lower or no_lower for reply in replies]).reshape(n, followers)
        y = np.array([no_y if reply.y is None else reply.y for reply in replies]).reshape(n, variables)
        return cls(cost, violation, lower, y, {k: reply for k, reply in enumerate(replies) if not reply.plain})

    def __len__(self) -> int:
        return len(self.cost)

    @overload
    def __getitem__(self, place: int) -> Reply: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Reply]: ...
    def __getitem__(self, place: int | slice) -> Reply | Sequence[Reply]:
        """One reply, or a list of them."""
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        if place in self.others:
            return self.others[place]
        lower, violation = tuple(self.lower[place].tolist()), float(self.violation[place])
        return Reply(Status.OPTIMAL, self.y[place].copy(), float(self.cost[place]), lower, violation, True)

    @property
    def status(self) -> list[Status]:
        """Of each point."""
        found = [Status.OPTIMAL] * len(self)
        for place, reply in self.others.items():
            found[place] = reply.status
        return found
