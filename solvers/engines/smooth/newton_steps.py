"""What Newton's method does alike with and without constraints: where it starts, what it believes, when it ends."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.engine import Solver
from bilevel.deadline import passed
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program
from bilevel.programs.smooth_form import smooth_form

ITERATIONS = 60

_ENERGY = 1e-22  # d'Hd relative to y'Hy at which y is right to eleven digits
_STEP = 1e-9  # of y, the same in its own units
_REDUCED = 1e-24  # d'Hd relative to the largest met
_NOISE = 1e-13  # of f: what is predicted to be gained is less than its rounding
_SETTLED = 1e-6  # of y: a longer step at the end says that there is no optimum, or that f is flat
_PIVOT = 1e-8  # of a Cholesky factor, squared, relative to the diagonal: with less there may be other optima
_LIFT = 1e-8  # added to a diagonal that is not surely definite, relative to it
_INSIDE = 1e-2  # how far from its bounds a second start lies


@dataclass(frozen=True)
class _Descent:
    """When a step is accepted."""

    share: float = 1e-4
    noise: float = 1e-14
    blind: float = 1e-8
    shortest: float = 1e-9

    def falls(self, new: float, old: float, slope: float) -> bool:
        """Whether f is lower by a share of what its slope promises, up to rounding; not where it is no number."""
        return new <= old - self.share * slope + self.noise * max(1.0, abs(old))

    def shorter(self, length: float, new: float, old: float, slope: float) -> float:
        """Where a parabola through old value, slope and new value is lowest; less by a fixed share where f has none."""
        if not math.isfinite(new):
            return 0.9 * length if length == 1.0 else 0.5 * length  # towards the edge of a domain
        above = new - old + length * slope
        return length * min(max(0.5 * length * slope / above, 0.1), 0.6) if above > 0.0 else 0.5 * length


DESCENT = _Descent()


class Progress:
    """Whether another step would bring anything."""

    def __init__(self) -> None:
        self._largest = 0.0
        self._last = math.inf

    def ended(self, decrement: float, y: Array, step: Array, hessian: Array, objective: float) -> bool:
        """Given ``d'Hd`` at y: no more digits to gain, or only rounding left."""
        self._largest = max(self._largest, decrement)
        stuck = decrement >= 0.25 * self._last and decrement <= _NOISE * max(1.0, abs(objective))
        self._last = decrement
        if stuck or decrement <= _REDUCED * self._largest:
            return True
        if decrement > _ENERGY * float(y @ (hessian @ y)):
            return False
        return float(np.abs(step).max()) <= _STEP * float(np.abs(y).max())


def settled(y: Array, step: Array, decrement: float, objective: float) -> bool:
    """Whether the end of the steps is an optimum: exp(y) has none, and is never nearer to one."""
    near = float(np.abs(step).max()) <= _SETTLED * tolerances.scale(float(np.abs(y).max()))
    return near and decrement <= 1e-9 * tolerances.scale(objective)


def surely_definite(factor: Array, hessian: Array) -> bool:
    """Whether a Cholesky factor says that its matrix is definite beyond doubt, in units with ones on the diagonal."""
    pivots = factor.diagonal()
    return bool((pivots * pivots > _PIVOT * hessian.diagonal()).all())


def lifted(hessian: Array, gradient: Array) -> Array | None:
    """A semidefinite Hessian made definite; None where it is no number, or zero as the gradient is.

    Where there is no curvature at all (a linear objective, rows without multipliers yet) a step as long as one.
    """
    diagonal = hessian.diagonal()
    largest = float(diagonal.max())
    if largest == 0.0:
        added = np.full(len(diagonal), float(np.abs(gradient).max()))
    else:
        added = _LIFT * np.maximum(diagonal, _LIFT * largest)
    found: Array = hessian + np.diag(added)
    return found if (added > 0.0).all() and math.isfinite(float(found.sum())) else None


def start_of(program: Program, start: Array | None) -> Iterator[Array]:
    """Where to begin, one after the other: the point given, the program's own, away from the bounds, away from zero."""
    own = program.start if program.start is not None else np.zeros(program.n)
    own = np.clip(own, program.lower, program.upper)
    if start is not None and np.isfinite(start).all():
        yield np.clip(start, program.lower, program.upper)
    yield own
    width = np.minimum(program.upper - program.lower, 1.0) * _INSIDE
    inside = np.clip(own, program.lower + width, program.upper - width)
    if (inside != own).any():
        yield inside
    yield np.clip(own + 1.0, program.lower + width, program.upper - width)


class NewtonSolver(Solver):
    """What both of Newton's solvers do around their steps: try one start after the other.

    Attributes
    ----------
    iterations : int
        Of the last call.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._form = smooth_form(program)
        self.iterations = 0

    def __call__(self, parameters: Array, start: Array | None = None, time_limit: float | None = None) -> Answer:
        self._form.at(parameters)
        self.iterations = 0
        with np.errstate(all="ignore"):  # steps leave domains, and what is no number is seen there
            for y in start_of(self._program, start):
                if passed():
                    break
                answer = self._from(y)
                if answer is not None:
                    return answer
        return Answer(Status.REFUSED, message="Newton's method does not settle")

    @abstractmethod
    def _from(self, y: Array) -> Answer | None:
        """Iterate; None where it comes to nothing."""
