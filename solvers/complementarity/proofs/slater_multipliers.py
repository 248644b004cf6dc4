"""Bounds on all multipliers from one point strictly inside the follower's constraints, for every x.

For slacks s concave in y and a point z with ``s(x, z) >= 0``, stationarity times ``z - y`` is, with equality where s is
affine,

    sum_i mu_i s_i(x, z) <= grad_y f(x, y)'(z - y),    so that    mu_i <= max grad_y f(x, y)'(z - y) / min s_i(x, z)

with the extremes over the high-point relaxation (the classical bound of Hiriart-Urruty and Lemarechal 1993, *Convex
Analysis and Minimization Algorithms I*, section VII.2.3, in its form at a stationary point). Equality rows must hold at
z for every x, and z is one point for all x: the deepest by the least slack, and those deepest for single rows, mixed
with it. Among curved rows it is the best of some points in the box of y.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import casadi as ca
import numpy as np
import scipy
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.convexity.curvature import curvatures
from bilevel.graphs.intervals import Graph, Interval
from bilevel.solvers.complementarity.proofs.compiled_conditions import CompiledConditions, Part

_MIX = 1e-2  # of the deepest point, so that all other slacks stay positive
_DEEP_ENOUGH = 1e-7
_FAR = 1e6  # z is looked for within this
_MOST_POINTS = 200
_TRIED = 64


def slater_multipliers(
    compiled: CompiledConditions, box: list[Interval], range_of: Callable[[ca.SX], Interval]
) -> dict[tuple[str, str], tuple[float, str]]:
    """Bounds, and their provenance, for the multipliers of the parts that have such a point.

    Parameters
    ----------
    compiled : CompiledConditions
        The conditions.
    box : list of tuple of float
        Ranges of the variables.
    range_of : callable
        Range of one function over the relaxation.
    """
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for part in compiled.parts:
        rows: _Rows | _CurvedRows | None = _Rows.of(compiled, part, range_of) or _CurvedRows.of(compiled, part, box)
        if rows is None:
            continue
        ceiling = _Ceiling(compiled, part, box)
        for z in rows.points():
            slope, slacks = ceiling(z), rows.slacks(z)
            for k, slack in zip(rows.inequalities, slacks, strict=True):
                if slack > _DEEP_ENOUGH and math.isfinite(slope):
                    value = max(slope, 0.0) / slack
                    key = compiled.sides[part.columns[k]]
                    found[key] = min(found.get(key, (math.inf, "")), (value, "Slater point"))
    return found


class _Rows:
    """``s_i(x, z) >= least_i + slope_i z`` for every x; equalities are without x."""

    def __init__(self, slope: Array, least: Array, equal: NDArray[np.bool_]) -> None:
        self._slope, self._least, self._equal = slope, least, equal
        self.inequalities = np.flatnonzero(~equal).tolist()

    @classmethod
    def of(cls, compiled: CompiledConditions, part: Part, range_of: Callable[[ca.SX], Interval]) -> _Rows | None:
        """None where a row is not of that kind."""
        y = compiled.y[part.rows]
        slope = ca.jacobian(compiled.slacks[part.columns], y)
        if not part.columns or ca.depends_on(slope, compiled.symbols):
            return None
        rest = ca.substitute(compiled.slacks[part.columns], compiled.y, ca.SX.zeros(compiled.y.shape))
        ends = np.array([range_of(rest[k]) for k in range(len(part.columns))])
        equal = np.array([compiled.sides[k][1] == "equality" for k in part.columns])
        if not np.isfinite(ends[:, 0]).all() or (ends[equal, 1] > ends[equal, 0]).any():
            return None
        numbers = ca.Function("slope", [], [ca.densify(slope)])()["o0"]
        return cls(np.array(numbers, dtype=float), ends[:, 0], equal)

    def slacks(self, z: Array) -> Array:
        """The inequalities' least slacks at z."""
        least: Array = (self._least + self._slope @ z)[~self._equal]
        return least

    def points(self) -> Iterator[Array]:
        """The deepest point and, mixed with it, those deepest for single rows."""
        inside = self._deepest(np.ones(len(self.inequalities)))
        if inside is None or self.slacks(inside).min(initial=math.inf) <= _DEEP_ENOUGH:
            return
        yield inside
        for weights in np.eye(len(self.inequalities))[:_MOST_POINTS]:
            z = self._deepest(weights)
            if z is not None:
                mixed = _MIX * inside + (1 - _MIX) * z
                if self.slacks(mixed).min() > 0:
                    yield mixed

    def _deepest(self, weights: Array) -> Array | None:
        """Maximise t with ``s_i >= weights_i t``."""
        n, free, equal = self._slope.shape[1], ~self._equal, self._equal
        result = scipy.optimize.linprog(
            np.append(np.zeros(n), -1.0),
            A_ub=np.column_stack([-self._slope[free], weights]),
            b_ub=self._least[free],
            A_eq=np.column_stack([self._slope[equal], np.zeros(equal.sum())]) if equal.any() else None,
            b_eq=-self._least[equal] if equal.any() else None,
            bounds=[(-_FAR, _FAR)] * n + [(None, _FAR)],
        )
        if result.status != 0:
            return None
        z = np.array(result.x[:n])
        if equal.any():  # to the last digit: what is left would count times a multiplier that nothing bounds
            z -= np.linalg.pinv(self._slope[equal]) @ (self._least[equal] + self._slope[equal] @ z)
        return z


