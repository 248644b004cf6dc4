"""Drawing the verdict: the lower level solved afresh, both objectives recomputed, gaps and violations measured.

Every path ends here, so that no method judges its own answer. The lower level is solved again by other engines where
there are others, unless strong convexity tells from a gradient how far f may be off; F, f and the constraints are
evaluated on the user's Pyomo expressions in plain floats, not by compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine
from bilevel.convexity.agreement import agreement_of
from bilevel.convexity.known import known_convex, surely_convex
from bilevel.deadline import passed
from bilevel.expressions.translation import Translator, evaluator
from bilevel.language.attitude import Attitude
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.follower import Follower
from bilevel.reading.pieces import domain_violation, is_category, numeric_bounds, size_at, within_domain
from bilevel.response.answering import Answering
from bilevel.response.replies import Reply
from bilevel.response.response import Response
from bilevel.verify.check import Check
from bilevel.verify.dual_gap import DualGap
from bilevel.verify.noise import Functions, Noise
from bilevel.verify.residual import Residual

Excess = Residual | DualGap

_PROOF = 20.0  # seconds for one follower solved afresh
_PATIENCE = 3  # times that a function is asked where it answered before
_SECOND_OPINION = 5.0  # where it is proved convex: the local optimum already found is all there is to find


class Verifier:
    """Checks points of one problem.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    response : Response
        The one whose engines the independent solve should avoid, and which breaks the ties.
    costs : iterable of float
        F, minimised, at points that were evaluated: what a response function's noise is measured by.
    """

    def __init__(self, compilation: Compilation, response: Response, costs: Iterable[float] = ()) -> None:
        self.problem = compilation.problem
        self._homes = compilation.problem.homes
        self._response = response
        self._first: dict[str, float] = {}  # f of each follower, minimised, by the response's own engines
        self._functions = Functions(self.problem, costs)
        self._known: dict[tuple[str, bytes], Answer] = {}  # a point and its candidate are at the same x
        self._compilation = compilation
        self._engines: dict[str, Answering] = {}
        self._excesses: dict[str, Excess] = {
            name: kind(program)
            for kind in (Residual, DualGap)
            for name, program in response.programs.items()
            if kind.takes(program)
        }

    def check(self, upper: dict[str, Any], candidate: dict[str, Any] | None = None) -> Check | str:
        """Look at x afresh; the check of the best y that stands, or why there is none.

        The y checked is the fresh answer with ties broken; a path's own ``candidate`` only where it is the one to
        choose, and that choice was not proved or the two are the same answer to the last digits of f, of which an
        interior-point method leaves some at a weakly active row: it stands and is better for the leader. In the
        pessimistic attitude it has to be an optimum below that is worse for him, or that breaks a coupling constraint.
        """
        upper = self._settled(upper)
        x = self._response.vector(upper)
        reply, in_vain = self._persistently(x, candidate is not None)
        if reply.status is not Status.OPTIMAL or reply.y is None:
            said = f"at the point found the lower level is {reply.status}: {reply.message}"
            return f"{said} (it had an answer in the search; asked again {len(in_vain)} times)" if in_vain else said
        self._first = {f.name: value for f, value in zip(self.problem.followers, reply.lower, strict=False)}
        fresh = self._measure(upper, self._response.lower_values(reply.y), reply.proved)
        fresh.remark = reply.message
        if in_vain:
            fresh.remark = f"asked again at the answer it failed {len(in_vain)} times before it answered: {in_vain[-1]}"
        moved = [] if candidate is None else self._functions.moved(candidate, fresh.lower)
        if self._functions:
            fresh.noise = self._asked_again(x, reply, fresh, candidate if moved else None)
        if candidate is None or moved:
            return fresh
        names = [multiplier.variable.name for multiplier in self.problem.multipliers]
        candidate = {**candidate, **{name: fresh.lower[name] for name in names}}
        if fresh.stands and self.problem.attitude is Attitude.OPTIMISTIC and not self._better(candidate, fresh):
            return fresh
        other = self._measure(upper, candidate, False)
        other.remark = reply.message
        if reply.proved and fresh.stands and not self._same(fresh, other):
            return fresh
        sense = self.problem.sense
        if self.problem.attitude is Attitude.PESSIMISTIC:
            worse = sense * other.upper_objective > sense * fresh.upper_objective or not other.stands
            return other if other.optimal and fresh.stands and worse else fresh
        if reply.proved and fresh.stands:  # the same answer to the last digits
            other.proved = fresh.proved
        better = sense * other.upper_objective < sense * fresh.upper_objective or not fresh.stands
        return other if other.stands and better else fresh

    def _persistently(self, x: Array, answered: bool) -> tuple[Reply, list[str]]:
        """The reply at x, and what was said when there was none: a function that answered there is asked once more.

        It may fail now and then, for a licence or a graphics card that others hold, and its best point is worth that.
        """
        reply, in_vain = self._response.tried(x), list[str]()
        while reply.status is Status.FAILED and self._functions and answered and not passed():
            in_vain.append(reply.message)
            if len(in_vain) == _PATIENCE:
                break
            reply = self._response.tried(x)
        return reply, in_vain

    def _settled(self, upper: dict[str, Any]) -> dict[str, Any]:
        """The point with every value a member of its variable's domain: computed ones are off by rounding."""
        return {name: within_domain(self._homes[name], v) if name in self._homes else v for name, v in upper.items()}

    def _asked_again(self, x: Array, reply: Reply, fresh: Check, candidate: dict[str, Any] | None) -> Noise | None:
        """What response functions say once more: noise where F sees it, a complaint where there is no answer."""
        again, _ = self._persistently(x, True)
        if again.status is not Status.OPTIMAL or again.y is None:
            fresh.complaints.append(f"asked again, the lower level is {again.status}: {again.message}")
            return None
        if again.violation > tolerances.FEASIBILITY >= reply.violation:
            fresh.complaints.append(f"asked again, (x, y) violates the upper constraints by {again.violation:.2g}")
        answers, costs = [fresh.lower, self._response.lower_values(again.y)], [reply.cost, again.cost]
        if candidate is not None and self._functions.are_all:
            answers.append({**fresh.lower, **candidate})
            costs.append(self.problem.sense * self._upper_objective(fresh.upper, answers[-1]))
        return self._functions.noise(answers, costs)

    def noise_at(self, upper: dict[str, Any], lower: dict[str, Any], cost: float) -> Noise | None:
        """Noise of response functions at a point with a known answer and F, minimised: asked once more."""
        again = self._response.tried(self._response.vector(upper))
        if again.status is not Status.OPTIMAL or again.y is None:
            return None
        return self._functions.noise([lower, self._response.lower_values(again.y)], [cost, again.cost])

    def _upper_objective(self, upper: dict[str, Any], lower: dict[str, Any]) -> float:
        return float(evaluator(self._values(upper, lower))(self.problem.objective.expr))

    def _better(self, candidate: dict[str, Any], fresh: Check) -> bool:
        """Whether F is better at a path's own answer."""
        sense = self.problem.sense
        return sense * self._upper_objective(fresh.upper, candidate) < sense * fresh.upper_objective

    def _values(self, upper: dict[str, Any], lower: dict[str, Any]) -> dict[int, float]:
        """Values by the variables' ids, of all that can stand in algebra."""
        values = {id(v): float(upper[v.name]) for v in self.problem.variables if not is_category(v)}
        names = self.problem.lower_names
        return values | {id(v): _whole(v, lower[n]) for v, n in zip(self.problem.lower_variables, names, strict=True)}

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
        evaluate = evaluator(self._values(upper, lower))
        objectives, gap, below, complaints = [], None, 0.0, []
        certain = proved or self.problem.attitude is Attitude.OPTIMISTIC
        for follower in self.problem.followers:
            if follower.objective is None:
                objectives.append(math.nan)
                continue
            written = follower.written
            assert written.objective is not None
            f = float(evaluate(written.objective.expr))
            objectives.append(follower.stated(f, float(evaluate(follower.aside))))
            if not abs(f) < tolerances.INFINITE:
                complaints.append(f"the objective of {follower.name} is {f:g}, which is no answer")
                continue
            best, sure, sharp, complaint = self._by_excess(follower, upper, lower, follower.sense * f)
            complaints += complaint
            proved, certain = proved and sure, certain and sharp
            gap = max(gap if gap is not None else -math.inf, (follower.sense * f - best) / tolerances.scale(f, best))
            outside = self._outside(written.variables, lower)
            below = max(below, largest_violation(evaluate, written.constraints, self._compilation.sizes), outside)
        above = max(
            largest_violation(evaluate, self.problem.constraints, self._compilation.sizes),
            self._outside(self.problem.variables, upper),
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

    def _by_excess(
        self, follower: Follower, upper: dict[str, Any], lower: dict[str, Any], f: float
    ) -> tuple[float, bool, bool, list[str]]:
        """As :meth:`_best`, and without solving anything where strong convexity or a dual says how far f may be off."""
        bounded = self._excesses.get(follower.name)
        if bounded is not None:
            y = np.array([lower.get(self.problem.names[id(var)], math.nan) for var in follower.variables])
            excess = bounded(self._response.vector(upper), y, f)
            if excess <= tolerances.SHARP * tolerances.scale(f):
                return f - excess, True, True, []
        return self._best(follower, upper, f)

    def _best(self, follower: Follower, upper: dict[str, Any], f: float) -> tuple[float, bool, bool, list[str]]:
        """The best f for this x (minimised), whether it is proved and F certain with it, and what went wrong."""
        x, slack = self._response.vector(upper), tolerances.OPTIMALITY * tolerances.scale(f)
        answering = self._answering(follower.name)
        answer = self._afresh(follower.name, x)
        if answer.status is Status.OPTIMAL and answer.objective > f + slack:  # no optimum, whatever that engine says
            answer = answering.another(x, answer)
        if answer.status in (Status.FAILED, Status.REFUSED) and passed():  # no second opinion in time: the first one
            return min(f, self._first[follower.name]), False, False, []
        if answer.status is not Status.OPTIMAL:
            return f, False, False, [f"solved afresh, {follower.name} is {answer.status}: {answer.message}"]
        if answer.objective > f + slack:
            complaint = f"the engines disagree on the best f of {follower.name}: {answer.objective:.9g} or {f:.9g}"
            return f, False, False, [complaint]
        sharp = answer.proved
        if sharp and answer.bound < answer.objective and not (surely_convex(answering.program) or self._agreed):
            answer = answering.sharper(x, answer)
            sharp = f - answer.bound <= tolerances.SHARP * tolerances.scale(f) or self._surely_sharp(follower, x, f)
        return answer.objective, answer.proved, sharp, []

    def _surely_sharp(self, follower: Follower, x: Array, f: float) -> bool:
        """Whether an engine whose bounds need no second opinion proves the digits that another lacks."""
        answering = self._answering(follower.name)
        for name in answering.engines:
            if registry.get(Engine, name).second_opinion < _PROOF and not passed():
                answer = answering.by(name, x, None, _PROOF)
                if answer.proved and f - answer.bound <= tolerances.SHARP * tolerances.scale(f):
                    return True
        return False

    @cached_property
    def _agreed(self) -> bool:
        """Whether F is f but for a factor and what x costs: then no near-optimum below hides a move of F."""
        return agreement_of(self._response.compilation) is not None

    def _afresh(self, name: str, x: Array) -> Answer:
        """The independent answer, asked for once at each x."""
        key = name, x.tobytes()
        if key not in self._known:
            answering = self._answering(name)
            first = registry.get(Engine, self._response.engines[name])
            longest = _SECOND_OPINION if answering.program.convex else first.second_opinion
            answer = answering(x, None, longest)
            if not answer.proved and first.second_opinion < _PROOF:  # none in that time: the first one's word, afresh
                answer = answering.by(first.name, x, answer.y, _PROOF)
            self._known[key] = answer
        return self._known[key]

    def _outside(self, variables: Any, values: dict[str, Any]) -> float:
        """Largest violation of a bound or a domain; whether a value is in a domain is Pyomo's to say."""
        worst = 0.0
        for var in variables:
            name = self.problem.names[id(var)]
            value = values[name]
            away = domain_violation(self._homes.get(name, var), value)
            whole = var.is_integer() or var.is_binary()
            worst = max(worst, away if not whole or away <= tolerances.INTEGRALITY else math.inf)
            low, high = (None, None) if is_category(var) else numeric_bounds(var)
            if low is not None:
                worst = max(worst, float(low - float(value)) / size_at(var, low))
            if high is not None:
                worst = max(worst, float(float(value) - high) / size_at(var, high))
        return worst

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
    numbers = {"the upper objective": check.upper_objective, **check.upper, **check.lower}
    for name, value in numbers.items():
        if isinstance(value, (int, float)) and not abs(value) < tolerances.INFINITE:
            found.append(f"{name} is {value:g}, which is no answer but a solver's word for none")
    return found


def _whole(var: Any, value: float) -> float:
    """An integer variable's value as the integer it stands for: what a big row hides behind 1e-7 comes to light."""
    if not (var.is_integer() or var.is_binary()) or not math.isfinite(value):
        return value
    return float(round(value)) if abs(value - round(value)) <= tolerances.INTEGRALITY else value


def largest_violation(
    evaluate: Translator,
    constraints: Iterable[Any],
    sizes: Callable[[Sequence[Any]], Array] | None = None,
) -> float:
    """The largest violation of Pyomo constraints at a point, relative; infinite where a body is no number.

    Relative to ``max(1, |bound|)``, and where that would let them pass to their own ``sizes``.
    """
    worst, broken = 0.0, []
    for constraint in constraints:
        body = float(evaluate(constraint.body))
        for bound, sign in ((constraint.lower, -1.0), (constraint.upper, 1.0)):
            if bound is not None:
                limit = float(evaluate(bound))
                excess = sign * (body - limit)
                if not excess <= 0.0:
                    worst = max(worst, math.inf if math.isnan(excess) else excess / tolerances.scale(limit))
                    broken.append((constraint, excess))
    if sizes is None or not broken or worst > tolerances.FEASIBILITY:
        return worst
    own = sizes([constraint for constraint, _ in broken])
    return max(worst, *(excess / float(each) for (_, excess), each in zip(broken, own, strict=True)))
