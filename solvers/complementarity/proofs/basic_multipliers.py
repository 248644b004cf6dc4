"""Bounds on basic multipliers, by going through the bases.

Where stationarity ``A mu = -grad f(x, y)`` has a solution with some signs and zeros, it has one whose columns are
linearly independent, with zeros in the same places and more (Caratheodory; Rockafellar 1970, *Convex Analysis*, cor.
17.1.2). So it is no loss to ask for such multipliers, ``mu_B = A_B^+ (-grad f(x, y))``, and their range over the box of
(x, y), for every choice B of independent columns, holds a bound. The set of *all* multipliers may be unbounded all the
same; that a bound on vertices is all one needs, and that finding the tightest is hard, is in Kleinert, Labbe, Plein and
Schmidt (2020, doi 10.1287/opre.2019.1944). Here A must be constant and the choices few.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import casadi as ca
import numpy as np

from bilevel.arrays import Array
from bilevel.graphs.intervals import Interval
from bilevel.solvers.complementarity.proofs.compiled_conditions import CompiledConditions, Part

MOST_BASES = 50_000
_BATCH = 5_000
_SINGULAR, _DOUBTFUL = 1e-12, 1e-7  # smallest singular value over the largest: dependent; too close to tell


def basic_multipliers(
    compiled: CompiledConditions, enclosures: Callable[[ca.SX], list[Interval]]
) -> dict[tuple[str, str], tuple[float, str]]:
    """Bounds, and their provenance, for the multipliers of the parts that have few bases.

    Parameters
    ----------
    compiled : CompiledConditions
        The conditions.
    enclosures : callable
        Ranges of functions over the relaxation.
    """
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for part in compiled.parts:
        values = _part_bounds(compiled, part, enclosures)
        for k, value in zip(part.columns, [] if values is None else values, strict=False):
            if compiled.sides[k][1] != "equality":
                found[compiled.sides[k]] = (float(value), "basic multipliers")
    return found


def _part_bounds(
    compiled: CompiledConditions, part: Part, enclosures: Callable[[ca.SX], list[Interval]]
) -> Array | None:
    matrix = compiled.matrix[part.rows, part.columns]
    if not part.columns or ca.depends_on(matrix, compiled.symbols):
        return None
    a = np.array(ca.DM(ca.Function("A", [], [ca.densify(matrix)])()["o0"]), dtype=float)
    values = np.linalg.svd(a, compute_uv=False)
    if ((values > _SINGULAR * values[0]) & (values < _DOUBTFUL * values[0])).any():
        return None  # the rank itself is in doubt
    rank = int((values >= _DOUBTFUL * values[0]).sum()) if values[0] > 0 else 0
    if rank == 0 or math.comb(len(part.columns), rank) > MOST_BASES:
        return None
    ends = np.array([(-high, -low) for low, high in enclosures(compiled.gradient[part.rows])])
    if not np.isfinite(ends).all():
        return None
    signed = np.array([compiled.sides[k][1] != "equality" for k in part.columns])
    most = np.zeros(len(part.columns))
    for bases in _batches(len(part.columns), rank):
        if not _extend(most, a, bases, ends, signed):
            return None
    return most


def _batches(count: int, rank: int) -> Iterator[Array]:
    choices = itertools.combinations(range(count), rank)
    while chunk := list(itertools.islice(choices, _BATCH)):
        yield np.array(chunk, dtype=int)


def _extend(most: Array, a: Array, bases: Array, ends: Array, signed: Array) -> bool:
    """Raise ``most`` to what these bases allow; False where one is too nearly singular to be judged."""
    columns = np.moveaxis(a[:, bases], 0, 1)  # bases, rows, columns of the basis
    values = np.linalg.svd(columns, compute_uv=False)
    condition = values[:, -1] / np.maximum(values[:, 0], 1e-300)
    if ((condition > _SINGULAR) & (condition < _DOUBTFUL)).any():
        return False
    kept = condition >= _DOUBTFUL
    if not kept.any():
        return True
    inverse = np.linalg.pinv(columns[kept])
    middle, radius = ends.mean(axis=1), (ends[:, 1] - ends[:, 0]) / 2
    centre, blur = inverse @ middle, np.abs(inverse) @ radius
    high = centre + blur
    # A basis that makes an inequality's multiplier negative for every (x, y) is nobody's.
    possible = ~((high < -1e-9 * (1.0 + np.abs(centre))) & signed[bases[kept]]).any(axis=1)
    np.maximum.at(most, bases[kept][possible], high[possible])
    return True
