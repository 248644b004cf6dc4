"""The sides of linear followers: every constraint side and bound of theirs, by its place in the high-point program.

A side holds ``normal . y <= ...`` and is *active* where its slack is zero. Its multiplier is not negative, and zero
where it is not active; stationarity is ``sum_i mu_i normal_i = -slope`` together with free multipliers of equalities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.errors import RefusedError
from bilevel.programs.program import Program
from bilevel.solvers.rounds.linear_answer import LinearFollower
from bilevel.solvers.sides.hot_program import HotProgram
from bilevel.solvers.single_level.high_point import HighPoint


@dataclass(frozen=True)
class Sides:
    """Of all followers together, each normal of length one at its largest entry.

    Attributes
    ----------
    places : ndarray of int, shape (k,)
        Rows of the high-point program, then its variables.
    signs : ndarray of shape (k,)
        +1 for an upper limit, -1 for a lower one.
    limits : ndarray of shape (k,)
        These limits.
    normals : ndarray of shape (k, number of followers' variables)
        What the multipliers are weighed with.
    sizes : ndarray of shape (k,)
        By what they were divided.
    equalities : ndarray of shape (e, number of followers' variables)
        Rows that are no inequalities.
    slope : ndarray of shape (number of followers' variables,)
        Of the followers' objectives, minimised, each of length one at its largest entry, all together.
    """

    places: NDArray[np.int_]
    signs: Array
    limits: Array
    normals: Array
    sizes: Array
    equalities: Array
    slope: Array

    def __len__(self) -> int:
        return len(self.places)

    def slacks(self, values: Array) -> Array:
        """Slacks at a point, from the values of the program's rows and variables there."""
        slacks: Array = self.signs * (self.limits - values[self.places])
        return slacks

    def active(self, values: Array) -> NDArray[np.bool_]:
        """Which sides are active."""
        near: NDArray[np.bool_] = self.slacks(values) <= 1e-1 * tolerances.FEASIBILITY * np.maximum(
            1.0, np.abs(self.limits)
        )
        return near


@dataclass(frozen=True)
class _Row:
    place: int
    normal: Array
    low: float
    high: float


def sides_of(high_point: HighPoint, relaxed: HotProgram, programs: Mapping[str, Program], x_names: list[str]) -> Sides:
    """Read the followers.

    Parameters
    ----------
    high_point : HighPoint
        Of the problem.
    relaxed : HotProgram
        The same as a linear program.
    programs : mapping of str to Program
        The followers.
    x_names : list of str
        The leader's variables.

    Raises
    ------
    RefusedError
        If one is not linear in both levels' variables together, with constant costs.
    """
    program, places = high_point.program, high_point.places
    none = np.zeros(program.n, dtype=bool)
    rows = {name: k for k, name in enumerate(program.row_names)}
    x_places = [places.get(name) for name in x_names]
    count = sum(p.n for p in programs.values())
    found, slopes, start = [], [], 0
    for follower in programs.values():
        linear = LinearFollower(follower, x_places, [places[name] for name in follower.names], none)
        found += list(_rows(follower, linear, rows, relaxed, start, count))
        slopes.append(linear.slope / (np.abs(linear.slope).max(initial=0.0) or 1.0))  # its answers do not know units
        start += follower.n
    return _gathered(found, np.concatenate(slopes), count)


def _rows(
    follower: Program, linear: LinearFollower, rows: Mapping[str, int], relaxed: HotProgram, start: int, count: int
) -> Iterator[_Row]:
    own, m = slice(start, start + follower.n), relaxed.matrix.shape[0]
    for k, name in enumerate(follower.row_names):
        normal = np.zeros(count)
        normal[own] = linear.of_y[k]
        if not normal.any():
            continue  # over x alone: it restricts the leader
        place = rows.get(name, -1)
        if place < 0 or not np.allclose(
            relaxed.matrix[[place]].toarray()[0, linear.places], linear.of_y[k], 1e-12, 0.0
        ):
            raise RefusedError(f"{name} is not found in the high-point problem as it is; use method='kkt'")
        low = relaxed.low[place] if math.isfinite(follower.row_lower[k]) else -math.inf
        high = relaxed.high[place] if math.isfinite(follower.row_upper[k]) else math.inf
        yield _Row(place, normal, float(low), float(high))
    for k in range(follower.n):
        normal = np.zeros(count)
        normal[start + k] = 1.0
        yield _Row(m + int(linear.places[k]), normal, float(follower.lower[k]), float(follower.upper[k]))


def _gathered(rows: list[_Row], slope: Array, count: int) -> Sides:
    inequalities: list[tuple[int, float, float, Array, float]] = []
    equalities: list[Array] = []
    for row in rows:
        size = float(np.abs(row.normal).max())
        unit = row.normal / size
        if row.low == row.high:
            equalities.append(unit)
            continue
        if math.isfinite(row.high):
            inequalities.append((row.place, 1.0, row.high, unit, size))
        if math.isfinite(row.low):
            inequalities.append((row.place, -1.0, row.low, -unit, size))
    places, signs, limits, normals, sizes = zip(*inequalities, strict=True) if inequalities else ((),) * 5
    return Sides(
        np.array(places, dtype=int),
        np.array(signs, dtype=float),
        np.array(limits, dtype=float),
        np.array(normals, dtype=float).reshape(-1, count),
        np.array(sizes, dtype=float),
        np.array(equalities, dtype=float).reshape(-1, count),
        slope,
    )
