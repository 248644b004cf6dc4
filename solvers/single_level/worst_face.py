"""The pessimistic problem as one program: optimality conditions of the worst optimum over the follower's optimal face.

The optima of a convex quadratic follower are a polyhedron, of linear ones too: with y one of them, N a basis of the
null space of the Hessian H and c the objective's gradient at y = 0 (Mangasarian 1988, doi
10.1016/0167-6377(88)90047-8),

    Psi(x) = { y + N z : rows and bounds hold, c'N z = 0 }.

Where y itself maximises F over it, multipliers exist (the rows are linear: no qualification is asked for) with

    N' grad_y F = N' (sum_i eta_i n_i + E'pi + t c),    eta >= 0,  eta_i s_i = 0,

t and pi free. These, beside the conditions of y's own optimality, are rows and complementarity pairs of an ordinary
program in both levels' variables; for every coupling constraint there is a further optimum ``y + N z`` that breaks it
most. They are necessary at every pessimistic point, so the program's optimum bounds F, and where F is concave along
the face they are sufficient as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.convexity.examination import convexity_of
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program, Shape
from bilevel.solvers.single_level.high_point import HighPoint

_NOISE = 1e-11  # of the largest entry: what rounding leaves of zero
_FLAT, _CURVED = 1e-12, 1e-6  # of the largest eigenvalue: surely none, surely one


@dataclass
class _More:
    """What is added to a program."""

    symbols: list[ca.SX] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    rows: list[ca.SX] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    sets: list[tuple[int, int]] = field(default_factory=list)

    def variable(self, low: float = -math.inf, high: float = math.inf) -> ca.SX:
        symbol = ca.SX.sym(f"worst[{len(self.symbols)}]")
        self.symbols.append(symbol)
        self.lower.append(low)
        self.upper.append(high)
        return symbol

    def row(self, body: ca.SX, low: float, high: float) -> None:
        self.rows.append(body)
        self.row_lower.append(low)
        self.row_upper.append(high)

    def added_to(self, program: Program) -> Program:
        n = program.n
        return replace(
            program,
            variables=ca.vertcat(program.variables, *self.symbols),
            rows=ca.vertcat(program.rows, *self.rows),
            row_lower=np.concatenate([program.row_lower, self.row_lower]),
            row_upper=np.concatenate([program.row_upper, self.row_upper]),
            lower=np.concatenate([program.lower, self.lower]),
            upper=np.concatenate([program.upper, self.upper]),
            integer=np.concatenate([program.integer, np.zeros(len(self.symbols), dtype=bool)]),
            names=(*program.names, *(f"worst[{k}]" for k in range(len(self.symbols)))),
            row_names=(*program.row_names, *(f"worst.row[{k}]" for k in range(len(self.rows)))),
            sos1=(*program.sos1, *((n + i, n + j) for i, j in self.sets)),
        )


class WorstFace:
    """The program of one pessimistic problem.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.

    Attributes
    ----------
    program : Program
        Minimised; its first variables are those of the high-point problem.

    Raises
    ------
    RefusedError
        If a follower is not a convex quadratic or linear program with a constant Hessian.
    """

    def __init__(self, compilation: Compilation) -> None:
        self._compilation = compilation
        problem, programs = compilation.problem, compilation.programs
        convexity = convexity_of(problem, compilation)
        for name, follower in programs.items():
            _refuse(follower, convexity[name].verdict == "proved")
        self._high_point = HighPoint(problem, frozenset(programs))
        self.upper_values = self._high_point.upper_values
        base = self._high_point.program
        v, places = base.variables, self._high_point.places
        x = [places.get(var.name) for var in problem.variables]
        self._x = ca.vertcat(*(ca.SX(0.0) if k is None else v[k] for k in x))
        self._y = {name: ca.vertcat(*(v[places[n]] for n in p.names)) for name, p in programs.items()}
        self._flat = {name: _null_space(p) for name, p in programs.items()}
        self._more = _More()
        self._worst(compilation.upper_objective, self._y)
        rows, low, high = compilation.rows(problem.coupling)
        for k in range(int(rows.numel())):
            for sign, limit in ((1.0, float(high[k])), (-1.0, float(low[k]))):
                if math.isfinite(limit) and ca.depends_on(rows[k], compilation.all_y):
                    copy = self._other_optimum(rows, low, high)
                    self._worst(sign * rows[k], copy)
        self.program = self._more.added_to(base)

    def _other_optimum(self, rows: ca.SX, low: Array, high: Array) -> dict[str, ca.SX]:
        """Another point of the face, which meets every coupling constraint as all of them do."""
        more, copy = self._more, {}
        for name, follower in self._compilation.programs.items():
            flat = self._flat[name]
            z = ca.vertcat(*(more.variable() for _ in range(flat.shape[1])))
            y = self._y[name] + ca.DM(flat) @ z if flat.shape[1] else self._y[name]
            copy[name] = y
            along = self._slope_along(follower)
            if flat.shape[1] and not along.is_zero():
                more.row(ca.dot(along, z), 0.0, 0.0)
            (bodies,) = ca.substitute([follower.rows], [follower.parameters, follower.variables], [self._x, y])
            for k in range(follower.m):
                more.row(bodies[k], float(follower.row_lower[k]), float(follower.row_upper[k]))
            for k in range(follower.n):
                more.row(y[k], float(follower.lower[k]), float(follower.upper[k]))
        coupled = self._at(rows, copy)
        for k in range(int(rows.numel())):
            more.row(coupled[k], float(low[k]), float(high[k]))
        return copy

    def _worst(self, function: ca.SX, copy: dict[str, ca.SX]) -> None:
        """Conditions under which no optimum has a larger value of a function than this one."""
        for name, follower in self._compilation.programs.items():
            flat, y = self._flat[name], copy[name]
            if not flat.shape[1] or not ca.depends_on(function, self._compilation.y[name]):
                continue
            slope = self._at(ca.gradient(function, self._compilation.y[name]), copy)
            force, along = -slope, self._slope_along(follower)
            for normal, slack in self._sides(follower, y):
                force = force + self._multiplier(slack) * normal
            balance = ca.DM(flat).T @ force
            if not along.is_zero():
                balance = balance + self._more.variable() * along
            for k in range(flat.shape[1]):
                self._more.row(balance[k], 0.0, 0.0)

    def _sides(self, follower: Program, y: ca.SX) -> Iterator[tuple[ca.SX, ca.SX | None]]:
        """Normals of the sides of rows and bounds, with their slacks; None for equalities."""
        given = [follower.parameters, follower.variables]
        jacobian = ca.jacobian(follower.rows, follower.variables)
        bodies, normals = ca.substitute([follower.rows, ca.densify(jacobian)], given, [self._x, y])
        units = ca.DM.eye(follower.n)
        rows = [(normals[k, :].T, bodies[k], follower.row_lower[k], follower.row_upper[k]) for k in range(follower.m)]
        rows += [(ca.SX(units[:, k]), y[k], follower.lower[k], follower.upper[k]) for k in range(follower.n)]
        for normal, body, low, high in rows:
            if low == high:
                yield normal, None
                continue
            if math.isfinite(high):
                yield normal, float(high) - body
            if math.isfinite(low):
                yield -normal, body - float(low)

    def _multiplier(self, slack: ca.SX | None) -> ca.SX:
        more = self._more
        if slack is None:
            return more.variable()
        multiplier, held = more.variable(0.0), more.variable(0.0)
        more.row(held - slack, 0.0, 0.0)
        more.sets.append((len(more.symbols) - 2, len(more.symbols) - 1))
        return multiplier

    def _slope_along(self, follower: Program) -> ca.SX:
        """N'c at x: of the gradient at y = 0 what the curvature does not hold, shape (k, 1)."""
        flat, p = ca.DM(self._flat[follower.name]), follower.parameters
        (slope,) = ca.substitute([ca.densify(follower.gradient)], [follower.variables], [ca.SX.zeros(follower.n)])
        moves = ca.jacobian(slope, p)
        if ca.depends_on(moves, p):
            along = flat.T @ slope
        else:  # numbers, so that what rounding leaves of zero is zero
            at_zero, matrix = (np.array(ca.DM(part)) for part in ca.Function("c", [p], [slope, ca.densify(moves)])(0))
            numbers = np.hstack([at_zero, matrix])
            left = flat.full().T @ numbers
            left[np.abs(left) <= _NOISE * np.abs(numbers).max(axis=0, initial=0.0)] = 0.0
            along = ca.sparsify(ca.DM(left[:, :1])) + ca.sparsify(ca.DM(left[:, 1:])) @ p
        (there,) = ca.substitute([ca.SX(along)], [p], [self._x])
        return ca.sparsify(there)

    def _at(self, expression: ca.SX, copy: dict[str, ca.SX]) -> ca.SX:
        compilation = self._compilation
        given = [compilation.x, *(compilation.y[name] for name in copy)]
        (moved,) = ca.substitute([ca.densify(expression)], given, [self._x, *copy.values()])
        return moved


