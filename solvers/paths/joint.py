"""One problem of two: where leader and follower want the same of y, both levels are solved at once, globally."""

from __future__ import annotations

import math

import numpy as np

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.contracts.finding import Finding, Termination
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.convexity.agreement import agreement_of
from bilevel.errors import RefusedError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.answering import ranked_engines
from bilevel.solvers.rounds.alternation import Rounds, carried_through, refuse_functions
from bilevel.solvers.rounds.rounder_points import rounder_points
from bilevel.solvers.single_level.density import refuse_dense
from bilevel.solvers.single_level.high_point import HighPoint

_FIRST = 0.5  # of the time: the follower's answer at that x is a problem of the same kind, and is verified
_PROVING = 0.5  # what an engine must score to answer with a proof


@register("joint")
class Joint(Path):
    """Both levels as one problem, where F is the follower's objective times a positive number plus what x alone costs.

    Take it when leader and follower agree, as in a budget and its allocation; where they differ, ``kkt`` for a convex
    follower and ``value_function`` for one that is not.
    """

    preference = 0.95
    share = 0.6

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        refuse_functions(problem)
        compilation = Compilation.of(problem)
        refuse_dense(compilation, settings)
        if agreement_of(compilation) is None:
            raise RefusedError(
                "leader and follower do not agree: F is not the lower objective times a positive number plus a function"
                " of the upper variables"
            )
        return carried_through(_Walk(problem, compilation, settings, observer))


class _Walk:
    """One run: the high-point problem solved, and the follower's answer at its x."""

    def __init__(self, problem: Problem, compilation: Compilation, settings: Settings, observer: Observer) -> None:
        self._problem, self._high_point = problem, HighPoint(problem)
        self._engine = _engine_for(self._high_point.program)
        self.rounds = Rounds(problem, compilation, settings, observer)
        self.rounds.notes.append("leader and follower want the same: both levels solved as one problem")

    def run(self) -> Termination:
        """Solve, and ask the follower."""
        rounds = self.rounds
        solver = registry.get(Engine, self._engine)().prepare(self._high_point.program)
        answer = solver(np.zeros(0), None, _FIRST * rounds.left)
        if answer.status is Status.INFEASIBLE:
            return rounds.empty()
        if math.isfinite(answer.bound):
            rounds.raise_bound(answer.bound)
        if answer.y is None:
            rounds.notes.append(f"no point: {answer.message or answer.status}")
            return Termination.TIME_LIMIT if rounds.left <= 0 else Termination.STALLED
        upper = self._high_point.upper_values(answer.y)
        rounds.ask(upper)
        for near in [] if rounds.closed else rounder_points(self._problem, upper):  # an integer answer may jump there
            rounds.ask(near)
        rounds.report()
        if rounds.closed:
            return Termination.OPTIMALITY
        return Termination.TIME_LIMIT if rounds.left <= 0 else Termination.STALLED


def _engine_for(program: Program) -> str:
    """The engine that proves most.

    Raises
    ------
    RefusedError
        If none does.
    """
    ranked = ranked_engines(program)
    if not ranked or ranked[0][0] <= _PROVING:
        raise RefusedError("no engine proves an optimum of both levels' constraints and F together")
    return ranked[0][1]
