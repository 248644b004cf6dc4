"""How far rows and objective let variables go that nobody bounded.

Linear rows: two linear programs for each variable. A quadratic objective: the box around ``{ v : F(v) <= level }``.

Where F is strictly convex in the variables it depends on, ``F = (v - c)'H(v - c) / 2 + F_c`` with H definite, the set
is an ellipsoid, and its extent along axis i is ``sqrt(2 (level - F_c) (H^-1)_ii)`` (Boyd and Vandenberghe 2004, *Convex
Optimization*, section 2.2.2). With a point in hand a minimiser has bounds nobody declared.
"""

from __future__ import annotations

import math

import casadi as ca
import numpy as np
import scipy
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.programs.program import Program

_LARGEST = 300  # variables, for dense matrices
_MOST_PROGRAMS = 50  # loose variables, each of which takes two linear programs
_MARGIN = 1e-6  # by which bounds are widened, relative: far more than rounding, far less than matters


def box_of_rows(program: Program, parameters: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """The box narrowed, at the ends of loose variables, to what the linear rows allow.

    Parameters
    ----------
    program : Program
        Whose linear rows count; their values may depend on the parameters.
    parameters : ndarray of shape (number of parameters,)
        Their values.
    lower, upper : ndarray of shape (n,)
        What is known already.

    Returns
    -------
    tuple of ndarray of shape (n,)
        Lower and upper bounds.
    """
    lower, upper = lower.copy(), upper.copy()
    loose = np.flatnonzero(program.curved & ~(np.isfinite(lower) & np.isfinite(upper)))
    if not 0 < len(loose) <= _MOST_PROGRAMS or program.m * program.n > _LARGEST**2:
        return lower, upper
    affine = [k for k in range(program.m) if not ca.depends_on(program.jacobian[k, :], program.variables)]
    if not affine:
        return lower, upper
    outputs = [ca.densify(program.jacobian[affine, :]), program.rows[affine]]
    numbers = ca.Function("rows", [program.parameters, program.variables], outputs)
    matrix, offset = (np.array(part, dtype=float) for part in numbers(parameters, np.zeros(program.n)))
    low, high = program.row_lower[affine] - offset[:, 0], program.row_upper[affine] - offset[:, 0]
    if not np.isfinite(matrix).all() or np.isnan(offset).any():
        return lower, upper
    sides = [(matrix[np.isfinite(high)], high[np.isfinite(high)]), (-matrix[np.isfinite(low)], -low[np.isfinite(low)])]
    rows, limits = (np.concatenate(part) for part in zip(*sides, strict=True))
    for k in loose:
        for sign, ends in ((1.0, lower), (-1.0, upper)):
            if not math.isfinite(ends[k]):
                cost = np.zeros(program.n)
                cost[k] = sign
                solved = scipy.optimize.linprog(
                    cost, rows, limits, bounds=np.column_stack([lower, upper]), method="highs"
                )
                if solved.status == 0:
                    end = sign * float(solved.fun)
                    ends[k] = end - sign * _MARGIN * tolerances.scale(end)
    return lower, upper


def box_below(program: Program, parameters: Array, level: float) -> tuple[Array, Array] | None:
    """The program's bounds, narrowed to what an objective of at most ``level`` allows.

    Parameters
    ----------
    program : Program
        Whose objective may be quadratic in its variables; its rows do not matter.
    parameters : ndarray of shape (number of parameters,)
        Their values.
    level : float
        Of the objective, minimised.

    Returns
    -------
    tuple of ndarray of shape (n,), or None
        Lower and upper bounds. None where the objective is no strictly convex quadratic of what it depends on.
    """
    variables, objective = program.variables, program.objective
    used = np.flatnonzero(ca.which_depends(objective, variables, 1, False))
    if not 0 < len(used) <= _LARGEST:
        return None
    own = variables[used.tolist()]
    hessian, gradient = ca.hessian(objective, own)
    if ca.depends_on(hessian, variables):
        return None
    numbers = ca.Function("quadratic", [program.parameters, variables], [ca.densify(hessian), gradient, objective])
    h, g, f = (np.array(part, dtype=float) for part in numbers(parameters, np.zeros(program.n)))
    try:
        factor = cho_factor(h)
    except (LinAlgError, ValueError):  # not definite, or no number
        return None
    diagonal = np.abs(factor[0].diagonal())
    if diagonal.min() <= np.sqrt(tolerances.DEFINITE) * diagonal.max():
        return None
    centre = -cho_solve(factor, g.reshape(-1))
    least = float(f[0, 0]) + float(g.reshape(-1) @ centre) / 2.0
    room = max(level - least, 0.0) + _MARGIN * tolerances.scale(level, least)
    reach = np.sqrt(2.0 * room * cho_solve(factor, np.eye(len(used))).diagonal())
    reach += _MARGIN * np.maximum(1.0, np.abs(centre))
    lower, upper = program.lower.copy(), program.upper.copy()
    lower[used] = np.maximum(lower[used], centre - reach)
    upper[used] = np.minimum(upper[used], centre + reach)
    return lower, upper
