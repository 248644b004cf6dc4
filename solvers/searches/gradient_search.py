"""Multi-start descent on the hypergradient, where both levels are smooth.

dF/dx through the follower's optimality costs a few evaluations whatever the number of upper variables
(``bilevel.hypergradient``); so a quasi-Newton method (L-BFGS-B, Byrd, Lu, Nocedal and Zhu 1995; SLSQP, Kraft 1988,
where constraints over x restrict the space) gets far in few points. Sobol starts look for the basin, the best ones are
polished in turn, with fresh starts when those are used up.

F has kinks where the follower's active set changes. The gradient there is that of one piece; the line search copes, or
stops early and the next start goes on. Discrete coordinates are drawn with the start and held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bilevel.contracts import Point, Search
from bilevel.errors import RefusedError
from bilevel.inversion import Inversion
from bilevel.registry import register
from bilevel.solvers.searches.box_newton import minimise, unit_product

if TYPE_CHECKING:
    from bilevel.archive import Evaluation
    from bilevel.space import Space

Array = NDArray[np.float64]

_ROUGH = 1e6  # what a failed point counts as, in units of the spread of values seen


@register("gradient")
class GradientSearch(Search):
    """Multi-start quasi-Newton descent on the gradient through the lower level; needs smooth levels.

    Parameters
    ----------
    starts : int, optional
        Points tried before each polish; by default an eighth of the budget, 4 to 16.
    """

    uses_gradients = True

    def __init__(
        self, space: Space, rng: np.random.Generator, budget: int | None = None, *, starts: int | None = None
    ) -> None:
        super().__init__(space, rng, budget)
        self._free = np.array([not d.integer and d.upper > d.lower for d in space.dimensions])
        if not self._free.any():
            raise RefusedError("gradient: no upper variable is continuous; use grid, random or a surrogate")
        self._starts = starts or int(np.clip((budget or 100) // 8, 4, 16))
        self._known: dict[Point, Evaluation] = {}
        self._inversion: Inversion[Point, Evaluation] = Inversion(self._optimize)
        self._asked: Point | None = None

    def ask(self, count: int = 1) -> list[Point]:
        """One point at a time: a descent is a sequence."""
        self._asked = self._inversion.ask()
        return [] if self._asked is None else [self._asked]

    def tell(self, evaluation: Evaluation) -> None:
        self._known[evaluation.point] = evaluation
        if evaluation.point == self._asked:
            self._asked = None
            self._inversion.tell(evaluation)

    def close(self) -> None:
        self._inversion.close()

    def _optimize(self, call: Callable[[Point], Evaluation]) -> None:
        """Starts, then descents from the best of them, for ever: the budget ends it."""

        def evaluate(point: Point) -> Evaluation:
            return self._known[point] if point in self._known else call(point)

        units = self._units()
        while True:
            before = len(self._known)
            tried = [evaluate(point) for point in self._draw(units)]
            feasible = sorted((e for e in tried if e.feasible), key=lambda e: e.cost)
            for start in feasible[: max(1, len(feasible) // 4)]:
                descent = _Descent(self.space, self._free, evaluate, self._spread())
                if self.curvature is not None and not self.space.constrained and start.lower:
                    descent.run_newton(start, self.curvature)
                else:
                    descent.run(start)
            if len(self._known) == before:
                return

    def _units(self) -> Any:
        from scipy.stats import qmc

        if self.space.start is not None:
            yield self.space.to_unit(self.space.start)
        yield np.full(len(self.space.dimensions), 0.5)
        sobol = qmc.Sobol(len(self.space.dimensions), rng=self.rng)
        while True:
            yield from sobol.random(64)

    def _draw(self, units: Any) -> list[Point]:
        points: list[Point] = []
        for _ in range(50 * self._starts):
            point = self.space.draw(next(units))
            if point is not None and point not in points:
                points.append(point)
            if len(points) == self._starts:
                break
        return points

    def _spread(self) -> float:
        costs = [e.cost for e in self._known.values() if e.answered]
        return max(max(costs) - min(costs), 1e-3 * max(1.0, abs(min(costs)))) if costs else 1.0


class _Descent:
    """One local solve in the unit box of the continuous coordinates, the discrete ones held."""

    def __init__(
        self, space: Space, free: NDArray[np.bool_], evaluate: Callable[[Point], Evaluation], spread: float
    ) -> None:
        self._space, self._free, self._evaluate, self._spread = space, free, evaluate, spread
        self._unit = np.zeros(len(free))
        self._last = 0.0

    def run(self, start: Evaluation) -> None:
        from scipy.optimize import minimize

        self._unit = self._space.to_unit(start.point)
        self._last = start.cost
        settings: dict[str, Any] = {"method": "L-BFGS-B", "options": {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000}}
        if self._space.constrained:
            settings = {"method": "SLSQP", "options": {"ftol": 1e-12, "maxiter": 200}}
            settings["constraints"] = self._space.unit_constraints(self._unit, self._free)
        bounds = [(0.0, 1.0)] * int(self._free.sum())
        minimize(self._value, self._unit[self._free], jac=True, bounds=bounds, **settings)

    def run_newton(self, start: Evaluation, curvature: Callable[[Array, Array], Any]) -> None:
        """The same by Newton's method, from products with the Hessian of F."""
        self._unit = self._space.to_unit(start.point)
        free = self._free

        def look(moved: Array) -> tuple[float, Array, Callable[[Array], Array]] | None:
            unit = self._unit.copy()
            unit[free] = moved
            point = self._space.draw(unit)
            evaluation = None if point is None else self._evaluate(point)
            if point is None or evaluation is None or not evaluation.answered or evaluation.gradient is None:
                return None
            product = unit_product(self._space, free, evaluation, curvature)
            slope = np.asarray(evaluation.gradient) * self._space.unit_slopes(point)
            return None if product is None else (evaluation.cost, slope[free], product)

        minimise(look, self._unit[free])

    def _value(self, free: Array) -> tuple[float, Array]:
        """F and its gradient in the free unit coordinates; a high plateau where there is no answer."""
        unit = self._unit.copy()
        unit[self._free] = np.clip(free, 0.0, 1.0)
        point = self._space.draw(unit)
        evaluation = None if point is None else self._evaluate(point)
        if evaluation is None or not evaluation.answered or evaluation.gradient is None:
            return self._last / self._spread + _ROUGH, np.zeros(len(free))
        self._last = evaluation.cost
        slope = np.asarray(evaluation.gradient) * self._space.unit_slopes(evaluation.point)
        # In units of the values seen: the optimizer's tolerances and first step mean the same on every problem.
        return evaluation.cost / self._spread, slope[self._free] / self._spread
