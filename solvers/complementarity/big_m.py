"""Complementarity by binaries and big-Ms that are computed and proved, never given, never guessed.

Fortuny-Amat and McCarl (1981, doi 10.1057/jors.1981.156): ``s <= M_s z, mu <= M_mu (1 - z)`` with z binary. With a
wrong M it is a wrong answer that calls itself optimal (Pineda and Morales 2019, doi 10.1109/TPWRS.2019.2892607); the M
here come from :mod:`bilevel.solvers.complementarity.proofs.proved_bounds`, with their proofs, or there is no big-M
model.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from bilevel.contracts.treatment import Treatment
from bilevel.registry import register
from bilevel.solvers.complementarity.proofs.proof_of_pairs import impose_cuts, proofs_of, refuse_unproved, why_no_cuts


@register("big_m")
class BigM(Treatment):
    """Binaries with proved big-Ms: exact, a MILP where both levels are linear (HiGHS).

    Source:      pairs ``0 <= s(x, y) <= M_s``, ``0 <= mu <= M_mu``, ``s mu = 0``
    Target:      ``s <= M_s z``, ``mu <= M_mu (1 - z)``, z binary; the M and what proves them stand in
                 ``complementarity.bounds``
    Exact when:  always: every M is proved
    Refuses:     models with a pair for which no M is proved, by name

    Take it when both levels are linear and M can be proved for every pair, so that HiGHS or any other MILP solver will
    do; where one cannot, take ``sos1``.
    """

    exact = True

    def refusal(self, model: Any) -> str | None:
        return refuse_unproved(model)

    def apply(self, model: Any) -> None:
        _impose(model)


@register("big_m_cut")
class BigMCut(Treatment):
    """As big_m, with strong duality as a linear cut at the root (Kleinert et al. 2020).

    Source:      as ``big_m``
    Target:      as ``big_m``, and the rows ``complementarity.cut``
    Exact when:  always: the cuts hold at every bilevel-feasible point
    Refuses:     as ``big_m``; followers for which there is no such linear row

    Take it when ``big_m`` applies and its bound at the root is weak.
    """

    exact = True

    def refusal(self, model: Any) -> str | None:
        return refuse_unproved(model) or why_no_cuts(model, linear=True)

    def apply(self, model: Any) -> None:
        _impose(model)
        impose_cuts(model, linear=True)


def _impose(model: Any) -> None:
    bounds = proofs_of(model)
    model.complementarity = block = pyo.Block()
    block.bounds = bounds
    block.binary = pyo.Var(pyo.Any, dense=False, domain=pyo.Binary)
    block.slack_side = pyo.Constraint(pyo.Any)
    block.multiplier_side = pyo.Constraint(pyo.Any)
    for pair in model.bilevel_kkt.pairs:
        key = (pair.source, pair.side)
        z, proved = block.binary.add(key), bounds[key]
        block.slack_side.add(key, pair.slack - proved.slack.value * z <= 0)
        block.multiplier_side.add(key, pair.multiplier - proved.multiplier.value * (1 - z) <= 0)
