"""Down the hypergradient from the incumbent, where F has one: a trust-region step in the continuous coordinates.

The quadratic model has the incumbent's own gradient. Its curvature is exact where products with the Hessian are to be
had; else it is the symmetric matrix that best explains how gradients differ between the incumbent and the other points
with the same discrete coordinates, whoever proposed them:

    min_B  sum_i |B s_i - r_i|^2 / |s_i|^4 + m |B - b I|^2,     s_i = x_i - x,   r_i = g_i - g

A secant equation is off by |s|^2, hence the weights. The minimiser solves a Lyapunov equation, by one eigenvalue
decomposition, and unlike a chain of updates it does not depend on the order of the points. Coordinates on a lattice and
categories are held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from bilevel.arrays import Array, Point
from bilevel.solvers.searches.descent.box_newton import Product, step_within, unit_product
from bilevel.solvers.searches.descent.trust_radius import FIRST, adapted
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.pool import Pool

Curvature = Callable[[Array, Array], Any]

_SHORTEST = 1e-8
_TRIES = 8
_FRESH = 2
_ROUNDING = 1e-12
_NEAREST = 60
_RIDGE = 0.1
_WORTH = 1e-4
"""A gain below this share of (median - best) takes turns with descents from elsewhere."""
_DIGITS = 1e-9
"""The same, of what is not worth an evaluation at all."""
_CATCH_UP = 4.0
"""A descent from elsewhere goes on while so many more steps like the next one would catch up with the incumbent."""
_APART = 0.2
"""How far from the ends of other descents, in some coordinate of the unit box, one starts."""


@dataclass
class _Descent:
    """One descent: the place of its best point, the radius, and the last step with its predicted gain and length."""

    centre: int
    radius: float = FIRST
    asked: tuple[Point, float, float] | None = None

    def learn(self, memory: Memory) -> None:
        """Adapt the radius to what became of the last step, and go there if it is better."""
        if self.asked is None:
            return
        point, gain, length = self.asked
        self.asked = None
        fall = memory.told[self.centre].cost - memory.cost_at(point)
        ratio = fall / gain
        self.radius = adapted(self.radius, ratio, length, 0.5 if ratio > 0.0 else 0.25)
        if fall > 0.0:
            self.centre = memory.place(point)


class DescentStep:
    """Proposes the minimiser of a local quadratic model.

    Parameters
    ----------
    pool : Pool
        What is known.
    curvature : callable
        Gives :attr:`bilevel.contracts.search.Search.curvature` once that is known.
    """

    def __init__(self, pool: Pool, curvature: Callable[[], Curvature | None]) -> None:
        self._pool, self._curvature = pool, curvature
        self._free = pool.encoding.real
        self._first: _Descent | None = None
        self._other: _Descent | None = None
        self._ends: list[int] = []
        self._exact = False

    def propose(self) -> Point | None:
        """The next point, or None: no gradient, no gain worth an evaluation, or the last step is still out."""
        memory = self._pool.memory
        if not self._free.any() or not memory.feasible.any():
            return None
        out = [d for d in (self._first, self._other) if d is not None and d.asked and d.asked[0] in memory.pending]
        if out:
            return None
        best = int(memory.ranked()[0])
        for descent in (self._first, self._other):
            if descent is not None:
                descent.learn(memory)
        self._first = self._moved(self._first, best)
        least = _WORTH * memory.spread
        digits = max(_DIGITS * memory.spread, _ROUNDING * max(1.0, abs(memory.told[best].cost)))
        self._exact = not self._exact
        now = digits if self._exact else least
        return self._stepped(self._first, now) or self._elsewhere(best, least) or self._stepped(self._first, digits)

    def _elsewhere(self, best: int, least: float) -> Point | None:
        """A step of the descent that is not from the incumbent, or of the next one where that is left behind."""
        memory = self._pool.memory
        for _ in range(_FRESH):
            self._other = self._other or self._another(best)
            if self._other is None:
                return None
            behind = memory.told[self._other.centre].cost - memory.told[best].cost
            point = self._stepped(self._other, max(least, behind / _CATCH_UP))
            if point is not None:
                return point
            self._ends.append(self._other.centre)
            self._other = None
        return None

    def _another(self, best: int) -> _Descent | None:
        """From the best point that is far from where all others began and ended; None where there is none."""
        memory = self._pool.memory
        units, order = memory.units, memory.ranked()
        ends = units[np.array([best, *self._ends])]
        far = np.abs(units[:, None] - ends).max(axis=2).min(axis=1) > _APART
        fit = order[(far & np.isfinite(memory.slopes).all(axis=1))[order]]
        if not len(fit):
            return None
        self._ends.append(int(fit[0]))
        return _Descent(int(fit[0]))

    def _moved(self, descent: _Descent | None, best: int) -> _Descent:
        """The descent from the incumbent, whoever found that: trusted at least as far as it lies from the last one."""
        if descent is None:
            return _Descent(best)
        if descent.centre != best:
            units = self._pool.memory.units
            far = float(np.abs(units[best] - units[descent.centre])[self._free].max())
            descent.radius = max(descent.radius, min(far, FIRST))
            descent.centre = best
        return descent

    def _stepped(self, descent: _Descent, least: float) -> Point | None:
        """The model's minimiser within the radius, as far as it is allowed and new; shorter where it is not."""
        space, memory = self._pool.encoding.space, self._pool.memory
        unit, whole = memory.units[descent.centre], memory.slopes[descent.centre]
        if not np.isfinite(whole).all():
            return None
        slope, product = whole[self._free], self._product(descent.centre, whole)
        rows = space.unit_constraints(unit, self._free) if space.constrained else []
        for _ in range(_TRIES):
            step, gain = step_within(unit[self._free], slope, product, descent.radius)
            if rows:
                step, gain = _within_rows(unit[self._free], slope, product, (descent.radius, rows))
            if not gain > least or descent.radius < _SHORTEST:
                return None
            moved = unit.copy()
            moved[self._free] += step
            point = space.draw(moved)
            if point is not None and point not in memory.seen:
                step = (self._pool.encoding.unit(point) - unit)[self._free]
                gain = -float(slope @ step + 0.5 * step @ product(step))
                if gain > least:
                    descent.asked = point, gain, float(np.abs(step).max())
                    return point
            descent.radius = 0.25 * min(descent.radius, float(np.abs(step).max()))
        return None

    def _product(self, centre: int, slope: Array) -> Product:
        """Products with the Hessian in the free unit coordinates, exact where they are to be had."""
        memory, curvature = self._pool.memory, self._curvature()
        exact = None
        if curvature is not None:
            exact = unit_product(self._pool.encoding.space, self._free, memory.told[centre], curvature)
        if exact is not None:
            return exact
        matrix = self._secant(centre, slope)
        return lambda direction: matrix @ direction

    def _secant(self, centre: int, slope: Array) -> Array:
        """The matrix that best explains the gradients known, shape (number of free coordinates,) twice."""
        memory, free = self._pool.memory, self._free
        units, slopes = memory.units, memory.slopes
        others = (units[:, ~free] == units[centre, ~free]).all(axis=1) & np.isfinite(slopes).all(axis=1)
        others[centre] = False
        size = np.eye(int(free.sum()))
        if not others.any():
            return size * float(np.abs(slope[free]).max())
        steps, rises = (units[others] - units[centre])[:, free], (slopes[others] - slope)[:, free]
        near = np.argsort(np.linalg.norm(steps, axis=1), kind="stable")[:_NEAREST]
        square = np.maximum((steps[near] ** 2).sum(axis=1, keepdims=True), _SHORTEST**2)
        steps, rises = steps[near] / square, rises[near] / square
        usual = float(np.median(np.abs((steps * rises).sum(axis=1) * square[:, 0])))
        values, basis = np.linalg.eigh(steps.T @ steps)
        crossed = rises.T @ steps
        right = basis.T @ (crossed + crossed.T + 2.0 * _RIDGE * usual * size) @ basis
        return np.asarray(basis @ (right / (values[:, None] + values + 2.0 * _RIDGE)) @ basis.T)


def _within_rows(unit: Array, slope: Array, product: Product, limits: tuple[float, list[Any]]) -> tuple[Array, float]:
    """As ``step_within`` where constraints over x restrict the space as well: sequential quadratic programming."""
    radius, rows = limits
    box = np.column_stack([np.maximum(unit - radius, 0.0), np.minimum(unit + radius, 1.0)])

    def model(moved: Array) -> tuple[float, Array]:
        step = moved - unit
        bent = product(step)
        return float(slope @ step + 0.5 * step @ bent) / size, (slope + bent) / size

    size = float(np.abs(slope).max()) or 1.0
    found = minimize(model, unit, jac=True, method="SLSQP", bounds=box, constraints=rows, options={"maxiter": 50})
    step = np.clip(found.x, box[:, 0], box[:, 1]) - unit
    return step, -size * model(unit + step)[0]
