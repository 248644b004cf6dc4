"""Complementarity by one smooth equation: the Fischer-Burmeister function, smoothed and sharpened in steps.

``phi(s, mu) = s + mu - sqrt(s^2 + mu^2)`` is zero exactly where ``s >= 0, mu >= 0, s mu = 0`` (Fischer 1992, doi
10.1080/02331939208843795), and has a kink at the origin. ``phi_eps = s + mu - sqrt(s^2 + mu^2 + 2 eps)`` is smooth, and
zero exactly where ``s > 0, mu > 0, s mu = eps`` (Kanzow 1996, doi 10.1137/S0895479894273134): a central path, followed
as eps falls. For bilevel problems Fukushima and Pang (1999, doi 10.1007/978-3-642-45780-7_7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyomo.environ as pyo

from bilevel.contracts.treatment import Treatment
from bilevel.registry import register

_SCHEDULE = (1e-1, 1e-2, 1e-4, 1e-6, 1e-8)


@register("fischer_burmeister")
class FischerBurmeister(Treatment):
    """One smoothed equation per pair, sharpened in steps: for local engines (Ipopt).

    Source:      pairs ``0 <= s(x, y)``, ``0 <= mu``, ``s mu = 0``
    Target:      ``s + mu = sqrt(s^2 + mu^2 + 2 epsilon)`` with the mutable Param ``complementarity.epsilon``, which
                 goes down ``schedule``
    Exact when:  never for a positive epsilon: its points have ``s mu = epsilon``; the limit of its local solutions is
                 stationary
    Refuses:     nothing

    Take it when equations suit the local engine better than inequalities that shrink, or as a second opinion beside
    ``scholtes``, which is the more reliable one.
    """

    exact = False

    def apply(self, model: Any) -> None:
        model.complementarity = block = pyo.Block()
        block.epsilon = pyo.Param(mutable=True, initialize=_SCHEDULE[-1])
        block.equation = pyo.Constraint(pyo.Any)
        for pair in model.bilevel_kkt.pairs:
            s, mu = pair.slack, pair.multiplier
            root = pyo.sqrt(s**2 + mu**2 + 2 * block.epsilon)
            block.equation.add((pair.source, pair.side), s + mu - root == 0)

    def schedule(self) -> Sequence[float]:
        return _SCHEDULE
