"""Whether a follower's problem is convex in y for every x, and whether its KKT conditions are necessary.

Convex: for every x in its box the objective (minimised) and the rows ``g <= u`` are convex in y on the box of y, rows
``g >= l`` concave, equalities affine. Then the KKT conditions are sufficient, and necessary where a constraint
qualification holds: all rows affine, or a point strictly inside those that are not (Slater; Boyd and Vandenberghe 2004,
5.2.3).

Cheapest first: composition (:mod:`bilevel.curvature`); a constant Hessian's eigenvalues, on the null space of the
affine equalities; a Hessian affine in x at the vertices of its box, which is enough because the smallest eigenvalue is
concave; the Hessian's range over boxes of (x, y), split as needed, with the bound ``l(A) >= l(center) - rho(radius)``
(Rohn 1994; Hladik, Daney and Tsigaridas 2010). What these leave open is tried at sampled points. A proof holds up to
rounding, a refutation shows a point, and where there is neither the answer is "unknown".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import casadi as ca
import numpy as np
from pyomo.core.expr import numeric_expr as ne
from scipy.linalg import null_space

from bilevel import tolerances
from bilevel.compiled import Array, Compiled
from bilevel.compiling import Compilation, is_category
from bilevel.curvature import Curvature, curvatures
from bilevel.intervals import ENTIRE, Box, Graph, Interval, covered
from bilevel.problem import Follower, Problem
from bilevel.program import Program

_ROUNDING = 1e-10
"""An eigenvalue above minus this counts as zero, in a matrix scaled to a unit diagonal.

