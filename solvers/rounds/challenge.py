"""A claim held against points: no bound is believed that the followers' true answers beat, no "infeasible" either.

A global solver's word rests on tolerances that say nothing about F. So what it says is put to the test before it
counts: the followers answer at points all over the space of x, then at the points of a compass search (Kolda, Lewis and
Torczon 2003, doi 10.1137/S003614450242889) from the best of them. One point with a better F than the bound, or any
point at all where there should be none, and the claim is withdrawn. That none is found proves nothing, and is not said.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Point
from bilevel.deadline import Deadline, OutOfTime, heard, passed, within
from bilevel.errors import BilevelError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.upper.space import Space
from bilevel.verify.check import Check
from bilevel.verify.verifier import Verifier

SHARE = 0.1
"""Of the time limit, that a claim is worth."""

_SECONDS = 1.0  # and no more than these

_SPREAD = 32  # points all over the space
_STEPS = 60  # of the compass search
_FIRST, _LAST = 0.125, 1e-4  # lengths of its steps, on the unit box
_SEED = 0


class Challenge:
    """Looks for a point that refutes a claim.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    response : Response
        The followers'.
    seconds : float
        After these it gives up, if not before.
    """

    def __init__(self, compilation: Compilation, response: Response, seconds: float) -> None:
        self._compilation, self._response = compilation, response
        self._until = time.monotonic() + min(_SECONDS, seconds)
        self._known: dict[Point, tuple[float, float]] = {}
        self._found: Check | None = None
        self._level = -math.inf
        self._verifier: Verifier | None = None

    def beats(self, bound: float) -> Check | None:
        """A feasible point with an F below a lower bound by more than tolerances allow, if one is found.

        It is verified before it counts: near a jump of the answer an f right to its tolerance gives an F that is none.

        Parameters
        ----------
        bound : float
            On F, minimised; infinite where there should be no point.
        """
        room = tolerances.CERTIFICATE * self._compilation.scale(bound) if math.isfinite(bound) else 0.0
        self._level = bound - room
        try:
            self._try_out(Space(self._compilation))
        except BilevelError:  # no search takes it: something has no bounds
            return None
        except OutOfTime:
            heard()
        return self._found

    def _try_out(self, space: Space) -> None:
        for point in _spread(space):
            if self._done:
                return
            self._look(space, point)
        if self._known:
            self._descend(space)

    @property
    def _done(self) -> bool:
        return self._found is not None or time.monotonic() > self._until or passed()

    def _look(self, space: Space, point: Point | None) -> tuple[float, float]:
        """Violation and F at a point; infinite where there is no answer."""
        if point is None:
            return math.inf, math.inf
        if point not in self._known:
            upper = space.values(point)
            reply = self._response(space.vector(point), upper)
            answered = reply.status is Status.OPTIMAL and reply.y is not None
            self._known[point] = (
                (max(reply.violation - tolerances.FEASIBILITY, 0.0), reply.cost) if answered else (math.inf, math.inf)
            )
            if self._known[point][0] == 0.0 and reply.cost < self._level and reply.y is not None:
                self._verify(upper, self._response.lower_values(reply.y))
        return self._known[point]

    def _verify(self, upper: dict[str, Any], lower: dict[str, float]) -> None:
        if self._verifier is None:
            fresh = Response(self._compilation.problem, compilation=self._compilation, warm=False)
            self._verifier = Verifier(self._compilation, fresh)
        with within(Deadline(self._until + _SECONDS)):
            check = self._verifier.check(upper, lower)
        if isinstance(check, Check) and check.stands and check.certain:
            cost = self._compilation.problem.sense * check.upper_objective
            self._found = check if cost < self._level else None

    def _descend(self, space: Space) -> None:
        best = min(self._known, key=self._known.__getitem__)
        length, looks = _FIRST, 0
        while length > _LAST and looks < _STEPS and not self._done:
            centre, moved = space.to_unit(best), False
            for k in range(len(centre)):
                for sign in (1.0, -1.0):
                    unit = centre.copy()
                    unit[k] = min(max(unit[k] + sign * length, 0.0), 1.0)
                    point = space.draw(unit)
                    if self._done or looks >= _STEPS or point is None:
                        continue
                    looks += point not in self._known
                    if self._look(space, point) < self._known[best]:
                        best, moved = point, True
            length = length if moved else 0.5 * length


def withdrawn(problem: Problem, level: float, check: Check) -> str:
    """Why a claim is withdrawn, in the user's sense."""
    found = f"F = {check.upper_objective:.10g} at a verified point"
    if math.isinf(level):
        return f"the solver's claim that there is no point is withdrawn: {found}"
    return f"the bound {problem.sense * level:.10g} is withdrawn: {found} beats it; a solver's tolerances hid that"


def _spread(space: Space) -> Iterator[Point | None]:
    """The user's own start, then all points where they are few, else some all over the space."""
    yield space.start
    if space.size <= _SPREAD:
        yield from filter(space.allows, space.lattice())
        return
    dimension = len(space.dimensions)
    if dimension == 1:
        shares = np.linspace(0.0, 1.0, _SPREAD + 1)[:, None]
    else:
        ends = np.repeat([[0.5], [0.0], [1.0]], dimension, axis=1)
        shares = np.vstack([ends, np.random.default_rng(_SEED).random((_SPREAD, dimension))])
    for unit in shares:
        yield space.draw(unit)
