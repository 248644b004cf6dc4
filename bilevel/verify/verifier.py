"""Drawing the verdict: the lower level solved afresh, both objectives recomputed, gaps and violations measured.

Every path ends here, so that no method judges its own answer. The lower level is solved again by other engines where
there are others; F, f and the constraints are evaluated on the user's Pyomo expressions in plain floats, not by
compiled code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.convexity.known import known_convex, surely_convex
from bilevel.expressions.translation import Translator, evaluator
from bilevel.language.attitude import Attitude
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.l1.duality import lower_bound
from bilevel.programs.l1.recognition import l1_form
from bilevel.reading.follower import Follower
from bilevel.reading.variables import is_category
from bilevel.response.answering import Answering
from bilevel.response.response import Response
from bilevel.verify.check import Check

_PROOF = 20.0  # seconds for one follower solved afresh
_SECOND_OPINION = 5.0  # where it is proved convex: the local optimum already found is all there is to find
_LEAST = 0.5


class Verifier:
    """Checks points of one problem.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    response : Response
        The one whose engines the independent solve should avoid, and which breaks the ties.
    deadline : float
        Of ``time.monotonic()``: engines are stopped then, though each is given half a second in any case.
    """

    def __init__(self, compilation: Compilation, response: Response, deadline: float = math.inf) -> None:
        self.problem = compilation.problem
        self._response = response
        self._deadline = deadline
        self._known: dict[tuple[str, bytes], Answer] = {}  # a point and its candidate are at the same x
        self._compilation = compilation
        self._engines: dict[str, Answering] = {}

    def check(self, upper: dict[str, Any], candidate: dict[str, Any] | None = None) -> Check | str:
        """Look at x afresh; the check of the best y that stands, or why there is none.

        The y checked is the fresh answer with ties broken; a path's own ``candidate`` only where it is the one to
        choose, and that choice was not proved or the two are the same answer to the last digits of f, of which an
        interior-point method leaves some at a weakly active row: it stands and is better for the leader. In the
        pessimistic attitude it has to be an optimum below that is worse for him, or that breaks a coupling constraint.
        """
        x = self._response.vector(upper)
        reply = self._response(x)
        if reply.status is not Status.OPTIMAL or reply.y is None:
            return f"at the point found the lower level is {reply.status}: {reply.message}"
        fresh = self._measure(upper, self._response.lower_values(reply.y), reply.proved)
        fresh.remark = reply.message
        if candidate is None:
            return fresh
        names = [multiplier.variable.name for multiplier in self.problem.multipliers]
        other = self._measure(upper, {**candidate, **{name: fresh.lower[name] for name in names}}, False)
        other.remark = reply.message
        if reply.proved and fresh.stands and not self._same(fresh, other):
            return fresh
        sense = self.problem.sense
        if self.problem.attitude is Attitude.PESSIMISTIC:
            worse = sense * other.upper_objective > sense * fresh.upper_objective or not other.stands
            return other if other.optimal and fresh.stands and worse else fresh
        better = sense * other.upper_objective < sense * fresh.upper_objective or not fresh.stands
        return other if other.stands and better else fresh

    def _answering(self, name: str) -> Answering:
        """The engines asked for a second opinion on a follower, made ready when first needed."""
        if name not in self._engines:
            program = known_convex(self._compilation, self._response.programs[name])
            self._engines[name] = Answering(program, avoid=self._response.asked)
        return self._engines[name]

    def _same(self, fresh: Check, other: Check) -> bool:
        """Whether f is the same, or better at the other point, to the last digits, for every follower."""
        if any(
            abs(value - other.lower[name]) > tolerances.CLOSE * tolerances.scale(value)
            for name, value in fresh.lower.items()
        ):
            return False
        return other.lower_violation <= max(fresh.lower_violation, tolerances.ENGINE) and all(
            follower.sense * (f - g) <= tolerances.SAME * tolerances.scale(f, g)
            for follower, f, g in zip(
                self.problem.followers, other.lower_objectives, fresh.lower_objectives, strict=True
            )
        )

    def _measure(self, upper: dict[str, Any], lower: dict[str, Any], proved: bool) -> Check:
        values = {id(v): upper[v.name] for v in self.problem.variables if not is_category(v)}
        values |= {id(v): lower[v.name] for v in self.problem.lower_variables}
        evaluate = evaluator(values)
        objectives, gap, below, complaints = [], None, 0.0, []
        certain = proved or self.problem.attitude is Attitude.OPTIMISTIC
        for follower in self.problem.followers:
            if follower.objective is None:
                objectives.append(math.nan)
                complaints += self._repeat(follower, upper, lower)
                continue
            written = follower.written
            assert written.objective is not None
            f = float(evaluate(written.objective.expr))
            objectives.append(follower.stated(f))
            best, sure, sharp, complaint = self._best(follower, upper, lower, follower.sense * f)
            complaints += complaint
            proved, certain = proved and sure, certain and sharp
            gap = max(gap if gap is not None else -math.inf, (follower.sense * f - best) / tolerances.scale(f, best))
            below = max(below, largest_violation(evaluate, written.constraints), _outside(written.variables, lower))
        above = max(
            largest_violation(evaluate, self.problem.constraints),
            _outside(self.problem.variables, upper),
            self._disallowed(upper),
        )
        check = Check(
            upper,
            lower,
            float(evaluate(self.problem.objective.expr)),
            objectives,
            gap,
            above,
            below,
            proved,
            certain,
            complaints,
        )
        check.complaints += _complaints(check)
        return check

    def _best(
        self, follower: Follower, upper: dict[str, Any], lower: dict[str, Any], f: float
    ) -> tuple[float, bool, bool, list[str]]:
        """The best f for this x (minimised), whether it is proved and F certain with it, and what went wrong."""
        x, slack = self._response.vector(upper), tolerances.OPTIMALITY * tolerances.scale(f)
        bound = self._by_duality(follower, x, lower)
        if abs(f - bound) <= tolerances.SHARP * tolerances.scale(f):
            return bound, True, True, []
        answering = self._answering(follower.name)
        answer = self._afresh(follower.name, x)
        if answer.status is Status.OPTIMAL and answer.objective > f + slack:  # no optimum, whatever that engine says
            answer = answering.another(x, answer)
        if answer.status is not Status.OPTIMAL:
            return f, False, False, [f"solved afresh, {follower.name} is {answer.status}: {answer.message}"]
        if answer.objective > f + slack:
            complaint = f"the engines disagree on the best f of {follower.name}: {answer.objective:.9g} or {f:.9g}"
            return f, False, False, [complaint]
        sharp = answer.proved
        if sharp and answer.bound < answer.objective and not surely_convex(answering.program):
            answer = answering.sharper(x, answer)
            sharp = f - answer.bound <= tolerances.SHARP * tolerances.scale(f)
        return answer.objective, answer.proved, sharp, []

    def _by_duality(self, follower: Follower, x: Array, lower: dict[str, Any]) -> float:
        """A lower bound on the best f from the answer at hand, where a dual says one; else minus infinity.

        It is right whatever that answer is, so that no second engine has to be asked where the two meet.
        """
        form = l1_form(self._response.programs[follower.name])
        weights = None if form is None else form.at(x)
        if form is None or weights is None:
            return -math.inf
        y = np.array([lower.get(var.name, math.nan) for var in follower.variables], dtype=float)
        return lower_bound(form, weights, form.coefficients(y))

    def _afresh(self, name: str, x: Array) -> Answer:
        """The independent answer, asked for once at each x."""
        key = name, x.tobytes()
        if key not in self._known:
            answering = self._answering(name)
            longest = _SECOND_OPINION if answering.program.convex else _PROOF
            left = min(longest, max(_LEAST, self._deadline - time.monotonic()))
            self._known[key] = answering(x, None, left)
        return self._known[key]

    def _repeat(self, follower: Follower, upper: dict[str, Any], lower: dict[str, Any]) -> list[str]:
        """Ask a response function again: an answer that does not repeat cannot be verified."""
        reply = self._response(self._response.vector(upper))
        if reply.y is None:
            return [f"asked again, {follower.name} is {reply.status}: {reply.message}"]
        again = self._response.lower_values(reply.y)
        worst = max(abs(again[v.name] - lower[v.name]) / tolerances.scale(again[v.name]) for v in follower.variables)
        return (
            [f"asked again, the response function of {follower.name} differs by {worst:.2g}"]
            if worst > tolerances.OPTIMALITY
            else []
        )

    def _disallowed(self, upper: dict[str, Any]) -> float:
        return 0.0 if all(a.holds([upper[v.name] for v in a.variables]) for a in self.problem.allowed) else math.inf


def _complaints(check: Check) -> list[str]:
    found = []
    if check.bilevel_gap is not None and not check.bilevel_gap <= tolerances.OPTIMALITY:
        found.append(f"y misses the lower optimum by {check.bilevel_gap:.2g} (relative)")
    if not check.lower_violation <= tolerances.FEASIBILITY:
        found.append(f"y violates the lower constraints by {check.lower_violation:.2g}")
    if not check.upper_violation <= tolerances.FEASIBILITY:
        found.append(f"(x, y) violates the upper constraints by {check.upper_violation:.2g}")
    if not math.isfinite(check.upper_objective):
        found.append(f"the upper objective is {check.upper_objective}")
    return found


def largest_violation(evaluate: Translator, constraints: Iterable[Any]) -> float:
    """The largest violation of Pyomo constraints at a point, relative; infinite where a body is no number."""
    worst = 0.0
    for constraint in constraints:
        body = float(evaluate(constraint.body))
        for bound, sign in ((constraint.lower, -1.0), (constraint.upper, 1.0)):
            if bound is not None:
                limit = float(evaluate(bound))
                excess = sign * (body - limit) / tolerances.scale(limit)
                worst = max(worst, math.inf if math.isnan(excess) else excess)
    return worst


def _outside(variables: Any, values: dict[str, Any]) -> float:
    """Largest violation of a bound, an integrality or a finite domain."""
    worst = 0.0
    for var in variables:
        value = values[var.name]
        if is_category(var):
            worst = max(worst, 0.0 if value in var.domain else math.inf)
            continue
        low, high = var.bounds
        if low is not None:
            worst = max(worst, (low - value) / tolerances.scale(low))
        if high is not None:
            worst = max(worst, (value - high) / tolerances.scale(high))
        if var.is_integer() or var.is_binary():
            worst = max(worst, 0.0 if abs(value - round(value)) <= tolerances.INTEGRALITY else math.inf)
        elif var.domain.isfinite():
            worst = max(worst, min(abs(value - v) / tolerances.scale(v) for v in var.domain))
    return worst
