"""Optimality by strong duality: f is at most the dual objective, one row instead of many pairs.

For linear and convex quadratic lower levels (Fortuny-Amat and McCarl 1981 have the pairs; the row is in Zare, Borrero,
Zeng and Prokopyev 2019, doi 10.1007/s10479-017-2704-5, where it beats them when followers are large and the leader's
linking variables few and discrete). The algebra stands in :mod:`bilevel.solvers.complementarity.proofs.duality_rows`.
"""

from __future__ import annotations

from typing import Any

import casadi as ca
import pyomo.environ as pyo

from bilevel import tolerances
from bilevel.contracts.treatment import Treatment
from bilevel.graphs.intervals import Graph
from bilevel.registry import register
from bilevel.solvers.complementarity.proofs.compiled_conditions import CompiledConditions, Part
from bilevel.solvers.complementarity.proofs.duality_rows import gap, why_no_duality
from bilevel.solvers.complementarity.proofs.proof_of_pairs import bound_multipliers


@register("strong_duality")
class StrongDuality(Treatment):
    """f at most the dual objective: one row for all pairs of a follower, bilinear in x and mu (SCIP).

    Source:      pairs ``0 <= s(x, y)``, ``0 <= mu``, ``s mu = 0`` with s affine in y
    Target:      one row ``gap(x, y, mu) <= 1e-7 max |grad_y f|`` for each part of the followers that shares no
                 multiplier; pairs of lifted maxima, which are no constraint of a follower, as products; bounds on the
                 multipliers where they are proved
    Exact when:  always: on stationary points the gap is the sum of the pairs' products. It is never negative there, so
                 that the row with zero on its right has no interior and numerical trouble calls it infeasible; what is
                 allowed lets y move by an engine's row tolerance and can only weaken a bound
    Refuses:     constraints that are not affine in the follower's variables, which leave products of y and mu

    Take it when a follower has many pairs and few products of x with its rows: one row stands for all of them;
    ``sos1_cut`` has the same row beside sets that are exact.
    """

    exact = True

    def refusal(self, model: Any) -> str | None:
        return why_no_duality(CompiledConditions(model))

    def apply(self, model: Any) -> None:
        compiled = CompiledConditions(model)
        bounds = bound_multipliers(model)
        model.complementarity = block = pyo.Block()
        block.bounds = bounds
        block.gap = pyo.Constraint(pyo.Any)
        block.product = pyo.Constraint(pyo.Any)
        for part in compiled.parts:
            if any(compiled.sides[k][1] != "equality" for k in part.columns):
                row = gap(compiled, part) / _steepness(compiled, part)
                block.gap.add(compiled.answers[part.rows[0]].name, row <= tolerances.GLOBAL_FEASIBILITY)
        own = {id(var) for var in compiled.multipliers}
        for pair in model.bilevel_kkt.pairs:
            if id(pair.multiplier) not in own:
                block.product.add((pair.source, pair.side), pair.slack * pair.multiplier <= 0)


def _steepness(compiled: CompiledConditions, part: Part) -> float:
    """The largest slope of f in the box of the variables, where it has one: what a step in y is worth in f."""
    lower, upper = compiled.box()
    box = list(zip(lower.tolist(), upper.tolist(), strict=True))
    graph = Graph(ca.SX(0, 1), compiled.symbols, compiled.gradient[part.rows])
    ranges = graph.enclose([], box)
    ends = [abs(end) for node in graph.outputs for end in ranges[node]]
    return tolerances.scale(*ends)
