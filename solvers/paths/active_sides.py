"""Linear levels: branch and bound over which of the follower's constraints carry its optimum.

An LP below is optimal exactly where multipliers exist that vanish on inactive sides. With constant costs these do not
depend on x, so that the two halves of the optimality conditions meet in one question alone: *which* sides are active.
The tree (:mod:`bilevel.solvers.sides.tree`) answers it by linear programs over x and y, half the size of the
single-level model's and solved again in well under a millisecond; no multiplier, and hence no bound of one, stands in
them. Where a relaxed point is no answer, a direction in which the follower improves names the few sides that could
block it: those are branched on (:mod:`bilevel.solvers.sides.multiplier_cone`).

The pessimistic problem is of the same kind: what is worst for the leader among the optima has multipliers of its own,
which vanish on the same inactive sides (:mod:`bilevel.solvers.sides.worst_answers`).

Points come from the follower's true answers at what the tree and the penalty method of
:mod:`bilevel.solvers.sides.first_points` suggest; bounds from multipliers of linear programs, recomputed.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.finding import Finding, Termination
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Shape
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.solvers.rounds.alternation import Rounds, carried_through, refuse_functions
from bilevel.solvers.sides.first_points import FirstPoints
from bilevel.solvers.sides.follower_sides import Sides, sides_of
from bilevel.solvers.sides.hot_program import HotProgram
from bilevel.solvers.sides.multiplier_cone import MultiplierCone
from bilevel.solvers.sides.tree import Tree
from bilevel.solvers.sides.worst_answers import with_worst_answers
from bilevel.solvers.single_level.high_point import HighPoint
from bilevel.solvers.single_level.local_descent import starts as starting_points

_RANGING = 0.05  # of the time, for ranges of variables without limits
_STARTS = 8  # penalties followed before the tree
_BEFORE, _MOST_BEFORE = 0.1, 5.0  # of the time, and seconds at most, for these
_OFTEN = 50  # nodes between two reports


@register("active_sides")
class ActiveSides(Path):
    """Linear levels: branch and bound over the sides that carry the follower's optimum, by hot linear programs.

    Take it when both levels are linear and the follower's costs constant; where anything is quadratic, or these costs
    move with x, take ``kkt``.
    """

    preference = 0.52
    pessimistic = True

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        refuse_functions(problem)
        return carried_through(_Walk(problem, settings, observer))


class _Walk:
    """One run."""

    def __init__(self, problem: Problem, settings: Settings, observer: Observer) -> None:
        _refuse_discrete(problem)
        compilation = Compilation.of(problem)
        _refuse_nonlinear(compilation)
        self._high_point = HighPoint(problem)
        program = self._high_point.program
        if program.shape is not Shape.LINEAR:
            raise RefusedError("the upper level is not linear; use method='kkt'")
        self._compilation = compilation
        hot, self._sides = self._relaxation()
        self._copy, _ = self._relaxation()
        self.rounds = Rounds(problem, compilation, settings, observer)
        self._seed = settings.seed
        hot.narrow(time.monotonic() + _RANGING * self.rounds.left)
        if hot.solve().bound == -math.inf:
            raise RefusedError("the problem without the followers' optimality has no bound; use method='kkt'")
        self._cone = MultiplierCone(self._sides)
        self._tree = Tree(hot, self._sides, self._cone, self._target)
        self._first = FirstPoints(self._copy, self._sides, self._cone, self._more)
        self._until = 0.0
        self.rounds.notes.append(f"{program.n} variables, {len(self._sides)} sides of the followers")

    def _relaxation(self) -> tuple[HotProgram, Sides]:
        """The high-point problem with the sides of its followers, as the attitude has them."""
        problem, programs = self._compilation.problem, self._compilation.programs
        hot = self._hot()
        sides = sides_of(self._high_point, hot, programs, [var.name for var in problem.variables])
        if not problem.pessimistic:
            return hot, sides
        names, places = {name for p in programs.values() for name in p.row_names}, self._high_point.places
        followers = [np.array([places[name] for name in p.names]) for p in programs.values()]
        own = np.array([name in names for name in self._high_point.program.row_names], dtype=bool)
        return with_worst_answers(hot, sides, followers, own)

    def _hot(self) -> HotProgram:
        program, compilation = self._high_point.program, self._compilation
        form = numeric_form(program).at(np.zeros(0))
        ranges = [compilation.ranges.get(name, (-math.inf, math.inf)) for name in program.names]
        low, high = np.array(ranges, dtype=float).reshape(-1, 2).T
        return HotProgram(
            form.gradient,
            form.matrix,
            program.row_lower - form.offset,
            program.row_upper - form.offset,
            program.lower,
            program.upper,
            (np.maximum(low, program.lower), np.minimum(high, program.upper)),
            float(form.constant[0]),
        )

    def run(self) -> Termination:
        """First points, then the tree."""
        rounds, tree = self.rounds, self._tree
        self._until = rounds.left - min(_BEFORE * rounds.left, _MOST_BEFORE)
        start = self._start()
        if start is not None:
            rounds.ask(start)
        for point in self._first.points(self._seed, _STARTS):
            self._ask(point)
        self._until = 0.0
        while not tree.done:
            if rounds.left <= 0:
                return self._stopped(Termination.TIME_LIMIT)
            tree.step()
            if tree.nodes % _OFTEN == 0:
                rounds.raise_bound(tree.bound)
                rounds.report()
        if rounds.loses(tree.bound) or (rounds.cost == math.inf and not tree.undecided):
            return rounds.empty()
        return self._stopped(Termination.OPTIMALITY)

    def _stopped(self, why: Termination) -> Termination:
        rounds, tree = self.rounds, self._tree
        rounds.raise_bound(tree.bound)
        rounds.report()
        rounds.notes.append(f"{tree.nodes} nodes")
        if tree.undecided:
            rounds.notes.append(f"{tree.undecided} of them neither closed nor branched on: they keep their bound")
        return why if rounds.closed or why is not Termination.OPTIMALITY else Termination.STALLED

    def _more(self) -> bool:
        return self.rounds.left > self._until

    def _start(self) -> dict[str, Any] | None:
        """The user's values, or the middle of the box; None where rows above or bounds forbid them."""
        problem, places = self._compilation.problem, self._high_point.places
        values: Array = next(starting_points(problem, np.random.default_rng(self._seed), 1))
        start = {var.name: float(value) for var, value in zip(problem.variables, values, strict=True)}
        copy, m = self._copy, self._copy.matrix.shape[0]
        inside = all(
            copy.low[m + places[name]] <= value <= copy.high[m + places[name]] for name, value in start.items()
        )
        for name, value in start.items():
            copy.limit(m + places[name], value, value)
        allowed = inside and copy.solve().point is not None
        for name in start:
            copy.release(m + places[name])
        return start if allowed else None

    def _ask(self, point: Array) -> bool:
        """Ask the follower at a point's x; whether F became better."""
        before = self.rounds.cost
        self.rounds.ask(self._high_point.upper_values(point))
        return self.rounds.cost < before

    def _target(self, point: Array | None) -> float:
        """What closes a node; after a point that may be an answer was asked for."""
        if point is not None and self._ask(point):
            self._ask(self._first.improved(point))
        cost = self.rounds.cost
        return cost - tolerances.CERTIFICATE / 2 * self._compilation.scale(cost) if math.isfinite(cost) else math.inf


def _refuse_discrete(problem: Problem) -> None:
    """Refuse upper variables that are no real numbers, and followers' that are integer."""
    for var in problem.variables:
        if not var.is_continuous() or var.domain.isfinite():
            raise RefusedError(f"{var.name} takes single values only; use method='kkt'")
    if problem.allowed:
        raise RefusedError(f"{problem.allowed[0].name} restricts the leader to single points; use method='kkt'")
    for var in (var for follower in problem.followers for var in follower.variables):
        if not var.is_continuous():
            raise RefusedError(f"{var.name} is integer; use method='mixed_integer'")


def _refuse_nonlinear(compilation: Compilation) -> None:
    for program in compilation.programs.values():
        if program.shape is not Shape.LINEAR or program.discrete:
            raise RefusedError(f"{program.name} is a {program.describe()}, not a linear program; use method='kkt'")
