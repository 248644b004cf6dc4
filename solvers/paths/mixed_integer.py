"""Mixed-integer linear followers, exactly: by what their structure allows, which is found in the model.

Three ways. A knapsack whose items the leader blocks is branched on item by item
(:mod:`bilevel.solvers.interdiction.knapsack_tree`). Followers that decide bounded integers alone are branched on what
their optimal answers must meet (:mod:`bilevel.solvers.branching.tree`). All others go in rounds, by the
reformulation-and-decomposition scheme of Zeng and An (2014, *Solving bilevel mixed integer program by reformulations
and decomposition*) and Yue, Gao, Zeng and You (2019, doi 10.1007/s10898-018-0679-1): the master problem is the
high-point problem with one block per integer pattern z of the follower seen so far, the subproblem the follower's own
program at the master's x. Their block holds a copy of the continuous variables and its optimality conditions, whose
multipliers have no bounds that anybody knows. Here a block is a pattern *and* a basis of what is left: the answer is
then affine in x, "no worse than this answer, or this answer breaks a limit" is a disjunction of linear rows
(:mod:`bilevel.solvers.rounds.answer_cuts`), and every big-M follows from the variables' own bounds. There are finitely
many patterns and bases, so rounds end; HiGHS solves the masters, SCIP those with a quadratic F or an unbounded side.

Where an answer stops being feasible at a limit that continuous variables reach, the disjunction asks for the
feasibility tolerance beyond it. The optimum v(m) of a master is then a little too high: with an infimum that is not
attained (Moore and Bard 1990) by the margin m times a slope. Each piece of v is convex in m, hence ``2 v(m/2) - v(m)
<= v(0)`` unless a piece exists below m/2 alone: the bound is taken from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine
from bilevel.contracts.finding import Finding, Termination
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program, Shape
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.answering import ranked_engines
from bilevel.solvers.branching.integer_levels import IntegerLevels, integer_levels
from bilevel.solvers.branching.tree import Asked, Tree
from bilevel.solvers.interdiction.knapsack_game import KnapsackGame, knapsack_game
from bilevel.solvers.interdiction.knapsack_tree import KnapsackTree
from bilevel.solvers.interdiction.monotone_cuts import monotone_cuts
from bilevel.solvers.rounds.alternation import Rounds, carried_through, refuse_functions
from bilevel.solvers.rounds.answer_cuts import FLOOR, AnswerCuts, with_floor
from bilevel.solvers.rounds.implied_bounds import Box, implied_bounds
from bilevel.solvers.rounds.linear_answer import LinearFollower
from bilevel.solvers.rounds.linear_numbers import numbers_of
from bilevel.solvers.single_level.high_point import HighPoint

_ROUNDS = 5000
_BOUNDING_SECONDS = 2.0
_ANSWERING = 0.5  # seconds, at most, that a tree leaves for the follower's answer at what it found
_NEWS = 50  # nodes between two looks at the bound
_OFTEN = 10  # rounds between two looks at the bound where margins have a say
_FLOORS = (1e7, 1e9, 1e11)  # F is held above minus these in turn where the high-point problem is unbounded


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
        levels, rounds = _Levels(problem), Rounds(problem, Compilation.of(problem), settings, observer)
        game = levels.game()
        if game is not None:
            return carried_through(_Game(game, levels, rounds))
        table = levels.table(implied_bounds(levels.high_point.program, 0.0))
        if table is not None:
            return carried_through(_Branching(table, levels, settings, rounds))
        return carried_through(_Walk(levels, settings, rounds))


def _share(rounds: Rounds) -> float:
    """Seconds that the variables' ranges are worth."""
    return min(_BOUNDING_SECONDS, 0.1 * rounds.left)


