"""What a point that a solver found is worth: the followers asked again at its x, by the engines that suit them best.

The quick judgement while a path is under way. The last word is the verification's, which asks other engines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array, sizes_of_rows
from bilevel.graphs.compiled import Compiled
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.response.response import Response
from bilevel.solvers.single_level.treated_model import Values

_DIGITS = 1e-3  # what an epsilon of 1e-8 may change in F, relative: its root, times a multiplier


@dataclass(frozen=True)
class Assessed:
    """A bilevel-feasible point; ``cost`` is F, minimised."""

    upper: dict[str, Any]
    lower: dict[str, float]
    cost: float


@dataclass(frozen=True)
class Incumbent:
    """An assessed point.

    Attributes
    ----------
    point : Assessed
        With the followers' own answer.
    stationary : bool
        Whether it is a local solution of the single-level model.
    exact : bool
        Whether its pairs hold to the last digit. Where they hold up to an epsilon, F may be too good by the root of it.
    values : dict
        Of the single-level model.
    """

    point: Assessed
    stationary: bool
    exact: bool
    values: Values

    @property
    def cost(self) -> float:
        """F, minimised."""
        return self.point.cost

    def beats(self, other: Incumbent) -> bool:
        """Whether it is better than another, digits that an inexact point cannot have left aside."""
        margin = _DIGITS * tolerances.scale(other.cost) * (int(self.exact) - int(other.exact))
        return self.cost < other.cost + margin

    def inheriting(self, other: Incumbent) -> Incumbent:
        """The same, stationary too where it is the other one's point with more digits."""
        same = abs(self.cost - other.cost) <= _DIGITS * tolerances.scale(other.cost)
        return replace(self, stationary=self.stationary or (other.stationary and self.exact and same))


class Assessment:
    """``assess(upper, lower)`` gives the point with the followers' own answer, or None where it does not stand.

    The y that counts is the followers' answer with ties broken; the solver's own where that is better for the leader,
    and as good for the followers to the last digits, or to the tolerance if the choice is not proved or breaks the
    leader's constraints.
    """

    def __init__(self, compilation: Compilation, response: Response) -> None:
        self._compilation = compilation
        self._response = response
        rows, self._low, self._high = compilation.rows(compilation.problem.constraints)
        self._scale = sizes_of_rows(self._low, self._high)
        self._upper = Compiled([compilation.x, compilation.all_y], [compilation.upper_objective, rows])

    def __call__(self, upper: dict[str, Any], lower: dict[str, float]) -> Assessed | None:
        """Assess one point."""
        if not all(a.holds([_value(v, upper) for v in a.variables]) for a in self._compilation.problem.allowed):
            return None
        x = self._response.vector(upper)
        reply = self._response(x, upper)
        if reply.status is not Status.OPTIMAL or reply.y is None:
            return None
        answer = self._cost(x, reply.y)
        own = np.array(list(lower.values()), dtype=float)
        if own.size < reply.y.size:  # without the multipliers that the upper level mentions there is no F
            own = reply.y
        slack = tolerances.OPTIMALITY
        if reply.proved and math.isfinite(answer):
            scale = np.maximum(1.0, np.abs(reply.y))
            slack = tolerances.SAME if (np.abs(own - reply.y) <= tolerances.CLOSE * scale).all() else -math.inf
        if self._is_answer(x, own, reply.y, slack) and self._cost(x, own) < answer:
            return Assessed(upper, lower, self._cost(x, own))
        return Assessed(upper, self._response.lower_values(reply.y), answer) if math.isfinite(answer) else None

    def _cost(self, x: Array, y: Array) -> float:
        """F, or infinity where a constraint of the leader is broken."""
        objective, rows = self._upper(x, y)
        excess = np.maximum(self._low - rows, rows - self._high) / self._scale
        cost = float(objective[0])
        # A NaN is broken too, hence the comparison this way round.
        return cost if bool((excess <= tolerances.FEASIBILITY).all()) and math.isfinite(cost) else math.inf

    def _is_answer(self, x: Array, y: Array, best: Array, slack: float) -> bool:
        """Whether y is feasible for every follower and as good as an answer, but for a relative slack."""
        offset = 0
        for name, symbols in self._compilation.y.items():
            place = slice(offset, offset + int(symbols.numel()))
            offset = place.stop
            program = self._compilation.programs.get(name)
            if program is None or program.violation(x, y[place]) > tolerances.FEASIBILITY:
                return False
            f, optimum = (float(program.evaluate(x, point[place])[0][0]) for point in (y, best))
            if not f - optimum <= slack * tolerances.scale(f, optimum):
                return False
        return True


def _value(var: Any, upper: dict[str, Any]) -> Any:
    return upper.get(var.name, var.value)
