"""A step for categories: first which combination of levels, then what is best within it.

A process over everything locks in on the first combination that does well, tunes it to its last digits and leaves the
others, whose good values lie in corners that nobody has looked at. This step chooses the combination with the lowest

    b_c - k / sqrt(n_c + 1)

where b_c is the best cost seen with it (what the process predicts at best where it was never tried) and n_c how often
it was tried, an optimistic index as for the arms of a bandit (Auer, Cesa-Bianchi and Fischer 2002). Within it the
acquisition is measured against the combination's own incumbent, so that a promising one is tuned before it wins.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from bilevel.arrays import Array, Point
from bilevel.solvers.searches.model_based.encoding import Encoding
from bilevel.solvers.searches.model_based.gaussian_process_step import GaussianProcessStep
from bilevel.solvers.searches.model_based.pool import Pool

_MOST = 15
"""So many combinations are few enough for each to be a choice of its own: a few dozen evaluations try each more than
once. Of more (four flags have sixteen) the process learns which levels are good, whatever they are combined with."""
_OPTIMISM = 2.0
_TRIED = 8
_LOOKS = 32
_WIDE = 256
_LOCAL = 512
_MOVING = 0.7
_CENTRES = 3


def few_combinations(encoding: Encoding) -> bool:
    """Whether there are categories, and no more combinations of their levels than this step is for."""
    sizes = encoding.steps[encoding.categorical] + 1
    return len(sizes) > 0 and float(np.prod(sizes)) <= _MOST


class CategoryStep:
    """Proposes within the combination of levels that might yet be the best.

    Parameters
    ----------
    pool : Pool
        Of a space with :func:`few_combinations`.
    process : GaussianProcessStep
        Whose process and acquisition are used.
    """

    def __init__(self, pool: Pool, process: GaussianProcessStep) -> None:
        self._pool, self._process = pool, process
        encoding = pool.encoding
        self._named = np.flatnonzero(encoding.categorical)
        levels = [np.arange(encoding.steps[k] + 1) / encoding.steps[k] for k in self._named]
        rows = np.full((math.prod(map(len, levels)), len(encoding)), 0.5)
        rows[:, self._named] = list(itertools.product(*levels))
        self._combinations = np.unique(encoding.snap(rows)[:, self._named], axis=0)
        self.promise = math.inf

    def propose(self, explore: bool) -> Point | None:
        """The next point; to explore is what it does anyway."""
        memory, encoding = self._pool.memory, self._pool.encoding
        self._process.fit()
        named = memory.units[:, None, self._named]
        tried = (np.abs(named - self._combinations) < 0.5 / encoding.steps[self._named]).all(axis=2)
        counted = tried & memory.feasible[:, None]
        best = np.where(counted, memory.targets()[:, None], np.inf).min(axis=0)
        best = np.where(np.isfinite(best), best, self._predicted())
        promising = np.argsort(best - _OPTIMISM / np.sqrt(tried.sum(axis=0) + 1.0), kind="stable")
        for c in promising[:_TRIED]:
            point = self._within(int(c), counted[:, c])
            if point is not None:
                return point
        return None

    def _predicted(self) -> Array:
        """The lowest of a few predictions with each combination, shape (number of combinations,)."""
        looks = np.repeat(self._pool.anywhere(_LOOKS)[None], len(self._combinations), axis=0)
        looks[:, :, self._named] = self._combinations[:, None]
        flat = self._pool.encoding.snap(looks.reshape(-1, looks.shape[2]))
        return np.asarray(self._process.predict(flat).reshape(len(self._combinations), -1).min(axis=1))

    def _within(self, c: int, own: NDArray[np.bool_]) -> Point | None:
        """The best new point with one combination."""
        pool, encoding = self._pool, self._pool.encoding
        whole, targets = pool.whole(), pool.memory.targets()
        incumbent = float(targets[own].min()) if own.any() else None
        if whole is not None:
            here = np.abs(whole[:, self._named] - self._combinations[c]) < 0.5 / encoding.steps[self._named]
            units = whole[here.all(axis=1)]
        else:
            units = pool.anywhere(_WIDE)
            if own.any():
                ranked = [k for k in pool.memory.ranked() if own[k]][:_CENTRES]
                units = np.vstack([units, pool.dycors.around(pool.memory.units[ranked], _LOCAL, _MOVING)])
            units[:, self._named] = self._combinations[c]
            units = encoding.snap(units)
        return self._process.best_of(units, incumbent, climb=whole is None) if len(units) else None