class _Levels:
    """Both levels as linear programs over the same variables."""

    def __init__(self, problem: Problem) -> None:
        self.high_point = HighPoint(problem)
        program, places = self.high_point.program, self.high_point.places
        if program.shape is Shape.NONLINEAR:
            raise RefusedError("the upper level is not linear (or F quadratic); use method='value_function'")
        self._coupled = bool(problem.coupling)
        self.binary = program.integer & (program.lower == 0.0) & (program.upper == 1.0)
        self.x_places = [places.get(var.name) for var in problem.variables]
        self.followers = {
            name: LinearFollower(p, self.x_places, [places[n] for n in p.names], self.binary)
            for name, p in Compilation.of(problem).programs.items()
        }

    def box(self, seconds: float) -> Box:
        """The ranges of all variables.

        Raises
        ------
        RefusedError
            If a follower's integer has none.
        """
        box = implied_bounds(self.high_point.program, seconds)
        for follower in self.followers.values():
            for place in follower.places[follower.integer]:
                if not (np.isfinite(box.lower[place]) and np.isfinite(box.upper[place])):
                    raise RefusedError(
                        f"{self.high_point.program.names[place]} is integer and nothing bounds it: there may be"
                        " infinitely many answers to enumerate; give it bounds"
                    )
        return box

    def table(self, box: Box) -> IntegerLevels | None:
        """Both levels as one table of rows in whole numbers, where followers decide integers within ranges alone."""
        program = self.high_point.program
        numbers = numbers_of(program)
        return None if numbers is None else integer_levels(numbers, program.integer, box, self.followers)

    def cut(self) -> Callable[[Array], tuple[Array, float]] | None:
        """The cuts that come of blocking, where the leader blocks what the only follower takes."""
        numbers = numbers_of(self.high_point.program)
        if self._coupled or len(self.followers) != 1 or numbers is None:
            return None
        cuts = monotone_cuts(numbers, next(iter(self.followers.values())), self.binary)
        return None if cuts is None else cuts.of

    def game(self) -> KnapsackGame | None:
        """The knapsack that the leader blocks items of, where the problem is that."""
        if self._coupled or len(self.followers) != 1:
            return None
        return knapsack_game(self.high_point.program, next(iter(self.followers.values())), self.binary)


class _Game:
    """One run where the problem is a knapsack whose items the leader blocks."""

    def __init__(self, game: KnapsackGame, levels: _Levels, rounds: Rounds) -> None:
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

    def __init__(self, table: IntegerLevels, levels: _Levels, settings: Settings, rounds: Rounds) -> None:
        self._levels, self._settings, self.rounds = levels, settings, rounds
        self._tree = Tree(table, self._ask, lambda: rounds.left, levels.cut())

    def run(self) -> Termination:
        """Nodes until none is left."""
        rounds, tree, count = self.rounds, self._tree, 0
        while not tree.done:
            count += 1
            if rounds.left <= 0.0:
                break
            if not tree.step():
                rounds.notes.append("the relaxation of both levels has no optimum: in rounds")
                return _Walk(self._levels, self._settings, rounds).run()
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


