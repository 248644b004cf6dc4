"""Small quadratic programs solved by listing: every face of the polyhedron, every assignment of the integers.

Nothing here knows CasADi or an engine of ours; linear programs about directions are left to scipy.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace

import numpy as np
import pyomo.environ as pyo
from scipy.optimize import linprog

from bilevel import LowerLevel
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem

TOLERANCE = 1e-7


@dataclass(frozen=True)
class Quadratic:
    """``min 0.5 y'(H + x0 H1) y + (c + C x)'y  s.t.  low <= A y - B x <= high, lower <= y <= upper``, some y integer."""

    H: np.ndarray
    c: np.ndarray
    A: np.ndarray
    low: np.ndarray
    high: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    H1: np.ndarray
    C: np.ndarray
    B: np.ndarray
    style: dict = field(default_factory=dict, hash=False)

    @classmethod
    def of(
        cls,
        *,
        H=None,
        c=None,
        A=None,
        low=None,
        high=None,
        lower=None,
        upper=None,
        integer=None,
        H1=None,
        C=None,
        B=None,
        **style,
    ):
        n = len(c) if c is not None else len(H)
        m = 0 if A is None else len(A)

        def array(value, shape, default):
            return (
                np.full(shape, default, dtype=float) if value is None else np.asarray(value, dtype=float).reshape(shape)
            )

        return cls(
            array(H, (n, n), 0), array(c, n, 0), array(A, (m, n), 0), array(low, m, -math.inf), array(high, m, math.inf),
            array(lower, n, -math.inf), array(upper, n, math.inf),
            np.zeros(n, dtype=bool) if integer is None else np.asarray(integer, dtype=bool),
            array(H1, (n, n), 0), array(C, (n, 2), 0), array(B, (m, 2), 0), style,
        )  # fmt: skip

    @property
    def n(self):
        return len(self.c)

    def at(self, x):
        """The same without parameters."""
        shift = self.B @ x
        return replace(
            self, H=self.H + x[0] * self.H1, c=self.c + self.C @ x, low=self.low + shift, high=self.high + shift,
            H1=np.zeros_like(self.H), C=np.zeros_like(self.C), B=np.zeros_like(self.B),
        )  # fmt: skip

    def value(self, y):
        return float(0.5 * y @ self.H @ y + self.c @ y)

    def inequalities(self):
        """``G y <= h`` and ``E y = e``."""
        G, h, E, e = [], [], [], []
        rows = [
            *zip(self.A, self.low, self.high, strict=True),
            *zip(np.eye(self.n), self.lower, self.upper, strict=True),
        ]
        for a, low, high in rows:
            if low == high:
                E.append(a)
                e.append(low)
                continue
            if math.isfinite(high):
                G.append(a)
                h.append(high)
            if math.isfinite(low):
                G.append(-a)
                h.append(-low)
        shape = (-1, self.n)
        return np.reshape(G, shape), np.array(h), np.reshape(E, shape), np.array(e)

    def violation(self, y):
        G, h, E, e = self.inequalities()
        whole = np.abs(y - np.round(y))[self.integer]
        return max([0.0, *(G @ y - h), *np.abs(E @ y - e), *whole])

    @property
    def convex(self):
        return not self.integer.any() and np.linalg.eigvalsh(self.H).min() >= -1e-12


@dataclass
class Truth:
    """What listing found; ``optima`` holds at least two points where there are several optima (of a bounded set)."""

    status: str
    value: float = math.nan
    optima: list = field(default_factory=list)
    unique: bool = False


def solve(program: Quadratic) -> Truth:
    """A program without parameters, solved by listing (a bounded one, unless it is convex)."""
    if program.integer.any():
        return _listed(program)
    G, h, E, e = program.inequalities()
    if not _feasible(program.n, G, h, E, e):
        return Truth("infeasible")
    if program.convex and _falls(program, G, E):
        return Truth("unbounded")
    found = list(_stationary_points(program, G, h, E, e))
    best = min(value for value, _ in found)
    optima = _apart([y for value, y in found if value <= best + TOLERANCE])
    return Truth(
        "optimal", best, optima, len(optima) == 1 and not (program.convex and _slides(program, optima[0], G, h, E))
    )


def _listed(program):
    k = int(np.argmax(program.integer))
    best = Truth("infeasible")
    for whole in range(math.ceil(program.lower[k] - 1e-9), math.floor(program.upper[k] + 1e-9) + 1):
        lower, upper, integer = program.lower.copy(), program.upper.copy(), program.integer.copy()
        lower[k] = upper[k] = whole
        integer[k] = False
        found = solve(replace(program, lower=lower, upper=upper, integer=integer))
        if found.status != "optimal":
            continue
        if best.status != "optimal" or found.value < best.value - TOLERANCE:
            best = found
        elif found.value <= best.value + TOLERANCE:
            best = Truth("optimal", best.value, best.optima + found.optima, False)
    return best


def _feasible(n, G, h, E, e):
    result = linprog(
        np.zeros(n),
        G if len(G) else None,
        h if len(G) else None,
        E if len(E) else None,
        e if len(E) else None,
        (None, None),
    )
    return result.status == 0


def _falls(program, G, E):
    """Whether a convex objective falls forever along some direction."""
    flat = np.vstack([E, program.H])
    result = linprog(
        program.c, G if len(G) else None, np.zeros(len(G)) if len(G) else None, flat, np.zeros(len(flat)), (-1, 1)
    )
    return result.fun < -1e-9


def _slides(program, y, G, h, E):
    """Whether a convex program has another optimum beside y: a direction that keeps ``H y``, ``c'y`` and feasibility."""
    flat = np.vstack([E, program.H, program.c[None, :]])
    room = h - G @ y
    for k in range(program.n):
        for sign in (1, -1):
            aim = -sign * np.eye(program.n)[k]
            result = linprog(
                aim, G if len(G) else None, np.maximum(room, 0) if len(G) else None, flat, np.zeros(len(flat)), (-1, 1)
            )
            if result.fun is not None and result.fun < -1e-6:
                return True
    return False


