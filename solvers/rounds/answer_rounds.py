"""Answers enumerated into the high-point problem until bound and point meet.

The reformulation-and-decomposition scheme of Zeng and An (2014, *Solving bilevel mixed integer program by
reformulations and decomposition*) and Yue, Gao, Zeng and You (2019, doi 10.1007/s10898-018-0679-1): the master
problem is the high-point problem with one block per integer pattern z of the follower seen so far, the subproblem the
follower's own program at the master's x. Their block holds a copy of the continuous variables and its optimality
conditions, whose multipliers have no bounds that anybody knows. Here a block is a pattern *and* a basis of what is
left: the answer is then affine in x, "no worse than this answer, or this answer breaks a limit" is a disjunction of
linear rows (:mod:`bilevel.solvers.rounds.answer_cuts`), and every big-M follows from the variables' own bounds. There
are finitely many patterns and bases, so rounds end; HiGHS solves the masters, SCIP those with a quadratic F or an
unbounded side.

Where an answer stops being feasible at a limit that continuous variables reach, the disjunction asks for the
feasibility tolerance beyond it. The optimum v(m) of a master is then a little too high: with an infimum that is not
attained (Moore and Bard 1990) by the margin m times a slope. Each piece of v is convex in m, hence ``2 v(m/2) - v(m)
<= v(0)`` unless a piece exists below m/2 alone: the bound is taken from there.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine
from bilevel.contracts.finding import Termination
from bilevel.errors import RefusedError
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program
from bilevel.response.answering import ranked_engines
from bilevel.solvers.rounds.alternation import Rounds
from bilevel.solvers.rounds.answer_cuts import FLOOR, AnswerCuts, with_floor
from bilevel.solvers.rounds.linear_levels import LinearLevels

_ROUNDS = 5000
_BOUNDING_SECONDS = 2.0  # that the variables' ranges are worth
_OFTEN = 10  # rounds between two looks at the bound where margins have a say
_FLOORS = (1e7, 1e9, 1e11)  # F is held above minus these in turn where the high-point problem is unbounded


class AnswerRounds:
    """One run in rounds.

    Parameters
    ----------
    levels : LinearLevels
        The problem.
    engine : str
        For the masters; ``auto`` takes the best that suits.
    rounds : Rounds
        Its state.
    """

    def __init__(self, levels: LinearLevels, engine: str, rounds: Rounds) -> None:
        self._engine, self._high_point, self.rounds = engine, levels.high_point, rounds
        self._followers, self._x_places = levels.followers, levels.x_places
        box = levels.box(min(_BOUNDING_SECONDS, 0.1 * rounds.left))
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
