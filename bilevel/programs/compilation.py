"""From a problem read off Pyomo to compiled programs: one per follower, and the leader's functions of (x, y).

One translator serves all levels, so that an expression both levels share is translated once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.expressions.moving_squares import gathered
from bilevel.expressions.rows import translate, translate_rows
from bilevel.expressions.squares import SMALLEST, Square, held_by, square_of, weighed, write_out
from bilevel.expressions.translation import to_casadi
from bilevel.graphs.steepness import scale_of
from bilevel.language.squared_distance import Factor
from bilevel.programs.program import Program
from bilevel.reading.follower import Follower
from bilevel.reading.problem import Problem
from bilevel.reading.variables import bounds_of, ends_of, is_category

MULTIPLIERS = "(multipliers)"  # no follower's name: it is no identifier


class Compilation:
    """The compiled form of a problem.

    Attributes
    ----------
    problem : Problem
        What was compiled.
    x : SX of shape (number of upper variables, 1)
        The leader's variables, in the order of ``problem.variables``. A category's entry is its number in its set.
    y : dict of SX
        Each follower's variables, by its name; last, under ``MULTIPLIERS``, the multipliers used above.
    programs : dict of Program
        Each follower's program with x as its parameters; absent for a response function.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.x = ca.SX.sym("x", len(problem.variables))
        self.y = {f.name: ca.SX.sym(f.name, len(f.variables)) for f in problem.followers}
        self._symbols: dict[int, ca.SX] = {}
        for k, var in enumerate(problem.variables):
            if not is_category(var):
                self._symbols[id(var)] = self.x[k]
        for follower in problem.followers:
            for k, var in enumerate(follower.variables):
                self._symbols[id(var)] = self.y[follower.name][k]
        if problem.multipliers:
            self.y[MULTIPLIERS] = ca.SX.sym(MULTIPLIERS, len(problem.multipliers))
            for k, multiplier in enumerate(problem.multipliers):
                self._symbols[id(multiplier.variable)] = self.y[MULTIPLIERS][k]
        self.squares: list[Square] = []
        self._translate = to_casadi(lambda node: self._symbols.get(id(node)), self._keep)
        self.programs = {f.name: self._program(f) for f in problem.followers if f.objective is not None}

    @classmethod
    def of(cls, problem: Problem) -> Compilation:
        """The problem's compiled form, made once and kept with it."""
        kept: Compilation | None = problem.__dict__.get("_compiled")
        if kept is None:
            problem.__dict__["_compiled"] = kept = cls(problem)
        return kept

    @cached_property
    def all_y(self) -> ca.SX:
        """All of these, stacked in the order of ``problem.lower_variables``."""
        return ca.vertcat(*self.y.values())

    @cached_property
    def upper_objective(self) -> ca.SX:
        """F(x, y), minimised (negated where the leader maximises)."""
        return write_out(self.upper_short, self.squares)

    @cached_property
    def upper_short(self) -> ca.SX:
        """The same with symbols in the place of :attr:`squares`."""
        problem = self.problem
        return problem.sense * self._short(problem.objective.expr, problem.objective.name)

    @cached_property
    def upper_squares(self) -> list[Square]:
        """The squares that :attr:`upper_short` holds, their places counted in :attr:`all_y`."""
        return [own for own in (s.within(self.all_y) for s in held_by(self.upper_short, self.squares)) if own]

    @cached_property
    def unit(self) -> float:
        """What F is measured in when a gap is called closed: 1, or less where F is flat in all its variables."""
        low, high = ends_of([*self.problem.variables, *self.problem.lower_variables])
        return 1.0 / max(1.0, scale_of(self.upper_objective, ca.vertcat(self.x, self.all_y), low, high))

    def closes(self, cost: float, bound: float) -> bool:
        """Whether a lower bound closes on an F, minimised, to the certificate's tolerance."""
        return tolerances.closes(cost, bound, unit=self.unit)

    @cached_property
    def upper_program(self) -> Program:
        """F as a function of the followers' variables, all of them free: for its quadratic form, say."""
        short, squares = weighed(self.upper_short, self.upper_squares, self.all_y)
        count = int(self.all_y.numel())
        return Program(
            name="F",
            parameters=self.x,
            variables=self.all_y,
            objective=short,
            squares=squares,
            rows=ca.SX(0, 1),
            row_lower=np.zeros(0),
            row_upper=np.zeros(0),
            lower=np.full(count, -math.inf),
            upper=np.full(count, math.inf),
            integer=np.zeros(count, dtype=bool),
        )

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What linear rows and declared bounds leave of every variable, by name (:mod:`bilevel.reading.ranges`)."""
        from bilevel.reading.ranges import ranges_of

        return ranges_of(self.problem)

    def rows(self, constraints: Iterable[Any]) -> tuple[ca.SX, Array, Array]:
        """Bodies, shape (m, 1), lower and upper bounds, shape (m,), of some constraints."""
        bodies, lower, upper = translate_rows(self._translate, constraints)
        return write_out(bodies, self.squares), lower, upper

    def symbol(self, expression: Any, owner: str) -> ca.SX:
        """Translate one expression; errors name the component that holds it."""
        return write_out(self._short(expression, owner), self.squares)

    def _short(self, expression: Any, owner: str) -> ca.SX:
        return translate(self._translate, expression, owner)

    def _keep(self, factor: Factor, w: list[Any]) -> ca.SX | None:
        """A symbol for a large squared distance in followers' variables; None where it is better written out."""
        if len(w) < SMALLEST:
            return None
        square = square_of(factor, w)
        if square is None or square.within(self.all_y) is None:
            return None
        self.squares.append(square)
        return square.symbol

    def _program(self, follower: Follower) -> Program:
        rows, row_lower, row_upper = self.rows(follower.constraints)
        objective = follower.objective
        assert objective is not None
        lower, upper, integer = bounds_of(follower.variables)
        variables = self.y[follower.name]
        own = {id(var): variables[k] for k, var in enumerate(follower.variables)}
        apart = gathered(objective.expr, own, self.x, follower.sense, lambda part: self._short(part, objective.name))
        short, moving = apart or (follower.sense * self._short(objective.expr, objective.name), ())
        short, squares = weighed(short, self.squares, variables)
        return Program(
            name=follower.name,
            parameters=self.x,
            variables=variables,
            objective=short,
            squares=squares,
            moving=moving,
            rows=rows,
            row_lower=row_lower,
            row_upper=row_upper,
            lower=lower,
            upper=upper,
            integer=integer,
            names=tuple(v.name for v in follower.variables),
            row_names=tuple(c.name for c in follower.constraints),
            tops=_tops(follower),
        )


def _tops(follower: Follower) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Where the variables of an epigraph and their rows stand."""
    if follower.epigraph is None:
        return ()
    first, start = len(follower.written.variables), len(follower.written.constraints)
    rows: dict[int, list[int]] = {k: [] for k in range(len(follower.epigraph.tops))}
    for place, row in enumerate(follower.epigraph.rows):
        rows[row.index()[0]].append(start + place)
    return tuple((first + k, tuple(places)) for k, places in rows.items())
