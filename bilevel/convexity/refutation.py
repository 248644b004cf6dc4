"""The search for a witness: a feasible point, and a direction in which a function bends the wrong way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import casadi as ca
import numpy as np
from scipy.linalg import null_space

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.convexity.claimed_hessian import ClaimedHessian
from bilevel.convexity.claims import Claim, Convexity
from bilevel.convexity.curvature import curvatures
from bilevel.convexity.qualification import middle_of, repaired, sizes_of
from bilevel.convexity.subject import Subject
from bilevel.expressions.terms import terms_of, text_of
from bilevel.graphs.compiled import Compiled
from bilevel.graphs.intervals import WORK, Graph, Interval
from bilevel.language.domains import members
from bilevel.linear_algebra.definiteness import definite, scales
from bilevel.reading.pieces import is_category

_CLEAR = 1e-7
"""A scaled eigenvalue below minus this is worth a look along its direction."""
_SAMPLES = 100
_MOST_SAMPLED = 300
_FAR = (1.0, 30.0, 1e3)
"""Where an infinite side of a box is cut for sampling, in turn."""


class _Curve:
    """One function along lines in y: where it lies above a chord's middle, it is not convex."""

    def __init__(self, subject: Subject, claim: Claim) -> None:
        program = subject.program
        inputs = [program.parameters, program.variables]
        hessian = ClaimedHessian(subject, claim.function, claim.shape)
        equal = [k for k in np.flatnonzero(program.equality).tolist() if subject.shapes[k + 1].affine]
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
        scale = scales(reduced)
        values, vectors = np.linalg.eigh(reduced / np.outer(scale, scale))
        steepest = basis @ (vectors[:, 0] / scale)
        if self.everywhere and definite(hessian) == -1:
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


class Sampling:
    """The search for a point of negative curvature, where claims are open."""

    def __init__(self, subject: Subject, claims: list[Claim]) -> None:
        self._of = subject
        self._claims = claims
        self._program = subject.program
        self._random = np.random.default_rng(0)
        self._point = Compiled([subject.x, subject.y], [self._program.rows, self._program.jacobian])
        self._upper = [self._drawer(*each) for each in zip(subject.problem.variables, subject.x_box, strict=True)]

    def result(self) -> Convexity:
        """Refuted with a witness, or unknown."""
        outside: tuple[Claim, Array, Array, Array, bool] | None = None
        small = self._program.n <= _MOST_SAMPLED and self._program.m * self._program.n <= WORK
        curves = [(claim, _Curve(self._of, claim)) for claim in self._claims] if small else []
        for k in range(_SAMPLES if self._program.n <= 50 else 10):
            x = np.array([draw(k) for draw in self._upper])
            y = np.array([_drawn(side, k, self._random) for side in self._of.y_box])
            y = repaired(self._point, self._program, x, y, 1e-3 * sizes_of(self._program))
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

    def _refuted(self, claim: Claim, x: Array, y: Array, direction: Array, where: str) -> Convexity:
        witness = self._names(x, y)
        term = self._suspect(claim, x, y, direction)
        reason = f"{claim.component.name} is not {claim.wanted}: the term {term} bends the wrong way {where}"
        return Convexity("refuted", f"{reason} {_written(witness)}", False, witness)

    def _unknown(self, outside: tuple[Claim, Array, Array, Array, bool] | None) -> Convexity:
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
            values = [float(v) for v in members(var.domain) if side[0] <= float(v) <= side[1]] or [middle_of(side)]
            return lambda k: values[int(self._random.integers(len(values)))]
        if var.is_continuous():
            return lambda k: _drawn(side, k, self._random)
        ends = np.ceil(side[0]), np.floor(side[1])
        return lambda k: float(np.clip(np.round(_drawn(side, k, self._random)), *ends))

    def _names(self, x: Array, y: Array) -> dict[str, float]:
        used = self._of.follower.mentioned
        upper = {var.name: float(v) for var, v in zip(self._of.problem.variables, x, strict=True) if id(var) in used}
        own = len(self._program.names) - len(self._program.tops)  # auxiliary variables stand behind them
        return upper | {name: float(v) for name, v in zip(self._program.names[:own], y[:own], strict=True)}

    def _suspect(self, claim: Claim, *at: Array) -> str:
        """The term that bends the most the wrong way along a direction at a point, or the first that is not proved."""
        found = list(itertools.islice(terms_of(claim.expression, claim.sign), 500))
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
        return f"{'-' if sign != claim.sign else ''}{text_of(term)}"


def _drawn(side: Interval, k: int, random: np.random.Generator) -> float:
    """The middle of an interval the first time, later anything in it; infinite sides are cut, at several scales."""
    if k == 0:
        return middle_of(side)
    far = _FAR[k % len(_FAR)]
    low, high = side
    low, high = (
        (low if math.isfinite(low) else min(-far, high - far)),
        (high if math.isfinite(high) else max(far, low + far)),
    )
    return low + (high - low) * random.random()


def _written(point: dict[str, float]) -> str:
    """A point in a sentence."""
    values = [f"{name} = {value:.6g}" for name, value in point.items()]
    return ", ".join(values[:6]) + (", ..." if len(values) > 6 else "")
