"""One penalty over followers whose answers are piecewise linear in it: the whole path, and F's least value along it.

The lasso, the elastic net with a fixed ridge, the support vector machine in C, quantile regression and least squares
with bounds are parametric quadratic programs: a constant Hessian, costs and limits of rows affine in the penalty, or in
a monotone function of it such as ``10**x``. So are those in which it multiplies all of the Hessian, a ridge under a
hinge or a pinball loss, once it is divided out (:mod:`bilevel.solvers.homotopy.common_factor`). Their answers are
piecewise linear in it (Osborne, Presnell and Turlach 2000; Efron et al. 2004; Rosset and Zhu 2007, "Piecewise linear
regularized solution paths", *Annals of Statistics* 35), and F, quadratic in them, is a polynomial on every piece: its
global minimum is a comparison of finitely many numbers.

What the bound is worth: the optimality conditions are linear on a piece, and are computed anew at both of its ends from
the program alone (:mod:`bilevel.solvers.homotopy.optimality_check`). Where a follower has other optima besides, F is
shown not to see the difference, or its least value among them counts, or the problem is refused. The arithmetic is
floating point, not outwardly rounded: pieces that miss a condition by more than 1e-8, relative, are refused, and the
bound is lowered by a millionth of the certificate tolerance, far more than what evaluating F may have cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.deadline import Deadline, OutOfTime, current, heard, within
from bilevel.errors import RefusedError
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program, Shape
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.response import Response
from bilevel.solvers.homotopy.common_factor import without_factor
from bilevel.solvers.homotopy.followed_program import Followed, Numbers, followed, numbers_of
from bilevel.solvers.homotopy.leader_along import AnswerPath, LeaderAlong, Optimum
from bilevel.solvers.homotopy.optimality_check import OptimalityCheck
from bilevel.solvers.homotopy.other_optima import OtherOptima
from bilevel.solvers.homotopy.parametric_program import ParametricProgram
from bilevel.solvers.homotopy.path_following import PathFollowing, Piece
from bilevel.solvers.homotopy.penalty_axis import PenaltyAxis, penalty_axis
from bilevel.solvers.libraries.one_thread import one_thread
from bilevel.upper.archive import Archive

_FOR_POINTS = 0.3  # of the time, for a point where the path is too long for it, and its verification
_FEW = 64  # points then
_PATIENCE = 20.0  # seconds it may keep other exact paths waiting where none was named


@register("homotopy")
class Homotopy(Path):
    """One penalty over lassos, support vector machines and other followers piecewise linear in it: the whole path.

    Take it when one upper variable moves the costs or limits of quadratic followers and not their Hessians; where it
    moves the Hessians, as in ridge regression, ``rational`` is its like, and ``upper_boxes`` where there are kinks.
    """

    preference = 0.85
    share = 0.5  # what it takes is seldom closed by others

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        compilation = Compilation.of(problem)
        axis, numbers = _read(compilation)
        limit = settings.time_limit
        if settings.method == "auto":
            limit = _PATIENCE if limit is None else min(limit, _PATIENCE)
        elif limit is not None:
            limit = (1.0 - _FOR_POINTS) * min(limit, current().left)
        with within(Deadline.after(limit)), one_thread():
            try:
                return _found(compilation, axis, numbers, observer)
            except OutOfTime:
                heard()
        if settings.method == "auto":
            raise RefusedError(f"the path did not end within {limit:.3g} seconds; method='homotopy' goes on longer")
        return _looked_around(compilation, axis)


def _looked_around(compilation: Compilation, axis: PenaltyAxis) -> Finding:
    """The best of a few points between the ends, from the middle on, where the path is too long for the time."""
    (variable,) = compilation.problem.variables
    response, best = Response(compilation.problem, compilation=compilation), math.inf
    note = f"the path in {variable.name} is longer than that; the point is the best of a few"
    found = Finding(Termination.TIME_LIMIT, Verdict.FAILED, archive=Archive(), notes=[note])
    first, last = axis.range
    until = 0.5 * current().left
    for k in range(1, _FEW):
        share = int(f"{k:b}"[::-1], 2) / 2 ** k.bit_length()  # 1/2, 1/4, 3/4, 1/8, ... (van der Corput 1935)
        x = axis.back(first + share * (last - first))
        reply = response.tried(np.array([x]))
        if reply.status is Status.OPTIMAL and reply.violation <= 0.0 and reply.cost < best:
            best, found.upper, found.claim = reply.cost, {variable.name: x}, Verdict.BEST_FOUND
        if current().left < until:
            break
    return found


def _found(compilation: Compilation, axis: PenaltyAxis, numbers: Sequence[Numbers], observer: Observer) -> Finding:
    problem = compilation.problem
    (variable,) = problem.variables
    ways = _followed(compilation, axis, numbers)
    from_high = _from_high(ways)
    first, last = axis.range[::-1] if from_high else axis.range

    def x_of(s: float) -> float:
        return axis.back(first + s * (last - first))

    paths, others = [], []
    for way, program in zip(ways, compilation.programs.values(), strict=True):
        line = way.program.between(first, last)
        check = _checked(line, f"{program.name}, from {variable.name} = {x_of(0.0):.6g} to {x_of(1.0):.6g}")
        pieces = check.pieces
        paths.append(AnswerPath.of(pieces, way.back))
        others += [(len(paths) - 1, program.name, ambiguity, check) for ambiguity in check.ambiguities()]
        observer.said(f"{program.name} turns at {len(pieces) - 1} values of {variable.name}")
    along = LeaderAlong(compilation, paths, x_of)
    elsewhere = OtherOptima(along, paths, variable.name, x_of).lowest(others)
    best, bound = along.minimum(), math.inf
    if elsewhere is not None:
        bound = elsewhere.value
        best = _reached(compilation, elsewhere, x_of(elsewhere.s), best)
    margin = 1e-6 * tolerances.CERTIFICATE * max(compilation.scale(0.0), abs(best.value))
    bound = min(bound, best.value) - margin
    observer.bounded(problem.sense * best.value, problem.sense * bound)
    turns = sum(len(path.starts) - 1 for path in paths)
    return Finding(
        Termination.OPTIMALITY,
        Verdict.CERTIFIED_GLOBAL if compilation.closes(best.value, bound) else Verdict.BEST_FOUND,
        upper={variable.name: x_of(best.s)},
        lower=dict(zip(problem.lower_names, best.y.tolist(), strict=True)),
        bound=problem.sense * bound,
        archive=Archive(),
        convexity="proved",
        notes=[f"the whole path in {variable.name} was followed: {turns} turns, F a polynomial between them"],
    )


def _checked(line: ParametricProgram, name: str) -> OptimalityCheck:
    try:
        return OptimalityCheck(line, _pieces(line))
    except RefusedError as refusal:
        raise RefusedError(f"{name}: {refusal}") from None


def _pieces(line: ParametricProgram) -> list[Piece]:
    """The path, from its other end where too much happens at once on this way."""
    try:
        return PathFollowing(line).pieces()
    except RefusedError as refusal:
        with suppress(RefusedError):
            return [piece.mirrored for piece in reversed(PathFollowing(line.between(1.0, 0.0)).pieces())]
        raise refusal


def _reached(compilation: Compilation, elsewhere: Optimum, x: float, best: Optimum) -> Optimum:
    """The better of two points; the one where an answer jumps only if an engine gets there with its x rounded."""
    if not elsewhere.value < best.value:
        return best
    reply = Response(compilation.problem, compilation=compilation)(np.array([x]))
    close = reply.proved and reply.violation <= 0.0 and compilation.closes(reply.cost, elsewhere.value)
    return elsewhere if close else best


def _from_high(ways: Sequence[Followed]) -> bool:
    """From which end of s the paths begin: there where costs are higher, and most rests at its bound."""
    slopes = [float(way.program.costs[1][np.isfinite(way.program.lower)].sum()) for way in ways]
    return sum(slopes) > 0.0


def _read(compilation: Compilation) -> tuple[PenaltyAxis, list[Numbers]]:
    """The axis of everything that moves; its entries are those of the followers, then F's."""
    problem = compilation.problem
    if len(problem.variables) != 1 or problem.constraints or problem.allowed:
        raise RefusedError("it takes one upper variable and no upper constraint")
    (variable,) = problem.variables
    low, high = variable.bounds
    continuous = variable.is_continuous() and not variable.domain.isfinite()
    if low is None or high is None or not low < high or not continuous:
        raise RefusedError(f"{variable.name} must be continuous with two bounds; write Var(bounds=(lower, upper))")
    for follower in problem.followers:
        if follower.name not in compilation.programs:
            raise RefusedError(f"{follower.name} is not a mathematical program")
    numbers = [numbers_of(program) for program in compilation.programs.values()]
    upper = compilation.upper_program
    if upper.shape is Shape.NONLINEAR:
        raise RefusedError("F must be quadratic in the followers' variables")
    entries = ca.vertcat(*(part.moving for part in numbers), _coefficients(upper))
    axis = penalty_axis(entries, compilation.x, float(low), float(high))
    if axis is None:
        raise RefusedError(
            f"what moves with {variable.name} is not affine in it, nor in one monotone function of it such as"
            f" 10**{variable.name}"
        )
    count = len(axis.constants) - sum(part.moving.numel() for part in numbers)
    nothing = np.zeros(count, dtype=bool)
    bends = np.concatenate([*(part.bends for part in numbers), nothing])
    slopes = np.concatenate([*(part.slopes for part in numbers), nothing])
    return without_factor(axis, bends, slopes, variable.name), numbers


