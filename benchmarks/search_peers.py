"""Other packages' searches, asked as they come: a generator that proposes points and is sent their evaluations.

They know neither constraints over x nor coupling: a point that breaks one is told back as worse than all before.
"""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from bilevel.arrays import Point
from bilevel.solvers.searches.descent.inversion import Inversion
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space

Proposals = Generator[Point | None, Evaluation, None]


class Penalty:
    """F where it counts, else somewhat worse than all that was seen."""

    def __init__(self, space: Space) -> None:
        self._space, self._seen = space, [0.0]

    def __call__(self, evaluation: Evaluation) -> float:
        if evaluation.feasible and self._space.allows(evaluation.point):
            self._seen.append(evaluation.cost)
            return evaluation.cost
        return max(self._seen) + 0.1 * (max(self._seen) - min(self._seen)) + 1e-3


def pysot(space: Space, seed: int, budget: int) -> Proposals:
    """DYCORS on a cubic radial basis surrogate, the package's default of 2 (d + 1) points first."""
    from poap.controller import SerialController
    from pySOT.experimental_design import SymmetricLatinHypercube
    from pySOT.optimization_problems import OptimizationProblem
    from pySOT.strategy import DYCORSStrategy
    from pySOT.surrogate import CubicKernel, LinearTail, RBFInterpolant

    dimension = len(space.dimensions)
    box = OptimizationProblem()
    box.dim, box.lb, box.ub = dimension, np.zeros(dimension), np.ones(dimension)
    box.int_var, box.cont_var = np.array([], dtype=int), np.arange(dimension)

    def optimize(call: Callable[[Any], float]) -> None:
        np.random.seed(seed)  # noqa: NPY002 - it knows no other generator
        design = SymmetricLatinHypercube(dim=dimension, num_pts=max(2 * (dimension + 1), 4))
        model = RBFInterpolant(dim=dimension, lb=box.lb, ub=box.ub, kernel=CubicKernel(), tail=LinearTail(dimension))
        controller = SerialController(objective=lambda unit: call(np.ravel(unit)))
        controller.strategy = DYCORSStrategy(
            max_evals=10 * budget,
            opt_prob=box,
            exp_design=design,
            surrogate=model,
            asynchronous=True,
            use_restarts=True,
        )
        controller.run()

    penalty, inversion = Penalty(space), Inversion(optimize)
    try:
        for _ in range(budget):
            unit = inversion.ask()
            if unit is None:
                break
            inversion.tell(penalty((yield space.from_unit(unit))))
        yield None
    finally:
        inversion.close()


def smac(space: Space, seed: int, budget: int) -> Proposals:
    """The facade for hyperparameters: random forests."""
    from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.main.exceptions import ConfigurationSpaceExhaustedException
    from smac.runhistory.dataclasses import TrialValue

    logging.getLogger("smac").setLevel(logging.ERROR)
    made: list[Any] = []
    for place, d in enumerate(space.dimensions):
        if d.categorical:
            made.append(Categorical(f"x{place}", list(range(int(d.size)))))
        elif d.integer:
            made.append(Integer(f"x{place}", (int(d.lower), int(d.upper))))
        else:
            made.append(Float(f"x{place}", (d.lower, d.upper), log=d.scale == "log"))
    configurations = ConfigurationSpace(seed=seed)
    configurations.add(made)
    penalty = Penalty(space)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scenario = Scenario(configurations, deterministic=True, n_trials=budget, seed=seed, output_directory=folder)
        search = HyperparameterOptimizationFacade(
            scenario, lambda config, seed=0: math.nan, overwrite=True, logging_level=40
        )
        for _ in range(budget):
            try:
                trial = search.ask()
            except (StopIteration, ConfigurationSpaceExhaustedException):
                break
            point = tuple(trial.config[f"x{place}"] for place in range(len(space.dimensions)))
            plain = tuple(int(c) if d.integer else float(c) for c, d in zip(point, space.dimensions, strict=True))
            search.tell(trial, TrialValue(cost=penalty((yield plain))))
    yield None


PEERS: dict[str, tuple[str, Callable[[Space, int, int], Proposals]]] = {
    "pySOT": ("pySOT", pysot),
    "SMAC": ("smac", smac),
}
