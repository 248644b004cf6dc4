"""Any of Optuna's samplers as a search (Akiba et al. 2019): TPE, CMA-ES, its Gaussian process, NSGA-II and the rest.

The sampler sees sequences as integers, names as categories and reals on their scale. It knows neither constraints
over x nor what was proposed before, so a proposal that breaks the first or repeats the second is told back to it (at
a penalty, or at the value already known) and it is asked again; where it insists, a random new point stands in.
"""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from functools import cached_property
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bilevel.arrays import Point
from bilevel.contracts.search import Search
from bilevel.errors import OptionError
from bilevel.registry import register
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.memory import Memory
from bilevel.solvers.searches.model_based.pool import Pool

if TYPE_CHECKING:
    import numpy as np

    from bilevel.upper.archive import Evaluation
    from bilevel.upper.dimension import Dimension
    from bilevel.upper.space import Space

__all__ = ["OptunaSearch"]

_ALIASES = {
    "tpe": "TPESampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
}
_PATIENCE = 20
_GENERATIONS = 8


@register("optuna")
class OptunaSearch(Search):
    """Any sampler of Optuna: sampler="tpe", "cmaes", "gp", "nsga2", "nsga3", "qmc" or a class in optuna.samplers.

    Parameters
    ----------
    sampler : str
        Short name or class name.

    Notes
    -----
    Take it when you know and want one of Optuna's samplers, as in ``optuna:tpe``; with up to a hundred evaluations
    ``surrogate`` mostly gets further.
    """

    fronts = True

    def __init__(
        self, space: Space, rng: np.random.Generator, budget: int | None = None, *, sampler: str = "tpe"
    ) -> None:
        super().__init__(space, rng, budget)
        encoding = Encoding(space)
        self._memory = Memory(encoding)
        self._pool = Pool(encoding, self._memory, rng)
        self._sampler = sampler
        self._made = _sampler(sampler, int(rng.integers(2**31)), budget)
        self._distributions = {d.name: _distribution(d) for d in space.dimensions}
        self._trials: dict[Point, Any] = {}
        self._values: dict[Point, tuple[float, ...]] = {}

    @cached_property
    def _study(self) -> Any:
        """Made when the first point is asked for: how many objectives there are is known by then."""
        return _study(self._made, self.objectives)

    def ask(self, count: int = 1) -> list[Point]:
        return self._memory.gather(count, self._next)

    def _next(self) -> Point | None:
        start = self.space.start
        if start is not None and start not in self._memory.seen:
            return start
        for _ in range(_PATIENCE):
            trial = self._ask()
            point = self.space.canonical(tuple(_coordinate(d, trial.params[d.name]) for d in self.space.dimensions))
            if not self.space.allows(point):
                self._study.tell(trial, self._penalty(1.0))
                # A projection is worth evaluating; the sampler learns it as a point of its own.
                point = self.space.draw(self.space.to_unit(point)) or point
                if self.space.allows(point) and point not in self._memory.seen:
                    return point
            elif point in self._memory.seen:
                self._study.tell(trial, self._values.get(point, self._penalty(0.0)))
            else:
                self._trials[point] = trial
                return point
        return self._pool.any()

    def _ask(self) -> Any:
        try:
            return self._study.ask(self._distributions)
        except ValueError as error:  # BruteForceSampler's word on a real variable
            raise OptionError(f"sampler={self._sampler!r} does not take this space: {error}") from None

    def tell(self, evaluation: Evaluation) -> None:
        point = evaluation.point
        if not self._memory.tell(evaluation):
            return
        if evaluation.pruned:
            self._tell_pruned(evaluation)
            return
        violation = evaluation.upper_violation if evaluation.answered else 1.0
        costs = (evaluation.cost,) if self.objectives == 1 else evaluation.costs
        value = costs if evaluation.feasible else self._penalty(violation)
        self._values[point] = value
        trial = self._trials.pop(point, None)
        if trial is not None:
            self._study.tell(trial, value)
        else:
            self._add(point, value)

    def _tell_pruned(self, evaluation: Evaluation) -> None:
        """As Optuna is told of a pruned trial: by how far it got, and what may be expected of it."""
        from optuna.trial import TrialState, create_trial

        trial = self._trials.pop(evaluation.point, None)
        known = bool(evaluation.reports) and math.isfinite(evaluation.estimate)
        curve = {int(evaluation.reports[-1][0]): evaluation.estimate} if known else {}
        if trial is not None:
            for step, value in curve.items():
                trial.report(value, step)
            self._study.tell(trial, state=TrialState.PRUNED)
            return
        values = {d.name: _parameter(d, c) for d, c in zip(self.space.dimensions, evaluation.point, strict=True)}
        own: dict[str, Any] = {"params": values, "distributions": self._distributions, "intermediate_values": curve}
        self._study.add_trial(create_trial(state=TrialState.PRUNED, **own))

    def _penalty(self, violation: float) -> tuple[float, ...]:
        """Worse than all that was told: failures and broken constraints are data; a sampler forgets failed trials."""
        told = [value for value in self._values.values() if all(map(math.isfinite, value))]
        found = []
        for known in zip(*told, strict=True) if told else [(0.0,)] * self.objectives:
            found.append(max(known) + 0.1 * (max(known) - min(known)) + math.log1p(max(violation, 0.0)))
        return tuple(found)

    def _add(self, point: Point, value: tuple[float, ...]) -> None:
        """Show the sampler a point that is not its own."""
        from optuna.trial import create_trial

        values = {d.name: _parameter(d, c) for d, c in zip(self.space.dimensions, point, strict=True)}
        self._study.add_trial(create_trial(params=values, distributions=self._distributions, values=value))


