"""Which of the follower's optima counts: the one best for the leader (the optimistic attitude).

A second program over the followers' optimal sets: ``min_y F(x, y)`` subject to G(x, y) and to y being optimal for
every follower. For a linear follower the optimal set is ``{y feasible: c'y <= f*}``; for a convex quadratic one it is
polyhedral too, ``{y feasible: H y = H y*, c'y <= c'y*}`` (Mangasarian 1988, doi 10.1016/0167-6377(88)90047-8);
otherwise ``f(x, y) <= f*``.
"""

from __future__ import annotations

from collections.abc import Sequence

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.answering import Answering
from bilevel.compiled import Array, Compiled
from bilevel.compiling import Compilation
from bilevel.contracts import Answer
from bilevel.program import Program, Shape


class TieBreak:
    """Chooses among the optima of some followers, the others' answers held.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    tied : sequence of str
        Names of the followers whose answer is not known to be unique.
    """

    def __init__(self, compilation: Compilation, tied: Sequence[str]) -> None:
        self._names = list(compilation.y)
        self._tied = list(tied)
        self._offsets = dict(
            zip(self._names, np.cumsum([0, *(s.numel() for s in compilation.y.values())]), strict=False)
        )
        self._programs = {name: compilation.programs[name] for name in tied}
        held = ca.SX.sym("held", compilation.all_y.numel())
        levels = ca.SX.sym("levels", len(self._tied))
        self._program = self._build(compilation, held, levels)
        slopes = [_slope(p) if _polyhedral(p) else p.objective for p in self._programs.values()]
        self._levels = Compiled([compilation.x, compilation.all_y], [ca.vertcat(*slopes)])
        self._answering = Answering(self._program)

    def _build(self, compilation: Compilation, held: ca.SX, levels: ca.SX) -> Program:
        untied = [name for name in self._names if name not in self._tied]
        old = [compilation.y[name] for name in untied]
        new = [held[self._slice(compilation, name)] for name in untied]
        rows, low, high = compilation.rows(compilation.problem.coupling)
        objective = compilation.upper_objective
        if old:
            objective, rows = ca.substitute([objective, rows], old, new)
        bodies, lows, highs = [rows], [low], [high]
        for k, name in enumerate(self._tied):
            program = self._programs[name]
            face, face_low, face_high = _optimal_face(program, held[self._slice(compilation, name)], levels[k])
            bodies += [program.rows, face]
            lows += [program.row_lower, face_low]
            highs += [program.row_upper, face_high]
        programs = list(self._programs.values())
        return Program(
            name="the choice among ties",
            parameters=ca.vertcat(compilation.x, held, levels),
            variables=ca.vertcat(*(p.variables for p in programs)),
            objective=objective,
            rows=ca.vertcat(*bodies),
            row_lower=np.concatenate(lows),
            row_upper=np.concatenate(highs),
            lower=np.concatenate([p.lower for p in programs]),
            upper=np.concatenate([p.upper for p in programs]),
            integer=np.concatenate([p.integer for p in programs]),
            names=tuple(name for p in programs for name in p.names),
        )

    def _slice(self, compilation: Compilation, name: str) -> slice:
        return slice(int(self._offsets[name]), int(self._offsets[name]) + int(compilation.y[name].numel()))

    def __call__(self, x: Array, y: Array) -> Answer:
        """The leader's best choice at x, given answers y of all followers; ``Answer.y`` stacks the tied ones'."""
        level = self._levels(x, y)[0].copy()
        level += tolerances.TIE * np.maximum(1.0, np.abs(level))
        start = np.concatenate([y[self._offsets[n] : self._offsets[n] + p.n] for n, p in self._programs.items()])
        return self._answering(np.concatenate([x, y, level]), start)


def _polyhedral(program: Program) -> bool:
    """Whether linear rows cut out the optimal set: a linear program, or a continuous (convex) quadratic one."""
    return program.shape is Shape.LINEAR or (program.shape is Shape.QUADRATIC and not program.integer.any())


def _slope(program: Program) -> ca.SX:
    """``c'y`` at y, with c the gradient at zero."""
    at_zero = ca.substitute(program.gradient, program.variables, ca.SX.zeros(program.n, 1))
    return ca.dot(at_zero, program.variables)


def _optimal_face(program: Program, optimum: ca.SX, level: ca.SX) -> tuple[ca.SX, Array, Array]:
    """Rows that hold exactly on the program's optimal set, given one optimum."""
    if not _polyhedral(program):
        return program.objective - level, np.array([-np.inf]), np.zeros(1)
    rows = _slope(program) - level
    if program.shape is Shape.LINEAR:
        return rows, np.array([-np.inf]), np.zeros(1)
    same_curvature = program.hessian @ (program.variables - optimum)
    kept = [k for k in range(program.n) if program.hessian[k, :].nnz()]
    bounds = np.zeros(len(kept) + 1)
    low = bounds.copy()
    low[0] = -np.inf
    return ca.vertcat(rows, *(same_curvature[k] for k in kept)), low, bounds