A Gram matrix of m rows is off by m units in the last place of ``sqrt(h_ii h_jj)`` per entry, 1e-11 for 1e5 rows.
Scaled, not relative to the largest entry: ``1e12 u^2 - v^2`` is not convex. Scaling is a congruence, it keeps signs.
"""
_NOISE = 1e-14
"""Entries below this, relative to the largest, may be zeros that cancellation left behind: nothing is said of them."""
_CLEAR = 1e-7
"""A scaled eigenvalue below minus this is worth a look along its direction."""
_MOST_OPEN = 3
"""Claims looked at once so many are open: the verdict needs no more."""
_MOST_VARIABLES = 1000
_MOST_VERTICES = 12
_WORK = 200_000
"""Nodes visited in one search over boxes: a few tenths of a second."""
_SAMPLES = 100
_MOST_SAMPLED = 300
_FAR = (1.0, 30.0, 1e3)
"""Where an infinite side of a box is cut for sampling, in turn."""


@dataclass(frozen=True)
class Convexity:
    """What is known of one follower.

    Attributes
    ----------
    verdict : {"proved", "refuted", "unknown"}
        Of its convexity in y for every x in its box.
    reason : str
        How it was proved, or the component, term and point to blame.
    qualified : bool
        Whether a constraint qualification holds for every x for which the follower is feasible. If not, reason says so.
    witness : dict or None
        Values by name at a point of negative curvature.
    smooth : bool
        Whether the functions are differentiable in y throughout; a maximum or an absolute value is not.
    """

    verdict: Literal["proved", "refuted", "unknown"]
    reason: str
    qualified: bool
    witness: dict[str, float] | None = None
    smooth: bool = True


def convexity_of(problem: Problem, compilation: Compilation) -> dict[str, Convexity]:
    """Examine every follower.

    Parameters
    ----------
    problem : Problem
        As read.
    compilation : Compilation
        Its compiled form.

    Returns
    -------
    dict of Convexity
        By the follower's name.
    """
    with np.errstate(all="ignore"):  # infinite ends meet, and samples leave domains
        return {follower.name: _examined(problem, compilation, follower) for follower in problem.followers}


def _examined(problem: Problem, compilation: Compilation, follower: Follower) -> Convexity:
    if follower.objective is None:
        reason = f"{follower.name} is answered by a response function, of which nothing is known"
        return Convexity("unknown", reason, False)
    return _Examination(problem, compilation, follower).result()


@dataclass(frozen=True)
class _Claim:
    """A function that has to be convex.

    Attributes
    ----------
    component : ComponentData
        The objective or constraint.
    expression : Pyomo expression
        What it holds.
    sign : int
        +1 where the function is what the component holds, -1 where it is its negative.
    function : SX
        The function.
    wanted : str
        What the component has to be: convex, concave or affine.
    shape : Curvature
        What composition says of the function.
    """

    component: Any
    expression: Any
    sign: int
    function: ca.SX
    wanted: str
    shape: Curvature


class _Examination:
    """One follower under examination."""

    def __init__(self, problem: Problem, compilation: Compilation, follower: Follower) -> None:
        self.problem = problem
        self.compilation = compilation
        self.follower = follower
        self.objective: Any = follower.objective
        self.program = compilation.programs[follower.name]
        self.x, self.y = self.program.parameters, self.program.variables
        self.x_box = [ENTIRE if is_category(var) else compilation.ranges[var.name] for var in problem.variables]
        self.y_box: Box = [compilation.ranges[name] for name in self.program.names]
        graph = Graph(self.x, self.y, ca.vertcat(self.program.objective, self.program.rows))
        self.shapes = curvatures(graph, graph.enclose(self.x_box, self.y_box))

    def result(self) -> Convexity:
        """The verdict."""
        program = self.program
        if program.integer.any():
            which = program.names[int(np.argmax(program.integer))]
            return Convexity("refuted", f"{which} is integer, and a convex program has no integer variables", False)
        means: dict[str, None] = {}
        left = []
        for claim in self._claims():
            composed = claim.shape.convex
            proof = "by composition" if composed else self._by_hessian(claim)
            if proof is None:
                left.append(claim)
                if len(left) == _MOST_OPEN:
                    break
            else:
                means[proof if composed else f"{claim.component.name} {proof}"] = None
        if left:
            return _Sampling(self, left).result()
        qualified, why = self._qualification()
        smooth = not any(shape.kink or shape.steep for shape in self.shapes)
        return Convexity("proved", f"{program.name} is convex: {', '.join(means)}; {why}", qualified, None, smooth)

    def _claims(self) -> list[_Claim]:
        """A two-sided row gives two claims, an idle side none.

        A side that holds throughout the box of y may still be touched, but there its gradient lies in the box's normal
        cone, and the KKT conditions with it ask for no more than those without.
        """
        program, objective = self.program, self.objective
        shape, sense = self.shapes[0], self.follower.sense
        wanted = "convex" if sense > 0 else "concave"
        claims = [_Claim(objective, objective.expr, sense, program.objective, wanted, shape)]
        for k, (row, shape) in enumerate(zip(self.follower.constraints, self.shapes[1:], strict=True)):
            low, high = program.row_lower[k], program.row_upper[k]
            if shape.affine:
                continue
            # A side that is never idle: an equality's, or that of a function whose domain might not be convex.
            never = low == high or (shape.partial and not (shape.convex or shape.concave))
            if shape.range[1] > high or (never and high < math.inf):
                wanted = "affine" if low == high else "convex"
                claims.append(_Claim(row, row.body, 1, program.rows[k], wanted, shape))
            if shape.range[0] < low or (never and low > -math.inf):
                wanted = "affine" if low == high else "concave"
                claims.append(_Claim(row, row.body, -1, -program.rows[k], wanted, -shape))
        return claims

    def _by_hessian(self, claim: _Claim) -> str | None:
        """How the Hessian proves a claim: that of what composition left open, else that of the whole."""
        part = None if claim.shape.quadratic else self._open_part(claim.function)
        proof = None if part is None else _Hessian(self, part).proof()
        return _Hessian(self, claim.function, claim.shape).proof() if proof is None else proof

    def _open_part(self, function: ca.SX) -> ca.SX | None:
        """The sum of the terms that are quadratic or not known to be convex; None where that is all of them."""
        terms = ca.vertsplit(ca.cse(ca.vertcat(*_summands(function))))
        graph = Graph(self.x, self.y, ca.vertcat(*terms))
        shapes = curvatures(graph, graph.enclose(self.x_box, self.y_box))
        kept = [t for t, shape in zip(terms, shapes, strict=True) if shape.quadratic or not shape.convex]
        if len(kept) == len(terms):
            return None
        return sum(kept[1:], kept[0]) if kept else ca.SX(0.0)

    @cached_property
    def equality_matrix(self) -> Array | None:
        """The rows of constant coefficients among the equalities, or None where there are none."""
        program = self.program
        matrix = program.jacobian[np.flatnonzero(program.equality).tolist(), :] if program.equality.any() else ca.SX()
        symbols = ca.vertcat(self.x, self.y)
        rows = [k for k in range(matrix.shape[0]) if not ca.depends_on(matrix[k, :], symbols)]
        return _number(matrix[rows, :]) if rows else None

    def _qualification(self) -> tuple[bool, str]:
        """Whether the KKT conditions are necessary, and why (not)."""
        if any(shape.steep for shape in self.shapes):
            return False, "but a root has no finite derivative where its argument is zero; bound that away from zero"
        program = self.program
        curved = [
            k
            for k, shape in enumerate(self.shapes[1:])
            if not (shape.affine or program.equality[k])
            and (shape.range[1] > program.row_upper[k] or shape.range[0] < program.row_lower[k])
        ]
        if not curved:
            return True, "its constraints are affine"
        if _Slater(self, curved).found():
            return True, "a Slater point exists for every x"
        return False, f"but no Slater point strictly inside {program.row_names[curved[0]]} is in sight for every x"


class _Hessian:
    """The Hessian in y of one function that has to be convex.

    Attributes
    ----------
    matrix : SX
        All of it, sparse.
    """

    def __init__(self, examination: _Examination, function: ca.SX, shape: Curvature | None = None) -> None:
        self._of = examination
        self._function = function
        self._shape = shape
        self._x, self._y = examination.x, examination.y
        program = examination.program
        own = function is program.objective
        self.matrix = program.hessian if own else ca.hessian(function, self._y)[0]
        row, column = self.matrix.sparsity().get_triplet()
        self._live = sorted({*row, *column})

    @cached_property
    def smooth(self) -> bool:
        """Whether the function is twice differentiable throughout; if not, its Hessian proves nothing."""
        if self._shape is not None and self._shape.quadratic and not (self._shape.kink or self._shape.partial):
            return True
        graph = Graph(self._x, self._y, self._function)
        return graph.smooth(graph.enclose(self._of.x_box, self._of.y_box))

    @property
    def size(self) -> int:
        """Number of variables it mentions."""
        return len(self._live)

    @property
    def constant(self) -> bool:
        """Whether it depends on nothing."""
        return not ca.depends_on(self.matrix, ca.vertcat(self._x, self._y))

    def proof(self) -> str | None:
        """How it is shown to be positive semidefinite, in words that follow the component's name."""
        if len(self._live) > _MOST_VARIABLES:
            return None
        if self._live and not self.constant:
            if not ca.depends_on(self.matrix, self._y) and self.smooth and self._at_vertices():
                return "by its Hessian, affine in x, at the vertices of the box"
            return "by the range of its Hessian" if self._over_boxes() else None
        if not self.smooth:
            return None
        if not self._live:
            return "by composition, term by term"
        matrix = _number(self.matrix)[np.ix_(self._live, self._live)]
        if _definite(matrix) == 1:
            return "by its constant Hessian"
        equalities = self._of.equality_matrix if self._of.program.n <= _MOST_VARIABLES else None
        if equalities is not None and _definite_on(_number(self.matrix), equalities):
            return "by its constant Hessian on the null space of the affine equalities"
        return None

    def _at_vertices(self) -> bool:
        """Where x has no bound, the matrix that multiplies it must be semidefinite by itself."""
        x, matrix = self._x, self.matrix[self._live, self._live]
        moving = [k for k, m in enumerate(ca.which_depends(ca.vec(matrix), x)) if m]
        slope = ca.jacobian(ca.densify(matrix), x[moving])
        cost = 2 ** len(moving) * self.size**3
        if len(moving) > _MOST_VERTICES or cost > 5e8 or ca.depends_on(slope, x):
            return False
        slopes = _number(slope)
        ends, base = [], np.zeros(x.numel())
        for k, column in zip(moving, slopes.T, strict=True):
            step = column.reshape(matrix.shape)
            low, high = self._of.x_box[k]
            if (high == math.inf and _definite(step) != 1) or (low == -math.inf and _definite(-step) != 1):
                return False
            ends.append([end for end in (low, high) if math.isfinite(end)] or [0.0])
        value = Compiled([x], [matrix])
        for vertex in itertools.product(*ends):
            base[moving] = vertex
            found = value(base)[0].reshape(matrix.shape)
            if not np.isfinite(found).all() or _definite(found) != 1:
                return False
        return True

    def _over_boxes(self) -> bool:
        """Branch on (x, y) until the range of the Hessian is semidefinite on every piece."""
        lower = ca.tril(self.matrix[self._live, self._live])
        entries = [(r, c) for r, c in zip(*lower.sparsity().get_triplet(), strict=True)]
        graph = Graph(self._x, self._y, ca.vertcat(self._function, ca.vertcat(*(lower[r, c] for r, c in entries))))
        searched = ca.vec(lower) if self.smooth else ca.vertcat(self._function, ca.vec(lower))
        used = ca.which_depends(searched, ca.vertcat(self._x, self._y))
        start = self._of.x_box + self._of.y_box
        count = len(self._of.x_box)

        def definite(box: Box) -> bool:
            ranges = graph.enclose(box[:count], box[count:])
            if not graph.smooth(ranges):
                return False
            ends = np.zeros((2, self.size, self.size))
            for (r, c), node in zip(entries, graph.outputs[1:], strict=True):
                ends[:, r, c] = ends[:, c, r] = ranges[node]
            return _interval_definite(ends[0], ends[1])

        def settled(box: Box) -> bool | None:
            if definite(box):
                return True
            return False if definite([(_middle(side), _middle(side)) for side in box]) else None

        return covered(start, used, settled, max(1, _WORK // (len(graph) + self.size**2)))


class _Slater:
    """The search for points strictly inside the curved rows, for every x for which the follower is feasible."""

    def __init__(self, examination: _Examination, curved: list[int]) -> None:
        self._of = examination
        self._curved = np.isin(np.arange(examination.program.m), curved)
        self._program = program = examination.program
        self._graph = Graph(examination.x, examination.y, program.rows)
        self._point = Compiled([program.parameters, program.variables], [program.rows, program.jacobian])
        self._moving = np.array([self._graph.depends[node] for node in self._graph.outputs])
        self._repair: Array = np.zeros((program.n, 0))  # from the equalities' residuals to a step of y that mends them

    def found(self) -> bool:
        """Whether a proof was found."""
        program = self._program
        equalities = int((program.equality & self._moving).sum())
        matrix = self._of.equality_matrix
        if equalities and (matrix is None or len(matrix) != equalities or np.linalg.matrix_rank(matrix) != equalities):
            return False
        if equalities and matrix is not None:
            self._repair = np.asarray(np.linalg.pinv(matrix), dtype=np.float64)
        parameters = program.parameters
        used = ca.which_depends(program.rows, parameters) if parameters.numel() else []
        return covered(self._of.x_box, used, self._settled, max(1, min(64, _WORK // len(self._graph))))

    def _settled(self, box: Box) -> bool | None:
        """Whether a piece of the x box has one Slater point or no feasible one; None if its middle has neither."""
        middle = [(_middle(side), _middle(side)) for side in box]
        if self._empty(box) or any(self._strict(box, y) for y in self._guesses(middle)):
            return True
        return False if self._empty(middle) or any(self._strict(middle, y) for y in self._guesses(middle)) else None

    def _empty(self, box: Box) -> bool:
        """Whether some row fails for all y and all x in a piece."""
        low, high = self._rows(box, self._of.y_box)
        margin = 1e-9 * _sizes(self._program)
        return bool((low > self._program.row_upper + margin).any() or (high < self._program.row_lower - margin).any())

    def _guesses(self, middle: Box) -> Iterator[Array]:
        """Points that may be inside; from several starts, because one may lie outside the domain of a row."""
        x, sizes = np.array([low for low, _ in middle]), _sizes(self._program)
        starts = [np.array([_middle(side, share) for side in self._of.y_box]) for share in (0.5, 0.75, 0.25)]
        yield starts[0]
        for start, depth in itertools.product(starts, (0.0, 1.0, 0.1, 1e-2, 1e-3)):
            yield _repaired(self._point, self._program, x, start, depth * sizes)

    def _rows(self, box: Box, y: Box) -> Array:
        ranges = self._graph.enclose(box, y)
        return np.array([ranges[node] for node in self._graph.outputs]).T

    def _strict(self, box: Box, y: Array) -> bool:
        """Whether y, moved with x along the equalities, is strictly inside the curved rows and inside the others."""
        program = self._program
        ends = np.array([y, y])
        if self._repair.shape[1]:
            low, high = self._rows(box, list(zip(y, y, strict=True)))[:, program.equality & self._moving]
            target = program.row_lower[program.equality & self._moving]
            center, radius = self._repair @ ((low + high) / 2 - target), np.abs(self._repair) @ ((high - low) / 2)
            ends = np.array([y - center - radius, y - center + radius])
        ranges = self._graph.enclose(box, list(zip(*ends, strict=True)))
        low, high = np.array([ranges[node] for node in self._graph.outputs]).T
        check = self._moving & ~program.equality
        over = np.where(np.isfinite(program.row_upper), program.row_upper - high, math.inf)
        under = np.where(np.isfinite(program.row_lower), low - program.row_lower, math.inf)
        slack = np.minimum(over, under)[check]
        needed = (np.where(self._curved, 1e-8, -1e-12) * _sizes(program))[check]
        inside = (ends[0] >= program.lower - 1e-12).all() and (ends[1] <= program.upper + 1e-12).all()
        return bool(inside and (slack >= needed).all() and self._graph.smooth(ranges, kinks=True))


class _Curve:
    """One function along lines in y: where it lies above a chord's middle, it is not convex."""

    def __init__(self, examination: _Examination, claim: _Claim) -> None:
        program = examination.program
        inputs = [program.parameters, program.variables]
        hessian = _Hessian(examination, claim.function, claim.shape)
        equal = [k for k in np.flatnonzero(program.equality).tolist() if examination.shapes[k + 1].affine]
        rows = program.jacobian[equal, :] if equal else ca.SX(0, program.n)
        self._value = Compiled(inputs, [claim.function])
        self._bend = Compiled(inputs, [hessian.matrix, rows])
        self._ends = program.lower, program.upper
        self.everywhere = hessian.constant and not equal and hessian.smooth

    def downward(self, x: Array, y: Array, random: np.random.Generator) -> Array | None:
        """A direction along the equalities in which the function bends downwards at y, or None."""
        hessian, rows = (array.reshape(-1, len(y)) for array in self._bend(x, y))
        if not (np.isfinite(hessian).all() and np.isfinite(rows).all()):
            return None
        basis = null_space(rows) if rows.size else np.eye(len(y))
        if not basis.shape[1]:
            return None
        reduced = basis.T @ hessian @ basis
        scale = _scale(reduced)
        values, vectors = np.linalg.eigh(reduced / np.outer(scale, scale))
        steepest = basis @ (vectors[:, 0] / scale)
        if self.everywhere and _definite(hessian) == -1:
            return steepest
        directions = [basis @ random.standard_normal(basis.shape[1])]
        if values[0] < -_CLEAR:
            directions.insert(0, steepest)
        return next((d for d in directions if self._below_middle(x, y, d / np.abs(d).max())), None)

    def _below_middle(self, x: Array, y: Array, direction: Array) -> bool:
        """Whether some chord around y passes below the function at y: a Hessian may be rounding, this is not."""
        moves = direction != 0
        room = np.minimum(self._ends[1] - y, y - self._ends[0])[moves] / np.abs(direction[moves])
        step = min(float(room.min()), _FAR[-1])
        middle = float(self._value(x, y)[0][0])
        for _ in range(8):
            one, other = (float(self._value(x, y + side * step * direction)[0][0]) for side in (1, -1))
            if one + other - 2 * middle < -1e-9 * (abs(one) + abs(other) + 2 * abs(middle)):
                return True
            step /= 8
        return False


class _Sampling:
    """The search for a point of negative curvature, where claims are open."""

    def __init__(self, examination: _Examination, claims: list[_Claim]) -> None:
        self._of = examination
        self._claims = claims
        self._program = examination.program
        self._random = np.random.default_rng(0)
        self._point = Compiled([examination.x, examination.y], [self._program.rows, self._program.jacobian])
        self._upper = [
            self._drawer(*each) for each in zip(examination.problem.variables, examination.x_box, strict=True)
        ]

    def result(self) -> Convexity:
        """Refuted with a witness, or unknown."""
        outside: tuple[_Claim, Array, Array, Array, bool] | None = None
        small = self._program.n <= _MOST_SAMPLED and self._program.m * self._program.n <= _WORK
        curves = [(claim, _Curve(self._of, claim)) for claim in self._claims] if small else []
        for k in range(_SAMPLES if self._program.n <= 50 else 10):
            x = np.array([draw(k) for draw in self._upper])
            y = np.array([_drawn(side, k, self._random) for side in self._of.y_box])
            y = _repaired(self._point, self._program, x, y, 1e-3 * _sizes(self._program))
            feasible = self._program.violation(x, y) <= tolerances.FEASIBILITY
            for claim, curve in curves:
                direction = curve.downward(x, y, self._random)
                if direction is not None and feasible:
                    return self._refuted(claim, x, y, direction, "at")
                if direction is not None and (outside is None or curve.everywhere):
                    outside = (claim, x, y, direction, curve.everywhere)
        if outside is not None and outside[-1]:
            return self._refuted(*outside[:-1], "everywhere (whether the rows hold cannot be told), as at")
        return self._unknown(outside)

    def _refuted(self, claim: _Claim, x: Array, y: Array, direction: Array, where: str) -> Convexity:
        witness = self._names(x, y)
        term = self._suspect(claim, x, y, direction)
        reason = f"{claim.component.name} is not {claim.wanted}: the term {term} bends the wrong way {where}"
        return Convexity("refuted", f"{reason} {_written(witness)}", False, witness)

    def _unknown(self, outside: tuple[_Claim, Array, Array, Array, bool] | None) -> Convexity:
        claim = self._claims[0]
        if outside is None:
            reason = f"the term {self._suspect(claim)} is neither proved {claim.wanted} nor found to bend the wrong way"
        else:
            claim, x, y, direction, _ = outside
            term, point = self._suspect(claim, x, y, direction), _written(self._names(x, y))
            reason = f"the term {term} bends the wrong way, but only at infeasible points such as {point}"
        return Convexity("unknown", f"{claim.component.name}: {reason}", False)

    def _drawer(self, var: Any, side: Interval) -> Callable[[int], float]:
        """What gives values of an upper variable from its domain."""
        if is_category(var):
            return lambda k: 0.0
        if var.domain.isfinite():
            values = [float(v) for v in var.domain if side[0] <= v <= side[1]] or [_middle(side)]
            return lambda k: values[int(self._random.integers(len(values)))]
        if var.is_continuous():
            return lambda k: _drawn(side, k, self._random)
        ends = np.ceil(side[0]), np.floor(side[1])
        return lambda k: float(np.clip(np.round(_drawn(side, k, self._random)), *ends))

    def _names(self, x: Array, y: Array) -> dict[str, float]:
        used = self._of.follower.mentioned
        upper = {var.name: float(v) for var, v in zip(self._of.problem.variables, x, strict=True) if id(var) in used}
        return upper | {name: float(v) for name, v in zip(self._program.names, y, strict=True)}

    def _suspect(self, claim: _Claim, *at: Array) -> str:
        """The term that bends the most the wrong way along a direction at a point, or the first that is not proved."""
        found = list(itertools.islice(_terms(claim.expression, claim.sign), 500))
        symbols = ca.vertcat(*(sign * self._of.compilation.symbol(term, claim.component.name) for term, sign in found))
        x, y = self._of.x, self._of.y
        if at:
            slope = ca.jtimes(symbols, y, ca.DM(at[2]))
            bend = ca.Function("bend", [x, y], [ca.jtimes(slope, y, ca.DM(at[2]))])(at[0], at[1]).full()
            worst = int(np.argmin(np.where(np.isfinite(bend), bend, 0.0)))
        else:
            graph = Graph(x, y, symbols)
            shapes = curvatures(graph, graph.enclose(self._of.x_box, self._of.y_box))
            worst = next((k for k, shape in enumerate(shapes) if not shape.convex), 0)
        term, sign = found[worst]
        return f"{'-' if sign != claim.sign else ''}{_text(term)}"


def _middle(side: Interval, share: float = 0.5) -> float:
    """The middle of an interval or another share of the way through; finite where the interval is not."""
    low, high = side
    if math.isfinite(high - low):
        return (1 - share) * low + share * high
    ahead = 4 * share - 1  # 1 at the middle
    return min(max(0.0, low) + ahead, high) if math.isfinite(low) else max(min(0.0, high) - ahead, low)


def _drawn(side: Interval, k: int, random: np.random.Generator) -> float:
    """The middle of an interval the first time, later anything in it; infinite sides are cut, at several scales."""
    if k == 0:
        return _middle(side)
    far = _FAR[k % len(_FAR)]
    low, high = side
    low, high = (
        (low if math.isfinite(low) else min(-far, high - far)),
        (high if math.isfinite(high) else max(far, low + far)),
    )
    return float(random.uniform(low, high))


def _sizes(program: Program) -> Array:
    """What the tolerances of a row are relative to."""
    ends = np.array([program.row_lower, program.row_upper])
    sizes: Array = np.maximum(1.0, np.abs(np.where(np.isfinite(ends), ends, 0.0)).max(axis=0, initial=0.0))
    return sizes


def _repaired(point: Compiled, program: Program, x: Array, y: Array, depth: Array) -> Array:
    """Gauss-Newton steps from y towards the rows, inside the inequalities by some depth. A guess: the caller checks."""
    depth = np.where(program.equality, 0.0, depth)
    inset = 1e-3 * np.minimum(1.0, program.upper - program.lower)  # off the bounds, where chords have room
    for _ in range(15 if program.m else 0):
        rows, jacobian = point(x, y)
        over, under = rows - program.row_upper + depth, program.row_lower - rows + depth
        excess = np.where(over > 0, over, np.where(under > 0, -under, 0.0))
        broken = np.abs(excess) > 1e-12
        if not (broken.any() and np.isfinite(excess).all() and np.isfinite(jacobian).all()):
            break
        step = np.linalg.lstsq(jacobian.reshape(program.m, program.n)[broken], excess[broken], rcond=None)[0]
        y = np.clip(y - step, program.lower + inset, program.upper - inset)
    return y


def _number(matrix: ca.SX) -> Array:
    """A matrix without symbols as numbers."""
    found: Array = ca.Function("number", [], [ca.densify(matrix)]).call([])[0].full()
    return found


def _scale(matrix: Array) -> Array:
    """Roots of the diagonal's magnitudes; of a row's largest entry where the diagonal is zero; 1 for a zero row."""
    diagonal, largest = np.abs(matrix.diagonal()), np.abs(matrix).max(axis=1, initial=0.0)
    scale: Array = np.sqrt(np.where(diagonal > 0, diagonal, np.where(largest > 0, largest, 1.0)))
    return scale


def _definite(matrix: Array) -> int:
    """+1 where a symmetric matrix is positive semidefinite up to rounding, -1 where it is not, 0 if none can tell."""
    diagonal, largest = matrix.diagonal(), np.abs(matrix).max(axis=1, initial=0.0)
    if not np.isfinite(matrix).all():
        return 0
    wrong = (largest > 0) & (diagonal <= 0)  # a zero on the diagonal wants a zero row
    if wrong.any():
        return -1 if (largest[wrong] > _NOISE * largest.max()).any() else 0
    scale = _scale(matrix)
    scaled = matrix / scale[:, None] / scale
    return 1 if not matrix.size or float(np.linalg.eigvalsh(scaled)[0]) >= -_ROUNDING else -1


def _definite_on(matrix: Array, rows: Array) -> bool:
    """Whether a symmetric matrix is positive semidefinite on the null space of some rows (the reduced Hessian)."""
    scale = _scale(matrix)
    # Near-dependent rows count as dependent (rcond): that makes the null space larger, never smaller.
    rows = rows / scale
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    basis = null_space(rows / np.where(norms > 0, norms, 1.0), rcond=1e-9)
    reduced = basis.T @ (matrix / scale[:, None] / scale) @ basis
    return not reduced.size or float(np.linalg.eigvalsh(reduced)[0]) >= -_ROUNDING


def _interval_definite(low: Array, high: Array) -> bool:
    """Whether every symmetric matrix between two is positive semidefinite.

    On the diagonal the lower end decides: more of it only helps. Beside it ``l(A) >= l(center) - rho(radius)``.
    """
    ends = np.stack([low, high])
    diagonal = low.diagonal().copy()
    index = np.arange(len(low))
    ends[:, index, index] = diagonal
    if not np.isfinite(ends).all() or (diagonal < 0).any():
        return False
    center, radius = ends.mean(axis=0), (ends[1] - ends[0]) / 2
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    center, radius = center / scale[:, None] / scale, radius / scale[:, None] / scale
    return float(np.linalg.eigvalsh(center)[0]) - float(np.linalg.eigvalsh(radius)[-1]) >= -_ROUNDING


def _summands(function: ca.SX) -> Iterator[ca.SX]:
    """The terms whose sum is a function, through sums, differences and constant factors."""
    stack = [(function, 1.0)]
    while stack:
        node, factor = stack.pop()
        op = node.op()
        if op in (ca.OP_ADD, ca.OP_SUB):
            stack += [(node.dep(1), factor if op == ca.OP_ADD else -factor), (node.dep(0), factor)]
        elif op in (ca.OP_NEG, ca.OP_TWICE):
            stack.append((node.dep(0), factor * (-1 if op == ca.OP_NEG else 2)))
        elif op == ca.OP_MUL and node.dep(0).is_constant():
            stack.append((node.dep(1), factor * float(node.dep(0))))
        elif op == ca.OP_DIV and node.dep(1).is_constant():
            stack.append((node.dep(0), factor / float(node.dep(1))))
        else:
            yield factor * node


def _terms(expression: Any, sign: int) -> Iterator[tuple[Any, int]]:
    """The terms of a Pyomo sum, with their signs."""
    stack = [(expression, sign)]
    while stack:
        node, sign = stack.pop()
        if isinstance(node, (ne.SumExpression, ne.LinearExpression)):
            stack += [(arg, sign) for arg in reversed(node.args)]
        elif isinstance(node, ne.NegationExpression):
            stack.append((node.args[0], -sign))
        elif hasattr(node, "is_named_expression_type") and node.is_named_expression_type():
            stack.append((node.expr, sign))
        else:
            yield node, sign


def _text(term: Any) -> str:
    """A term as written, where that is short."""
    stack, count, names = [term], 0, []
    while stack and count < 60:
        node = stack.pop()
        count += 1
        if hasattr(node, "is_expression_type") and node.is_expression_type():
            stack += node.args
        elif hasattr(node, "is_variable_type") and node.is_variable_type() and node.name not in names:
            names.append(node.name)
    text = str(term) if count < 60 else ""
    return text if 0 < len(text) <= 80 else f"in {', '.join(names[:4])}, ..."


def _written(point: dict[str, float]) -> str:
    """A point in a sentence."""
    values = [f"{name} = {value:.6g}" for name, value in point.items()]
    return ", ".join(values[:6]) + (", ..." if len(values) > 6 else "")
