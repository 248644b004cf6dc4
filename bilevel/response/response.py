"""The lower level's answer to an upper point, and what the leader gets for it.

The rational reaction of the followers (Dempe 2002, eq. 1.2): each one's program solved to optimality at x, ties broken
as the attitude says, then F and G evaluated. Everything that does not depend on x is done once, when the response is
built.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.errors import AnswerError, ModelError, RefusedError
from bilevel.language.attitude import Attitude
from bilevel.language.domains import members
from bilevel.language.trials.trial import current, terms_now
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.hinges.recognition import hinge_form
from bilevel.programs.l1.recognition import l1_form
from bilevel.programs.program import Program, Shape
from bilevel.reading.pieces import as_number, as_value, is_category
from bilevel.reading.problem import Problem
from bilevel.response.answering import Answering, gains_from_a_start
from bilevel.response.dual_values import DualValues
from bilevel.response.express import Express
from bilevel.response.functions import FunctionAnswering
from bilevel.response.leader import Leader
from bilevel.response.replies import Replies, Reply
from bilevel.response.shared import answers
from bilevel.response.stages.nearby import NearbyFloors
from bilevel.response.stages.parts_of_f import PartsOfF
from bilevel.response.stages.race import Race
from bilevel.response.stages.repeated import repeated
from bilevel.response.tie_break import CHOICES, Choice
from bilevel.sensitivity.hypergradient import Gradient, Hypergradient

_AT_ONCE = 256  # points answered in one call


class Response:
    """``response(x)`` answers for all followers at the upper point x.

    Parameters
    ----------
    model : ConcreteModel or Problem
        The bilevel problem.
    compilation : Compilation, optional
        Where the problem is compiled already.
    avoid : collection of str
        Engines to use last.
    warm : bool
        Start each solve from the last answer (only engines that iterate from a point make use of it).

    Attributes
    ----------
    engines : dict of str
        By follower, the engine that is asked first; ``response`` where a function answers.
    asked : frozenset of str
        All of these, and those they ask in turn.

    Raises
    ------
    ModelError, RefusedError
        If the model cannot be read, or no engine takes a follower.

    Examples
    --------
    >>> import bilevel
    >>> import numpy as np
    >>> response = bilevel.Response(bilevel.load_model("toy"))
    >>> reply = response(np.array([3.0]))  # the follower goes to y = 3, so that F = 9 + 9
    >>> print(reply.status, reply.y.round(6), round(reply.cost, 6))
    optimal [3.] 18.0
    >>> response.many([{"x": 1.0}, {"x": 2.0}]).cost.round(6)
    array([2., 8.])
    >>> response.gradient({"x": 3.0}).value.round(6)  # dF/dx of x^2 + y(x)^2 with y = x
    array([12.])
    """

    def __init__(
        self,
        model: Any,
        *,
        compilation: Compilation | None = None,
        avoid: Collection[str] = (),
        warm: bool = True,
    ) -> None:
        self.problem = Problem.read(model) if compilation is None else compilation.problem
        self.compilation = Compilation.of(self.problem) if compilation is None else compilation
        self._warm = warm
        self._last: dict[str, Array] = {}
        self.programs = _with_convexity(self.compilation)
        self._leader = Leader(self.compilation, self.programs)
        held = ca.vertcat(self._leader.outputs, *(square.variables for square in self._leader.squares))
        self._matters = {name: ca.depends_on(held, symbol) for name, symbol in self.compilation.y.items()}
        self._matters |= {multiplier.follower: True for multiplier in self.problem.multipliers}
        self.engines: dict[str, str] = {}
        self.asked: frozenset[str] = frozenset()
        self._parts: list[tuple[str, slice, Answering | FunctionAnswering]] = []
        offset = 0
        for follower in self.problem.followers:
            count = len(follower.variables)
            part = (
                Answering(self.programs[follower.name], avoid)
                if follower.name in self.programs
                else FunctionAnswering(follower)
            )
            self.engines[follower.name] = part.first if isinstance(part, Answering) else "response"
            self.asked |= part.uses if isinstance(part, Answering) else frozenset()
            self._parts.append((follower.name, slice(offset, offset + count), part))
            offset += count
        self._names = list(self.problem.lower_names)
        self._y = np.zeros(len(self._names))
        self._remembered: dict[bytes, Reply] = {}
        self._duals = DualValues(self.compilation, self.programs) if self.problem.multipliers else None
        self._tie_breaks: dict[tuple[str, ...], Choice] = {}
        self._hypergradient: Hypergradient | None = None
        self._repeats = any(isinstance(part, FunctionAnswering) for _, _, part in self._parts)
        self._warms = [isinstance(part, Answering) and part.warms for _, _, part in self._parts]
        formulas = {name: part.closed_form() for name, _, part in self._parts if isinstance(part, Answering)}
        self._express = Express.of(self.compilation, self._leader, formulas)

    def __call__(
        self, x: Array | Mapping[str, Any], upper: dict[str, Any] | None = None, start: Array | None = None
    ) -> Reply:
        """Answer at one upper point.

        Parameters
        ----------
        x : ndarray of shape (number of upper variables,)
            In the order of ``problem.variables``; or a dict of values by name, as ``Result.upper`` is one.
        upper : dict, optional
            The same by name, as response functions take them; made from x where a follower needs it.
        start : ndarray of shape (number of followers' variables,), optional
            An answer at a point nearby, for engines that gain from it; in place of the last one.

        Returns
        -------
        Reply
            With a copy of y of its own.

        Raises
        ------
        AnswerError
            If a response function's answer is of another shape than the follower's variables.
        ModelError
            If x is no such point.
        """
        if isinstance(x, Mapping):
            upper = dict(x)
            x = self.vector(upper)
        elif x.__class__ is not np.ndarray or x.size != len(self.problem.variables):
            x = self._point(x)
        if self._express is not None:
            found = self._express(x)
            if found is not None:
                cost, violation, below, y = found
                return Reply(Status.OPTIMAL, y, cost, below, violation, True)
        return self._asked(x, upper, start)

    def tried(self, x: Array, upper: dict[str, Any] | None = None, start: Array | None = None) -> Reply:
        """The same for those who ask at many points, of which one that went wrong must not end the others."""
        known = self._remembered.get(x.tobytes())
        if known is not None:
            return known
        try:
            if self._repeats and len(terms_now().seeds) > 1:
                return repeated(self, self._leader, x, upper, start)
            return self(x, upper, start)
        except AnswerError as error:
            return Reply(Status.FAILED, message=str(error), misshapen=True)

    def remember(self, x: Array, y: Array, error: float = math.nan) -> None:
        """Take y for the answer at x from now on: the mean of a noisy function's answers, asked for elsewhere."""
        cost, violation = self._leader(x, y)
        nothing = (math.nan,) * len(self._parts)
        self._remembered[x.tobytes()] = Reply(Status.OPTIMAL, y, cost, nothing, violation, error=error)

    def many(self, points: Any, workers: int = 1) -> Replies:
        """Answer at many upper points: what one call each would answer, up to rounding.

        Where the followers' answers are formulas (unconstrained quadratics of few variables) all points go through the
        compiled formula at once; where their Hessians are constant or move along a line, through one factorization.

        Parameters
        ----------
        points : ndarray of shape (n, number of upper variables), or sequence of dict
            In the order of ``problem.variables``, or values by name.
        workers : int
            Processes that share the points where they are answered one by one; starting them takes seconds.

        Returns
        -------
        Replies
            A sequence of :class:`Reply`, with the arrays ``cost``, ``y`` and ``violation``.
        """
        rows = self._rows(points)
        if self._express is None and not self._stacks:
            return Replies.of(self._one_by_one(rows, workers), len(self._parts), len(self._y))
        found = [self._together(rows[k : k + _AT_ONCE]) for k in range(0, max(len(rows), 1), _AT_ONCE)]
        cost, violation, lower, y, holds = (np.concatenate(columns) for columns in zip(*found, strict=True))
        others = {k: self._asked(rows[k], None) for k in np.flatnonzero(~holds).tolist()}
        return Replies(cost, violation, lower, y, others)

    def _one_by_one(self, rows: Array, workers: int) -> list[Reply]:
        alone = workers <= 1 or len(rows) < 2
        replies = [self.tried(x) for x in rows] if alone else answers(self.problem, rows, workers)
        wrong = next((reply for reply in replies if reply.misshapen), None)
        if wrong is not None and not any(reply.status is Status.OPTIMAL for reply in replies):
            raise AnswerError(wrong.message)  # not one was right: it is the function, not the point
        return replies

    def _together(self, rows: Array) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
        """Cost, violation, f, y, and where all of it holds, of points answered in one call."""
        if self._express is not None:
            return self._express.many(rows)
        stacked = [part.many(rows) for _, _, part in self._parts if isinstance(part, Answering)]
        known = [answer for answer in stacked if answer is not None]
        y, lower = np.hstack([a.y for a in known]), np.column_stack([a.objective for a in known])
        cost, violation = self._leader.many(rows, y)
        holds = np.isfinite(cost) & np.logical_and.reduce([a.holds for a in known])
        return cost, violation, lower, y, holds

    @property
    def batches(self) -> bool:
        """Whether :meth:`many` gains over one call after the other, and says the same to the last bit."""
        return self._express is not None

    @cached_property
    def _stacks(self) -> bool:
        """Whether every follower answers many points in one call, if not to the last bit."""
        none = np.zeros((0, len(self.problem.variables)))
        return not self.problem.multipliers and all(
            isinstance(part, Answering) and part.many(none) is not None for _, _, part in self._parts
        )

    @property
    def warms(self) -> bool:
        """Whether points are answered one by one, and some engine gains from an answer nearby."""
        return self._express is None and any(self._warms) and not self._stacks

    def _rows(self, points: Any) -> Array:
        """Upper points as an array, one per row."""
        if not isinstance(points, np.ndarray):
            points = list(points)
            points = [self.vector(p) if isinstance(p, dict) else p for p in points]
        rows = np.ascontiguousarray(points, dtype=float)
        count = len(self.problem.variables)
        if rows.size and (rows.ndim != 2 or rows.shape[1] != count):
            raise ModelError(f"many(points): points of shape {rows.shape}, not (n, {count}), the upper variables")
        return rows.reshape(-1, count)

    def gradient(self, x: Any) -> Gradient:
        """dF/dx at one upper point, by one adjoint solve (:mod:`bilevel.sensitivity.hypergradient`).

        Parameters
        ----------
        x : ndarray of shape (number of upper variables,), or dict
            As in a call, or values by name.

        Returns
        -------
        Gradient
            ``value``, of F minimised, in the variables' own units, and whether F is smooth there as far as can be told.

        Raises
        ------
        RefusedError
            If a follower has integer variables or answers by a function, if the upper level mentions a multiplier, or
            if the followers have no answer there.
        """
        point = self.vector(x) if isinstance(x, dict) else np.asarray(x, dtype=float)
        if self._hypergradient is None:
            self._hypergradient = Hypergradient(self.compilation)
        reply = self(point)
        if reply.status is not Status.OPTIMAL or reply.y is None:
            raise RefusedError(f"F has no gradient there: the lower level is {reply.status}: {reply.message}")
        return self._hypergradient(point, reply.y)

    def _asked(self, x: Array, upper: dict[str, Any] | None, start: Array | None = None) -> Reply:
        """Ask the engines."""
        y = self._y
        lower = [math.nan] * len(self._parts)
        tied: list[str] = []
        proved = True
        order = terms_now().followers
        race = self._race(x) if order else None
        if race is not None and race.out:
            return race.reply(True)
        for k in order or range(len(self._parts)):
            (name, place, part), warms = self._parts[k], self._warms[k]
            if isinstance(part, Answering):
                near = None if start is None or not warms else start[place]
                answer = part(x, self._last.get(name) if near is None else near)
                if near is not None and answer.status in (Status.FAILED, Status.REFUSED):
                    answer = part(x)
                if answer.bound < answer.objective:
                    proved = proved and answer.proved
            else:
                answer = part(self._by_name(x) if upper is None else dict(upper))
            if answer.status is not Status.OPTIMAL or answer.y is None:
                return Reply(answer.status, message=f"{name}: {answer.message}", proved=answer.proved)
            y[place] = self._lowered(name, x, answer.y)
            lower[k] = answer.objective
            if self._warm:
                self._last[name] = answer.y
            if not answer.unique and self._matters[name] and name not in self._surely_unique:
                tied.append(name)
            if race is not None and race.lost(name, y, name not in tied):
                return race.reply(proved)
        if tied and self._agreed:
            tied = []  # to the leader one optimum is as good as another
        remark = "" if self._duals is None else self._duals(x, y)
        if tied:
            choice = self._break_ties(x, y, tuple(tied))
            if choice.status is Status.UNBOUNDED and self.problem.attitude is Attitude.PESSIMISTIC:
                return Reply(choice.status, message=choice.message, proved=choice.proved)
            proved = proved and choice.proved and choice.status is not Status.UNBOUNDED
            remark = "" if self._duals is None else self._duals(x, y, tied)
        return self._reply(x, y, tuple(lower), proved and not remark, remark)

    def _race(self, x: Array) -> Race:
        near = terms_now().near
        floors = self.nearby_floors.at(x, near) if near else {}
        return Race(self.parts_of_f, current(), x, len(self._parts), floors)

    @cached_property
    def nearby_floors(self) -> NearbyFloors:
        """How low F's parts can be at a point, by what was answered beside it."""
        return NearbyFloors(self.compilation, self.parts_of_f)

    @cached_property
    def parts_of_f(self) -> PartsOfF:
        """F taken apart by followers, for a race among them.

        Raises
        ------
        RefusedError
            If F is no sum of terms of single followers that have a floor.
        """
        return PartsOfF(self.compilation)

    def _lowered(self, name: str, x: Array, y: Array) -> Array:
        """A follower's answer with his auxiliary variables at the least that his rows allow."""
        program = self.programs.get(name)
        if program is None or not program.tops:
            return y
        form = l1_form(program)
        if form is not None:
            return form.lowered(y)
        hinges = hinge_form(program)
        return program.lowered(x, y)[0] if hinges is None else hinges.lowered(x, y)

    @cached_property
    def _agreed(self) -> bool:
        """Whether F moves with y as the followers' own objectives do."""
        from bilevel.convexity.agreement import agreement_of

        return agreement_of(self.compilation) is not None

    @cached_property
    def _surely_unique(self) -> Collection[str]:
        """Followers whose own variables are proved unique, whatever an engine says of auxiliary ones."""
        lifted = {name for name, program in self.programs.items() if program.tops and not _at_its_least(program)}
        if not lifted:
            return frozenset()
        from bilevel.convexity.uniqueness import not_unique

        return lifted - not_unique(self.compilation).keys()

    def _reply(self, x: Array, y: Array, lower: tuple[float, ...], proved: bool, remark: str) -> Reply:
        cost, violation = self._leader(x, y)
        if not abs(cost) < tolerances.INFINITE:
            message = remark or f"the upper objective is {cost} there"
            return Reply(Status.FAILED, y.copy(), cost, lower, violation, False, message)
        return Reply(Status.OPTIMAL, y.copy(), cost, lower, violation, proved, remark)

    def _break_ties(self, x: Array, y: Array, tied: tuple[str, ...]) -> Answer:
        """Move y to the choice among the followers' optima that the attitude makes.

        Where it is INFEASIBLE no optimum meets the coupling constraints: y stays, and its violation says so.
        """
        if tied not in self._tie_breaks:
            self._tie_breaks[tied] = CHOICES[self.problem.attitude](self.compilation, tied)
        choice = self._tie_breaks[tied](x, y)
        if choice.status is not Status.OPTIMAL or choice.y is None:
            return choice
        offset = 0
        for name, place, _ in self._parts:
            if name in tied:
                count = place.stop - place.start
                y[place] = choice.y[offset : offset + count]
                offset += count
        return choice

    def _by_name(self, x: Array) -> dict[str, Any]:
        return {var.name: as_value(var, value) for var, value in zip(self.problem.variables, x, strict=True)}

    def vector(self, upper: dict[str, Any]) -> Array:
        """Upper values by name as the vector x.

        Raises
        ------
        ModelError
            If a variable has no value, or one that is no number.
        """
        missing = [v.name for v in self.problem.variables if upper.get(v.name) is None and not _takes_none(v, upper)]
        if missing:
            raise ModelError(f"no value given for the upper variable {missing[0]}")
        found = np.empty(len(self.problem.variables))
        for k, var in enumerate(self.problem.variables):
            try:
                found[k] = as_number(var, upper[var.name])
            except (TypeError, ValueError):
                raise ModelError(f"{var.name}={upper[var.name]!r}: no value that the variable takes") from None
        return found

    def _point(self, x: Any) -> Array:
        """Numbers in the order of the upper variables, from what is given in place of an array of them."""
        names = [var.name for var in self.problem.variables]
        try:
            found = np.asarray(x, dtype=float)
        except (TypeError, ValueError):
            found = np.empty(0)
        if not names:  # nothing is the leader's: any point is the one there is
            return np.empty(0)
        if x is None or found.shape != (len(names),):
            raise ModelError(f"{x!r} is no upper point: a number for each of {', '.join(names)} is wanted, or a dict")
        return found

    def lower_values(self, y: Array) -> dict[str, float]:
        """The followers' variables, and the multipliers used above, by name."""
        return dict(zip(self._names, y.tolist(), strict=True))


def _at_its_least(program: Program) -> bool:
    """Whether the engine for its kind knows of auxiliary variables whether they are the only ones."""
    return l1_form(program) is not None or hinge_form(program) is not None


def _takes_none(var: Any, upper: dict[str, Any]) -> bool:
    return var.name in upper and is_category(var) and None in members(var.domain)


def warms(compilation: Compilation) -> bool:
    """Whether any follower's engine gains from a start; known without making one ready."""
    programs = [
        p for p in compilation.programs.values() if p.discrete or p.squares or p.shape is Shape.NONLINEAR
    ]  # the others are answered in the time it takes to look for a start
    return bool(programs) and any(map(gains_from_a_start, _with_convexity(compilation).values()))


def _with_convexity(compilation: Compilation) -> dict[str, Any]:
    """The followers' programs, those that are nonlinear marked where convexity is proved."""
    programs = dict(compilation.programs)
    if any(program.shape is Shape.NONLINEAR for program in programs.values()):
        from bilevel.convexity.examination import convexity_of

        found = convexity_of(compilation.problem, compilation)
        for name, program in programs.items():
            if program.shape is Shape.NONLINEAR and found[name].verdict == "proved":
                programs[name] = program.proved_convex
    return programs
