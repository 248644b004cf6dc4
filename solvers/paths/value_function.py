"""The value function from below: global solution where the lower level is nonconvex or has integers.

Whatever y the leader hopes for must be at least as good for the follower as any y_k that is feasible at x:

    f(x, y) <= f(x, y_k)   or   y_k breaks a lower constraint at x.

These rows hold at every bilevel-feasible point, so the single-level problem under finitely many of them is a
relaxation and its optimum a bound on F. Each round solves it globally, asks the follower's true answer at its x, which
gives a feasible point and a new y_k, and stops when the two meet (Mitsos, Lemonias and Barton 2008, doi
10.1007/s10898-007-9260-z; Mitsos 2010, doi 10.1007/s10898-009-9479-y, for integers). Where a follower is continuous
and its constraints are linear in y, its optimality conditions hold at every optimum, convex or not, and are added to
tighten the relaxation.

Rounds end finitely where the linking variables are integer; with continuous ones they converge and the bound may stay
open. That "y_k breaks a row" is asked for with a margin of the feasibility tolerance: a row broken by less counts as
kept everywhere else too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import casadi as ca
import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine
from bilevel.contracts.finding import Finding, Termination
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.graphs.steepness import spread_of
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.solvers.rounds.alternation import Rounds, carried_through, refuse_functions
from bilevel.solvers.rounds.finite_points import finite_points
from bilevel.solvers.rounds.rounder_points import rounder_points
from bilevel.solvers.single_level.density import refuse_dense
from bilevel.solvers.single_level.high_point import HighPoint

_ROUNDS = 200
_LARGEST = 5000  # operations in the relaxation; beyond, a global solver does nothing useful in a minute
_SURELY = 2  # times that: what is counted before is counted roughly
_SLACK = tolerances.GLOBAL_FEASIBILITY  # in every row: see tolerances.SHARP for what it is needed for
_FIRST = 0.2  # of the time, for points near the start of a leader without bounds
_PATIENCE = 3  # rounds in a row at the same x without a better bound


@register("value_function")
class ValueFunction(Path):
    """Nonconvex and mixed-integer lower levels, globally: rows every follower's answer must meet, added in rounds.

    Take it when the lower level is nonconvex, or holds integers beside nonlinear terms; where both levels are linear
    ``mixed_integer`` is faster.
    """

    preference = 0.3
    share = 0.6

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        refuse_functions(problem)
        refuse_dense(Compilation.of(problem), settings)
        return carried_through(_Walk(problem, settings, observer))


class Relaxation:
    """The high-point problem of both levels, with rows from the follower's answers so far.

    Parameters
    ----------
    problem : Problem
        The bilevel problem.
    compilation : Compilation
        Of the same.
    """

    def __init__(self, problem: Problem, compilation: Compilation) -> None:
        self._compilation = compilation
        self.conditions = stationary_followers(compilation)
        _refuse_surely_large(compilation)
        self._high_point = HighPoint(problem, self.conditions)
        self._program, self._names = self._high_point.program, self._high_point.places
        _refuse_large(self._program)
        if registry.get(Engine, "scip")().suits(self._program) <= 0.0 or not _in_words(compilation):
            raise RefusedError("a function in it is outside SCIP's vocabulary")
        self._cuts = 0

    def solve(self, time_limit: float) -> Answer:
        """Solve the relaxation globally."""
        return registry.get(Engine, "scip")().prepare(self._program)(np.zeros(0), None, time_limit)

    def upper_values(self, solution: Array) -> dict[str, Any]:
        """The leader's decision in a solution of the relaxation, by name."""
        return self._high_point.upper_values(solution)

    def add(self, name: str, answer: Array) -> None:
        """Demand that the follower ``name`` does no worse than with ``answer``, wherever that is feasible."""
        follower = self._compilation.programs[name]
        v, program = self._program.variables, self._program
        x = ca.vertcat(*(v[k] if k is not None else ca.SX(0) for k in self._upper_places()))
        y = ca.vertcat(*(v[self._names[n]] for n in follower.names))
        both = [follower.parameters, follower.variables]
        (point,) = ca.substitute([follower.lowest], both, [x, ca.SX(ca.DM(answer))])
        (hoped,) = ca.substitute([follower.objective], both, [x, y])
        given, rows = ca.substitute([follower.objective, follower.rows], both, [x, point])
        for _, held in follower.tops:  # met by that point at every x
            rows[list(held)] = 0.0
        slack = _SLACK * tolerances.scale(float(ca.norm_inf(ca.DM(answer))) if answer.size else 0.0)
        escapes = list(_escapes(follower, rows, v, program.lower, program.upper))
        self._cuts += 1
        self._program = _with_row(program, hoped - given - slack, escapes, f"{name}[{self._cuts}]")

    def _upper_places(self) -> list[int | None]:
        return [self._names.get(var.name) for var in self._compilation.problem.variables]


