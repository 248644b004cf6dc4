"""How one follower answers: the engines that suit its program in turn, or its response function."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property

import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.deadline import Deadline, current, limited, passed
from bilevel.errors import RefusedError
from bilevel.programs.answer import Answer, Answers, ClosedForm, Status
from bilevel.programs.program import Program
from bilevel.programs.units.scaled_program import ScaledProgram, scaled

_VALLEYS = 6  # starts for a local engine where a global one proved nothing
_GLOBAL_SHARE = 0.5  # of the time that is left
_SHARPENING = 5.0  # seconds for a lower level solved to more digits
_PROVING = 0.5  # engines that suit a program better than this prove their answer (contracts.Engine.suits)


def ranked_engines(program: Program) -> list[tuple[float, str]]:
    """The engines that can take a program, best first."""
    ranked = [(registry.get(Engine, name)().suits(program), name) for name in registry.catalogue(Engine)]
    return sorted(((score, name) for score, name in ranked if score > 0.0), reverse=True)


def specialist(program: Program) -> str | None:
    """The engine made for this kind of program, where there is one."""
    for name in registry.catalogue(Engine):
        engine = registry.get(Engine, name)
        if engine.specialises and engine().suits(program) > 0.0:
            return name
    return None


def gains_from_a_start(program: Program) -> bool:
    """Whether the engine that suits a program best is faster from a point near its answer."""
    special = specialist(program)
    ranked = [(1.0, special)] if special is not None else ranked_engines(program)
    return bool(ranked) and registry.get(Engine, ranked[0][1]).warms


def valleys(low: Array, high: Array, near: Array) -> list[Array]:
    """Starts from which a local engine may come to other optima than a known one: next to it, and over the box."""
    size = np.maximum(1.0, np.abs(near))
    first = np.where(np.isfinite(low), low, np.minimum(near, high) - 3.0 * size)
    last = np.where(np.isfinite(high), high, np.maximum(near, low) + 3.0 * size)
    shares = np.random.default_rng(0).random((_VALLEYS - 1, len(near)))
    return [near + 1e-3 * (last - first) * (0.5 - shares[0]), *(first + (last - first) * share for share in shares)]


class _InUnits(Solver):
    """An engine that is given a program in units of its own."""

    def __init__(self, scaled_program: ScaledProgram, engine: Engine) -> None:
        self._scaled, self._inner = scaled_program, engine.prepare(scaled_program.program)
        self.uses = self._inner.uses

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        self._inner.gap = self.gap
        return self._scaled.outwards(self._inner(parameters, self._scaled.inwards(start), time_limit))

    def many(self, parameters: Array) -> Answers | None:
        answers = self._inner.many(parameters)
        return None if answers is None else self._scaled.all_outwards(answers)


class Answering(Solver):
    """Solves a program with the engine that suits it best, or the next where that one refuses or fails at a point.

    Parameters
    ----------
    program : Program
        What to solve.
    avoid : collection of str
        Engines to put last: the verification asks others than those whose answer it checks.

    Attributes
    ----------
    first : str
        The engine that is asked first.

    Raises
    ------
    RefusedError
        If no engine takes the program.
    """

    def __init__(self, program: Program, avoid: Collection[str] = ()) -> None:
        self.program, self._avoid = program, avoid
        special = specialist(program)
        self._special = special is not None and special not in avoid
        self.first = special if special is not None and self._special else self.engines[0]
        self._solvers: dict[str, Solver] = {}
        self._first = self._solver(self.first)
        self.uses = self._first.uses | {self.first}

    @cached_property
    def _scaled(self) -> ScaledProgram | None:
        """The program in units of its own, where it needs them."""
        return scaled(self.program)

    @cached_property
    def _ranked(self) -> list[tuple[float, str]]:
        ranked = ranked_engines(self.program if self._scaled is None else self._scaled.program)
        if not ranked and self.program.losses:
            raise RefusedError(
                f"{self.program.name} holds {self.program.losses[0].name}, which newton takes only where all is proved"
                " convex, in up to some hundred continuous variables; --explain says what is proved"
            )
        if not ranked:
            raise RefusedError(
                f"{self.program.name} is a {self.program.describe()} that no engine takes; a function outside SCIP's"
                " vocabulary together with integer variables is one reason, an if-then-else expression another"
            )
        return ranked

    @cached_property
    def _proving(self) -> list[str]:
        return [name for score, name in self._ranked if score > _PROVING]

    @cached_property
    def _local(self) -> list[str]:
        return [name for score, name in self._ranked if score <= _PROVING]

    @cached_property
    def engines(self) -> list[str]:
        """Those that take the program, in the order in which they are asked."""
        return sorted(self._proving, key=lambda name: name in self._avoid) + self._local

    @property
    def _polisher(self) -> str | None:
        return self._local[0] if self._local else None

    @property
    def warms(self) -> bool:
        """Whether the first engine gains from a start."""
        return registry.get(Engine, self.first).warms

    def closed_form(self) -> ClosedForm | None:
        """The first engine's answer as a formula, where it has one."""
        return registry.get(Engine, self.first)().closed_form(self.program)

    def many(self, parameters: Array) -> Answers | None:
        """See :class:`bilevel.contracts.engine.Solver`."""
        return self._first.many(parameters)

    def _solver(self, name: str) -> Solver:
        if name not in self._solvers:
            engine = registry.get(Engine, name)()
            units = None if engine.specialises else self._scaled  # special ones have units of their own
            self._solvers[name] = engine.prepare(self.program) if units is None else _InUnits(units, engine)
        return self._solvers[name]

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        """See :class:`bilevel.contracts.engine.Solver`."""
        mine = self._share(time_limit)
        until = Deadline.after(mine)
        try:
            answer = self._first(parameters, start, mine)
        except ArithmeticError as error:
            return Answer(Status.FAILED, message=str(error))
        if answer.status is Status.OPTIMAL and answer.bound >= answer.objective:
            return answer
        for name in self.engines[1:]:
            if answer.status not in (Status.REFUSED, Status.FAILED):
                break
            other = self._solver(name)(parameters, start, time_limit)
            answer = other if other.status is not Status.REFUSED else answer
            if mine != time_limit and until.passed and answer.status is Status.OPTIMAL:
                return answer  # the first engine had its time, and comes to nothing in less
            if answer.status is Status.OPTIMAL and answer.bound < answer.objective:
                answer = self._from_there(answer, parameters, time_limit)
        if answer.status is Status.OPTIMAL and not answer.proved:
            answer = self._proved_by_another(answer, parameters, time_limit)
        return self._deepest(self._polished(answer, parameters), parameters)

    def _share(self, time_limit: float | None) -> float | None:
        """Seconds for a global engine: with a deadline ahead some are kept for a local one, whose answer is one too."""
        if self._special or current().end == math.inf or self._polisher is None or not self._proving:
            return time_limit
        left = limited(time_limit)
        return left if left is None else _GLOBAL_SHARE * left

    def _deepest(self, answer: Answer, parameters: Array) -> Answer:
        """The best of a few valleys, where no engine proved the answer that could: a local one's may be a peak."""
        unproved = answer.status is Status.OPTIMAL and not answer.proved and not self.program.convex
        if not unproved or self._special or not self._proving or self._polisher is None or answer.y is None:
            return answer
        for start in valleys(self.program.lower, self.program.upper, answer.y):
            if passed():
                break
            other = self._solver(self._polisher)(parameters, start)
            slack = tolerances.OPTIMALITY * tolerances.scale(answer.objective)
            if other.status is Status.OPTIMAL and other.objective < answer.objective - slack:
                answer = replace(other, bound=min(other.bound, answer.bound))
        return answer

    def _proved_by_another(self, answer: Answer, parameters: Array, time_limit: float | None) -> Answer:
        """The same optimum from an engine that proves it, where there is one; else the answer as it is."""
        for name in self._proving:
            other = self._solver(name)(parameters, answer.y, time_limit) if name != self.first else answer
            if other.status is Status.OPTIMAL and other.proved and tolerances.closes(other.objective, answer.objective):
                return other
        return answer

    def _from_there(self, answer: Answer, parameters: Array, time_limit: float | None) -> Answer:
        """The first engine's answer where it failed for want of a start at which f is a number, else the one known."""
        again = self._first(parameters, answer.y, time_limit)
        slack = tolerances.OPTIMALITY * tolerances.scale(answer.objective)
        better = again.status is Status.OPTIMAL and again.bound >= again.objective
        return again if better and again.objective <= answer.objective + slack else answer

    def by(self, name: str, parameters: Array, start: Array | None, time_limit: float | None) -> Answer:
        """One engine's answer, made precise as ever."""
        return self._polished(self._solver(name)(parameters, start, time_limit), parameters)

    def another(self, parameters: Array, first: Answer) -> Answer:
        """What the engines behind the first say, where its answer turned out wrong: the best of theirs."""
        answers = [self._solver(name)(parameters) for name in self.engines[1:]]
        found = [answer for answer in answers if answer.status is Status.OPTIMAL]
        return min(found, key=lambda answer: answer.objective, default=first)

    def sharper(self, parameters: Array, known: Answer) -> Answer:
        """A proved answer again, by the first engine, to a gap of ``tolerances.SHARP``; the old one if that fails."""
        self._first.gap = tolerances.SHARP / 4
        try:
            again = self._first(parameters, known.y, _SHARPENING)
        finally:
            self._first.gap = None
        if again.status is not Status.OPTIMAL or again.bound < known.bound:
            return known
        return again if again.objective < known.objective else replace(known, bound=min(again.bound, known.objective))

    def _polished(self, answer: Answer, parameters: Array) -> Answer:
        """A global solver's point is right to its row tolerance; a local one started there adds the missing digits."""
        if (
            answer.status is not Status.OPTIMAL
            or answer.bound >= answer.objective
            or answer.unique
            or answer.y is None
            or self._polisher is None
        ):
            return answer
        local = self._solver(self._polisher)(parameters, answer.y)
        slack = tolerances.OPTIMALITY * tolerances.scale(answer.objective)
        if local.status is Status.OPTIMAL and local.y is not None and local.objective <= answer.objective + slack:
            return Answer(Status.OPTIMAL, local.y, local.objective, min(answer.bound, local.objective), local.unique)
        return answer
