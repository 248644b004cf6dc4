"""A program in units of its own, and what of it counts as nothing.

A column of dollars beside one of shares makes entries of H that are twelve orders apart. With variables measured so
that the diagonal of H and the largest entries of the rows are near one (Ruiz 2001, RAL-TR-2001-034), by powers of two,
which round nothing, costs and limits say how large a slope, a slack or a multiplier is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from bilevel.arrays import Array
from bilevel.solvers.homotopy.parametric_program import Curvature, ParametricProgram

_ROUNDS = 10
_SPREAD = 1e3  # times the median: costs beyond say nothing of the others
_FADED = 1e-5  # of the costs at the end where they are larger: below that their rounding counts


def in_units(program: ParametricProgram) -> tuple[ParametricProgram, Array]:
    """The same program in variables ``z / d``, and d, shape (n,), powers of two."""
    diagonal, size = program.curvature.diagonal(), np.abs(program.matrix)
    d, e = np.ones(program.n), np.ones(program.m)
    for _ in range(_ROUNDS if program.m else 1):
        moved = size * d * e[:, None]
        largest = np.maximum(diagonal * d**2, moved.max(axis=0, initial=0.0))
        rows = moved.max(axis=1, initial=0.0)
        d = d / np.sqrt(np.where(largest > 0.0, largest, 1.0))
        e = e / np.sqrt(np.where(rows > 0.0, rows, 1.0))
    d, e = _power_of_two(d), _power_of_two(e)
    curvature, ends = program.curvature, sp.diags_array(d)
    scaled = Curvature(
        curvature.matrix, curvature.owner, curvature.sign * d, sp.csr_array(ends @ curvature.rest @ ends)
    )
    found = replace(
        program,
        curvature=scaled,
        costs=program.costs * d,
        matrix=program.matrix * d * e[:, None],
        low=program.low * e,
        high=program.high * e,
        lower=program.lower / d,
        upper=program.upper / d,
    )
    return found, d


def _power_of_two(sizes: Array) -> Array:
    found: Array = np.exp2(np.round(np.log2(sizes)))
    return found


@dataclass(frozen=True, eq=False)
class Sizes:
    """By what slopes, multipliers and slacks of a program in its own units are measured.

    Attributes
    ----------
    slope : ndarray of shape (n,)
        Of each variable's slope.
    multiplier, variable : float
        Of a row's multiplier, of a variable.
    bound : ndarray of shape (2, n)
        Of the distances from lower and upper bounds.
    limit : ndarray of shape (2, m)
        The same of the rows.
    """

    slope: Array
    multiplier: float
    variable: float
    bound: Array
    limit: Array

    @classmethod
    def of(cls, program: ParametricProgram) -> Sizes:
        """For the whole of a path."""
        ends = [_typical(np.abs(c)) for c in (program.costs[0], program.costs.sum(axis=0))]
        unit = max(min(ends), _FADED * max(ends)) or 1.0
        limits = np.abs(np.concatenate([program.low, program.high, program.low.sum(axis=0)[None]]).ravel())
        limits = np.concatenate([limits, np.abs(program.lower), np.abs(program.upper)])
        candidates = [_typical(limits[np.isfinite(limits)])] + ([unit] if program.curvature.diagonal().any() else [])
        base = min((size for size in candidates if size > 0.0), default=1.0)
        own = np.minimum(np.abs(program.costs[0]), np.abs(program.costs.sum(axis=0)))
        bound = np.abs(np.stack([program.lower, program.upper]))
        limit = np.maximum(np.abs([program.low[0], program.high[0]]), np.abs([program.low[1], program.high[1]]))
        return cls(
            np.maximum(unit, own),
            unit,
            base,
            np.maximum(base, np.where(np.isfinite(bound), bound, 0.0)),
            np.maximum(base, np.where(np.isfinite(limit), limit, 0.0)),
        )


def _typical(sizes: Array) -> float:
    """The largest, but for what is far from all others."""
    found = sizes[sizes > 0.0]
    return float(min(found.max(), _SPREAD * np.median(found))) if len(found) else 0.0
