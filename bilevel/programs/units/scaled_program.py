"""A program whose variables and rows are of magnitude one, where those that were written are far from it.

Tolerances of engines are absolute: 1e-9 or so of a row, and HiGHS passes over coefficients below 1e-9 altogether. A
budget in units of 1e-4 may then be overspent by as much as matters, and a row over quotients of a billion is lost. So
``y = unit v`` with powers of two, which cost no digit, and every row is divided by the largest of its coefficients.

A box says how small a variable is, and not how large: an end of 1e9 is often there for want of a better one. There a
linear row has to say it, by a coefficient that is as small. Rows whose coefficients are all far below one are divided
by them whatever their variables are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.linear_algebra.sparsity import column_of
from bilevel.programs.answer import Answer, Answers
from bilevel.programs.program import Program

SMALL, LARGE = 1e-2, 1e7
"""Ends of the sizes of variables that are left as they are."""

_COEFFICIENTS = 1e-3, 1e6  # of a row that is left as it is


@dataclass(frozen=True)
class ScaledProgram:
    """A program in other units, and the way back.

    Attributes
    ----------
    program : Program
        With the same parameters, in ``v = y / units``.
    units : ndarray of shape (n,)
        Powers of two.
    factor : float
        What its objective is of the objective that was written.
    """

    program: Program
    units: Array
    factor: float

    def inwards(self, y: Array | None) -> Array | None:
        """A point in its variables."""
        return None if y is None else y / self.units

    def outwards(self, answer: Answer) -> Answer:
        """An answer in the variables that were written."""
        y = None if answer.y is None else answer.y * self.units
        return replace(answer, y=y, objective=answer.objective / self.factor, bound=answer.bound / self.factor)

    def all_outwards(self, answers: Answers) -> Answers:
        """The same of many answers."""
        return replace(answers, y=answers.y * self.units, objective=answers.objective / self.factor)


def scaled(program: Program) -> ScaledProgram | None:
    """The program in units of its own; None where it is of magnitude one, or holds what stays an array."""
    if program.squares or program.moving or program.losses or program.tops or program.sos1:
        return None
    lower, upper = program.lower, program.upper
    sizes = np.maximum(np.abs(lower), np.abs(upper))
    small = ~program.integer & (sizes > 0.0) & (sizes < SMALL)
    large = ~program.integer & (sizes > LARGE)
    if not program.m and not small.any():
        return None
    row, column, entry = _constant_entries(program)
    faint = program.m > 0 and _faint_rows(program, row, entry)
    if not small.any() and not large.any() and not faint:
        return None
    units = np.ones(program.n)
    units[small] = _powers_of_two(sizes[small])
    steepest = np.zeros(program.n)
    np.maximum.at(steepest, column, entry)
    wide = np.flatnonzero(large & (steepest > 0.0) & (steepest < 1.0 / LARGE))
    units[wide] = np.minimum(_powers_of_two(1.0 / steepest[wide]), _powers_of_two(np.minimum(sizes[wide], 1e300)))
    if (units == 1.0).all() and not faint:
        return None
    largest = np.zeros(program.m)
    np.maximum.at(largest, row, entry * units[column])
    off = (largest > 0.0) & ~((largest >= _COEFFICIENTS[0]) & (largest <= _COEFFICIENTS[1]))
    shares = np.where(off, 1.0 / _powers_of_two(np.where(off, largest, 1.0)), 1.0)
    used = ca.which_depends(program.objective, program.variables, 1, False)
    factor = 1.0 / max([1.0, *units[np.array(used, dtype=bool) & (units > 1.0)]])
    return ScaledProgram(_in_units(program, units, shares, factor), units, factor)


def _constant_entries(program: Program) -> tuple[NDArray[np.int_], NDArray[np.int_], Array]:
    """Row, column and size of the coefficients that are numbers."""
    if not program.m:
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0)
    row, column = (np.array(places, dtype=int) for places in program.jacobian.sparsity().get_triplet())
    symbols = [program.parameters, program.variables]
    values = ca.Function("entries", symbols, [column_of(program.jacobian)])(*(ca.DM.nan(s.numel(), 1) for s in symbols))
    entry = np.abs(values.full()[:, 0])  # what moves is no number where all that moves it is none
    kept = np.isfinite(entry) & (entry > 0.0)
    return row[kept], column[kept], entry[kept]


def _faint_rows(program: Program, row: NDArray[np.int_], entry: Array) -> bool:
    """Whether some row has nothing but numbers for coefficients, and they are all small."""
    known, every = np.bincount(row, minlength=program.m), np.array(program.jacobian.sparsity().get_triplet()[0])
    largest = np.zeros(program.m)
    np.maximum.at(largest, row, entry)
    whole = known == np.bincount(every.astype(int), minlength=program.m)
    return bool((whole & (largest > 0.0) & (largest < _COEFFICIENTS[0])).any())


def _in_units(program: Program, units: Array, shares: Array, factor: float) -> Program:
    variables = ca.SX.sym("v", program.n)
    held = ca.DM(units) * variables
    objective, rows = ca.substitute([program.objective, program.rows], [program.variables], [held])
    start = None if program.start is None else program.start / units
    return program.but(
        variables=variables,
        objective=factor * objective,
        rows=ca.DM(shares) * rows if program.m else rows,
        row_lower=program.row_lower * shares,
        row_upper=program.row_upper * shares,
        lower=program.lower / units,
        upper=program.upper / units,
        start=start,
    )


def _powers_of_two(sizes: Array) -> Array:
    return np.exp2(np.round(np.log2(sizes)))