def _coefficients(upper: Program) -> ca.SX:
    """What F is made of, as functions of x: weights of squares, Hessian, slope and constant at zero."""
    y, rest = upper.variables, upper.rest
    pieces = [ca.vertcat(ca.SX(0, 1), *rest.hessian.nonzeros()), ca.densify(rest.gradient), ca.SX(rest.objective)]
    at_zero = ca.substitute(pieces, [y], [ca.SX.zeros(y.numel(), 1)])
    return ca.vertcat(upper.weights if upper.squares else ca.SX(0, 1), *map(ca.vec, at_zero))


def _followed(compilation: Compilation, axis: PenaltyAxis, numbers: Sequence[Numbers]) -> list[Followed]:
    found: list[Followed] = []
    offset = 0
    ends = min(axis.range), max(axis.range)
    for part in numbers:
        place = slice(offset, offset + part.moving.numel())
        offset = place.stop
        way = followed(part, axis.constants[place], axis.slopes[place], ends)
        _refuse_idle(compilation, part.program, way.idle)
        found.append(way)
    return found


def _refuse_idle(compilation: Compilation, program: Program, idle: NDArray[np.int_]) -> None:
    """Refuse an F that sees a variable which at some x costs nothing however large it is."""
    seen = ca.vertcat(compilation.upper_short, *(square.variables for square in compilation.upper_squares))
    for place in idle.tolist():
        if ca.depends_on(seen, program.variables[place]):
            raise RefusedError(f"{program.names[place]} costs nothing at an end of x, and F depends on it")
