"""Local solutions of the single-level model: a treatment's sequence from several starts, and single pieces.

The feasible set of complementarity pairs is a union of pieces: on each it is settled for every pair which of the two
is zero, and what is left is an ordinary smooth program. A sequence of relaxations (Scholtes) finds a good piece, the
piece's own solution adds the last digits. Where no pair has both at zero, the piece is all there is nearby, and its
local optimum is one of the problem (Luo, Pang and Ralph 1996, *Mathematical Programs with Equilibrium Constraints*,
ch. 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine
from bilevel.language.domains import scale_of
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program, Shape
from bilevel.reading.problem import Problem
from bilevel.reading.variables import ends_of
from bilevel.solvers.single_level.treated_model import TreatedModel, Values

_UNKNOWN = 0.1  # where a sequence starts what nobody knows: multipliers, slacks
_PATIENCE = 2  # solves in a row that fail before a sequence is given up: the piece it points at may do all the same
_STRICT = 1e-6  # both of a pair below it: the point may lie on several pieces


@dataclass(frozen=True)
class Descent:
    """Where one start led.

    Attributes
    ----------
    values : dict
        Of the single-level model, by name.
    objective : float
        Of the relaxed model, minimised: good for sorting, not to be reported.
    stationary : bool
        Whether every solve of the sequence's end converged.
    """

    values: Values
    objective: float
    stationary: bool


def starts(problem: Problem, rng: np.random.Generator, count: int) -> Iterator[Array]:
    """Upper points: the user's initial values first, then random ones within the bounds (or around the first)."""
    ends = [(float(low), float(high)) for low, high in zip(*ends_of(problem.variables), strict=True)]
    first = [_initial(var, *end) for var, end in zip(problem.variables, ends, strict=True)]
    yield np.array(first)
    for _ in range(count - 1):
        yield np.array([_drawn(*drawn, rng) for drawn in zip(problem.variables, ends, first, strict=True)])


def _initial(var: object, low: float, high: float) -> float:
    value = var.value  # type: ignore[attr-defined]
    if value is not None and not isinstance(value, str):
        return float(value)
    middle = (low + high) / 2
    return middle if math.isfinite(middle) else min(max(0.0, low), high)


def _drawn(var: object, ends: tuple[float, float], around: float, rng: np.random.Generator) -> float:
    low, high = ends
    if math.isfinite(low) and math.isfinite(high):
        if scale_of(var) == "log" and low > 0:
            return float(math.exp(rng.uniform(math.log(low), math.log(high))))
        return low + (high - low) * rng.random()
    return float(min(max(around + max(1.0, abs(around)) * rng.standard_normal(), low), high))


class Sequence:
    """Solves a treated model along its schedule, each solve started from the last.

    Parameters
    ----------
    treated : TreatedModel
        With a schedule, integers relaxed where the engine wants reals.
    engine : str
        Name of the engine.
    """

    def __init__(self, treated: TreatedModel, engine: str) -> None:
        part = registry.get(Engine, engine)()
        self._treated = treated
        program = treated.program if part.suits(treated.program) > 0 else treated.relaxed
        self._keeps_integers = program is treated.program or not treated.program.integer.any()
        self._solver = part.prepare(program)
        relaxes = treated.program.parameters.numel() > 0
        self._steps = [np.array([epsilon]) if relaxes else np.zeros(0) for epsilon in treated.schedule or (0.0,)]

    def __call__(self, start: Array, more_time: Callable[[], float]) -> Descent:
        """Follow the sequence from a start; ``more_time()`` says how many seconds are left."""
        point = np.where(np.isnan(start), _UNKNOWN, start)
        answer = Answer(Status.FAILED, point)
        failures, stationary = 0, False
        for parameters in self._steps:
            left = more_time()
            if left <= 0 or failures == _PATIENCE:
                stationary = False
                break
            answer = self._solver(parameters, point, left if math.isfinite(left) else None)
            if answer.y is not None and np.isfinite(answer.y).all():
                point = answer.y
            stationary = answer.status is Status.OPTIMAL
            failures = 0 if stationary else failures + 1
        return Descent(self._treated.by_name(point), answer.objective, stationary and self._keeps_integers)


def solve_piece(treated: TreatedModel, values: Values) -> tuple[Array, bool] | None:
    """Settle every pair as it is at a point, hold the integers, and solve what is left.

    Parameters
    ----------
    treated : TreatedModel
        With special ordered sets.
    values : dict
        A point, approximately feasible.

    Returns
    -------
    tuple of ndarray and bool, or None
        The solution in ``treated.program``, and whether it is a local one of the whole problem: no pair has both at
        zero and nothing is integer. None where there is none.
    """
    program = treated.program
    start = treated.point_from(values)
    held = _hold(treated, program, values, start)
    y = _solution(held, program, np.where(np.isnan(start), 0.0, start))
    if y is None:
        return None
    after = treated.pairs_at(treated.by_name(y))
    strict = all(max(pair) > _STRICT for pair in after)
    return y, strict and not bool(program.integer.any())


def _solution(held: Program, program: Program, start: Array) -> Array | None:
    """Of a piece: by HiGHS where it takes it, whose points meet their rows to the last digits, else by Ipopt."""
    for name in ("highs", "ipopt") if held.shape is not Shape.NONLINEAR else ("ipopt",):
        answer = registry.get(Engine, name)().prepare(held)(np.zeros(0), start)
        if answer.status is not Status.OPTIMAL or answer.y is None:
            continue
        if program.violation(np.zeros(0), answer.y) <= tolerances.GLOBAL_FEASIBILITY:
            return answer.y
    return None


def _hold(treated: TreatedModel, program: Program, values: Values, start: Array) -> Program:
    """The program with one of each pair held at zero, the integers at their rounded values."""
    lower, upper = program.lower.copy(), program.upper.copy()
    slack_is_zero = {
        treated.single.place(pair.multiplier): slack <= multiplier
        for pair, (slack, multiplier) in zip(treated.conditions.pairs, treated.pairs_at(values), strict=True)
    }
    for members in program.sos1:
        multiplier = next((k for k in members if k in slack_is_zero), None)
        if multiplier is None:  # a set of the user's own: its largest member may move
            kept = max(members, key=lambda k: abs(start[k]))
            zero = [k for k in members if k != kept]
        else:
            zero = [k for k in members if (k != multiplier) == slack_is_zero[multiplier]]
        lower[zero], upper[zero] = 0.0, 0.0
    whole = program.integer & np.isfinite(start)
    lower[whole] = upper[whole] = np.clip(np.round(start[whole]), lower[whole], upper[whole])
    return replace(program, lower=lower, upper=upper, sos1=(), integer=np.zeros(program.n, dtype=bool))
