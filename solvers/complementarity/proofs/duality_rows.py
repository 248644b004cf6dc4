"""Strong duality of the followers, as a row and as a cut.

Multiply stationarity by y. For constraints ``b(x) + a(x)'y`` affine in y the products of y and mu go, and what is left
of ``sum_i s_i mu_i`` is the duality gap, with products of x and mu alone:

    gap(x, y, mu) = sum_upper mu (u - b(x)) + sum_lower mu (b(x) - l) + sum_equal nu (r - b(x)) + y'grad_y f(x, y)

For a linear f the last term is f less what does not depend on y, for a quadratic one ``y'Q y`` more than half of it. On
the conditions' points each ``s_i mu_i >= 0``, hence ``gap <= 0`` says that all of them are zero: f is at most the dual
objective. Replacing ``u - b(x)`` by its least value over the high-point relaxation gives a *linear* inequality for
linear f that holds at every bilevel-feasible point (Kleinert, Labbe, Plein and Schmidt 2020, doi
10.1007/s11590-020-01660-6).
"""

from __future__ import annotations

import math
from typing import Any

import casadi as ca
from pyomo.core.expr.visitor import replace_expressions

from bilevel.solvers.complementarity.proofs.compiled_conditions import CompiledConditions, Part
from bilevel.solvers.complementarity.proofs.proved_bounds import Relaxation


def why_no_duality(compiled: CompiledConditions) -> str | None:
    """The row that has no such form, in words; None where all have it."""
    for part in compiled.parts:
        k = compiled.curved(part)
        if k is not None:
            return f"{compiled.sides[k][0]} is not affine in the follower's variables; use complementarity='sos1'"
    return None


def gap(compiled: CompiledConditions, part: Part) -> Any:
    """The duality gap of one part, a Pyomo expression."""
    return times_gradient(compiled, part) + sum(
        (1 if compiled.sides[k][1] != "equality" else -1) * compiled.multipliers[k] * rest(compiled, k)
        for k in part.columns
    )


def rest(compiled: CompiledConditions, k: int) -> Any:
    """The slack of a multiplier's row at ``y = 0``: a function of x."""
    return _at_zero(compiled.slack_expressions[k], compiled.answers)


def cut(compiled: CompiledConditions, relaxation: Relaxation, part: Part, linear: bool) -> Any | None:
    """The gap with the functions of x next to multipliers at their least values.

    Parameters
    ----------
    compiled : CompiledConditions
        The conditions.
    relaxation : Relaxation
        Where the least values come from.
    part : Part
        What it is about.
    linear : bool
        Whether the row has to be linear. If not, ``y'grad f`` may be a convex quadratic, or bilinear in x and y.

    Returns
    -------
    Pyomo expression or None
        None where a function of x has no least value, moves in an equality (whose multiplier has both signs), or where
        the row is not linear.
    """
    if linear and ca.depends_on(compiled.gradient[part.rows], compiled.symbols):
        return None
    terms = [times_gradient(compiled, part)]
    for k in part.columns:
        least, most = relaxation.range(rest_symbol(compiled, k))
        equality = compiled.sides[k][1] == "equality"
        if least == -math.inf or (equality and most > least):
            return None
        terms.append((-least if equality else least) * compiled.multipliers[k])
    return sum(terms)


def rest_symbol(compiled: CompiledConditions, k: int) -> ca.SX:
    """The same as :func:`rest`, in symbols."""
    return ca.substitute(compiled.slacks[k], compiled.y, ca.SX.zeros(compiled.y.shape))


def times_gradient(compiled: CompiledConditions, part: Part) -> Any:
    """``y'grad_y f``, a Pyomo expression."""
    return sum(compiled.answers[k] * slope(compiled, k) for k in part.rows)


def slope(compiled: CompiledConditions, k: int) -> Any:
    """The derivative of f by an answer: stationarity at multipliers of zero."""
    row = list(compiled.conditions.stationarity.values())[k]
    return _at_zero(row.body, compiled.multipliers)


def _at_zero(expression: Any, variables: list[Any]) -> Any:
    return replace_expressions(expression, {id(var): 0.0 for var in variables}, remove_named_expressions=True)
