"""Trust-region Newton on the unit box, from products with the Hessian.

The trust region is a box too: every coordinate may move by the radius. Each step minimises the quadratic model over
the face that the gradient does not leave (conjugate gradients, Steihaug 1983), is projected onto both boxes, and goes
on over the smaller face where it met a bound (Lin and More 1999, *Newton's method for large bound-constrained
optimization problems*).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array
from bilevel.solvers.searches.descent.trust_radius import FIRST, adapted

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space

Product = Callable[[Array], Array]

_FACES = 8
_CONJUGATE = 500  # a scale in logarithms has flat ends: curvatures lie orders of magnitude apart
_TOLERANCE = 1e-9  # of the projected gradient, relative to the first one
_SHORTEST = 1e-12
_ROUNDING = 1e-13
_SMALLEST_SHARE = 1e-3


def minimise(look: Callable[[Array], tuple[float, Array, Product] | None], start: Array, steps: int = 200) -> None:
    """Descend until the projected gradient vanishes or steps get no shorter.

    Parameters
    ----------
    look : callable
        ``look(u)`` gives the value, the gradient and the Hessian's product at u, or None where there is none.
    start : ndarray of shape (n,)
        In the unit box.
    steps : int
        Largest number of looks.
    """
    point, here = start.copy(), look(start)
    if here is None:
        return
    first = _stationarity(point, here[1])
    radius = FIRST
    for _ in range(steps):
        value, gradient, product = here
        if _stationarity(point, gradient) <= _TOLERANCE * first or radius <= _SHORTEST:
            return
        step, gain = step_within(point, gradient, product, radius)
        if not gain > 0.0:
            return
        there = look(point + step)
        ratio = -1.0 if there is None else (value - there[0]) / gain
        length = float(np.abs(step).max())
        if gain <= _ROUNDING * max(1.0, abs(value)):  # rounding decides: the model is better than the values
            ratio = -1.0 if there is None else 1.0
        radius = adapted(radius, ratio, length)
        if there is not None and ratio > 1e-4:
            point, here = point + step, there


def unit_product(
    space: Space, free: NDArray[np.bool_], evaluation: Evaluation, curvature: Callable[[Array, Array], Any]
) -> Product | None:
    """Products with the Hessian of F in the free unit coordinates at an evaluated point; None where it has none.

    Parameters
    ----------
    space : Space
        Whose unit coordinates.
    free : ndarray of bool, shape (d,)
        Which of them vary.
    evaluation : Evaluation
        With its gradient and the followers' answers.
    curvature : callable
        :attr:`bilevel.contracts.search.Search.curvature`.
    """
    point = evaluation.point
    times = curvature(space.vector(point), np.array(list(evaluation.lower.values())))
    if times is None:
        return None
    slopes, bends = space.unit_slopes(point), np.asarray(evaluation.gradient) * space.unit_bends(point)

    def product(direction: Array) -> Array:
        whole = np.zeros(len(free))
        whole[free] = direction
        return np.asarray((slopes * times(slopes * whole) + bends * whole)[free])

    return product


def _stationarity(point: Array, gradient: Array) -> float:
    return float(np.abs(np.clip(point - gradient, 0.0, 1.0) - point).max(initial=0.0))


def step_within(point: Array, gradient: Array, product: Product, radius: float) -> tuple[Array, float]:
    """A step within the box, each coordinate by the radius at most, and by how much the model falls."""
    low, high = np.maximum(-point, -radius), np.minimum(1.0 - point, radius)
    free = ~(((low >= 0.0) & (gradient > 0.0)) | ((high <= 0.0) & (gradient < 0.0)))
    step, slope, gain = np.zeros(len(point)), gradient.copy(), 0.0
    for _ in range(_FACES):
        move = _conjugate(slope, product, free, 2.0 * radius * float(np.sqrt(free.sum())))
        found = _projected(step, move, (low, high), gradient, product, gain)
        if found is None:
            break
        better = found[1] - gain
        step, gain, slope = found
        stays = ((step <= low) & (slope > 0.0)) | ((step >= high) & (slope < 0.0))
        if not (free & stays).any() or better <= 1e-3 * gain:
            break
        free = free & ~stays
    return step, gain


def _projected(
    step: Array, move: Array, box: tuple[Array, Array], gradient: Array, product: Product, gain: float
) -> tuple[Array, float, Array] | None:
    """Go on from a step, within the box: the new step, by how much the model falls in all, and its slope there."""
    share = 1.0
    while share > _SMALLEST_SHARE:
        tried = np.clip(step + share * move, *box)
        curved = product(tried)
        fall = -float(gradient @ tried + 0.5 * tried @ curved)
        if fall > gain:
            return tried, fall, gradient + curved
        share *= 0.25
    return None


def _conjugate(slope: Array, product: Product, free: NDArray[np.bool_], radius: float) -> Array:
    """Minimise ``slope's + s'Hs/2`` over the free coordinates within the radius, roughly."""
    step = np.zeros(len(slope))
    residual = np.where(free, -slope, 0.0)
    direction, size = residual.copy(), float(residual @ residual)
    norm = float(np.sqrt(size))
    goal = min(0.1, np.sqrt(norm)) * norm
    for _ in range(_CONJUGATE):
        if np.sqrt(size) <= goal or size == 0.0:
            break
        curved = np.where(free, product(direction), 0.0)
        bend = float(direction @ curved)
        length = size / bend if bend > 0.0 else 0.0
        if not bend > 0.0 or np.linalg.norm(step + length * direction) >= radius:
            return np.asarray(step + _to_boundary(step, direction, radius) * direction)
        step = step + length * direction
        residual = residual - length * curved
        last, size = size, float(residual @ residual)
        direction = residual + (size / last) * direction
    return step


def _to_boundary(step: Array, direction: Array, radius: float) -> float:
    a, b, c = float(direction @ direction), float(step @ direction), float(step @ step) - radius**2
    return float((-b + np.sqrt(max(b * b - a * c, 0.0))) / a)
