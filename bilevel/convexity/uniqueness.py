"""Whether a follower's answer is unique for every x: then it does not matter which of the optima counts.

A strongly convex objective over a convex set has one optimum (Boyd and Vandenberghe 2004, 9.1.2). f is strongly convex
if ``f - sum_i d_i y_i^2 / 2`` is convex for some d > 0, which is asked of :mod:`bilevel.convexity.examination`. Linear
followers may answer uniquely too, but nothing proves that for every x.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import casadi as ca
import numpy as np

from bilevel.convexity.examination import convexity_of
from bilevel.errors import RefusedError
from bilevel.language.attitude import Attitude
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program
from bilevel.reading.problem import Problem

_SHARE = 1e-7
"""d relative to the Hessian's diagonal: a thousand times what convexity's own tests let pass as rounding."""


def refuse_ties(problem: Problem, method: str) -> None:
    """Refuse a pessimistic problem whose followers are not proved to answer uniquely, to a method that knows no other.

    Parameters
    ----------
    problem : Problem
        As read.
    method : str
        Name of what cannot take it, for the message.

    Raises
    ------
    RefusedError
        Naming the follower, why, and what takes the problem.
    """
    if problem.attitude is not Attitude.PESSIMISTIC:
        return
    if problem.multipliers:
        raise RefusedError(
            f"{method} takes the pessimistic attitude only where the multipliers used above are unique, which nothing"
            " proves for every x; use a search (method='random')"
        )
    for name, reason in not_unique(Compilation.of(problem)).items():
        raise RefusedError(
            f"{method} takes the pessimistic attitude only where the follower's answer is unique for every x, and"
            f" {name} {reason}; use method='auto', which knows the paths that find the worst of the optima"
        )


def not_unique(compilation: Compilation) -> dict[str, str]:
    """The followers whose answer matters to the leader and is not proved to be unique for every x, and why."""
    problem = compilation.problem
    rows, _, _ = compilation.rows(problem.coupling)
    held = [square.variables for square in compilation.upper_squares]
    # Of several objectives each by itself: their sum may see nothing of what they see.
    each = [compilation.short(objective.expr, objective.name) for objective in problem.objectives]
    held += [square.variables for square in compilation.squares] if each else []
    outputs = ca.vertcat(compilation.upper_short, *each, rows, *held)
    ours = [
        f for f in problem.followers if f.response is None and ca.depends_on(outputs, compilation.y[f.name])
    ]  # a response function gives the one answer that it gives
    bent = copy.copy(compilation)
    bent.programs = compilation.programs | {f.name: _less_convex(compilation.programs[f.name]) for f in ours}
    found = convexity_of(replace(problem, followers=tuple(ours)), bent) if ours else {}
    return {
        name: "has integer variables" if bent.programs[name].integer.any() else "is not proved to be strongly convex"
        for name, convexity in found.items()
        if convexity.verdict != "proved"  # its reason speaks of the bent objective, which nobody wrote
    }


def _less_convex(program: Program) -> Program:
    """The same with ``sum_i d_i y_i^2 / 2`` taken from its objective, d measured without losses over rows."""
    middle = ca.DM(np.clip(0.0, program.lower, program.upper))
    diagonal = ca.Function("d", [program.parameters, program.variables], [ca.diag(program.without_losses.hessian)])
    size = np.abs(diagonal(ca.DM.zeros(program.parameters.numel()), middle).full()[:, 0])
    weights = _SHARE * np.where(np.isfinite(size) & (size > 0.0), size, 1.0)
    weights[[place for place, _ in program.tops]] = 0.0  # nobody's decision: given y the least that its rows allow
    return program.but(objective=program.short - 0.5 * ca.dot(ca.DM(weights), program.variables**2))
