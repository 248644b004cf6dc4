"""The set of a follower's optima, as rows of a program: what a choice among ties is made over.

For a linear follower the optimal set is ``{y feasible: c'y <= f*}``; for a convex quadratic one it is polyhedral too,
``{y feasible: H y = H y*, c'y <= c'y*}`` (Mangasarian 1988, doi 10.1016/0167-6377(88)90047-8); otherwise
``f(x, y) <= f*``. The levels f* and c'y* are given a slack, or rounding would empty the set.
"""

from __future__ import annotations

from collections.abc import Sequence

import casadi as ca
import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.convexity.examination import convexity_of
from bilevel.convexity.known import surely_convex
from bilevel.graphs.compiled import Compiled
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program, Shape
from bilevel.response.answering import ranked_engines

_SMALLEST = 1e-300  # no row is divided by zero

_LOCAL = 0.5  # engines that suit a program no better than this prove nothing (contracts.Engine.suits)


class OptimalFace:
    """The product of some followers' optimal sets at x, the other followers' answers held.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    tied : sequence of str
        Names of the followers whose answer is not known to be unique.

    Attributes
    ----------
    exact : bool
        Whether the slack moves the set by no more than in proportion: linear rows, or finitely many points. Elsewhere
        a slack e may let y move by a root of e.
    """

    def __init__(self, compilation: Compilation, tied: Sequence[str]) -> None:
        self._compilation = compilation
        self._programs = [compilation.programs[name] for name in tied]
        places, offset = {}, 0
        for name, symbols in compilation.y.items():
            places[name] = slice(offset, offset + int(symbols.numel()))
            offset += int(symbols.numel())
        self._places = [places[name] for name in tied]
        self._held = ca.SX.sym("held", offset)
        self._levels = ca.SX.sym("levels", len(self._programs))
        untied = [name for name in places if name not in tied]
        self._old = [compilation.y[name] for name in untied]
        self._new = [self._held[places[name]] for name in untied]
        self._cut_out = {p.name: _polyhedral(compilation, p) for p in self._programs}
        self.exact = all(self._cut_out[p.name] or bool(p.integer.all()) for p in self._programs)
        measures = [_slope(p) if self._cut_out[p.name] else p.objective for p in self._programs]
        self._local: dict[str, Solver | None] = {}
        self._measure = Compiled([compilation.x, compilation.all_y], [ca.vertcat(*measures)])

    @property
    def variables(self) -> ca.SX:
        """The tied followers' variables, stacked."""
        return ca.vertcat(*(p.variables for p in self._programs))

    def program(self, objective: ca.SX, rows: ca.SX, low: Array, high: Array) -> Program:
        """``min objective`` over the set, subject to further rows; all of (x, y)."""
        if self._old:
            objective, rows = ca.substitute([objective, rows], self._old, self._new)
        bodies, lows, highs = [rows], [low], [high]
        for k, (program, place) in enumerate(zip(self._programs, self._places, strict=True)):
            face, face_low, face_high = self._rows_of(program, self._held[place], self._levels[k])
            bodies += [program.rows, face]
            lows += [program.row_lower, face_low]
            highs += [program.row_upper, face_high]
        bodies_of_all = ca.vertcat(*bodies)
        return Program(
            name="the choice among ties",
            parameters=ca.vertcat(self._compilation.x, self._held, self._levels),
            variables=self.variables,
            objective=objective,
            rows=bodies_of_all,
            row_lower=np.concatenate(lows),
            row_upper=np.concatenate(highs),
            lower=np.concatenate([p.lower for p in self._programs]),
            upper=np.concatenate([p.upper for p in self._programs]),
            integer=np.concatenate([p.integer for p in self._programs]),
            names=tuple(name for p in self._programs for name in p.names),
            row_names=tuple(f"row {k}" for k in range(int(bodies_of_all.numel()))),
        )

    def parameters(self, x: Array, y: Array, slack: float) -> Array:
        """The program's parameters, given optima y of all followers and the slack of the levels (relative)."""
        level = self._measure(x, y)[0].copy()
        level += slack * np.maximum(1.0, np.abs(level))
        return np.concatenate([x, y, level])

    def nearby(self, x: Array, point: Array) -> Array | None:
        """An optimum of every tied follower near a point of the widened set: where a local engine goes from there.

        None where none goes anywhere; whether what it found is an optimum the set's own rows say.
        """
        parts, offset = [], 0
        for program in self._programs:
            start, offset = point[offset : offset + program.n], offset + program.n
            if program.name not in self._local:
                names = [name for score, name in ranked_engines(program) if score <= _LOCAL]
                self._local[program.name] = registry.get(Engine, names[0])().prepare(program) if names else None
            solver = self._local[program.name]
            answer = None if solver is None else solver(x, start)
            if answer is None or answer.status is not Status.OPTIMAL or answer.y is None:
                return None
            parts.append(answer.y)
        return np.concatenate(parts)

    def own(self, y: Array) -> Array:
        """The tied followers' part of y."""
        return np.concatenate([y[place] for place in self._places])

    def _rows_of(self, program: Program, optimum: ca.SX, level: ca.SX) -> tuple[ca.SX, Array, Array]:
        """Rows that hold exactly on the program's optimal set, given one optimum."""
        if not self._cut_out[program.name]:
            return program.objective - level, np.array([-np.inf]), np.zeros(1)
        rows = _slope(program) - level
        if program.shape is Shape.LINEAR:
            return rows, np.array([-np.inf]), np.zeros(1)
        same_curvature = _same_curvature(program, optimum)
        bounds = np.zeros(1 + int(same_curvature.numel()))
        low = bounds.copy()
        low[0] = -np.inf
        return ca.vertcat(rows, same_curvature), low, bounds


def _polyhedral(compilation: Compilation, program: Program) -> bool:
    """Whether linear rows cut out the optimal set: a linear program, or a continuous quadratic one that is convex."""
    if program.shape is not Shape.QUADRATIC or program.integer.any():
        return program.shape is Shape.LINEAR
    return surely_convex(program) or convexity_of(compilation.problem, compilation)[program.name].verdict == "proved"


def _slope(program: Program) -> ca.SX:
    """``c'y`` at y, with c the gradient at zero."""
    at_zero = ca.substitute(program.gradient, program.variables, ca.SX.zeros(program.n, 1))
    return ca.dot(at_zero, program.variables)


def _same_curvature(program: Program, optimum: ca.SX) -> ca.SX:
    """``H (y - y*)``, each row divided by its largest entry: in small units of x an engine's tolerance would move y.

    Rows that are small beside the others stay smaller: they may be what rounding left of zero.
    """
    hessian = program.hessian
    kept = sorted(set(hessian.sparsity().row()))
    if not kept:
        return ca.SX(0, 1)
    sizes = [ca.norm_inf(ca.vec(ca.densify(hessian[k, :]))) for k in kept]
    largest = ca.fmax(ca.mmax(ca.vertcat(*sizes)), _SMALLEST)
    rows = hessian @ (program.variables - optimum)
    return ca.vertcat(
        *(rows[k] / ca.fmax(size, tolerances.NOISE * largest) for k, size in zip(kept, sizes, strict=True))
    )
