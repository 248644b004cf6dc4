"""Units of variables without bounds, multipliers for one, and sizes of the rows that hold them.

A range says what a variable is to be measured in; where it has no end the rows do. In one whose other terms come to s a
variable with the coefficient c is of the size s / c, or it would not matter there; the largest such size is its unit.
So a stationarity row of a follower written in dollars, all of whose coefficients are 1e-9, holds numbers of magnitude
one, and not what an engine's tolerances pass over.
"""

from __future__ import annotations

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.programs.program import Program
from bilevel.solvers.engines.scaling.scaled_values import LARGE, SMALL, power_of_two

_PASSES = 3  # from rows with bounded variables to those that hold none


def open_units(
    program: Program, parameters: Array, units: Array, lower: Array, upper: Array
) -> tuple[Array, NDArray[np.float64]]:
    """Units of all variables, shape (n,), and sizes of the rows, shape (m,), zero where nothing is known of one.

    Parameters
    ----------
    program : Program
        Whose rows are looked at in the middle of the box: a guess for those that are not linear.
    parameters : ndarray of shape (p,)
        Their values.
    units : ndarray of shape (n,)
        Of the variables that have bounds.
    lower, upper : ndarray of shape (n,)
        The box.
    """
    closed = np.isfinite(lower) & np.isfinite(upper)
    free = np.flatnonzero(~closed & ~program.integer)
    if not len(free) or not program.m:
        return units, np.zeros(program.m)
    sizes = np.where(closed, np.maximum(np.abs(lower), np.abs(upper)), 0.0)
    middle = np.clip(0.0, lower, upper)
    middle[closed] = 0.5 * (lower[closed] + upper[closed])
    jacobian = ca.Function("rows", [program.parameters, program.variables], [program.jacobian])(parameters, middle)
    row, column = (np.array(places, dtype=int) for places in jacobian.sparsity().get_triplet())
    entry = np.abs(np.array(jacobian.nonzeros(), dtype=float))
    kept = np.isfinite(entry) & (entry > 0.0)
    row, column, entry = row[kept], column[kept], entry[kept]
    limits = np.abs(np.array([program.row_lower, program.row_upper]))
    own = np.where(np.isfinite(limits), limits, 0.0).max(axis=0, initial=0.0)
    for _ in range(_PASSES):
        rows = own.copy()
        np.maximum.at(rows, row, entry * sizes[column])
        natural = np.zeros(program.n)
        np.maximum.at(natural, column, rows[row] / entry)
        unknown = free[(sizes[free] == 0.0) & (natural[free] > 0.0)]
        sizes[unknown] = natural[unknown]
    found = units.copy()
    for k in free:
        if sizes[k] > 0.0 and not SMALL <= sizes[k] <= LARGE:
            found[k] = power_of_two(float(sizes[k]))
    return found, rows
