"""What a follower's other optima are worth to the leader, where a path's answer is not the only one.

Along the whole of a piece, F must not see the difference: a polynomial of second degree that takes the same value at a
random point of a subspace as at its origin is constant on it. At a single s, where an answer jumps, the optima may form
a segment, and the least F on it counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.solvers.homotopy.leader_along import AnswerPath, LeaderAlong, Optimum, least_of_cubics
from bilevel.solvers.homotopy.optimality_check import Ambiguity, OptimalityCheck

_SAME = 1e-9  # differences of F below this, relative to its terms, are none
_AT_ONCE = 1e-9  # of the way: jumps closer than this may be one

Found = tuple[int, str, Ambiguity, OptimalityCheck]


class OtherOptima:
    """Judges ambiguities.

    Parameters
    ----------
    along : LeaderAlong
        F.
    paths : sequence of AnswerPath
        One per follower.
    name : str
        The upper variable's, for messages.
    x_of : callable
        The x of an s.
    """

    def __init__(
        self, along: LeaderAlong, paths: Sequence[AnswerPath], name: str, x_of: Callable[[float], float]
    ) -> None:
        self._along, self._paths, self._name, self._x_of = along, paths, name, x_of
        self._random = np.random.default_rng(0)

    def lowest(self, found: Sequence[Found]) -> Optimum | None:
        """Where F is least among optima off the paths; None where there is none that F sees.

        Raises
        ------
        RefusedError
            If F may be lower at optima of which there are too many.
        """
        seen = [entry for entry in found if self._sees(entry)]
        times = sorted(entry[2].at for entry in seen if entry[2].at is not None)
        if len(times) > 1 and float(np.diff(times).min()) <= _AT_ONCE:
            raise RefusedError("the answers of several followers jump at once")
        return min((self._on_segment(entry) for entry in seen), key=lambda point: point.value, default=None)

    def _sees(self, entry: Found) -> bool:
        """Whether F moves along the null space, at both ends of where it is."""
        follower, _, ambiguity, check = entry
        piece = check.pieces[ambiguity.piece]
        middle = 0.5 * (piece.start + piece.end)
        for s in (piece.start, piece.end) if ambiguity.at is None else (ambiguity.at,):
            y = self._along.answers(np.array([s]), np.array([middle]))
            step = np.zeros((3, y.shape[1]))
            weights = self._random.normal(size=(2, ambiguity.null.shape[1]))
            size = max(1.0, float(np.abs(y).max()))
            step[1:, self._place(follower)] = size * (self._paths[follower].back @ (ambiguity.null @ weights.T)).T
            values = self._along.values(np.full(3, s), y + step)
            spread = float(np.ptp(values))
            if not spread <= _SAME * tolerances.scale(*values):
                return True
        return False

    def _place(self, follower: int) -> slice:
        sizes = [path.back.shape[0] for path in self._paths]
        first = sum(sizes[:follower])
        return slice(first, first + sizes[follower])

    def _on_segment(self, entry: Found) -> Optimum:
        """The least F on a segment of optima."""
        follower, name, ambiguity, check = entry
        s = ambiguity.at
        if s is None or ambiguity.null.shape[1] > 1:
            where = f"where {self._name} is {self._x_of(s):.6g}" if s is not None else self._range(ambiguity, check)
            raise RefusedError(
                f"{name} has many optima {where}, and F is not the same at all of them; narrow the bounds of"
                f" {self._name}, or give the follower a little ridge"
            )
        piece = check.pieces[ambiguity.piece]
        z = piece.z[0] + s * piece.z[1]
        low, high = _extent(check, ambiguity, z, s)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RefusedError(f"{name} has a ray of optima where {self._name} is {self._x_of(s):.6g}")
        middle = 0.5 * (piece.start + piece.end)
        y = np.repeat(self._along.answers(np.array([s]), np.array([middle])), 4, axis=0)
        shifts = low + (high - low) * np.arange(4.0) / 3.0
        y[:, self._place(follower)] += np.outer(shifts, self._paths[follower].back @ ambiguity.null[:, 0])
        values, places = least_of_cubics(self._along.values(np.full(4, s), y)[None])
        return Optimum(float(values[0]), s, y[0] + float(places[0]) * (y[3] - y[0]))

    def _range(self, ambiguity: Ambiguity, check: OptimalityCheck) -> str:
        piece = check.pieces[ambiguity.piece]
        first, last = sorted(self._x_of(s) for s in (piece.start, piece.end))
        return f"from {self._name} = {first:.6g} to {last:.6g}"


def _extent(check: OptimalityCheck, ambiguity: Ambiguity, z: Array, s: float) -> tuple[float, float]:
    """How far the optima reach from z along the one direction of a null space."""
    program, direction = check.program, ambiguity.null[:, 0]
    moved, body = program.matrix @ direction, program.matrix @ z
    value = np.concatenate([z, body])
    rate = np.concatenate([direction, moved])
    lower = np.concatenate([program.lower, program.low[0] + s * program.low[1]])
    upper = np.concatenate([program.upper, program.high[0] + s * program.high[1]])
    open_ = ~ambiguity.strong & (np.abs(rate) > 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (lower - value)[open_] / rate[open_], (upper - value)[open_] / rate[open_]
    ahead = np.maximum(np.where(rate[open_] > 0.0, other, one), 0.0)
    behind = np.minimum(np.where(rate[open_] > 0.0, one, other), 0.0)
    return float(behind.max(initial=-math.inf)), float(ahead.min(initial=math.inf))
