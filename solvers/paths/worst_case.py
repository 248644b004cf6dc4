"""Pessimistic problems, certified: optimality conditions of the worst optimum in place of both choices.

The leader's decision x, an optimum y of the follower, and the conditions under which no other optimum is worse for the
leader are one ordinary program (:mod:`bilevel.solvers.single_level.worst_face`). Its optimum, found by an engine that
proves, bounds F; at its x the follower's worst optimum is found afresh, and the two meet.
"""

from __future__ import annotations

import math

import numpy as np

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.contracts.finding import Finding, Termination
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.solvers.rounds.alternation import Rounds, carried_through, refuse_functions
from bilevel.solvers.rounds.finite_points import finite_points
from bilevel.solvers.rounds.rounder_points import rounder_points
from bilevel.solvers.single_level.density import refuse_dense
from bilevel.solvers.single_level.global_proof import proving_engine
from bilevel.solvers.single_level.worst_face import WorstFace

_FIRST = 0.2  # of the time, for points near the start of a leader without bounds


@register("worst_case")
class WorstCase(Path):
    """Pessimistic problems by optimality conditions of the worst optimum, for convex quadratic and linear followers.

    Take it when the follower is not unique and the worst of its optima counts; where both levels are linear and its
    costs constant ``active_sides`` is faster.
    """

    preference = 0.51
    pessimistic = True

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        if not problem.pessimistic:
            raise RefusedError("worst_case takes the pessimistic attitude only; use method='kkt'")
        refuse_functions(problem)
        refuse_dense(Compilation.of(problem), settings)
        return carried_through(_Walk(problem, settings, observer))


class _Walk:
    """One run: the program, then the follower at its x."""

    def __init__(self, problem: Problem, settings: Settings, observer: Observer) -> None:
        compilation = Compilation.of(problem)
        self._problem, self._face = problem, WorstFace(compilation)
        self._engine = registry.get(Engine, proving_engine(self._face.program, settings.engine))()
        self.rounds = Rounds(problem, compilation, settings, observer)

    def run(self) -> Termination:
        """Points near the start, the bound, and the points around where it is."""
        rounds = self.rounds
        until = (1.0 - _FIRST) * rounds.left
        for near in finite_points(self._problem):
            if rounds.left > until:
                rounds.ask(near)
        answer = self._engine.prepare(self._face.program)(np.zeros(0), None, rounds.left)
        if answer.status is Status.INFEASIBLE:
            return rounds.empty()
        if answer.bound > -math.inf:
            rounds.raise_bound(answer.bound)
        if answer.y is not None:
            upper = self._face.upper_values(answer.y)
            rounds.ask(upper)
            for near in rounder_points(self._problem, upper):
                if rounds.left > 0 and not rounds.closed:
                    rounds.ask(near)
        elif answer.message:
            rounds.notes.append(answer.message)
        rounds.report()
        if answer.interrupted:
            return Termination.INTERRUPTED
        if rounds.closed:
            return Termination.OPTIMALITY
        return Termination.TIME_LIMIT if rounds.left <= 0 else Termination.STALLED