class _Walk:
    """One run in rounds."""

    def __init__(self, levels: _Levels, settings: Settings, rounds: Rounds) -> None:
        self._engine, self._high_point, self.rounds = settings.engine, levels.high_point, rounds
        self._followers, self._x_places = levels.followers, levels.x_places
        box = levels.box(_share(rounds))
        self._program, self._cuts = self._high_point.program, AnswerCuts(self._high_point.program, box)
        self._floor = 0.0  # where F is held, if it is
        self._exact_so_far = True
        self.rounds.notes.append(f"big-M values follow from the variables' ranges: {box.provenance()}")

    def run(self) -> Termination:
        """Rounds until the bound closes."""
        rounds = self.rounds
        for count in range(_ROUNDS):
            if rounds.left <= 0:
                return Termination.TIME_LIMIT
            answer = self._solve(1.0)
            floor = self._floor
            learnt = answer.y is not None and self._learn(self._high_point.upper_values(answer.y), answer.y)
            near = not learnt or rounds.closes(answer.bound)
            if self._exact_so_far:
                half = answer
            elif near or count % _OFTEN == 0 or answer.status is not Status.OPTIMAL:
                half = self._solve(0.5)
                learnt = (half.y is not None and self._learn(self._high_point.upper_values(half.y), half.y)) or learnt
            else:
                continue
            if half.status is Status.INFEASIBLE:
                return rounds.empty()
            if self._floor > floor and not rounds.unbounded:
                continue  # what was solved was held above a floor that is none any more
            self._bound(answer, half)
            rounds.report()
            if rounds.closed or rounds.infeasible or rounds.unbounded:
                return Termination.OPTIMALITY
            if half.status is not Status.OPTIMAL:
                return self._gave_up(half)
            if not learnt and not self._learn_nearby(half):
                return self._stuck()
        return Termination.STALLED

    def _bound(self, answer: Answer, half: Answer) -> None:
        """The bound that a master with its margins, and one with half of them, give on F."""
        bound = half.bound
        if half is not answer:  # without a value for the whole margins there is no telling what they cost
            bound = -np.inf if answer.y is None else min(bound, 2.0 * bound - answer.objective)
        if self._floor == 0.0 or bound > -0.99 * self._floor:
            self.rounds.raise_bound(bound)

    def _solve(self, share: float) -> Answer:
        self._exact_so_far = self._cuts.exact
        answer = self._by_engine(self._cuts.relaxation(share))
        if self._floor > 0.0 or not (answer.status is Status.UNBOUNDED or "inforunbd" in answer.message):
            return answer
        self._floor = _FLOORS[0]
        self.rounds.notes.append(f"the high-point problem is unbounded: its F is held above {-self._floor:g}")
        self._cuts.program = with_floor(self._cuts.program, -self._floor)
        return self._solve(share)

    def _lower_floor(self) -> None:
        """The followers answer at the floor: go further down, and at the lowest believe that it has no end."""
        rounds = self.rounds
        deeper = [floor for floor in _FLOORS if rounds.cost > -0.99 * floor]
        if deeper:
            program = self._cuts.program
            rows = np.array([name == FLOOR for name in program.row_names])
            self._floor = deeper[0]
            self._cuts.program = replace(program, row_lower=np.where(rows, -self._floor, program.row_lower))
        else:
            rounds.notes.append(f"unbounded: so is the high point, and the followers answer at F = {rounds.cost:g}")
            rounds.unbounded = True

    def _by_engine(self, program: Program) -> Answer:
        name = ranked_engines(program)[0][1] if self._engine == "auto" else self._engine
        engine = registry.get(Engine, name)()
        if engine.suits(program) == 0.0:
            raise RefusedError(
                f"engine={name!r} does not take a master problem, a {program.describe()}; use engine='auto'"
            )
        return engine.prepare(program)(np.zeros(0), None, max(self.rounds.left, 0.1))

    def _learn(self, upper: dict[str, Any], solution: Array) -> bool:
        """Ask the followers at a master's x; whether a row is new."""
        rounds = self.rounds
        reply = rounds.ask(upper)
        if reply.status is Status.UNBOUNDED and not np.isfinite(rounds.cost):
            # d and B do not depend on x, hence neither does a direction in which f falls for ever (Meyer 1974)
            rounds.notes.append(
                f"{reply.message}: the follower's objective is unbounded wherever it has a feasible point"
            )
            rounds.infeasible = True
        if self._floor > 0.0 and rounds.cost <= -0.99 * self._floor:
            self._lower_floor()
        v = np.where(self._program.integer, np.round(solution[: self._program.n]), solution[: self._program.n])
        for place, value in zip(self._x_places, rounds.response.vector(upper), strict=True):
            if place is not None:
                v[place] = value
        new = False
        for name, y in rounds.answers(reply):
            follower = self._followers[name]
            new = self._cuts.add(follower, follower.at(v, y)) or new
            if not follower.integer.all():
                new = self._cuts.add(follower, follower.at(v, v[follower.places], own_integers=True)) or new
        return new

    def _learn_nearby(self, answer: Answer) -> bool:
        """Ask at the fractions next to x, where the follower may be torn between two answers but for rounding."""
        if answer.y is None:
            return False
        upper = self._high_point.upper_values(answer.y)
        fractions = {name: _fraction(value) for name, value in upper.items()}
        before = self.rounds.cost
        return fractions != upper and (self._learn(fractions, answer.y) or self.rounds.cost < before)

    def _stuck(self) -> Termination:
        why = "every answer was met again" if self._cuts.exact else "the infimum may not be attained"
        self.rounds.notes.append(f"bound and best point stay apart ({why})")
        return Termination.STALLED

    def _gave_up(self, answer: Answer) -> Termination:
        if answer.interrupted:
            return Termination.INTERRUPTED
        self.rounds.notes.append(f"the master problem was not solved: {answer.message or answer.status}")
        return Termination.TIME_LIMIT if self.rounds.left <= 0 else Termination.STALLED


def _fraction(value: Any) -> Any:
    """The fraction with a small denominator next to a number, where there is one."""
    if not isinstance(value, float):
        return value
    near = float(Fraction(value).limit_denominator(1000))
    return near if abs(near - value) <= tolerances.OPTIMALITY * tolerances.scale(value) else value
