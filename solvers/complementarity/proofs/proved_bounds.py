"""Bounds on slacks and multipliers that are proved, each with the name of its proof; there are no others.

A big-M that is too small cuts off bilevel-feasible points and the answer is wrong though "optimal"; whether an M is
large enough is in general as hard to tell as the problem itself (Kleinert, Labbe, Plein and Schmidt 2020, doi
10.1287/opre.2019.1944). What can be told cheaply:

- slacks: their range over the high-point relaxation by interval arithmetic and, where linear, by a linear program;
- multipliers: a linear program over the linear rows, stationarity included; a Slater point
  (:mod:`~bilevel.solvers.complementarity.slater_multipliers`); the basic multipliers
  (:mod:`~bilevel.solvers.complementarity.basic_multipliers`), which are enough because any will do.

Bounds are widened by more than the tolerance they were computed with. Nonlinear rows add nothing to the relaxation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import casadi as ca
import numpy as np
import pyomo.environ as pyo

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Engine, Solver
from bilevel.expressions.translation import mentioned
from bilevel.graphs.intervals import Graph, Interval
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program
from bilevel.solvers.complementarity.proofs.basic_multipliers import basic_multipliers
from bilevel.solvers.complementarity.proofs.compiled_conditions import CompiledConditions
from bilevel.solvers.complementarity.proofs.slater_multipliers import slater_multipliers

LARGEST = 1e6
"""A binary within an engine's integrality tolerance of 1e-9 lets this times that through: 1e-3, and no more."""

LEAST = 1e-3
"""What is proved to be smaller, and not nothing, is allowed as much: a coefficient of the size of an engine's tolerance
is ignored by one, and led HiGHS 1.16 to call another point the optimum."""

_MARGIN = 1e-6
_SECONDS = 10.0  # for all linear programs; what is not found by then is not proved

Proof = dict[tuple[str, str], tuple[float, str]]


@dataclass(frozen=True)
class Bound:
    """An upper bound on something that is not negative.

    Attributes
    ----------
    value : float
        Infinite where nothing is proved.
    provenance : str
        What proves it.
    """

    value: float
    provenance: str

    def __str__(self) -> str:
        return f"{self.value:.6g} ({self.provenance})" if math.isfinite(self.value) else self.provenance


@dataclass(frozen=True)
class PairBounds:
    """The two bounds of one pair."""

    slack: Bound
    multiplier: Bound

    @property
    def usable(self) -> bool:
        """Whether both are proved, and small enough to mean anything next to an engine's integrality tolerance."""
        return max(self.slack.value, self.multiplier.value) <= LARGEST


class Relaxation:
    """The linear rows of a single-level model, over the box of its variables: the high-point relaxation and more."""

    def __init__(self, compiled: CompiledConditions) -> None:
        self._v = compiled.symbols
        rows, row_lower, row_upper = compiled.rows()
        curved = ca.which_depends(rows, self._v, 2, True) if rows.numel() else []
        kept = [k for k, nonlinear in enumerate(curved) if not nonlinear]
        lower, upper = compiled.box()
        cost = ca.SX.sym("cost", len(compiled.variables))
        self._program = Program(
            name="the high-point relaxation",
            parameters=cost,
            variables=self._v,
            objective=ca.dot(cost, self._v),
            rows=rows[kept] if kept else ca.SX(0, 1),
            row_lower=row_lower[kept],
            row_upper=row_upper[kept],
            lower=lower,
            upper=upper,
            integer=np.zeros(len(compiled.variables), dtype=bool),
        )
        self._solver: Solver = registry.get(Engine, "highs")().prepare(self._program)
        self._stop = time.monotonic() + _SECONDS
        self.lower, self.upper = lower.copy(), upper.copy()
        self._bound_the_unbounded()

    def _bound_the_unbounded(self) -> None:
        for k in np.flatnonzero(~np.isfinite(self.lower)):
            self.lower[k] = self._extreme(np.eye(len(self.lower))[k], 1.0)
        for k in np.flatnonzero(~np.isfinite(self.upper)):
            self.upper[k] = self._extreme(np.eye(len(self.upper))[k], -1.0)

    def _extreme(self, direction: Array, sign: float) -> float:
        """The least (sign 1) or largest (sign -1) value of a linear function, a little beyond; infinite if unknown."""
        left = self._stop - time.monotonic()
        answer = self._solver(sign * direction, None, left) if left > 0 else Answer(Status.FAILED)
        if answer.status is not Status.OPTIMAL:
            return -sign * math.inf
        return sign * (answer.objective - _MARGIN * tolerances.scale(answer.objective))

    def box(self) -> list[Interval]:
        """The variables' ranges: declared, and by linear programs where an end was missing."""
        return list(zip(self.lower.tolist(), self.upper.tolist(), strict=True))

    def enclosures(self, functions: ca.SX) -> list[Interval]:
        """Ranges by interval arithmetic."""
        graph = Graph(ca.SX(0, 1), self._v, functions)
        ranges = graph.enclose([], self.box())
        return [ranges[node] for node in graph.outputs]

    def range(self, function: ca.SX) -> Interval:
        """A function's range: by interval arithmetic, and by two linear programs where it is linear."""
        low, high = self.enclosures(function)[0]
        if low < high and not ca.which_depends(function, self._v, 2, True)[0]:
            slope, offset = self._linear(function)
            low = max(low, self._extreme(slope, 1.0) + offset)
            high = min(high, self._extreme(slope, -1.0) + offset)
        return low, high

    def _linear(self, function: ca.SX) -> tuple[Array, float]:
        numbers = ca.Function("linear", [self._v], [ca.densify(ca.jacobian(function, self._v)), function])
        slope, offset = numbers(np.zeros(self._v.numel()))
        return np.array(slope, dtype=float).reshape(-1), float(offset)


