"""How far a follower's answer can go: bounds on y(x) that hold for every x, where nobody declared any.

A global solver must relax products such as ``penalty * w``, and without bounds on w it cannot. Where f is strongly
convex in y they follow from optimality. Let ``H`` be definite and below every Hessian ``f_yy(x, y)``, and ``a`` a
point feasible for every x, ``g = f_y(x, a)``. Strong monotonicity of the gradient and the variational inequality at
the answer,

    d'H d <= (f_y(x, a + d) - f_y(x, a))'d  and  f_y(x, a + d)'d <= 0  for  d = y(x) - a,

give ``d'H d + g'd <= 0``: an ellipsoid around ``a - H^-1 g / 2`` (Kinderlehrer and Stampacchia 1980, *An Introduction
to Variational Inequalities*, ch. 1, for the inequality). Its extent along the axes is

    d_i  in  -(H^-1 g)_i / 2  +-  sqrt(g'H^-1 g (H^-1)_ii) / 2 .

For a follower that is linear in y, ``f = c(x)'y + k(x)``, optimality says ``c(x)'(y(x) - a) <= 0``. Let p_j be a finite
bound of y_j, so that ``y_j - p_j`` has one sign, and ``m_j`` the least ``c_j(x) (y_j - p_j)`` can be. Then

    c_j(x) (y_j - p_j)  <=  max_x c(x)'(a - p) - sum_{i != j} m_i ,

which bounds y_j wherever c_j(x) keeps off zero on the side that pulls y_j to p_j: flows whose arcs all cost something.

H comes from the range of the Hessian over the boxes of x and y: the middle minus the diagonal of the radii's row sums
(Gershgorin). Anchors ``a`` are zero and some answers; each gives bounds, and all of them hold.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace

import casadi as ca
import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from bilevel.arrays import Array
from bilevel.graphs.intervals import ENTIRE, Graph, Interval
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program, Shape
from bilevel.reading.pieces import is_category

_LARGEST = 300  # variables of a follower, for dense matrices
_LONGEST = 200_000  # instructions of its Hessian, which are walked in Python
_MARGIN = 1e-6  # by which bounds are widened, relative: far more than rounding, far less than matters


def answer_bounds(compilation: Compilation, convex: Collection[str], anchors: Iterable[Array]) -> dict[str, Interval]:
    """Bounds on followers' variables that hold at every bilevel-feasible point, by name; only those that are proved.

    Parameters
    ----------
    compilation : Compilation
        The problem.
    convex : collection of str
        Names of the followers whose feasible sets are convex.
    anchors : iterable of ndarray
        Points (all followers' variables, stacked) that may serve: answers at some x, say. Zero is tried in any case.
    """
    ranges = compilation.ranges
    x_box = [ENTIRE if is_category(var) else ranges[var.name] for var in compilation.problem.variables]
    points = [np.zeros(compilation.all_y.numel()), *anchors]
    found: dict[str, Interval] = {}
    offset = 0
    for name, symbols in compilation.y.items():
        count = int(symbols.numel())
        program = compilation.programs.get(name)
        if program is not None and name in convex and count <= _LARGEST and not program.integer.any():
            box = np.array([ranges[variable] for variable in program.names]).reshape(-1, 2)
            program = replace(program, lower=box[:, 0], upper=box[:, 1])
            bounds = _reach_of(program, x_box, [point[offset : offset + count] for point in points])
            if bounds is not None:
                found |= dict(zip(program.names, zip(*bounds, strict=True), strict=True))
        offset += count
    return found


def _reach_of(program: Program, x_box: list[Interval], points: list[Array]) -> tuple[list[float], list[float]] | None:
    if program.shape is Shape.LINEAR:
        return _linear_bounds(program, x_box, points)
    return _strongly_convex_bounds(program, x_box, points)


def _linear_bounds(
    program: Program, x_box: list[Interval], points: list[Array]
) -> tuple[list[float], list[float]] | None:
    """By what an answer may cost at most; None where that bounds nothing new."""
    lower, upper = program.lower.copy(), program.upper.copy()
    end = np.where(np.isfinite(lower), lower, upper)  # p
    both = np.isfinite(lower) & np.isfinite(upper)
    if both.all() or not np.isfinite(end).all():
        return None
    side = np.where(np.isfinite(lower), 1.0, -1.0)  # the sign of y - p
    width = np.full(program.n, np.inf)
    width[both] = upper[both] - lower[both]
    graph = Graph(program.parameters, program.variables, ca.vertcat(program.gradient, program.rows))
    for point in points:
        anchor = np.clip(point, lower, upper)
        ranges = _ranges(graph, x_box, [(a, a) for a in anchor.tolist()])
        costs, rows = ranges[:, : program.n], ranges[:, program.n :]
        feasible_everywhere = (rows[0] >= program.row_lower).all() and (rows[1] <= program.row_upper).all()
        off = anchor != end
        if not feasible_everywhere or not np.isfinite(costs[:, off]).all():
            continue
        pull = np.where(side > 0, costs[0], -costs[1])  # the least c_j(x) side_j
        with np.errstate(invalid="ignore"):
            least = np.where(pull < 0.0, pull * width, 0.0)
        spent = np.maximum(costs[0, off] * (anchor - end)[off], costs[1, off] * (anchor - end)[off]).sum()
        for j in np.flatnonzero(pull > 0.0):
            far = (spent - np.delete(least, j).sum()) / pull[j]
            far = far * (1.0 + _MARGIN) + _MARGIN
            if side[j] > 0:
                upper[j] = min(upper[j], end[j] + far)
            else:
                lower[j] = max(lower[j], end[j] - far)
    return lower.tolist(), upper.tolist()


def _strongly_convex_bounds(
    program: Program, x_box: list[Interval], points: list[Array]
) -> tuple[list[float], list[float]] | None:
    below = _hessian_below(program, x_box)
    if below is None:
        return None
    factor = cho_factor(below)
    inverse = cho_solve(factor, np.eye(program.n))
    gradients = Graph(program.parameters, program.variables, ca.vertcat(program.gradient, program.rows))
    lower, upper = np.full(program.n, -math.inf), np.full(program.n, math.inf)
    for point in points:
        anchor = np.clip(point, program.lower, program.upper)
        ranges = _ranges(gradients, x_box, [(a, a) for a in anchor.tolist()])
        slopes, rows = ranges[:, : program.n], ranges[:, program.n :]
        feasible_everywhere = (rows[0] >= program.row_lower).all() and (rows[1] <= program.row_upper).all()
        if not feasible_everywhere or not np.isfinite(slopes).all():
            continue
        low, high = _extent(inverse, slopes)
        lower, upper = np.maximum(lower, anchor + low), np.minimum(upper, anchor + high)
    if not np.isfinite(lower).all():
        return None
    slack = _MARGIN * np.maximum(1.0, np.maximum(np.abs(lower), np.abs(upper)))
    return (lower - slack).tolist(), (upper + slack).tolist()


def _ranges(graph: Graph, x: list[Interval], y: list[Interval]) -> Array:
    """Lower and upper ends of a graph's outputs, shape (2, number of outputs)."""
    ranges = graph.enclose(x, y)
    return np.array([ranges[node] for node in graph.outputs], dtype=float).reshape(-1, 2).T


def _hessian_below(program: Program, x_box: list[Interval]) -> Array | None:
    """A definite matrix below every Hessian on the boxes, or None where there is none in sight."""
    triangle = ca.tril(program.hessian)
    graph = Graph(program.parameters, program.variables, ca.vertcat(program.objective, *triangle.nonzeros()))
    if len(graph) > _LONGEST:
        return None
    y_box = list(zip(program.lower.tolist(), program.upper.tolist(), strict=True))
    nodes = graph.enclose(x_box, y_box)
    if not graph.smooth(nodes):
        return None
    ends = np.array([nodes[node] for node in graph.outputs[1:]], dtype=float).reshape(-1, 2).T
    if not np.isfinite(ends).all():
        return None
    middle, radius = np.zeros((program.n, program.n)), np.zeros((program.n, program.n))
    r, c = (np.array(k, dtype=int) for k in triangle.sparsity().get_triplet())
    middle[r, c] = middle[c, r] = (ends[0] + ends[1]) / 2
    radius[r, c] = radius[c, r] = (ends[1] - ends[0]) / 2
    below: Array = middle - np.diag(radius.sum(axis=1))
    size = np.abs(middle).max(initial=0.0) + radius.max(initial=0.0)
    try:
        # What is proved of a matrix with a little taken off is true of the matrix, rounding and all.
        below -= 1e-12 * size * np.eye(program.n)
        factor, _ = cho_factor(below)
    except LinAlgError:
        return None
    return below if (np.abs(factor.diagonal()) > 1e-7 * math.sqrt(size)).all() else None


def _extent(inverse: Array, slopes: Array) -> tuple[Array, Array]:
    """How far d may go along each axis, for every gradient g within ``slopes``."""
    middle, radius = slopes.mean(axis=0), (slopes[1] - slopes[0]) / 2
    centre, blur = -inverse @ middle / 2, np.abs(inverse) @ radius / 2
    root = np.linalg.cholesky(inverse).T  # g'H^-1 g = |root g|^2
    length = float(np.linalg.norm(np.abs(root @ middle) + np.abs(root) @ radius))
    reach = length * np.sqrt(inverse.diagonal()) / 2
    return centre - blur - reach, centre + blur + reach
