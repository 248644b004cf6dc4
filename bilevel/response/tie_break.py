"""Which of the follower's optima counts: a second program over the optimal set, by the leader's attitude.

Optimistic: ``min F(x, y)`` subject to G(x, y) and to y being optimal for every follower. Pessimistic: ``max F(x, y)``
over the optimal set alone, and for every side of every coupling constraint its largest violation there; an x is
feasible only if none is violated (Wiesemann, Tsoukalas, Kleniati and Rustem 2013, doi 10.1137/120864015, eq. 1).

The set is known with a slack e of the follower's optimum. The pessimistic F over the wider set is hence an upper bound
on the true one, the e-approximation of the same paper, that converges as e goes to zero; F at any one optimum is a
lower bound. Where the set's rows are not linear only the meeting of the two counts as proved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.language.attitude import Attitude
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.response.answering import Answering
from bilevel.response.faces.affine_choice import AffineChoice
from bilevel.response.optimal_face import OptimalFace

Choice = Callable[[Array, Array], Answer]

SECONDS = 5.0
"""For one choice by one engine: a global solver may walk for hours along the valley of a flat f."""

_NEAR = 1e-3  # in F: what a root of the slack may amount to

_CLEAR = 100.0 * tolerances.FEASIBILITY  # a violation above this is none that the slack of the optimal set made


class BestForLeader:
    """The optimistic choice among the optima of some followers, the others' answers held.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    tied : sequence of str
        Names of the followers whose answer is not known to be unique.
    """

    def __init__(self, compilation: Compilation, tied: Sequence[str]) -> None:
        self._compilation, self._tied = compilation, tied
        self._affine = AffineChoice(compilation, tied)

    @cached_property
    def _face(self) -> OptimalFace:
        return OptimalFace(self._compilation, self._tied)

    @cached_property
    def _answering(self) -> Answering:
        rows = self._compilation.rows(self._compilation.problem.coupling)
        return Answering(self._face.program(self._compilation.upper_objective, *rows))

    def __call__(self, x: Array, y: Array) -> Answer:
        """The leader's best choice at x, given answers y of all followers; ``Answer.y`` stacks the tied ones'."""
        chosen = self._affine(x, y, SECONDS) if self._affine.known else None
        if chosen is not None:
            return chosen
        slack = tolerances.TIE if self._face.exact else tolerances.FINE_TIE
        return _settled(self._face, self._answering, self._face.parameters(x, y, slack), x, y)


class WorstForLeader:
    """The pessimistic choice among the optima of some followers, the others' answers held.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    tied : sequence of str
        Names of the followers whose answer is not known to be unique.
    """

    def __init__(self, compilation: Compilation, tied: Sequence[str]) -> None:
        self._face = OptimalFace(compilation, tied)
        self._cost = self._worst(compilation.upper_objective)
        sides = _violations(*compilation.rows(compilation.problem.coupling))
        self._sides = [worst for worst in map(self._worst, sides) if worst is not None]

    def _worst(self, function: ca.SX) -> Answering | None:
        """Maximises a function over the set; None where the tied followers have no part in it."""
        if not ca.depends_on(function, self._face.variables):
            return None
        return Answering(self._face.program(-function, ca.SX(0, 1), np.zeros(0), np.zeros(0)))

    def __call__(self, x: Array, y: Array) -> Answer:
        """The answer that counts at x, given answers y of all followers; ``Answer.y`` stacks the tied ones'.

        The optimum that breaks a coupling constraint most, where one does, else the one with the worst F. UNBOUNDED
        where either has no limit.
        """
        proved = True
        worst, witness = tolerances.FEASIBILITY, None
        for side in self._sides:
            answer, known = self._solve(side, x, y), -self._at(side, x, y)
            if answer.status is Status.UNBOUNDED:
                return replace(answer, message="the follower's optima break a coupling constraint without limit")
            if answer.status is not Status.OPTIMAL or answer.y is None:
                proved = False
                continue
            violation = max(known, -answer.objective)
            if violation > worst:
                worst, witness = violation, answer.y if violation > known else self._face.own(y)
                proved = known > tolerances.FEASIBILITY or (self._face.exact and violation > _CLEAR)
            elif witness is None:
                proved = proved and -answer.bound <= 2.0 * tolerances.FEASIBILITY
        if witness is not None:
            return Answer(Status.OPTIMAL, witness, 0.0, 0.0 if proved else -math.inf)
        return self._worst_cost(x, y, proved)

    def _worst_cost(self, x: Array, y: Array, proved: bool) -> Answer:
        if self._cost is None:
            return Answer(Status.OPTIMAL, self._face.own(y), 0.0, 0.0 if proved else -math.inf)
        answer = self._solve(self._cost, x, y)
        if answer.status is Status.UNBOUNDED:
            return replace(answer, message="the follower's optima let the upper objective get worse without limit")
        if answer.status is not Status.OPTIMAL:
            return replace(answer, status=Status.FAILED)
        return answer if proved else replace(answer, bound=-math.inf)

    def _solve(self, side: Answering, x: Array, y: Array) -> Answer:
        """With as little slack as the engines bear: here slack worsens F and breaks constraints, it does no favour."""
        answer = _settled(self._face, side, self._face.parameters(x, y, tolerances.FINE_TIE), x, y)
        if answer.status is Status.INFEASIBLE:
            answer = _settled(self._face, side, self._face.parameters(x, y, tolerances.TIE), x, y)
        return answer

    def _at(self, side: Answering, x: Array, y: Array) -> float:
        """What is minimised, the negative of the function, at y itself."""
        return float(side.program.evaluate(self._face.parameters(x, y, 0.0), self._face.own(y))[0][0])


def _settled(face: OptimalFace, answering: Answering, parameters: Array, x: Array, y: Array) -> Answer:
    """Minimise over the set, and where its slack counts take an optimum of the followers for a point of the wider set.

    The wider set's optimum is a bound, and it counts as one on the true set's where a true optimum comes near it.
    """
    own = face.own(y)
    answer = answering(parameters, own, SECONDS)
    if face.exact or answer.status is not Status.OPTIMAL or answer.y is None:
        return answer
    program, found = answering.program, []
    for point in (own, face.nearby(x, answer.y)):
        if point is not None and program.violation(parameters, point) <= tolerances.FEASIBILITY:
            found.append((float(program.evaluate(parameters, point)[0][0]), point))
    cost, best = min(found, key=lambda pair: pair[0], default=(math.inf, own))
    if not tolerances.closes(cost, answer.objective, _NEAR):  # it went astray along the set, or left it
        return replace(answer, bound=-math.inf)
    return Answer(Status.OPTIMAL, best, cost, answer.bound if tolerances.closes(cost, answer.objective) else -math.inf)


def _violations(rows: ca.SX, low: Array, high: Array) -> list[ca.SX]:
    """How far each finite side is broken, relative to ``max(1, |bound|)``, as everywhere."""
    found = []
    for k in range(int(rows.numel())):
        scale = max(1.0, abs(float(high[k] if np.isfinite(high[k]) else low[k])))
        if np.isfinite(low[k]):
            found.append((float(low[k]) - rows[k]) / scale)
        if np.isfinite(high[k]):
            found.append((rows[k] - float(high[k])) / scale)
    return found


CHOICES: dict[Attitude, Callable[[Compilation, Sequence[str]], Choice]] = {
    Attitude.OPTIMISTIC: BestForLeader,
    Attitude.PESSIMISTIC: WorstForLeader,
}