def _refuse_surely_large(compilation: Compilation) -> None:
    """The same before it is built, which takes its time: every follower's objective is to be a row of it."""
    for follower in compilation.programs.values():
        squares = sum(len(square.factor.hessian) ** 2 for square in follower.squares)
        size = max(squares, follower.rest.graph.n_instructions())
        if size > _SURELY * _LARGEST:
            raise RefusedError(
                f"{follower.name} alone has {size} operations, more than the {_LARGEST} that are worth a global solver"
            )


def _in_words(compilation: Compilation) -> bool:
    """Whether the rows to come can be written: they hold a follower's f whole, losses over data too."""
    engine, plain = registry.get(Engine, "scip")(), {"squares": (), "moving": (), "losses": ()}
    for program in compilation.programs.values():
        whole = program.but(**{**plain, "objective": program.objective} if program.losses else plain)
        if engine.suits(whole) <= 0.0:
            return False
    return True


def _refuse_large(program: Program) -> None:
    size = ca.Function("size", [program.variables], [program.objective, program.rows], {"cse": True}).n_instructions()
    if size > _LARGEST:
        raise RefusedError(
            f"its relaxation has {size} operations, more than the {_LARGEST} that are worth a global solver"
        )


def stationary_followers(compilation: Compilation) -> frozenset[str]:
    """The followers whose optimality conditions are necessary: continuous, smooth, constraints linear in y."""
    found = set()
    for name, program in compilation.programs.items():
        linear = not program.m or not ca.depends_on(program.jacobian, program.variables)
        if linear and not program.integer.any() and _smooth(program):
            found.add(name)
    return frozenset(found)


def _smooth(program: Program) -> bool:
    """Whether the objective has a derivative wherever it has a value: not so a square root, least where it has none."""
    everywhere = {ca.OP_EXP, ca.OP_SIN, ca.OP_COS, ca.OP_TANH, ca.OP_ADD, ca.OP_SUB, ca.OP_MUL, ca.OP_DIV, ca.OP_NEG}
    everywhere |= {ca.OP_SQ, ca.OP_TWICE, ca.OP_INV, ca.OP_CONST, ca.OP_INPUT, ca.OP_OUTPUT, ca.OP_PARAMETER}
    graph = ca.Function(
        "graph", [program.variables], [program.objective], ["y"], ["f"], {"allow_free": True, "cse": True}
    )
    return all(graph.instruction_id(k) in everywhere for k in range(graph.n_instructions()))


def _escapes(follower: Program, rows: ca.SX, v: ca.SX, low: Array, high: Array) -> Iterable[ca.SX]:
    """Expressions that are at most zero exactly where the fixed answer breaks one side of a row that depends on x."""
    for k in range(follower.m):
        row = rows[k]
        if not ca.depends_on(row, v):
            continue
        for limit, sign in ((follower.row_upper[k], 1.0), (follower.row_lower[k], -1.0)):
            if math.isfinite(limit):
                margin = tolerances.FEASIBILITY * spread_of(row, v, low, high).scale(float(limit))
                yield margin + sign * (float(limit) - row)


