"""One local solve of the gradient search, in the unit box of the continuous coordinates, the discrete ones held.

By Newton's method (:mod:`bilevel.solvers.searches.descent.box_newton`) where products with the Hessian are to be had;
by L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995); or by sequential quadratic programming where constraints hold x or couple
it to the answer (SLSQP, Kraft 1988). A point that breaks coupling constraints is led back by descent on half the sum
of their squared excesses where the quadratic programs do not do it themselves. Where a kink stops the first two, steps
across kinks go on (:mod:`bilevel.solvers.searches.descent.kink_steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array, Point
from bilevel.solvers.searches.descent.box_newton import minimise, unit_product
from bilevel.solvers.searches.descent.coupling_rows import Side
from bilevel.solvers.searches.descent.kink_steps import Piece, cross

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space

_WALL = 1e-3  # what a failed point counts as beyond its mirror image, in units of the spread of values seen
_ROUGH = 1e6  # squared excess of the constraints at a failed point
_WALLS = 3  # points without an answer that an optimizer may try
_ROUNDS = 5  # of smooth steps and steps across kinks, each from where the last one stopped
_GAIN = 1e-6  # what a round must gain by the latter for another one, in units of the spread of values seen
_STEPS = 40  # across kinks, at most
_QUASI_NEWTON: dict[str, Any] = {"method": "L-BFGS-B", "options": {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000}}
_SEQUENTIAL: dict[str, Any] = {"method": "SLSQP", "options": {"ftol": 1e-12, "maxiter": 200}}


class _AtTheWall(Exception):
    """Too many points without an answer: the steps across kinks know how to walk along the edge."""


class Descent:
    """Goes down from a start as far as it gets.

    Parameters
    ----------
    space : Space
        The upper search space.
    free : ndarray of bool, shape (d,)
        Which coordinates may move.
    evaluate : callable
        Gives the evaluation of a point.
    spread : float
        Of the values of F seen: the unit in which F is minimised, so that an optimizer's tolerances and first step
        mean the same on every problem.
    sides : sequence of Side
        Of the coupling constraints.
    """

    def __init__(
        self,
        space: Space,
        free: NDArray[np.bool_],
        evaluate: Callable[[Point], Evaluation],
        spread: float,
        sides: list[Side],
    ) -> None:
        self._space, self._free, self._evaluate, self._spread, self._sides = space, free, evaluate, spread, sides
        self._unit = np.zeros(len(free))
        self._here: Evaluation | None = None
        self._best: Evaluation | None = None
        self._seen: dict[Point, Evaluation] = {}
        self._walls: list[Array] = []
        self._met = 0

    def run(self, start: Evaluation) -> None:
        """By first derivatives."""
        self._best = start
        coupling = [self._constraint(side) for side in self._sides]
        for _ in range(_ROUNDS):
            self._minimise(self._value, self._best, coupling)
            if not self._best.feasible:
                self._minimise(self._excess, self._best, [])
                self._minimise(self._value, self._best, coupling)
            stopped = self._best
            cross(self._look, [self._piece(e) for e in self._seen.values()], self._walls, _STEPS)
            if not self._best.feasible or stopped.cost - self._best.cost <= _GAIN * self._spread:
                return

    def run_newton(self, start: Evaluation, curvature: Callable[[Array, Array], Any]) -> None:
        """By Newton's method, from products with the Hessian of F."""
        self._unit = self._space.to_unit(start.point)
        free = self._free

        def look(moved: Array) -> tuple[float, Array, Callable[[Array], Array]] | None:
            evaluation = self._at(moved)
            if evaluation is None:
                return None
            product = unit_product(self._space, free, evaluation, curvature)
            return None if product is None else (evaluation.cost, self._slope(evaluation), product)

        minimise(look, self._unit[free])

    def _minimise(
        self, function: Callable[[Array], tuple[float, Array]], start: Evaluation, coupling: list[dict[str, Any]]
    ) -> None:
        from scipy.optimize import minimize

        self._here, self._met = start, 0
        self._unit = self._space.to_unit(start.point)
        settings = dict(_QUASI_NEWTON)
        if self._space.constrained or coupling:
            settings = dict(_SEQUENTIAL)
            settings["constraints"] = [*self._space.unit_constraints(self._unit, self._free), *coupling]
        bounds = [(0.0, 1.0)] * int(self._free.sum())
        with suppress(_AtTheWall):
            minimize(function, self._unit[self._free], jac=True, bounds=bounds, **settings)

    def _at(self, moved: Array) -> Evaluation | None:
        """What the space's point nearest to free unit coordinates came to; None where it has no use."""
        unit = self._unit.copy()
        unit[self._free] = np.clip(moved, 0.0, 1.0)
        point = self._space.draw(unit)
        evaluation = None if point is None else self._evaluate(point)
        if evaluation is None or not is_useful(evaluation):
            return None
        self._here = evaluation
        self._seen[evaluation.point] = evaluation
        if self._best is None or merit(evaluation) < merit(self._best):
            self._best = evaluation
        return evaluation

    def _value(self, moved: Array) -> tuple[float, Array]:
        """F and its gradient in the free unit coordinates; where there is no answer, a wall.

        Behind it F rises as it fell in front of it, so that a line search that interpolates comes back half the way,
        not to where it started.
        """
        evaluation = self._at(moved)
        if evaluation is None:
            assert self._here is not None
            here = self._piece(self._here)
            self._walls.append(np.clip(moved, 0.0, 1.0))
            self._met += 1
            if self._met >= _WALLS:
                raise _AtTheWall
            fall = float(here.slope @ (moved - here.unit))
            return here.value + abs(fall) + _WALL, -np.sign(fall) * here.slope
        return evaluation.cost / self._spread, self._slope(evaluation) / self._spread

    def _excess(self, moved: Array) -> tuple[float, Array]:
        """Half the sum of squared excesses of the coupling constraints and its gradient; a plateau as for F."""
        evaluation = self._at(moved)
        if evaluation is None:
            return _ROUGH, np.zeros(len(moved))
        total, slope = 0.0, np.zeros(len(moved))
        for side in self._sides:
            excess = side.excess(np.asarray(evaluation.coupling))
            total += 0.5 * float(excess @ excess)
            slope += excess @ side.slope(self._jacobian(evaluation))
        return total, slope

    def _look(self, moved: Array) -> Piece | None:
        evaluation = self._at(moved)
        return None if evaluation is None else self._piece(evaluation)

    def _piece(self, evaluation: Evaluation) -> Piece:
        """What an evaluation says in the free unit coordinates."""
        unit = self._space.to_unit(evaluation.point)[self._free]
        slope = self._slope(evaluation)
        room, slopes = [np.zeros(0)], [np.zeros((0, len(unit)))]
        for side in self._sides:
            value, by_unit = side.value(np.asarray(evaluation.coupling)), side.slope(self._jacobian(evaluation))
            room += [value, -value] if side.kind == "eq" else [value]
            slopes += [by_unit, -by_unit] if side.kind == "eq" else [by_unit]
        rooms = np.concatenate(room), np.vstack(slopes)
        return Piece(unit, evaluation.cost / self._spread, slope / self._spread, *rooms, evaluation.feasible)

    def _slope(self, evaluation: Evaluation) -> Array:
        """Of F in the free unit coordinates."""
        by_x = np.asarray(evaluation.gradient) * self._space.unit_slopes(evaluation.point)
        return np.asarray(by_x[self._free])

    def _jacobian(self, evaluation: Evaluation) -> Array:
        """Of the coupling constraints in the free unit coordinates, shape (m, free)."""
        by_x = np.asarray(evaluation.jacobian) * self._space.unit_slopes(evaluation.point)
        return np.asarray(by_x[:, self._free])

    def _constraint(self, side: Side) -> dict[str, Any]:
        """One side as SciPy takes it; where there is no answer, as at the last point that had one."""

        def value(moved: Array) -> Array:
            evaluation = self._at(moved) or self._here
            assert evaluation is not None
            return side.value(np.asarray(evaluation.coupling))

        def slope(moved: Array) -> Array:
            evaluation = self._at(moved) or self._here
            assert evaluation is not None
            return side.slope(self._jacobian(evaluation))

        return {"type": side.kind, "fun": value, "jac": slope}


def is_useful(evaluation: Evaluation) -> bool:
    """Whether a descent can start there or step there: F and all derivatives are numbers."""
    if not evaluation.answered or evaluation.gradient is None or not np.isfinite(evaluation.gradient).all():
        return False
    if evaluation.coupling is None or evaluation.jacobian is None:
        return True
    return bool(np.isfinite(evaluation.coupling).all() and np.isfinite(evaluation.jacobian).all())


def merit(evaluation: Evaluation) -> tuple[bool, float]:
    """What to sort by: feasible points first, by F; then the others, by their violation."""
    return not evaluation.feasible, evaluation.cost if evaluation.feasible else evaluation.upper_violation