def bounds_of_pairs(model: Any) -> dict[tuple[str, str], PairBounds]:
    """A bound for slack and multiplier of every pair on ``model.bilevel_kkt``, infinite where none is proved."""
    with np.errstate(all="ignore"):  # infinite ends meet
        compiled = CompiledConditions(model)
        relaxation = Relaxation(compiled)
        proofs = [slater_multipliers(compiled, relaxation.box(), relaxation.range)]
        if not _used_above(model):
            proofs.append(basic_multipliers(compiled, relaxation.enclosures))
        return {
            (pair.source, pair.side): PairBounds(
                _visible(_slack_bound(compiled, relaxation, pair)),
                _visible(_multiplier_bound(compiled, relaxation, pair, proofs)),
            )
            for pair in model.bilevel_kkt.pairs
        }


def _visible(bound: Bound) -> Bound:
    return replace(bound, value=LEAST) if 0.0 < bound.value < LEAST else bound


def _slack_bound(compiled: CompiledConditions, relaxation: Relaxation, pair: Any) -> Bound:
    function = compiled.column([pair.slack])
    rough = relaxation.enclosures(function)[0][1]
    best = relaxation.range(function)[1]
    if math.isinf(best):
        return Bound(math.inf, "no bound over the high-point relaxation")
    rough_is_best = best >= rough - _MARGIN * tolerances.scale(rough)
    return Bound(
        max(rough if rough_is_best else best, 0.0), "interval arithmetic" if rough_is_best else "linear program"
    )


def _multiplier_bound(
    compiled: CompiledConditions, relaxation: Relaxation, pair: Any, proofs: Iterable[Proof]
) -> Bound:
    key = (pair.source, pair.side)
    found = [Bound(_widened(proof[key][0]), proof[key][1]) for proof in proofs if key in proof]
    declared = pair.multiplier.ub
    if declared is not None:
        found.append(Bound(float(declared), "declared"))
    value = relaxation.range(compiled.column([pair.multiplier]))[1]
    if math.isfinite(value):
        found.append(Bound(max(value, 0.0), "linear program over stationarity"))
    return min(found, key=lambda bound: bound.value, default=Bound(math.inf, "no bound is proved"))


def _widened(value: float) -> float:
    return value + _MARGIN * tolerances.scale(value)


def _used_above(model: Any) -> bool:
    """Whether a multiplier counts in F or G: then not any multiplier will do, and basic ones prove nothing.

    What ``dual_of`` gave the leader is tied to multipliers by rows of their own block, which are no conditions.
    """
    block = model.bilevel_kkt
    multipliers = {id(var) for var in block.multiplier.values()}
    own = {id(row) for row in block.component_data_objects(pyo.Constraint, active=True, descend_into=True)}
    own -= {id(row) for row in block.dual.values()}
    components = model.component_data_objects((pyo.Objective, pyo.Constraint), active=True, descend_into=True)
    above = mentioned([c.expr for c in components if id(c) not in own])
    return not multipliers.isdisjoint(above)
