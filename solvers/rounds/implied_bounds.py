"""Bounds of variables that a program's own rows imply: where every big-M of an answer cut comes from.

No M is ever guessed. A variable's range is what the user declared; where that is infinite or can be narrowed, what
the rows imply by interval arithmetic (Savelsbergh 1994, doi 10.1287/ijoc.6.4.445, section 1.1), then the optima of
two linear programs over the program's relaxation. Results of the latter two are rounded outwards by more than the
tolerance they were computed with.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, replace

import casadi as ca
import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.programs.answer import Status
from bilevel.programs.program import Program, Shape

_PASSES = 20
_WORTH = 1e-3  # relative narrowing that counts


@dataclass
class Box:
    """Ranges of a program's variables, and where each end comes from: ``declared``, ``rows`` or ``linear programs``."""

    lower: Array
    upper: Array
    lower_from: list[str]
    upper_from: list[str]

    def range(self, row: Array, constant: float = 0.0) -> tuple[float, float]:
        """Least and largest value of ``row . v + constant`` over the box."""
        used = np.flatnonzero(row)
        a, low, high = row[used], self.lower[used], self.upper[used]
        ends = np.where(a > 0, a * low, a * high), np.where(a > 0, a * high, a * low)
        return float(ends[0].sum() + constant), float(ends[1].sum() + constant)

    def provenance(self) -> str:
        """How many ends come from where, in words."""
        counts = Counter(self.lower_from + self.upper_from)
        return ", ".join(f"{counts[kind]} {kind}" for kind in ("declared", "rows", "linear programs") if counts[kind])


def implied_bounds(program: Program, seconds: float) -> Box:
    """The box of a program with linear rows.

    Parameters
    ----------
    program : Program
        Without parameters; its rows linear.
    seconds : float
        For the linear programs, which narrow what is left after the rest; they stop there, and 0 means none.
    """
    declared = ["declared"] * program.n
    box = Box(program.lower.copy(), program.upper.copy(), declared, list(declared))
    for side in (box.lower_from, box.upper_from):
        ends = box.lower if side is box.lower_from else box.upper
        side[:] = ["declared" if math.isfinite(end) else "none" for end in ends]
    numbers = ca.Function("rows", [program.variables], [ca.densify(program.jacobian), program.rows])
    matrix, offset = (np.array(part) for part in numbers(np.zeros(program.n)))
    low, high = program.row_lower - offset.reshape(-1), program.row_upper - offset.reshape(-1)
    for _ in range(_PASSES):
        if not sum(_propagate(box, program, matrix[i], low[i], high[i]) for i in range(program.m)):
            break
    if seconds > 0.0:
        _optimize(box, program, seconds)
    return box


def _propagate(box: Box, program: Program, row: Array, low: float, high: float) -> int:
    """Narrow the variables of one row ``low <= row . v <= high``; how many ends moved."""
    moved = 0
    for k in np.flatnonzero(row):
        rest = row.copy()
        rest[k] = 0.0
        least, most = box.range(rest)
        ends = (low - most) / row[k], (high - least) / row[k]
        bottom, top = (ends[1], ends[0]) if row[k] < 0 else ends
        moved += _narrow(box, program, int(k), bottom, top, "rows", 1e-9)
    return moved


def _narrow(box: Box, program: Program, k: int, bottom: float, top: float, source: str, slack: float) -> int:
    moved = 0
    if math.isfinite(bottom):
        bottom = _outwards(bottom, -slack, bool(program.integer[k]))
        if bottom > box.lower[k] + _WORTH * tolerances.scale(box.lower[k]) or not math.isfinite(box.lower[k]):
            box.lower[k], box.lower_from[k], moved = bottom, source, 1
    if math.isfinite(top):
        top = _outwards(top, slack, bool(program.integer[k]))
        if top < box.upper[k] - _WORTH * tolerances.scale(box.upper[k]) or not math.isfinite(box.upper[k]):
            box.upper[k], box.upper_from[k], moved = top, source, moved + 1
    return moved


def _outwards(value: float, slack: float, integer: bool) -> float:
    if integer:
        return float(
            math.floor(value + tolerances.INTEGRALITY) if slack > 0 else math.ceil(value - tolerances.INTEGRALITY)
        )
    return value + slack * tolerances.scale(value)


def _least(program: Program) -> Solver:
    """The least value of a linear function over the continuous relaxation; its slope is the parameter."""
    cost = ca.SX.sym("cost", program.n)
    relaxed = replace(
        program,
        parameters=cost,
        objective=ca.dot(cost, program.variables),
        integer=np.zeros(program.n, dtype=bool),
        sos1=(),
        name="the range of a variable",
    )
    assert relaxed.shape is Shape.LINEAR
    return registry.get(Engine, "highs")().prepare(relaxed)


def _optimize(box: Box, program: Program, seconds: float) -> None:
    """Two linear programs per variable over the relaxation; those without a finite end first."""
    stop = time.monotonic() + seconds
    least = _least(program)
    infinite = ~(np.isfinite(box.lower) & np.isfinite(box.upper))
    for k in np.argsort(~infinite, kind="stable"):
        for sign in (1.0, -1.0):
            if time.monotonic() > stop or box.lower[k] == box.upper[k]:
                break
            direction = np.zeros(program.n)
            direction[k] = sign
            answer = least(direction, None, 1.0)
            if answer.status is Status.OPTIMAL:
                end = sign * answer.objective
                ends = (end, math.inf) if sign > 0 else (-math.inf, end)
                _narrow(box, program, int(k), *ends, "linear programs", 1e-6)
