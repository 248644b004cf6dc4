"""Complementarity by a sequence of smooth relaxations.

Scholtes (2001), *Convergence properties of a regularization scheme for mathematical programs with complementarity
constraints*, SIAM J. Optim. 11, doi 10.1137/S1052623499361233: ``s >= 0, mu >= 0, s mu <= eps`` for a sequence of eps
that falls to zero. Each problem has interior points, which the original never has. Stationary points of the sequence
tend to C-stationary points of the original, under MPEC-LICQ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyomo.environ as pyo

from bilevel.contracts.treatment import Treatment
from bilevel.registry import register

_SCHEDULE = (1e-1, 1e-2, 1e-4, 1e-6, 1e-8)


@register("scholtes")
class Scholtes(Treatment):
    """Products at most epsilon, driven to zero: smooth, for local engines (Ipopt).

    Source:      pairs ``0 <= s(x, y)``, ``0 <= mu``, ``s mu = 0``
    Target:      ``s(x, y) mu <= epsilon`` with the mutable Param ``complementarity.epsilon``, which goes down
                 ``schedule``
    Exact when:  never for a positive epsilon, hence the bound of a relaxed problem proves nothing about the pairs; the
                 limit of its local solutions is stationary
    Refuses:     nothing

    Take it when the model is too large for a proof and a good point is enough; ``fischer_burmeister`` is worth a try
    where its relaxations stall.
    """

    exact = False

    def apply(self, model: Any) -> None:
        model.complementarity = block = pyo.Block()
        block.epsilon = pyo.Param(mutable=True, initialize=_SCHEDULE[-1])
        block.product = pyo.Constraint(pyo.Any)
        for pair in model.bilevel_kkt.pairs:
            # epsilon stands in the body: the compiled form takes bounds for numbers
            block.product.add((pair.source, pair.side), pair.slack * pair.multiplier - block.epsilon <= 0)

    def schedule(self) -> Sequence[float]:
        return _SCHEDULE
