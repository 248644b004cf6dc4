"""The last evaluations: the incumbent's neighbours on the lattice, the most promising first.

When all have been tried the incumbent is a local minimum of the lattice, which is a claim a user can check; a better
neighbour found on the way becomes the incumbent, and its neighbours are next.
"""

from __future__ import annotations

from bilevel.arrays import Point
from bilevel.solvers.searches.model_based.candidates import neighbours
from bilevel.solvers.searches.model_based.pool import Pool
from bilevel.solvers.surrogates.radial_basis import RadialBasis

_SHARE = 5


class PolishStep:
    """Proposes neighbours of the incumbent at lattice distance one."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def reserve(self, budget: int) -> int:
        """How many evaluations to keep for this step: a neighbourhood, and at most a fifth of the budget."""
        encoding = self._pool.encoding
        return min(2 * int(encoding.ordered.sum()) + int(encoding.steps[encoding.categorical].sum()), budget // _SHARE)

    def propose(self, explore: bool = False) -> Point | None:
        """The neighbour with the lowest prediction; None where all are known or there is no feasible point."""
        memory, encoding = self._pool.memory, self._pool.encoding
        if not memory.feasible.any():
            return None
        units = neighbours(encoding, self._pool.centres(1)[0], reach=1)
        if not len(units):
            return None
        model = RadialBasis()
        model.fit(encoding.features(memory.units), memory.targets())
        mean, _ = model.predict(encoding.features(units))
        return self._pool.choose(units, -mean, move=False)
