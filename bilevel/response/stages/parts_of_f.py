"""F as a sum of parts that each speak of one follower and have a floor, found by the structure of F.

Sums, differences and constant factors are taken apart down to terms (a mean over folds is a sum with a factor); the
terms of one follower together are its part. Its floor is the least its terms can be for any x in the box and any y
within its declared bounds, by interval arithmetic: zero for squares, absolute values and the like; of a convex
quadratic its minimum over all y, if that is more: a fold's errors are never below those of its own best fit. Then what
is known of some followers bounds F for all that the others may answer: it is the sum of their parts and of the others'
floors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.convexity.known import surely_convex
from bilevel.errors import RefusedError
from bilevel.expressions.row_terms import RowTerm
from bilevel.expressions.squares import weighed
from bilevel.expressions.summands import summands
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.intervals import Graph
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation, free_program
from bilevel.programs.program import Program, Shape
from bilevel.reading.variables import ends_of
from bilevel.response.answering import Answering


@dataclass(frozen=True)
class Part:
    """What F has of one follower.

    Attributes
    ----------
    floor : float
        What it is never below.
    squares : tuple of (int, Square or RowTerm)
        Large terms over data in it, by their place among F's.
    """

    compiled: Compiled
    floor: float
    squares: tuple[tuple[int, Any], ...]


class PartsOfF:
    """``parts.value(name, x, y)`` for each follower that F speaks of.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.

    Attributes
    ----------
    floors : dict of float
        By follower; their sum and ``aside`` is F's own floor.

    Raises
    ------
    RefusedError
        If F is no such sum; the message names what hinders.
    """

    def __init__(self, compilation: Compilation) -> None:
        problem, self._compilation = compilation.problem, compilation
        self._squares = list(compilation.upper_squares)
        owners = {s.element_hash(): name for name, own in compilation.y.items() for s in own.elements()}
        for square in self._squares:
            named = {owners[s.element_hash()] for s in square.variables.elements()}
            owners[square.symbol.element_hash()] = named.pop() if len(named) == 1 else ""
        self._count = int(compilation.all_y.numel())
        self._y = ca.vertcat(compilation.all_y, *(square.symbol for square in self._squares))
        self._x = compilation.x
        self._box = self._boxes(problem)
        sums: dict[str, ca.SX] = {}
        known = {s.element_hash() for s in compilation.x.elements()}
        for term, factor in summands(compilation.upper_short):
            speaks = {s.element_hash() for s in ca.symvar(term)} - known
            names = {owners.get(s, "") for s in speaks}
            if len(names) > 1 or "" in names:
                raise RefusedError(
                    f"pruner=race: {problem.objective.name} is no sum over followers, a term speaks of several; write"
                    " it as a sum or a mean of a term for each"
                )
            name = names.pop() if names else ""
            sums[name] = sums.get(name, ca.SX(0)) + factor * term
        self._aside = Compiled([self._x], [sums.pop("", ca.SX(0))])
        self._bodies = sums
        self._parts = {name: self._part(name, body, problem.objective.name) for name, body in sums.items()}
        if len(self._parts) < 2:
            raise RefusedError(
                f"pruner=race: {problem.objective.name} speaks of {len(self._parts)} follower, and a race is among"
                " several; let a function report instead (pruner=median)"
            )
        self.floors = {name: part.floor for name, part in self._parts.items()}

    def _boxes(self, problem: Any) -> list[tuple[float, float]]:
        low, high = ends_of([*problem.variables, *problem.lower_variables])
        slack = tolerances.FEASIBILITY * np.maximum(1.0, np.abs(np.where(np.isfinite(low), low, 0.0)))
        below = np.where(np.isfinite(low), low - slack, -math.inf)
        above = np.where(np.isfinite(high), high + tolerances.FEASIBILITY * np.maximum(1.0, np.abs(high)), math.inf)
        data = [(-math.inf if isinstance(term, RowTerm) else 0.0, math.inf) for term in self._squares]
        return [*zip(below.tolist(), above.tolist(), strict=True), *data]

    def _part(self, name: str, body: ca.SX, objective: str) -> Part:
        graph = Graph(ca.SX(0, 1), ca.vertcat(self._x, self._y), body)
        with np.errstate(all="ignore"):  # infinite ends meet
            floor = float(graph.enclose([], self._box)[graph.outputs[0]][0])
        floor = max(floor, self._least(name, body))
        if not math.isfinite(floor):
            raise RefusedError(
                f"pruner=race: nothing says how low the terms of {objective} in {name} can be, so that nothing is"
                " proved of F before all followers have answered; a sum of squares or absolute values cannot be"
                " negative, and a variable with a lower bound has a floor"
            )
        held = {s.element_hash() for s in ca.symvar(body)}
        mine = [(k, square) for k, square in enumerate(self._squares) if square.symbol.element_hash() in held]
        return Part(Compiled([self._x, self._y], [body]), floor, tuple(mine))

    def _least(self, name: str, body: ca.SX) -> float:
        """The proved least of a convex quadratic part over all y, what no answer undercuts; -inf of others.

        A fold's squared errors are never below those of its own least-squares fit.
        """
        program = self._free(name, body)
        if program is None:
            return -math.inf
        answer = Answering(program)(np.zeros(int(self._x.numel())))
        slack = tolerances.OPTIMALITY * tolerances.scale(answer.bound)
        return answer.bound - slack if answer.status is Status.OPTIMAL else -math.inf

    def _free(self, name: str, body: ca.SX) -> Program | None:
        y = self._compilation.y[name]
        if ca.depends_on(body, self._x):
            return None
        short, terms = weighed(body, self._compilation.squares, y)
        program = free_program(f"F in {name}", self._x, y, short, terms)
        return program if program.shape is Shape.QUADRATIC and surely_convex(program) else None

    def convex_quadratic(self, name: str) -> Program | None:
        """A follower's part as a function of its y alone; None where it is no convex quadratic, or F has none of it."""
        return self._free(name, self._bodies[name]) if name in self._bodies else None

    @property
    def names(self) -> list[str]:
        """Followers that F speaks of."""
        return list(self._parts)

    def aside(self, x: Array) -> float:
        """What F has of x alone."""
        return float(np.ravel(self._aside(x)[0])[0])

    def value(self, name: str, x: Array, y: Array) -> float:
        """A follower's part, where y has its answer in place; what it has of others does not count."""
        part = self._parts[name]
        whole = np.zeros(self._count + len(self._squares))
        whole[: self._count] = y[: self._count]
        for k, square in part.squares:
            whole[self._count + k] = square.value(y)
        return float(np.ravel(part.compiled(x, whole)[0])[0])
