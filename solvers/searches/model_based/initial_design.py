"""The points before there is a model: the user's start, then scrambled Sobol points with every category level."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bilevel.arrays import Array, Point
from bilevel.solvers.searches.model_based.encoding import Encoding

_TRIES = 4096
_REPAIRS = 64


def sobol(dimension: int, count: int, rng: np.random.Generator) -> Array:
    """Scrambled Sobol points, shape (count, dimension); a power of two of them is drawn, as balance asks."""
    from scipy.stats import qmc

    sequence = qmc.Sobol(dimension, scramble=True, seed=int(rng.integers(2**31)))
    return np.asarray(sequence.random_base2(max(count - 1, 1).bit_length())[:count])


def initial_design(encoding: Encoding, size: int, rng: np.random.Generator) -> Iterator[Point]:
    """Allowed points, the user's start first; the caller takes as many as it wants and skips those it knows.

    Where the constraints over x rule a point out, the next one of the sequence takes its place; only a space that
    refuses nearly all of them is helped with projections, which crowd the boundary.
    """
    space = encoding.space
    if space.start is not None:
        yield space.start
    units = encoding.snap(_with_every_level(encoding, sobol(len(encoding), size, rng), rng))
    yield from filter(space.allows, map(encoding.point, units))
    if not space.constrained:
        return
    more = encoding.snap(rng.random((_TRIES, len(encoding))))
    yield from filter(space.allows, map(encoding.point, more))
    for unit in more[:_REPAIRS]:
        point = repaired(encoding, unit, rng)
        if point is not None:
            yield point


def _with_every_level(encoding: Encoding, units: Array, rng: np.random.Generator) -> Array:
    """Deal each category's levels out over the points in random order instead of leaving them to the sequence."""
    units = units.copy()
    for k in np.flatnonzero(encoding.categorical):
        levels = int(encoding.steps[k]) + 1
        order = np.concatenate([rng.permutation(levels) for _ in range(-(-len(units) // levels))])
        units[:, k] = order[: len(units)] / (levels - 1)
    return units


def repaired(encoding: Encoding, unit: Array, rng: np.random.Generator, rounds: int = 30) -> Point | None:
    """An allowed point near ``unit``: the space's projection, else steps of one coordinate that lower the violation."""
    space = encoding.space
    point = space.draw(unit)
    if point is not None or not (encoding.ordered | encoding.categorical).any():
        return point
    unit = unit.copy()
    worst = space.violation(encoding.point(unit))
    for _ in range(rounds):
        trials = _single_steps(encoding, unit, rng)
        measured = [space.violation(encoding.point(trial)) for trial in trials]
        k = int(np.argmin(measured))
        if not measured[k] < worst:
            return None
        unit, worst = trials[k], measured[k]
        point = space.draw(unit)
        if point is not None:
            return point
    return None


def _single_steps(encoding: Encoding, unit: Array, rng: np.random.Generator) -> Array:
    """Every discrete coordinate one step up and down (a category: one other level), and one random move of each."""
    moving = np.flatnonzero(encoding.ordered | encoding.categorical)
    trials = np.repeat(unit[None], 3 * len(moving), axis=0)
    for j, k in enumerate(moving):
        trials[3 * j, k] += 1.0 / encoding.steps[k]
        trials[3 * j + 1, k] -= 1.0 / encoding.steps[k]
        trials[3 * j + 2, k] = rng.random()
    return encoding.snap(trials)
