"""The walk of branch and bound over boxes of the upper variables: which to bound next, where to cut, what is left.

Batches of the boxes with the lowest bounds are bounded together. The answers at their centres and at the least points
of the polynomials give incumbents: F there is always that of an answer, never the polynomial's.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence

import numpy as np
import scipy

from bilevel import tolerances
from bilevel.arrays import Array, sizes_of_rows
from bilevel.contracts.finding import Termination
from bilevel.contracts.observer import Observer
from bilevel.deadline import OutOfTime, current, heard
from bilevel.errors import RefusedError
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.taylor import Taylor
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.response.replies import Replies
from bilevel.response.response import Response
from bilevel.solvers.boxes.answer_tubes import AnswerTubes
from bilevel.solvers.boxes.box_cutting import BoxCutting
from bilevel.solvers.boxes.box_minimum import box_minimum
from bilevel.solvers.boxes.hessian_below import Flags
from bilevel.solvers.boxes.leader_models import LeaderModels

_BATCH = 256
_ROOM = 40_000_000  # numbers held at once
_TRIED = 4  # least points of polynomials evaluated per batch
_POLISHING = (1e-2, 1e-3, 1e-3, 1e-4)  # half widths, of the whole side
_NARROWEST = 1e-10  # of the whole side; such a box is not cut again
_MOST_OPEN = 1_000_000


class BoxSearch:
    """One run.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    taylor : Taylor
        The arithmetic.
    tubes : sequence of AnswerTubes
        One per follower, in the problem's order.
    leader : LeaderModels
        F and G.
    observer : Observer
        Hears of bounds.
    limit : float
        Seconds.

    Attributes
    ----------
    x : ndarray of shape (d,)
        The incumbent.
    value, bound : float
        F there, minimised, and a lower bound of F; infinite where there is no incumbent, or no feasible point at all.
    boxes : int
        How many were bounded.
    termination : Termination
        Why it stopped.
    """

    def __init__(
        self,
        compilation: Compilation,
        taylor: Taylor,
        tubes: Sequence[AnswerTubes],
        leader: LeaderModels,
        observer: Observer,
        limit: float,
    ) -> None:
        self._began = time.monotonic()
        self._deadline = min(self._began + limit, current().end)
        self._taylor, self._tubes, self._leader = taylor, tubes, leader
        self._compilation, self._problem, self._observer = compilation, compilation.problem, observer
        self._response = Response(self._problem, compilation=compilation, warm=False)
        ends = np.array([compilation.ranges[v.name] for v in self._problem.variables])
        self._low, self._high = ends[:, 0], ends[:, 1]
        self._cutting = BoxCutting(taylor, self._low, self._high)
        rows, _, _ = compilation.rows(self._problem.constraints)
        self._rows = Compiled([compilation.x, compilation.all_y], [rows])
        self._sizes = sizes_of_rows(leader.row_lower, leader.row_upper)
        self._batch = int(np.clip(_ROOM // max(leader.room, *(tube.room for tube in tubes)), 8, _BATCH))
        self.x = 0.5 * (self._low + self._high)
        self.value, self.bound = math.inf, -math.inf
        self.boxes = 0
        self.termination = Termination.STALLED

    def run(self) -> None:
        """Until the bound closes, the boxes are too narrow, or the time is up."""
        try:
            self._run()
            self._polish()
        except KeyboardInterrupt:
            self.termination = Termination.INTERRUPTED
        except OutOfTime:
            heard()
            self.termination = Termination.TIME_LIMIT

    def _run(self) -> None:
        low, high = self._cutting.first()
        bounds = np.full(low.shape[1], -math.inf)
        settled = math.inf  # the least bound of what is not looked at again
        while low.shape[1]:
            order = np.argsort(bounds, kind="stable")
            count = self._affordable()
            taken, rest = order[:count], order[count:]
            found, share = self._bounds(low[:, taken], high[:, taken])
            found = np.maximum(found, bounds[taken])
            keep = found < self._goal
            wide = ((high - low)[:, taken] > _NARROWEST * (self._high - self._low)[:, None]).any(axis=0)
            settled = min(settled, float(found[~keep | ~wide].min(initial=math.inf)))
            taken, found, share = taken[keep & wide], found[keep & wide], share[:, keep & wide]
            pieces = self._cutting.halves(low[:, taken], high[:, taken], share)
            remaining = rest[bounds[rest] < self._goal]
            settled = min(settled, float(bounds[rest].min(initial=math.inf, where=bounds[rest] >= self._goal)))
            low, high = (np.concatenate([e[:, remaining], p], axis=1) for e, p in zip((low, high), pieces, strict=True))
            bounds = np.concatenate([bounds[remaining], found, found])
            self._tell(min(settled, float(bounds.min(initial=math.inf))))
            if self._out_of_time(len(bounds)):
                return
        if self.bound == math.inf or self.closed:
            self.termination = Termination.OPTIMALITY

    def _affordable(self) -> int:
        """How many boxes to bound together: what fits into memory, and into half the time left at the pace so far."""
        if not self.boxes:
            return self._batch
        now = time.monotonic()
        return int(np.clip(0.5 * (self._deadline - now) * self.boxes / (now - self._began), 1, self._batch))

    def _polish(self) -> None:
        """Descend from the incumbent by the least points of polynomials on small boxes around it."""
        if self.value == math.inf or self.bound >= self.value:
            return
        for share in _POLISHING:
            if time.monotonic() > self._deadline:
                return
            half = share * (self._high - self._low)
            low, high = np.maximum(self.x - half, self._low), np.minimum(self.x + half, self._high)
            self._bounds(low[:, None], high[:, None], counts=False)

    def _out_of_time(self, count: int) -> bool:
        if not count:
            return False
        if time.monotonic() > self._deadline:
            self.termination = Termination.TIME_LIMIT
            return True
        return count > _MOST_OPEN

    @property
    def _goal(self) -> float:
        """The bound from which on a box cannot spoil the certificate; what has no feasible point reaches any."""
        if self.value == math.inf:
            return math.inf
        return self.value - 0.5 * tolerances.CERTIFICATE * self._compilation.scale(self.value)

    @property
    def closed(self) -> bool:
        """Whether the bound closes on the incumbent."""
        return self._compilation.closes(self.value, self.bound)

    def _tell(self, least: float) -> None:
        """What is proved now: the bound, lowered by far more than what adding up its last digits may have cost."""
        sizes = [abs(v) for v in (self.value, least) if math.isfinite(v)]
        margin = 1e-6 * tolerances.CERTIFICATE * max([self._compilation.scale(0.0), *sizes])
        self.bound = min(least, self.value) - margin
        sense = self._problem.sense
        self._observer.bounded(*(sense * v if math.isfinite(v) else None for v in (self.value, self.bound)))

    def _bounds(self, low: Array, high: Array, counts: bool = True) -> tuple[Array, Array]:
        """Lower bounds of F on boxes, infinite where no point is feasible, and how much each side matters there."""
        x = self._taylor.coordinates(low, high)
        replies = self._response.many(np.ascontiguousarray(x[0].T))
        unproved = [k for k, reply in replies.others.items() if not reply.proved]
        costs = replies.cost.copy()
        costs[unproved] = math.inf
        self._try_centres(x[0], costs, replies.y)
        tubes, offset = [], 0
        for tube in self._tubes:
            place = slice(offset, offset + tube.program.n)
            tubes.append(tube(x, replies.y[:, place].T))
            offset = place.stop
        first = not self.boxes
        if first:
            self._refuse_flat(x, replies.y)
        self.boxes += low.shape[1] if counts else 0
        models = self._leader(x, tubes)
        bounds, places = box_minimum(self._taylor, models[:, 0])
        bounds[self._broken(models)] = math.inf
        if first:
            self._refuse_unanswered(x[0], replies, bounds)
        self._try_least(x, low, high, models, bounds, places)
        return bounds, self._cutting.shares(low, high, tubes, models[:, 0])

    def _broken(self, models: Array) -> Flags:
        """Whether some row of G is out of reach on the whole box."""
        low, high = self._taylor.ranges(models[:, 1:])
        slack = tolerances.FEASIBILITY * self._sizes
        beyond = (low > (self._leader.row_upper + slack)[:, None]) | (high < (self._leader.row_lower - slack)[:, None])
        return np.asarray(beyond.any(axis=0))

    def _refuse_flat(self, x: Array, y: Array) -> None:
        """Refuse followers that are not strongly convex at the first boxes' centres."""
        offset = 0
        for tube in self._tubes:
            place = slice(offset, offset + tube.program.n)
            offset = place.stop
            known = np.isfinite(y[:, place]).all(axis=1)
            where = tube.flat(x[:, :, known], y[known, place].T)
            if where is not None:
                point = ", ".join(f"{v.name} = {c:.6g}" for v, c in zip(self._problem.variables, where, strict=True))
                raise RefusedError(f"{tube.program.name} is not strongly convex in its variables at {point}")

    def _refuse_unanswered(self, points: Array, replies: Replies, bounds: Array) -> None:
        """Refuse followers without an answer at a point that the upper constraints do not rule out."""
        for k, reply in replies.others.items():
            if reply.y is None and bounds[k] < math.inf:
                named = zip(self._problem.variables, points[:, k], strict=True)
                point = ", ".join(f"{v.name} = {c:.6g}" for v, c in named)
                raise RefusedError(
                    f"it needs followers that answer at every x, and at {point} there is no answer: {reply.message};"
                    " narrow the bounds of x to where there is one"
                )

    def _try_centres(self, points: Array, costs: Array, answers: Array) -> None:
        for k in np.argsort(costs, kind="stable"):
            if not costs[k] < self.value:
                return
            if self._feasible(points[:, k], answers[k]):
                self.x, self.value = points[:, k].copy(), float(costs[k])
                return

    def _feasible(self, x: Array, y: Array) -> bool:
        (rows,) = self._rows(x, y)
        excess = np.maximum(self._leader.row_lower - rows, rows - self._leader.row_upper)
        return bool((excess <= tolerances.FEASIBILITY * self._sizes).all())

    def _try_least(self, x: Array, low: Array, high: Array, models: Array, bounds: Array, places: Array) -> None:
        """Evaluate where the most promising polynomials are least."""
        hopeful = np.flatnonzero((bounds < self.value) & np.isfinite(bounds))
        for k in hopeful[np.argsort(bounds[hopeful], kind="stable")][:_TRIED].tolist():
            t = places[:, k]
            if models.shape[1] > 1:
                t = self._least_feasible(models[:, :, k], t)
            point = np.clip(x[0, :, k] + np.einsum("jj,j->j", x[1 : 1 + len(t), :, k], t), low[:, k], high[:, k])
            reply = self._response(point)
            known = reply.status is Status.OPTIMAL and reply.proved
            if known and reply.y is not None and reply.cost < self.value:
                self._try_centres(point[:, None], np.array([reply.cost]), reply.y[None])

    def _least_feasible(self, models: Array, start: Array) -> Array:
        """Where the polynomial of F is least among the points at which those of G are within their limits."""
        taylor, rows = self._taylor, models[:, 1:]

        def values(t: Array) -> Array:
            pairs = np.array([t[j] * t[k] for j, k in taylor.pairs])
            found: Array = models[0] + t @ models[taylor.linear] + pairs @ models[taylor.quadratic]
            return found

        upper, lower = np.isfinite(self._leader.row_upper), np.isfinite(self._leader.row_lower)
        if not np.isfinite(rows).all():
            return start

        def room(t: Array) -> Array:
            found = values(t)[1:]
            return np.concatenate([(self._leader.row_upper - found)[upper], (found - self._leader.row_lower)[lower]])

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # SLSQP says that it keeps its own steps within the bounds
            solved = scipy.optimize.minimize(
                lambda t: values(t)[0],
                start,
                bounds=[(-1.0, 1.0)] * len(start),
                constraints={"type": "ineq", "fun": room},
                method="SLSQP",
            )
        return np.clip(np.where(np.isfinite(solved.x), solved.x, start), -1.0, 1.0)
