"""Surrogate searches: a cheap model of F over the upper space says where the next lower level is worth solving.

Three searches on one course (:mod:`.model_based.course`): cubic radial functions with DYCORS candidates (Regis and
Shoemaker 2013), a Gaussian process with logarithmic expected improvement (Jones et al. 1998; Ament et al. 2023), and
both in turn. The radial functions are the surer guide to the first improvements and the process to the last digits;
in turn with them it has a quadratic trend while there are values only, so that the first dozens of points go further.
Where there are categories a step of its own chooses among them first (:mod:`.model_based.category_step`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from bilevel.arrays import Point
from bilevel.contracts.search import Search
from bilevel.errors import OptionError
from bilevel.registry import register
from bilevel.solvers.searches.model_based.acquisition import ACQUISITIONS, Acquisition
from bilevel.solvers.searches.model_based.category_step import CategoryStep, few_combinations
from bilevel.solvers.searches.model_based.course import Course, Options
from bilevel.solvers.searches.model_based.front_course import FrontCourse
from bilevel.solvers.searches.model_based.gaussian_process_step import GaussianProcessStep
from bilevel.solvers.searches.model_based.radial_basis_step import RadialBasisStep

if TYPE_CHECKING:
    import numpy as np

    from bilevel.upper.archive import Evaluation
    from bilevel.upper.space import Space

__all__ = ["GaussianProcessSearch", "RadialBasisSearch", "SurrogateSearch"]


class _OnCourse(Search):
    """What the three do alike: a course is asked and told. What it alternates between is each one's own.

    Parameters
    ----------
    options : Options
        Of the course.
    """

    _trend: ClassVar[bool] = False
    """Whether the processes of a front have a quadratic trend."""

    def __init__(self, space: Space, rng: np.random.Generator, budget: int | None, options: Options) -> None:
        super().__init__(space, rng, budget)
        self._course = Course(space, rng, budget, options, lambda: self.curvature)
        self.welcomes_gradients = self._course.descends
        self._options = options

    @cached_property
    def _taken(self) -> Course | FrontCourse:
        """The course, or that of a front: how many objectives there are is known once the first point is asked for."""
        if self.objectives == 1:
            return self._course
        return FrontCourse(self.space, self.rng, self.budget, self._options, self.objectives, self._trend)

    @property
    def stalled(self) -> bool:
        """Whether it stopped because no improvement is to be expected."""
        return self._taken.stalled

    @property
    def remark(self) -> str:
        return self._taken.remark

    def ask(self, count: int = 1) -> list[Point]:
        return self._taken.ask(count)

    def tell(self, evaluation: Evaluation) -> None:
        self._taken.tell(evaluation)

    def elsewhere(self, point: Point, *, ended: bool = False) -> None:
        self._course.memory.elsewhere(point, ended)


@register("rbf")
class RadialBasisSearch(_OnCourse):
    """Cubic radial basis surrogate with candidates by dynamic coordinate search.

    Parameters
    ----------
    initial : int, optional
        Size of the initial design; by default 10, or a third of a smaller budget.
    polish : bool, optional
        False takes no steps down dF/dx, which by default are every other one where F has a gradient; True keeps besides
        the last evaluations for the incumbent's neighbours on the lattice.

    Notes
    -----
    Take it when asking must cost little beside evaluations of some milliseconds; where these are dearer, ``gp`` needs
    fewer of them.
    """

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        budget: int | None = None,
        *,
        initial: int | None = None,
        polish: bool | None = None,
    ) -> None:
        # Without a process beside them the radial functions gain from closing in sooner; the process does not.
        super().__init__(space, rng, budget, replace(_options(budget, initial, polish), horizon=50, every=5))
        self._course.steps = [RadialBasisStep(self._course.pool)]


@register("gp")
class GaussianProcessSearch(_OnCourse):
    """Gaussian process surrogate with logarithmic expected improvement.

    Parameters
    ----------
    initial : int, optional
        Size of the initial design; by default 10, or a third of a smaller budget.
    acquisition : {"log_ei", "ei", "pi", "lcb", "ucb"}
        What makes a point worth trying.
    polish : bool, optional
        False takes no steps down dF/dx, which by default are every other one where F has a gradient; True keeps besides
        the last evaluations for the incumbent's neighbours on the lattice.
    stop_when : {"improvement"}, optional
        Stop where the expected improvement is below ``tolerance``, whatever is left of the budget.
    tolerance : float
        In standard deviations of the values seen.

    Notes
    -----
    Take it when an evaluation is dear and one model is to guide every step, an acquisition of your choice included;
    ``surrogate``, which changes between this model and another, mostly needs fewer evaluations.
    """

    fronts = True

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        budget: int | None = None,
        *,
        initial: int | None = None,
        acquisition: str = "log_ei",
        polish: bool | None = None,
        stop_when: str | None = None,
        tolerance: float = 1e-4,
    ) -> None:
        super().__init__(space, rng, budget, _options(budget, initial, polish, stop_when, tolerance))
        chosen = _acquisition(acquisition, stop_when)
        self._course.steps = [GaussianProcessStep(self._course.pool, chosen)]


@register("surrogate")
class SurrogateSearch(_OnCourse):
    """Gaussian process and radial basis steps in turn: the default for expensive lower levels.

    Parameters
    ----------
    initial : int, optional
        Size of the initial design; by default 10, or a third of a smaller budget.
    acquisition : {"log_ei", "ei", "pi", "lcb", "ucb"}
        What makes a point worth trying to the Gaussian process.
    polish : bool, optional
        False takes no steps down dF/dx, which by default are every other one where F has a gradient; True keeps besides
        the last evaluations for the incumbent's neighbours on the lattice.
    stop_when : {"improvement"}, optional
        Stop where the expected improvement is below ``tolerance``, whatever is left of the budget.
    tolerance : float
        In standard deviations of the values seen.

    Notes
    -----
    Take it when an evaluation is dear, from some ten milliseconds on; where evaluations are cheap and smooth,
    ``gradient`` is faster.
    """

    fronts = True
    _trend = True

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        budget: int | None = None,
        *,
        initial: int | None = None,
        acquisition: str = "log_ei",
        polish: bool | None = None,
        stop_when: str | None = None,
        tolerance: float = 1e-4,
    ) -> None:
        super().__init__(space, rng, budget, _options(budget, initial, polish, stop_when, tolerance))
        chosen, course = _acquisition(acquisition, stop_when), self._course
        # Where there are categories a trend gained nothing.
        named = bool(course.encoding.categorical.any())
        process = GaussianProcessStep(course.pool, chosen, trend=not named)
        radial = RadialBasisStep(course.pool)
        course.steps = [process, radial]
        if few_combinations(course.encoding):
            # Only the process knows when no improvement is to be expected.
            course.steps = [CategoryStep(course.pool, process), radial, radial, process]
        elif named:
            # The process learns how much each category matters, the radial functions cannot.
            course.steps = [process, process, radial]


def _options(
    budget: int | None, initial: int | None, polish: bool | None, stop_when: str | None = None, tolerance: float = 1e-4
) -> Options:
    if initial is not None and initial < 1:
        raise OptionError(f"initial={initial}: the design needs at least one point")
    if polish and budget is None:
        raise OptionError(
            "polish keeps the last evaluations back, and a stored study, which can go on, has no last ones"
        )
    if stop_when not in (None, "improvement"):
        raise OptionError(f"stop_when={stop_when!r}: it is improvement, or left out")
    if not tolerance > 0:
        raise OptionError(f"tolerance={tolerance}: it must be positive")
    return Options(initial, polish is not False, bool(polish), -math.inf if stop_when is None else math.log(tolerance))


_ALSO = {"ei": "log_ei", "ucb": "lcb"}  # the same points are best


def _acquisition(name: str, stop_when: str | None) -> Acquisition:
    name = _ALSO.get(name, name)
    if name not in ACQUISITIONS:
        raise OptionError(f"acquisition={name!r}: it is one of {', '.join(ACQUISITIONS)}")
    if stop_when == "improvement" and name != "log_ei":
        raise OptionError(f"stop_when=improvement measures expected improvement: take acquisition=log_ei, not {name}")
    return ACQUISITIONS[name]
