"""The trap in a multiplier's sign: a revenue that can only be a loss, so that the leader does best to earn nothing.

``dual_of(y >= x)`` of a follower who minimises is not positive (:mod:`bilevel.reading.multipliers`): Pyomo writes the
row as ``x - y <= 0``, and the more room there is on its right-hand side the better for the follower. A leader who
maximises ``x dual_of(...)`` hence gets 0 at best. Nothing is wrong with the answer; it only is not what was meant.
"""

from __future__ import annotations

import casadi as ca
import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.graphs.intervals import ENTIRE, Graph
from bilevel.programs.compilation import MULTIPLIERS, Compilation
from bilevel.reading.multipliers import Multiplier
from bilevel.reading.pieces import is_category
from bilevel.reading.problem import Problem


def flat_by_sign(compilation: Compilation, x: Array, y: Array) -> list[str]:
    """Notes on multipliers whose sign leaves a maximised F no better than without them, and that add nothing there.

    Parameters
    ----------
    compilation : Compilation
        Of the problem.
    x, y : ndarray
        The point, as the compiled functions take it.
    """
    problem = compilation.problem
    if problem.sense > 0 or not problem.multipliers:
        return []
    prices = compilation.y[MULTIPLIERS]
    slopes = -ca.gradient(compilation.upper_objective, prices)  # of F as it is maximised
    inputs = [compilation.x, compilation.all_y]
    idle = np.abs(ca.Function("shares", inputs, [slopes * prices])(x, y).full()[:, 0]) <= tolerances.OPTIMALITY
    graph = Graph(compilation.x, compilation.all_y, slopes)
    x_box = [ENTIRE if is_category(var) else compilation.ranges[var.name] for var in problem.variables]
    y_box = [compilation.ranges[var.name] for follower in problem.followers for var in follower.variables]
    ranges = graph.enclose(x_box, y_box + [ENTIRE] * len(problem.multipliers))
    found = []
    for k, multiplier in enumerate(problem.multipliers):
        sign, (low, high) = _sign(problem, multiplier), ranges[graph.outputs[k]]
        loses = (sign < 0 and low >= 0) or (sign > 0 and high <= 0)
        if loses and idle[k] and not ca.depends_on(slopes[k], prices):
            found.append(_told(problem, multiplier, sign))
    return found


def _sign(problem: Problem, multiplier: Multiplier) -> int:
    """The sign a multiplier has, 0 where it may have either."""
    sense = next(f.sense for f in problem.followers if f.name == multiplier.follower)
    return sense * (int(multiplier.constraint.lower is not None) - int(multiplier.constraint.upper is not None))


def _told(problem: Problem, multiplier: Multiplier, sign: int) -> str:
    name, side = multiplier.constraint.name, "<=" if multiplier.constraint.lower is None else ">="
    never, body = "negative" if sign > 0 else "positive", str(multiplier.constraint.body)
    row = f"{body if len(body) <= 60 else 'body'} {side} constant"
    return (
        f"dual_of({name}) is never {never}, for Pyomo reads the row as {row}: its part of {problem.objective.name} is a"
        f" loss at most, and none is the best of it; if a price was meant, turn its sign"
    )