def _with_row(program: Program, row: ca.SX, escapes: list[ca.SX], name: str) -> Program:
    """Add ``row <= 0 or escape_1 <= 0 or ...``, each alternative with a slack that a binary may hold at zero."""
    count = len(escapes) + 1 if escapes else 0
    slacks, choices = ca.SX.sym("slack", count), ca.SX.sym("choice", count)
    bodies = [row]
    if escapes:
        bodies = [alternative - slacks[k] for k, alternative in enumerate([row, *escapes])]
        bodies.append(1.0 - ca.sum1(choices))
    places = program.n + np.arange(2 * count)
    return replace(
        program,
        variables=ca.vertcat(program.variables, slacks, choices),
        rows=ca.vertcat(program.rows, *bodies),
        row_lower=np.concatenate([program.row_lower, np.full(len(bodies), -np.inf)]),
        row_upper=np.concatenate([program.row_upper, np.zeros(len(bodies))]),
        lower=np.concatenate([program.lower, np.zeros(2 * count)]),
        upper=np.concatenate([program.upper, np.full(count, np.inf), np.ones(count)]),
        integer=np.concatenate([program.integer, np.zeros(count, dtype=bool), np.ones(count, dtype=bool)]),
        names=(*program.names, *(f"{name}.{kind}[{k}]" for kind in ("slack", "choice") for k in range(count))),
        row_names=(*program.row_names, *(f"{name}.row[{k}]" for k in range(len(bodies)))),
        sos1=(*program.sos1, *((int(places[k]), int(places[count + k])) for k in range(count))),
    )


class _Walk:
    """One run: relaxation, answer, new row."""

    def __init__(self, problem: Problem, settings: Settings, observer: Observer) -> None:
        compilation = Compilation.of(problem)
        self._problem = problem
        self._last: dict[str, Any] | None = None  # x of the last relaxation
        self._relaxation = Relaxation(problem, compilation)
        self.rounds = Rounds(problem, compilation, settings, observer)
        self.rounds.notes.append("rows from the follower's answers bound F from below (value function)")

    def run(self) -> Termination:
        """Alternate until bound and best point meet; then look at rounder points."""
        termination = self._alternate()
        if self._last is None or termination in (Termination.OPTIMALITY, Termination.INTERRUPTED):
            return termination
        for near in rounder_points(self._problem, self._last):
            self.rounds.ask(near)
        self.rounds.report()
        return Termination.OPTIMALITY if self.rounds.closed else termination

    def _alternate(self) -> Termination:
        stuck, rounds = 0, self.rounds
        until = (1.0 - _FIRST) * rounds.left
        for near in finite_points(self._problem):
            if rounds.left > until:
                self._ask(near)
        for _ in range(_ROUNDS):
            if rounds.left <= 0:
                return Termination.TIME_LIMIT
            answer = self._relaxation.solve(rounds.left)
            if answer.status is Status.INFEASIBLE:
                return rounds.empty()
            better = rounds.raise_bound(answer.bound)
            if rounds.loses(answer.bound):
                return Termination.STALLED
            if answer.bound == -math.inf and answer.message and answer.message not in rounds.notes:
                rounds.notes.append(answer.message)
            if answer.y is None or answer.status is Status.UNBOUNDED:
                return self._no_point(answer)
            upper = self._relaxation.upper_values(answer.y)
            self._ask(upper)
            if rounds.closed:
                return Termination.OPTIMALITY
            stuck = stuck + 1 if upper == self._last and not better else 0
            self._last = upper
            if stuck >= _PATIENCE:
                break
        return Termination.STALLED

    def _ask(self, upper: dict[str, Any]) -> None:
        """The followers' answer at a point, and the rows that follow from it."""
        for name, y in self.rounds.answers(self.rounds.ask(upper)):
            self._relaxation.add(name, y)
        self.rounds.report()

    def _no_point(self, answer: Answer) -> Termination:
        if answer.interrupted:
            return Termination.INTERRUPTED
        self.rounds.notes.append(f"the relaxation gave no point: {answer.message or answer.status}")
        return Termination.TIME_LIMIT if self.rounds.left <= 0 else Termination.STALLED