def _refuse(follower: Program, convex: bool) -> None:
    if follower.integer.any() or follower.shape not in (Shape.LINEAR, Shape.QUADRATIC) or not convex:
        raise RefusedError(
            f"{follower.name} is no convex quadratic or linear program; use a search (method='random'), which finds"
            " the worst of the optima at each x"
        )
    if ca.depends_on(follower.hessian, follower.parameters):
        raise RefusedError(
            f"the curvature of {follower.name} moves with x; use a search (method='random'), which finds the worst of"
            " the optima at each x"
        )


def _null_space(follower: Program) -> Array:
    """An orthonormal basis of the null space of its Hessian, shape (n, k)."""
    hessian = np.array(ca.evalf(ca.densify(follower.hessian)))
    values, vectors = np.linalg.eigh(hessian)
    largest = np.abs(values).max(initial=0.0)
    flat = np.abs(values) <= _FLAT * largest if largest > 0.0 else np.ones(len(values), dtype=bool)
    if (~flat & (np.abs(values) < _CURVED * largest)).any():
        raise RefusedError(
            f"{follower.name} is so flat in some directions that rounding decides whether it is curved there; use a"
            " search (method='random')"
        )
    if flat.all():
        return np.eye(len(values))
    basis: Array = vectors[:, flat]
    return np.where(np.abs(basis) <= _FLAT, 0.0, basis)