def _stationary_points(program, G, h, E, e):
    """The feasible ones of each face: the global optimum of a program that has one is among them, convex or not."""
    n = program.n
    for size in range(n + 1):
        for active in itertools.combinations(range(len(G)), size):
            rows = np.vstack([E, G[list(active)]])
            right = np.concatenate([e, h[list(active)]])
            k = len(rows)
            system = np.block([[program.H, rows.T], [rows, np.zeros((k, k))]])
            target = np.concatenate([-program.c, right])
            solution = np.linalg.lstsq(system, target, rcond=None)[0]
            y = solution[:n]
            if np.abs(system @ solution - target).max(initial=0.0) < 1e-8 and program.violation(y) < 1e-8:
                yield program.value(y), y


def _apart(points):
    kept: list = []
    for y in points:
        if all(np.abs(y - other).max() > 1e-5 for other in kept):
            kept.append(y)
    return kept


def follower(program: Quadratic):
    """The program as a Pyomo follower over x[0], x[1], written in the style its ``style`` asks for.

    maximise: the objective negated. flip: rows to multiply by -1. rows: bounds as constraints. constant: a constraint
    over x alone that holds. fixed: one more variable, fixed, in the objective and a row.
    """
    style = program.style
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(-10, 10))
    model.lower = block = LowerLevel()
    block.y = pyo.Var(range(program.n))
    y, x = block.y, model.x
    for k in range(program.n):
        if program.integer[k]:
            y[k].domain = pyo.Integers
        bounds = [b if math.isfinite(b) else None for b in (program.lower[k], program.upper[k])]
        if style.get("rows") and not program.integer[k] and bounds != [None, None]:
            block.add_component(f"bound{k}", pyo.Constraint(expr=(bounds[0], 1.0 * y[k], bounds[1])))
        else:
            y[k].setlb(bounds[0])
            y[k].setub(bounds[1])
    extra = 0.0
    if style.get("fixed"):
        block.z = pyo.Var(initialize=2.0)
        block.z.fix()
        extra = block.z - 2.0
    for i, (a, low, high) in enumerate(zip(program.A, program.low, program.high, strict=True)):
        sign = -1.0 if style.get("flip") else 1.0
        body = (
            sum(sign * a[k] * y[k] for k in range(program.n))
            - sum(sign * program.B[i, j] * x[j] for j in (0, 1))
            + extra
        )
        limits = (low, high) if sign > 0 else (-high, -low)
        limits = [b if math.isfinite(b) else None for b in limits]
        equal = limits[0] == limits[1]
        block.add_component(
            f"row{i}", pyo.Constraint(expr=body == limits[0] if equal else (limits[0], body, limits[1]))
        )
    if style.get("constant"):
        block.constant = pyo.Constraint(expr=x[0] + x[1] <= 100)
    n = range(program.n)
    f = sum((program.c[k] + sum(program.C[k, j] * x[j] for j in (0, 1))) * y[k] for k in n) + extra * y[0]
    f += 0.5 * sum((program.H[i, j] + program.H1[i, j] * x[0]) * y[i] * y[j] for i in n for j in n)
    sense = pyo.maximize if style.get("maximise") else pyo.minimize
    block.obj = pyo.Objective(expr=-f if style.get("maximise") else f, sense=sense)
    model.obj = pyo.Objective(expr=sum(y[k] for k in n) + x[0] + x[1])
    return model


def compiled(model):
    """The compiled program of the only follower."""
    return Compilation(Problem.read(model)).programs["lower"]