def _is_known(dimension: Dimension) -> bool:
    """Whether Optuna takes the values of a category as they are; the others are told by their number."""
    kinds = (type(None), bool, int, float, str)
    return all(type(value) in kinds for value in dimension.values or ())


def _parameter(dimension: Dimension, coordinate: float) -> Any:
    return dimension.value(coordinate) if dimension.categorical and _is_known(dimension) else coordinate


def _coordinate(dimension: Dimension, parameter: Any) -> float:
    if dimension.categorical and _is_known(dimension):
        return dimension.coordinate(parameter)
    return int(parameter) if dimension.integer else float(parameter)


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.categorical:
        values = dimension.values or ()
        return CategoricalDistribution(values if _is_known(dimension) else range(len(values)))
    if dimension.integer:
        return IntDistribution(int(dimension.lower), int(dimension.upper))
    return FloatDistribution(dimension.lower, dimension.upper, log=dimension.scale == "log")


def _study(sampler: Any, objectives: int) -> Any:
    """A study in memory, created without a line in the log."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study: Any = optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
    finally:
        optuna.logging.set_verbosity(level)
    study.stop = lambda: None  # a sampler that has tried all asks for it; here it is the space that knows
    return study


def _sampler(name: str, seed: int, budget: int | None) -> Any:
    """The sampler by name, with what it knows of seed, silence, an exact objective and a population for the budget."""
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    kind = getattr(samplers, _ALIASES.get(name, name), None)
    if not (inspect.isclass(kind) and issubclass(kind, samplers.BaseSampler)) or kind is samplers.BaseSampler:
        known = [n for n in dir(samplers) if n.endswith("Sampler") and not n.startswith("Base")]
        raise OptionError(f"sampler={name!r}: it is one of {', '.join([*_ALIASES, *known])}")
    _insist_on_packages(name, kind)
    parameters = inspect.signature(kind.__init__).parameters
    needed = [p.name for p in list(parameters.values())[1:] if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if needed:
        raise OptionError(f"sampler={name!r} needs {', '.join(needed)}, which only a program can give; take another")
    wishes: dict[str, Any] = {
        "seed": seed,
        "scramble": True,
        "warn_independent_sampling": False,
        "deterministic_objective": True,
        "population_size": max(8, min(50, (budget or 400) // _GENERATIONS)),
    }
    if "warn_independent_sampling" in parameters and parameters["warn_independent_sampling"].default is None:
        del wishes["warn_independent_sampling"]  # deprecated there, and silent by default
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # whoever names a sampler knows what it is
            return kind(**{key: wishes[key] for key in wishes if key in parameters})
    except ImportError as error:
        raise OptionError(f"sampler={name!r} needs a package that is not installed: {error}") from None


def _insist_on_packages(name: str, kind: type) -> None:
    """Refuse now a sampler whose package is missing: Optuna imports it when the random points at the start are over."""
    wanted = [value.__name__ for value in vars(sys.modules[kind.__module__]).values() if isinstance(value, ModuleType)]
    for package in dict.fromkeys(module.partition(".")[0] for module in wanted):
        if package not in sys.modules and find_spec(package) is None:
            raise OptionError(
                f"sampler={name!r} needs the package {package}, which is not installed: pip install {package}"
            )
