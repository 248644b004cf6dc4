"""Complementarity by products: ``s mu <= 0``, the statement itself.

With ``s >= 0`` and ``mu >= 0`` this is ``s mu = 0`` (Luo, Pang and Ralph 1996, *Mathematical Programs with Equilibrium
Constraints*, section 1.1). No constraint qualification holds at any feasible point (Scheel and Scholtes 2000, doi
10.1287/moor.25.1.1.15213), which troubles local engines and leaves a global one, that relaxes products over boxes,
alone. An inequality, because that is what such an engine needs to state.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from bilevel.contracts.treatment import Treatment
from bilevel.registry import register
from bilevel.solvers.complementarity.proofs.proof_of_pairs import bound_multipliers


@register("product")
class Product(Treatment):
    """Products of slack and multiplier at most zero: exact, needs a nonconvex global engine (SCIP).

    Source:      pairs ``0 <= s(x, y)``, ``0 <= mu``, ``s mu = 0``
    Target:      a row ``s(x, y) mu <= 0`` each; bounds on the multipliers where they are proved
    Exact when:  always; an engine with the row tolerance t lets both be ``sqrt(t)``: its bound may be weak, not wrong
    Refuses:     nothing

    Take it when an engine branches on products but knows no special ordered sets; where it does know them, ``sos1``
    leaves less to numerical tolerances.
    """

    exact = True

    def apply(self, model: Any) -> None:
        bounds = bound_multipliers(model)
        model.complementarity = block = pyo.Block()
        block.bounds = bounds
        block.product = pyo.Constraint(pyo.Any)
        for pair in model.bilevel_kkt.pairs:
            block.product.add((pair.source, pair.side), pair.slack * pair.multiplier <= 0)
