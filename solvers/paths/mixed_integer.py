"""Mixed-integer linear followers, exactly: by what their structure allows, which is found in the model.

Three ways. A knapsack whose items the leader blocks is branched on item by item
(:mod:`bilevel.solvers.interdiction.knapsack_tree`). Followers that decide bounded integers alone are branched on what
their optimal answers must meet (:mod:`bilevel.solvers.branching.tree`). All others go in rounds
(:mod:`bilevel.solvers.rounds.answer_rounds`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.finding import Finding, Termination
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.solvers.branching.integer_levels import IntegerLevels, integer_levels
from bilevel.solvers.branching.tree import Asked, Tree
from bilevel.solvers.interdiction.knapsack_game import KnapsackGame, knapsack_game
from bilevel.solvers.interdiction.knapsack_tree import KnapsackTree
from bilevel.solvers.interdiction.monotone_cuts import monotone_cuts
from bilevel.solvers.rounds.alternation import Rounds, carried_through, refuse_functions
from bilevel.solvers.rounds.answer_rounds import AnswerRounds
from bilevel.solvers.rounds.implied_bounds import implied_bounds
from bilevel.solvers.rounds.linear_levels import LinearLevels

_ANSWERING = 0.5  # seconds, at most, that a tree leaves for the follower's answer at what it found
_NEWS = 50  # nodes between two looks at the bound


@register("mixed_integer")
class MixedInteger(Path):
    """Mixed-integer linear lower levels, exactly: trees for integers alone and for blocked knapsacks, else rounds.

    Take it when both levels are linear and the follower decides integers; where anything is nonlinear, take
    ``value_function``.
    """

    preference = 0.4

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        refuse_functions(problem)
        if all(var.is_continuous() for follower in problem.followers for var in follower.variables):
            raise RefusedError("no follower has an integer variable; use method='kkt'")
        levels, rounds = LinearLevels(problem), Rounds(problem, Compilation.of(problem), settings, observer)
        game = game_of(levels)
        if game is not None:
            return carried_through(_Game(game, levels, rounds))
        table = table_of(levels)
        if table is not None:
            return carried_through(_Branching(table, levels, settings.engine, rounds))
        return carried_through(AnswerRounds(levels, settings.engine, rounds))


def game_of(levels: LinearLevels) -> KnapsackGame | None:
    """The knapsack that the leader blocks items of, where the problem is that."""
    follower = levels.only_follower
    return None if follower is None else knapsack_game(levels.high_point.program, follower, levels.binary)


def table_of(levels: LinearLevels) -> IntegerLevels | None:
    """Both levels as one table of rows in whole numbers, where followers decide integers within ranges alone."""
    program, numbers = levels.high_point.program, levels.numbers
    if numbers is None:
        return None
    return integer_levels(numbers, program.integer, implied_bounds(program, 0.0), levels.followers)


def cuts_of(levels: LinearLevels) -> Callable[[Array], tuple[Array, float]] | None:
    """The cuts that come of blocking, where the leader blocks what the only follower takes."""
    numbers, follower = levels.numbers, levels.only_follower
    if numbers is None or follower is None:
        return None
    cuts = monotone_cuts(numbers, follower, levels.binary)
    return None if cuts is None else cuts.of


class _Game:
    """One run where the problem is a knapsack whose items the leader blocks."""

    def __init__(self, game: KnapsackGame, levels: LinearLevels, rounds: Rounds) -> None:
        self._game, self._high_point, self.rounds = game, levels.high_point, rounds
        rounds.notes.append(f"a knapsack of {len(game.profit)} items that the leader blocks: branched on item by item")

    def run(self) -> Termination:
        """One tree, then the follower's own answer at the best blocking."""
        rounds = self.rounds
        kept = min(_ANSWERING, 0.1 * rounds.left)
        found = KnapsackTree(self._game, self._value, lambda: rounds.left <= kept).run()
        if found.blocked is None and found.bound == np.inf:
            return rounds.empty()
        rounds.raise_bound(found.bound)
        if found.blocked is not None:
            self._value(found.blocked)
        rounds.report()
        if rounds.closed:
            return Termination.OPTIMALITY
        return Termination.TIME_LIMIT if rounds.left <= kept else Termination.STALLED

    def _value(self, blocked: NDArray[np.bool_]) -> float:
        """F where these items are blocked, by the follower's own answer."""
        v = np.zeros(self._high_point.program.n)
        for place, value in self._game.values(blocked).items():
            v[place] = value
        return self.rounds.ask(self._high_point.upper_values(v)).cost


class _Branching:
    """One run where the followers decide integers alone: a tree, or rounds where its root has no end."""

    def __init__(self, table: IntegerLevels, levels: LinearLevels, engine: str, rounds: Rounds) -> None:
        self._levels, self._engine, self.rounds = levels, engine, rounds
        self._tree = Tree(table, self._ask, lambda: rounds.left, cuts_of(levels))

    def run(self) -> Termination:
        """Nodes until none is left."""
        rounds, tree, count = self.rounds, self._tree, 0
        while not tree.done:
            count += 1
            if rounds.left <= 0.0:
                break
            if not tree.step():
                rounds.notes.append("the relaxation of both levels has no optimum: in rounds")
                return AnswerRounds(self._levels, self._engine, rounds).run()
            if count % _NEWS == 0 and rounds.raise_bound(tree.bound):
                rounds.report()
        rounds.notes.append(f"{count} nodes, branched on what the followers' answers must meet")
        if tree.bound == np.inf:
            return rounds.empty()
        rounds.raise_bound(tree.bound)
        rounds.report()
        if rounds.closed:
            return Termination.OPTIMALITY
        return Termination.TIME_LIMIT if rounds.left <= 0.0 else Termination.STALLED

    def _ask(self, v: Array) -> Asked:
        """The followers' own answer at the x of a point."""
        reply = self.rounds.ask(self._levels.high_point.upper_values(v))
        if reply.status is not Status.OPTIMAL or not reply.proved:
            return Asked(np.inf, {})
        inside = reply.violation <= tolerances.FEASIBILITY
        return Asked(reply.cost if inside else np.inf, dict(self.rounds.answers(reply)))