class _CurvedRows:
    """Inequalities whose slacks are concave in y, by composition."""

    def __init__(self, compiled: CompiledConditions, part: Part, box: list[Interval]) -> None:
        y, places = compiled.y[part.rows], [compiled.places[id(compiled.answers[k])] for k in part.rows]
        others = sorted(set(range(len(box))) - set(places))
        self._graph = Graph(compiled.symbols[others], y, compiled.slacks[part.columns])
        self._others, self._own = [box[k] for k in others], [box[k] for k in places]
        self.inequalities = list(range(len(part.columns)))

    @classmethod
    def of(cls, compiled: CompiledConditions, part: Part, box: list[Interval]) -> _CurvedRows | None:
        """None where a row is an equality or not known to be concave, or y has no box to look in."""
        if not part.columns or any(compiled.sides[k][1] == "equality" for k in part.columns):
            return None
        rows = cls(compiled, part, box)
        shapes = curvatures(rows._graph, rows._graph.enclose(rows._others, rows._own))
        bounded = np.isfinite(rows._own).all()
        return rows if bounded and all(shape.concave for shape in shapes) else None

    def slacks(self, z: Array) -> Array:
        """The least slacks at z."""
        ranges = self._graph.enclose(self._others, [(value, value) for value in z.tolist()])
        return np.array([ranges[node][0] for node in self._graph.outputs], dtype=float)

    def points(self) -> Iterator[Array]:
        """The deepest of some points that fill the box evenly."""
        low, high = np.array(self._own, dtype=float).T
        inside = scipy.stats.qmc.Halton(len(low), scramble=False).random(_TRIED + 1)[1:]
        tried = [(low + high) / 2, *(low + inside * (high - low))]
        best = max(tried, key=lambda z: float(self.slacks(z).min()))
        if self.slacks(best).min() > _DEEP_ENOUGH:
            yield best


class _Ceiling:
    """``max grad_y f(x, y)'(z - y)`` over the box, by interval arithmetic."""

    def __init__(self, compiled: CompiledConditions, part: Part, box: list[Interval]) -> None:
        z = ca.SX.sym("z", len(part.rows))
        slope = ca.dot(compiled.gradient[part.rows], z - compiled.y[part.rows])
        self._graph, self._box = Graph(z, compiled.symbols, slope), box

    def __call__(self, z: Array) -> float:
        ranges = self._graph.enclose([(value, value) for value in z.tolist()], self._box)
        return ranges[self._graph.outputs[0]][1]
