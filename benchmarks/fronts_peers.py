"""BoTorch's search for fronts as one of ours, so that the same loop, history and verification stand around it.

A process for each objective and the log of the expected hypervolume improvement under noise (Ament, Daulton, Eriksson,
Balandat and Bakshy 2023), at the settings of the package's own tutorial: 2 (d + 1) Sobol points first, 10 starts out
of 512 raw samples, the reference point inferred from the front. It knows neither constraints nor categories.
"""

from __future__ import annotations

import warnings

import numpy as np

from bilevel.arrays import Point
from bilevel.contracts.search import Search
from bilevel.registry import register
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space


@register("botorch")
class BotorchSearch(Search):
    """qLogNEHVI of BoTorch; take it to compare, ``gp`` to solve."""

    fronts = True

    def __init__(self, space: Space, rng: np.random.Generator, budget: int | None = None) -> None:
        super().__init__(space, rng, budget)
        import torch

        torch.manual_seed(int(rng.integers(2**31)))
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)
        dimension = len(space.dimensions)
        sobol = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=int(rng.integers(2**31)))
        self._first = list(sobol.draw(2 * (dimension + 1)).numpy().astype(float))
        self._units: list[np.ndarray] = []
        self._costs: list[tuple[float, ...]] = []

    def ask(self, count: int = 1) -> list[Point]:
        unit = self._first.pop(0) if self._first else self._proposed()
        return [self.space.from_unit(unit)]

    def tell(self, evaluation: Evaluation) -> None:
        if evaluation.feasible:
            self._units.append(self.space.to_unit(evaluation.point))
            self._costs.append(evaluation.costs)

    def _proposed(self) -> np.ndarray:
        import torch
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import ModelListGP, SingleTaskGP
        from botorch.models.transforms.outcome import Standardize
        from botorch.optim import optimize_acqf
        from botorch.utils.multi_objective.hypervolume import infer_reference_point
        from botorch.utils.multi_objective.pareto import is_non_dominated
        from gpytorch.mlls import SumMarginalLogLikelihood

        x, y = torch.tensor(np.array(self._units)), -torch.tensor(np.array(self._costs))  # it maximises
        model = ModelListGP(*(SingleTaskGP(x, y[:, [k]], outcome_transform=Standardize(1)) for k in range(y.shape[1])))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
            gain = qLogNoisyExpectedHypervolumeImprovement(
                model=model,
                ref_point=infer_reference_point(y[is_non_dominated(y)]),
                X_baseline=x,
                prune_baseline=True,
            )
            box = torch.stack([torch.zeros(x.shape[1]), torch.ones(x.shape[1])])
            found, _ = optimize_acqf(gain, bounds=box, q=1, num_restarts=10, raw_samples=512)
        return found[0].detach().numpy().astype(float)
