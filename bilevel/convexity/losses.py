"""Whether losses over rows are convex in their coefficients: each in its row's prediction, no row weighed negatively.

``X' diag(r l'') X`` is semidefinite where ``r >= 0`` and ``l'' >= 0``. The losses that have names are convex; of a
user's formula the rules of composition have to say so (:mod:`bilevel.convexity.curvature`), or the range of its second
derivative over all predictions and the targets that occur.
"""

from __future__ import annotations

import casadi as ca

from bilevel.arrays import Array
from bilevel.convexity.curvature import curvatures
from bilevel.graphs.intervals import ENTIRE, Box, Graph
from bilevel.programs.program import Program


def not_convex(program: Program, x_box: Box) -> str | None:
    """Why a program's losses are not known to be convex for every x in a box, or None."""
    for term, weights in zip(program.losses, program.loss_weights, strict=True):
        loss = term.rows.loss
        known = loss.derivatives is not None and loss.convex
        if not known and not _proved_convex(term.row, term.rows.target, term.kinked):
            return f"nothing proves {term.name} convex in the prediction"
        graph = Graph(program.parameters, ca.SX(0, 1), ca.densify(weights))
        ranges = graph.enclose(x_box, [])
        if any(not ranges[node][0] >= 0.0 for node in graph.outputs):
            return f"what multiplies {term.name} in {program.name} may be negative"
    return None


def _proved_convex(row: ca.Function, targets: Array, kinked: bool) -> bool:
    """Whether a row's loss is convex in its prediction, for all targets in the range of those that occur."""
    z, t = ca.SX.sym("z"), ca.SX.sym("t")
    value, _, bend = row(z, t)
    graph = Graph(t, z, ca.vertcat(value, bend))
    ranges = graph.enclose([(float(targets.min()), float(targets.max()))], [ENTIRE])
    shape = curvatures(graph, ranges)[0]
    if shape.partial:
        return False
    return shape.convex or (not kinked and ranges[graph.outputs[1]][0] >= 0.0)
