"""Nonconvex programs of one to three variables, with bounds on each: cells in Taylor models, and a proof to ten digits.

See :mod:`bilevel.solvers.cells.least_point`. A general global solver proves six to eight, and now and then takes long.
"""

from __future__ import annotations

import time

import numpy as np

from bilevel import deadline, registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.errors import RefusedError
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program, Shape
from bilevel.registry import register
from bilevel.solvers.cells.least_point import LARGEST, LeastPoint

_LONGEST = 5.0  # seconds for one program where nobody set a limit
_INSTRUCTIONS = 1_000  # walked through some dozens of times


@register("cells")
class Cells(Engine):
    """Nonconvex programs of up to three bounded variables: branch and bound over cells in Taylor models.

    Take it when a nonconvex program is that small; from four variables on, or with rows, ``piecewise`` and ``scip`` go
    farther.
    """

    second_opinion = 1.0  # its bounds hold whatever rounding did

    def suits(self, program: Program) -> float:
        if not 0 < program.n <= LARGEST or program.discrete or program.sos1 or program.convex:
            return 0.0
        if program.shape is Shape.LINEAR or program.squares or program.moving or program.losses:
            return 0.0
        if not (np.isfinite(program.lower).all() and np.isfinite(program.upper).all()):
            return 0.0
        if (program.row_lower == program.row_upper).any():
            return 0.0  # no cell lies within
        made = program.kept("cells", lambda: _made(program))
        if made is None or len(made) > _INSTRUCTIONS:
            return 0.0
        return 0.545 if program.m else 0.57  # along rows that hold an optimum many cells stay, and ``scip`` is faster

    def prepare(self, program: Program) -> Solver:
        return _CellsSolver(program)


def _made(program: Program) -> LeastPoint | None:
    try:
        return LeastPoint(program)
    except RefusedError:
        return None


class _CellsSolver(Solver):
    uses = frozenset({"ipopt"})

    def __init__(self, program: Program) -> None:
        self._program, self._made = program, program.kept("cells", lambda: _made(program))
        self._polisher = registry.get(Engine, "ipopt")().prepare(program)

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        if self._made is None:
            return Answer(Status.REFUSED, message="a function has no rule in Taylor arithmetic")
        until = deadline.Deadline.after(deadline.limited(_LONGEST if time_limit is None else time_limit))

        def local(point: Array) -> tuple[Array | None, Array]:
            answer = self._polisher(parameters, point, until.left)
            if answer.status is not Status.OPTIMAL or answer.y is None:
                return None, np.zeros(self._program.m)
            return answer.y, multipliers_at(self._program, parameters, answer.y)

        return self._made(parameters, local, start, time.monotonic() + until.left)


def multipliers_at(program: Program, parameters: Array, y: Array) -> Array:
    """Multipliers of the rows at a local optimum by least squares over the active ones; zero where none are.

    They need not be exact: any of the right sign make a bound.
    """
    weights = np.zeros(program.m)
    if not program.m:
        return weights
    slope, rows, jacobian = first_order(program, parameters, y)
    near = tolerances.FEASIBILITY * np.maximum(1.0, np.abs(rows))
    above, below = rows >= program.row_upper - near, rows <= program.row_lower + near
    free = (y > program.lower + tolerances.FEASIBILITY) & (y < program.upper - tolerances.FEASIBILITY)
    active = np.flatnonzero(above | below)
    if len(active) and free.any():
        found = np.linalg.lstsq(jacobian[np.ix_(active, free)].T, -slope[free], rcond=None)[0]
        both = above[active] & below[active]
        weights[active] = np.where(both, found, np.where(above[active], np.maximum(found, 0.0), np.minimum(found, 0.0)))
    return weights


def first_order(program: Program, parameters: Array, y: Array) -> tuple[Array, Array, Array]:
    """The gradient of f, the rows and their Jacobian, dense."""
    import casadi as ca

    function = program.kept(
        "first order",
        lambda: ca.Function(
            "first",
            [program.parameters, program.variables],
            [
                ca.densify(ca.gradient(program.objective, program.variables)),
                ca.densify(program.rows),
                ca.densify(ca.jacobian(program.rows, program.variables)),
            ],
        ),
    )
    slope, rows, jacobian = function(parameters, y)
    return slope.full()[:, 0], rows.full()[:, 0], jacobian.full()
