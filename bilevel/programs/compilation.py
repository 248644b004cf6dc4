"""From a problem read off Pyomo to compiled programs: one per follower, and the leader's functions of (x, y).

One translator serves all levels, so that an expression both levels share is translated once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.expressions.affine_rows import Columns
from bilevel.expressions.moving_squares import gathered
from bilevel.expressions.row_terms import SMALLEST as FEWEST_NUMBERS
from bilevel.expressions.row_terms import RowTerm, row_term
from bilevel.expressions.rows import column, translate, translate_rows
from bilevel.expressions.rows_as_data import with_data
from bilevel.expressions.squares import SMALLEST, Places, Square, held_by, square_of, weighed, write_out
from bilevel.expressions.translation import to_casadi
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.intervals import ENTIRE, Graph
from bilevel.graphs.steepness import Spread, sampled, spread_among, spread_of, spreads_of
from bilevel.language.data_term import DataTerm
from bilevel.language.row_losses import RowLosses
from bilevel.language.squared_distance import SquaredDistance
from bilevel.programs.program import Program
from bilevel.programs.units.row_sizes import in_own_units, row_sizes
from bilevel.reading.criterion import Criterion
from bilevel.reading.follower import Follower
from bilevel.reading.pieces import is_category
from bilevel.reading.problem import Problem
from bilevel.reading.variables import bounds_of, ends_of, names_of

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
            elements = self.y[follower.name].elements()
            self._symbols |= {id(var): element for var, element in zip(follower.variables, elements, strict=True)}
        if problem.multipliers:
            self.y[MULTIPLIERS] = ca.SX.sym(MULTIPLIERS, len(problem.multipliers))
            for k, multiplier in enumerate(problem.multipliers):
                self._symbols[id(multiplier.variable)] = self.y[MULTIPLIERS][k]
        places = {key: place for place, key in enumerate(self._symbols)}
        self._columns = Columns(ca.vertcat(*self._symbols.values()), places)
        self.squares: list[Square | RowTerm] = []
        self._rows: dict[tuple[int, ...], tuple[tuple[Any, ...], tuple[ca.SX, Array, Array]]] = {}
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
    def places(self) -> Places:
        """Where symbols stand in these."""
        return Places(self.all_y)

    @cached_property
    def upper_objective(self) -> ca.SX:
        """F(x, y), minimised (negated where the leader maximises)."""
        return write_out(self.upper_short, self.squares)

    @cached_property
    def upper_short(self) -> ca.SX:
        """The same with symbols in the place of :attr:`squares`, but for losses whose rows the leader weighs."""
        problem = self.problem
        written = with_data(problem.objective.expr, problem.lower_variables)
        return problem.sense * self.short(written, problem.objective)

    @cached_property
    def upper_squares(self) -> list[Square | RowTerm]:
        """The terms over data that :attr:`upper_short` holds, their places counted in :attr:`all_y`."""
        return [own for own in (s.within(self.places) for s in held_by(self.upper_short, self.squares)) if own]

    @cached_property
    def spread(self) -> Spread:
        """What F, minimised, varies by over the variables' boxes."""
        low, high = ends_of([*self.problem.variables, *self.problem.lower_variables])
        if not self.upper_squares:
            return spread_of(self.upper_objective, ca.vertcat(self.x, self.all_y), low, high)
        count = len(self.problem.variables)  # large squares stay arrays
        values = [self.upper_program.evaluate(v[:count], v[count:])[0] for v in sampled(low, high)]
        return spread_among(np.array([float(np.ravel(value)[0]) for value in values]))

    def scale(self, cost: float) -> float:
        """What a gap is relative to where F, minimised, is ``cost``."""
        return self.spread.scale(cost)

    def closes(self, cost: float, bound: float) -> bool:
        """Whether a lower bound closes on an F, minimised, to the certificate's tolerance."""
        return tolerances.closes(cost, bound, scale=self.scale(cost))

    @cached_property
    def floor(self) -> float:
        """What F, minimised, is never below, by the ranges of what it is made of: zero for a sum of squares."""
        symbols = ca.vertcat(self.x, self.all_y, *(square.symbol for square in self.squares))
        held = np.array(ca.which_depends(self.upper_short, symbols, 1, False), dtype=bool)
        known = self.ranges if held[: len(self.problem.names)].any() else {}  # they take a look at every row
        box = [known.get(name, ENTIRE) for name in self.problem.names.values()] + [
            (-math.inf if isinstance(term, RowTerm) else 0.0, math.inf) for term in self.squares
        ]
        graph = Graph(ca.SX(0, 1), symbols, self.upper_short)
        with np.errstate(all="ignore"):  # infinite ends meet
            low: float = graph.enclose([], box)[graph.outputs[0]][0]
        return low

    @cached_property
    def upper_program(self) -> Program:
        """F as a function of the followers' variables, all of them free: for its quadratic form, say."""
        short, terms = weighed(self.upper_short, self.upper_squares, self.all_y)
        return free_program("F", self.x, self.all_y, short, terms)

    def stated(self, x: Array, lower: Sequence[float]) -> tuple[float, ...]:
        """The followers' objectives as they were written, at values of what they go by."""
        if self._as_they_go:
            return tuple(sense * f for sense, f in zip(self._senses, lower, strict=False))
        aside = self._aside(x)[0] if isinstance(self._aside, Compiled) else self._aside
        found = zip(self.problem.followers, self._senses, lower, aside, strict=False)
        return tuple(follower.stated(sense * f, float(rest)) for follower, sense, f, rest in found)

    def stated_at(self, points: Array, lower: Array) -> Array:
        """The same at many points, shapes (n, number of upper variables) and (n, number of followers)."""
        if self._as_they_go:
            return np.array(self._senses, dtype=float) * lower
        return np.array([self.stated(x, row) for x, row in zip(points, lower.tolist(), strict=True)])

    @cached_property
    def _senses(self) -> list[int]:
        return [follower.sense for follower in self.problem.followers]

    @cached_property
    def _as_they_go(self) -> bool:
        """Whether every follower goes by the objective that was written."""
        return not any(isinstance(follower.objective, Criterion) for follower in self.problem.followers)

    @cached_property
    def _aside(self) -> Compiled | list[float]:
        """What each follower's objective has besides, as a function of x where it is one."""
        parts = [follower.aside for follower in self.problem.followers]
        if all(isinstance(part, float) for part in parts):
            return parts
        followers = self.problem.followers
        symbols = [
            ca.SX(p) if isinstance(p, float) else self._short(p, f.name) for p, f in zip(parts, followers, strict=True)
        ]
        return Compiled([self.x], [ca.vertcat(*symbols)])

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What linear rows and declared bounds leave of every variable, by name (:mod:`bilevel.reading.ranges`)."""
        from bilevel.reading.ranges import ranges_of

        return ranges_of(self.problem)

    def rows(self, constraints: Iterable[Any]) -> tuple[ca.SX, Array, Array]:
        """Bodies, shape (m, 1), lower and upper bounds, shape (m,), of some constraints of the leader's.

        In units in which tolerances mean something (:mod:`bilevel.programs.units.row_sizes`).
        """
        bodies, lower, upper = self.written_rows(constraints)
        return in_own_units(bodies, self._spreads(bodies), lower, upper) if len(lower) else (bodies, lower, upper)

    def written_rows(self, constraints: Iterable[Any]) -> tuple[ca.SX, Array, Array]:
        """The same as they were written, of either level."""
        bodies, lower, upper = self._short_rows(constraints)
        return write_out(bodies, self.squares), lower, upper

    def sizes(self, constraints: Sequence[Any]) -> Array:
        """What the tolerances of some constraints, of either level, are relative to, shape (m,)."""
        bodies, lower, upper = self._short_rows(constraints)
        symbols = ca.vertcat(*(term.symbol for term in self.squares))
        held = ca.which_depends(bodies, symbols, 1, True) if self.squares else [False] * len(lower)
        bodies[[k for k, large in enumerate(held) if large]] = 0.0  # terms over data stay arrays, their rows as usual
        return row_sizes(self._spreads(bodies), lower, upper)

    def _short_rows(self, constraints: Iterable[Any]) -> tuple[ca.SX, Array, Array]:
        """The same with symbols in the place of :attr:`squares`, walked through once for all who ask."""
        owners = tuple(constraints)
        key = tuple(map(id, owners))
        if key not in self._rows:
            self._rows[key] = owners, translate_rows(self._translate, owners, self._columns)
        bodies, lower, upper = self._rows[key][1]
        return ca.SX(bodies), lower.copy(), upper.copy()

    def _spreads(self, bodies: ca.SX) -> list[Spread]:
        """What some functions of both levels' variables vary by over their boxes."""
        low, high = ends_of([*self.problem.variables, *self.problem.lower_variables])
        return spreads_of(bodies, ca.vertcat(self.x, self.all_y), low, high)

    def symbol(self, expression: Any, owner: Any) -> ca.SX:
        """Translate one expression; errors name the component that holds it."""
        return write_out(self._short(expression, owner), self.squares)

    def short(self, expression: Any, owner: Any) -> ca.SX:
        """The same with symbols in the place of :attr:`squares`, but for losses whose rows the leader weighs."""
        short = self._short(expression, owner)
        return write_out(
            short, [term for term in self.squares if isinstance(term, RowTerm) and term.weights is not None]
        )

    def _short(self, expression: Any, owner: Any) -> ca.SX:
        return translate(self._translate, expression, owner)

    @cached_property
    def large_losses(self) -> list[str]:
        """What keeps its rows as arrays, by its name in messages: exact paths would have to write them out."""
        _ = self.upper_short
        return [term.name for term in self.squares if isinstance(term, RowTerm)]

    def _keep(self, node: DataTerm, operands: list[Any]) -> ca.SX | None:
        """A symbol for a large term over data in followers' variables; None where it is better written out."""
        term: Square | RowTerm | None = None
        if isinstance(node, SquaredDistance):
            term = self._square(node, operands)
        elif isinstance(node, RowLosses):
            term = self._loss(node, operands)
        if term is None or term.within(self.places) is None:
            return None
        self.squares.append(term)
        return term.symbol

    def _square(self, node: SquaredDistance, w: list[Any]) -> Square | None:
        return None if len(w) < SMALLEST else square_of(node.factor, w)

    def _loss(self, node: RowLosses, operands: list[Any]) -> RowTerm | None:
        """None too where a follower weighs the rows."""
        count = len(node.coefficients)
        w, weights = operands[:count], operands[count:]
        few = node.size < FEWEST_NUMBERS and not node.rows.kept
        if few or not all(map(_is_symbol, w)):
            return None
        term = row_term(node.rows, w, weights)
        return None if term.weights is not None and ca.depends_on(term.weights, self.all_y) else term

    def _program(self, follower: Follower) -> Program:
        objective = follower.objective
        assert objective is not None
        rows, variables = self.written_rows(follower.constraints), self.y[follower.name]
        own = {id(var): self._symbols[id(var)] for var in follower.variables}

        def parts(expressions: Sequence[Any]) -> ca.SX:
            return column(self._translate, expressions, [objective] * len(expressions), self._columns)

        written = with_data(objective.expr, follower.variables)
        apart = gathered(written, own, self.x, follower.sense, parts)
        short, moving = apart or (follower.sense * self._short(written, objective), ())
        short, terms = weighed(short, self.squares, variables)
        return program_of(
            follower.variables,
            follower.constraints,
            rows,
            name=follower.name,
            parameters=self.x,
            variables=variables,
            objective=short,
            squares=tuple(term for term in terms if isinstance(term, Square)),
            losses=tuple(term for term in terms if isinstance(term, RowTerm)),
            moving=moving,
            tops=_tops(follower),
        )


