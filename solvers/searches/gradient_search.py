"""Multi-start descent on the hypergradient, where both levels are smooth.

dF/dx through the follower's optimality costs a few evaluations whatever the number of upper variables
(:mod:`bilevel.sensitivity.hypergradient`), and those of the coupling constraints G(x, y(x)) an adjoint more each; so
Newton's and quasi-Newton methods get far in few points (:mod:`bilevel.solvers.searches.descent.local_solve`). Sobol
starts look for the basin, the best ones are polished in turn, with fresh starts when those are used up. Starts that
break coupling constraints come last, the least broken first, and are led to feasible points.

F and G have kinks where the follower's active set changes. The gradient there is that of one piece, and the descent
goes on with the pieces seen on all sides (:mod:`bilevel.solvers.searches.descent.kink_steps`). Where a follower with
several optima jumps from one to another there is no derivative across the jump, and what is found is the best of the
pieces that were started in. Discrete coordinates are drawn with the start and held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bilevel.arrays import Point
from bilevel.contracts.search import Search
from bilevel.errors import RefusedError
from bilevel.registry import register
from bilevel.solvers.searches.descent.coupling_rows import sides_of
from bilevel.solvers.searches.descent.inversion import Inversion
from bilevel.solvers.searches.descent.local_solve import Descent, is_useful, merit

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space


@register("gradient")
class GradientSearch(Search):
    """Multi-start quasi-Newton descent on the gradient through the lower level; needs smooth levels.

    Parameters
    ----------
    starts : int, optional
        Points tried before each polish; by default an eighth of the budget, 4 to 16.

    Notes
    -----
    Take it when both levels are smooth and evaluations are cheap, above all with many upper variables; where an
    evaluation is dear, ``surrogate`` spends fewer of them on the same gradients.
    """

    uses_gradients = True
    keeps_coupling = True

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
        sides = [] if self.coupling is None else sides_of(*self.coupling)
        while True:
            before = len(self._known)
            tried = [evaluate(point) for point in self._draw(units)]
            ranked = sorted((e for e in tried if is_useful(e)), key=merit)
            for start in ranked[: max(1, len(ranked) // 4)]:
                descent = Descent(self.space, self._free, evaluate, self._spread(), sides)
                if self.curvature is not None and not self.space.constrained and not sides:
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
