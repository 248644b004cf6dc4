"""Our searches as samplers of Optuna: ``optuna.create_study(sampler=SurrogateSampler(seed=0))``.

An objective written for ``study.optimize`` is searched by the surrogates of this package: radial basis functions at
first, a Gaussian process when it has seen enough, mixed variables as lattices. Parameters that every trial had are
searched together; those that only some had (branches of a define-by-run objective) are drawn at random, as all are in
the first trial, whose parameters nobody knows beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pyomo.environ as pyo
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import TrialState

from bilevel import registry
from bilevel.contracts.search import Search
from bilevel.language.domains import set_scale
from bilevel.language.lower_level import LowerLevel
from bilevel.programs.answer import Status
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

__all__ = ["SurrogateSampler"]

_CONSTRAINTS = "constraints"
_LONGEST = 1000  # members of a list; beyond that a step is left to rounding


class SurrogateSampler(BaseSampler):
    """A sampler of Optuna that asks one of our searches.

    Parameters
    ----------
    method : str
        Name of a search: ``surrogate``, ``gp``, ``rbf``, ``de``, ...
    seed : int, optional
        Of every random choice.
    constraints_func : callable, optional
        ``constraints_func(trial) -> values``, at most 0 where they hold, as Optuna's own samplers take it. Constraints
        that a trial sets itself count as well.
    **options
        The search's own.

    Examples
    --------
    >>> import optuna
    >>> from bilevel.optuna import SurrogateSampler
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(sampler=SurrogateSampler(seed=0))
    >>> study.optimize(lambda trial: (trial.suggest_float("x", -3, 3) - 1) ** 2, n_trials=20)
    >>> study.best_value < 0.01
    True
    """

    def __init__(
        self,
        method: str = "surrogate",
        *,
        seed: int | None = None,
        constraints_func: Callable[[FrozenTrial], Sequence[float]] | None = None,
        **options: Any,
    ) -> None:
        self._kind = registry.get(Search, method)
        self._options = options
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=int(self._rng.integers(2**31)))
        self._constraints = constraints_func
        self._common = IntersectionSearchSpace()
        self._asking: _Asking | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What every trial so far had, and may vary."""
        return {n: d for n, d in self._common.calculate(study).items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The point that the search proposes; none where it has no more."""
        if len(study.directions) > 1:
            raise ValueError("SurrogateSampler has one objective; take optuna.samplers.NSGAIISampler for several")
        if not search_space:
            return {}
        if self._asking is None or self._asking.distributions != search_space:
            rng = np.random.default_rng(int(self._rng.integers(2**63)))
            self._asking = _Asking(self._kind, self._options, dict(search_space), rng)
        self._asking.learn(study)
        return self._asking.ask()

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value: of a parameter that only some trials have."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Note what the constraints are worth."""
        if self._constraints is not None and state in (TrialState.COMPLETE, TrialState.PRUNED):
            found = tuple(map(float, self._constraints(trial)))
            study._storage.set_trial_system_attr(trial._trial_id, _CONSTRAINTS, found)

    def reseed_rng(self) -> None:
        """Other random choices than before: called by Optuna in each of its processes."""
        self._rng = np.random.default_rng()
        self._random.reseed_rng()


class _Asking:
    """A search over some parameters, and which trials it was told."""

    def __init__(
        self,
        kind: type[Search],
        options: Mapping[str, Any],
        distributions: dict[str, BaseDistribution],
        rng: np.random.Generator,
    ) -> None:
        self.distributions = distributions
        self._columns = [_Column(name, distribution) for name, distribution in distributions.items()]
        self._space = _space(self._columns)
        self._search = kind(self._space, rng, None, **options)
        self._told: set[int] = set()

    def learn(self, study: Study) -> None:
        """Tell the search of every trial that ended since."""
        sense = -1.0 if study.direction is optuna.study.StudyDirection.MAXIMIZE else 1.0
        for trial in study.get_trials(deepcopy=False):
            if trial.number in self._told or not trial.state.is_finished():
                continue
            self._told.add(trial.number)
            if all(name in trial.params for name in self.distributions):
                self._search.tell(self._evaluation(trial, sense))

    def _evaluation(self, trial: FrozenTrial, sense: float) -> Evaluation:
        point = tuple(column.coordinate(trial.params[column.name]) for column in self._columns)
        found = Evaluation(trial.number, point, self._space.values(point))
        value = trial.value if trial.state is TrialState.COMPLETE else None
        if value is None and trial.state is TrialState.PRUNED and trial.intermediate_values:
            value = trial.intermediate_values[max(trial.intermediate_values)]
        if value is not None and math.isfinite(value):
            found.status, found.upper_objective, found.cost = Status.OPTIMAL, value, sense * value
            found.upper_violation = max([0.0, *_violations(trial)])
        return found

    def ask(self) -> dict[str, Any]:
        """The next point, by parameter."""
        asked = self._search.ask(1)
        return {c.name: c.value(place) for point in asked for c, place in zip(self._columns, point, strict=True)}


def _violations(trial: FrozenTrial) -> list[float]:
    """What the constraints of a trial are worth, in this Optuna's form or an older one's."""
    found: Any = getattr(trial, _CONSTRAINTS, None)
    if found is None:
        found = trial.system_attrs.get(_CONSTRAINTS, ())
    return [float(value) for value in (found.values() if isinstance(found, Mapping) else found)]


class _Column:
    """A parameter as one coordinate."""

    def __init__(self, name: str, distribution: Any) -> None:
        self.name, self.distribution = name, distribution
        step = getattr(distribution, "step", None)
        self.members: list[Any] | None = None
        if isinstance(distribution, optuna.distributions.CategoricalDistribution):
            self.members = list(distribution.choices)
        elif step is not None and (step != 1 or isinstance(distribution, optuna.distributions.FloatDistribution)):
            count = round((distribution.high - distribution.low) / step) + 1
            self.members = [distribution.low + k * step for k in range(count)] if count <= _LONGEST else None

    def variable(self) -> Any:
        """The upper variable that it is."""
        d = self.distribution
        if isinstance(d, optuna.distributions.CategoricalDistribution):
            return pyo.Var(within=pyo.Set(initialize=[f"choice {k}" for k in range(len(d.choices))]))
        if self.members is not None:
            return pyo.Var(within=pyo.Set(initialize=self.members))
        if isinstance(d, optuna.distributions.IntDistribution):
            return pyo.Var(within=pyo.Integers, bounds=(d.low, d.high))
        return pyo.Var(bounds=(d.low, d.high))

    def value(self, coordinate: float) -> Any:
        """The parameter at a coordinate."""
        if self.members is not None:
            return self.members[int(coordinate)]
        whole = isinstance(self.distribution, optuna.distributions.IntDistribution)
        return int(coordinate) if whole else float(coordinate)

    def coordinate(self, value: Any) -> float:
        """Where a parameter's value lies."""
        if self.members is None:
            return value  # type: ignore[no-any-return]
        if isinstance(self.distribution, optuna.distributions.CategoricalDistribution):
            return int(self.distribution.to_internal_repr(value))
        return int(np.argmin([abs(member - value) for member in self.members]))


def _space(columns: Sequence[_Column]) -> Space:
    """The space of some parameters, as that of a model whose follower is a function."""
    model = pyo.ConcreteModel()
    for k, column in enumerate(columns):
        variable = column.variable()
        model.add_component(f"p{k}", variable)
        if column.members is None and column.distribution.log and variable.is_continuous():
            set_scale(variable, "log")
    model.lower = LowerLevel(response=lambda x: {"y": 0.0})
    model.lower.y = pyo.Var()
    model.obj = pyo.Objective(expr=model.lower.y)
    return Space(Compilation.of(Problem.read(model)))