def free_program(
    name: str, parameters: ca.SX, variables: ca.SX, short: ca.SX, terms: Sequence[Square | RowTerm]
) -> Program:
    """The program of a function alone: no rows, and no bounds on its variables.

    Parameters
    ----------
    name : str
        For messages.
    parameters, variables : SX of shape (p, 1), (n, 1)
        Symbols.
    short : SX scalar
        The function, with symbols in the place of its large terms over data.
    terms : sequence of Square or RowTerm
        These, as :func:`~bilevel.expressions.squares.weighed` gives them.
    """
    count = int(variables.numel())
    return Program(
        name=name,
        parameters=parameters,
        variables=variables,
        objective=short,
        squares=tuple(term for term in terms if isinstance(term, Square)),
        losses=tuple(term for term in terms if isinstance(term, RowTerm)),
        rows=ca.SX(0, 1),
        row_lower=np.zeros(0),
        row_upper=np.zeros(0),
        lower=np.full(count, -math.inf),
        upper=np.full(count, math.inf),
        integer=np.zeros(count, dtype=bool),
    )


def program_of(
    members: Sequence[Any], constraints: Sequence[Any], rows: tuple[ca.SX, Array, Array], **parts: Any
) -> Program:
    """The program of some Pyomo variables and constraints: bounds, integrality and names are theirs.

    Parameters
    ----------
    members, constraints : sequence of VarData, of ConstraintData
        In the order of the program's variables and rows.
    rows : SX of shape (m, 1), two ndarrays of shape (m,)
        The constraints' bodies and bounds in symbols.
    **parts
        The other fields of the :class:`~bilevel.programs.program.Program`.
    """
    bodies, row_lower, row_upper = rows
    lower, upper, integer = bounds_of(members)
    return Program(
        rows=bodies,
        row_lower=row_lower,
        row_upper=row_upper,
        lower=lower,
        upper=upper,
        integer=integer,
        names=tuple(names_of(members)),
        row_names=tuple(names_of(constraints)),
        **parts,
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


def _is_symbol(value: Any) -> bool:
    return isinstance(value, ca.SX) and bool(value.is_symbolic())
