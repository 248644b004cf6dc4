"""Complementarity as what it is, a disjunction: ``s = 0`` or ``mu = 0``, transformed by ``pyomo.gdp``.

Balas (1979), *Disjunctive programming*. The big-M and the hull relaxation of ``{s = 0, 0 <= mu <= M_mu}`` or
``{mu = 0, 0 <= s <= M_s}`` agree once the slack is a variable: both are ``s / M_s + mu / M_mu <= 1``. The hull needs
that variable and adds copies of both; it stands here for models that are to be handed on.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
import pyomo.gdp as gdp

from bilevel.contracts.treatment import Treatment
from bilevel.registry import register
from bilevel.solvers.complementarity.proofs.proof_of_pairs import proofs_of, refuse_unproved


@register("disjunction")
class Disjunctions(Treatment):
    """A pyomo.gdp Disjunction per pair, by gdp.bigm with proved bounds: exact, a MILP where all is linear (HiGHS).

    Source:      pairs ``0 <= s(x, y) <= M_s``, ``0 <= mu <= M_mu``, ``s mu = 0``
    Target:      a Disjunction ``s <= 0`` or ``mu <= 0`` each, relaxed by ``gdp.bigm`` with M_s and M_mu
    Exact when:  always: every M is proved
    Refuses:     models with a pair for which no M is proved, by name

    Take it when the single-level model is to stay a program of Pyomo's gdp; the rows are those of ``big_m``, and
    ``hull`` is tighter with more variables.
    """

    exact = True

    def refusal(self, model: Any) -> str | None:
        return refuse_unproved(model)

    def apply(self, model: Any) -> None:
        block = _disjunctions(model, lifted=False)
        sizes = {}
        for key, proved in block.bounds.items():
            sizes[block.slack_is_zero[key].row] = (None, proved.slack.value)
            sizes[block.multiplier_is_zero[key].row] = (None, proved.multiplier.value)
        pyo.TransformationFactory("gdp.bigm").apply_to(model, targets=[block], bigM=sizes)


@register("hull")
class Hull(Treatment):
    """A pyomo.gdp Disjunction per pair, by gdp.hull over proved bounds: exact, a MILP where all is linear (HiGHS).

    Source:      pairs ``0 <= s(x, y) <= M_s``, ``0 <= mu <= M_mu``, ``s mu = 0``
    Target:      a variable ``0 <= t <= M_s`` with ``t = s(x, y)``, and the hull of ``t <= 0`` or ``mu <= 0``
    Exact when:  always: every M is proved
    Refuses:     models with a pair for which no M is proved, by name

    Take it when the relaxation of ``disjunction`` is too weak and a variable more for each pair is no burden.
    """

    exact = True

    def refusal(self, model: Any) -> str | None:
        return refuse_unproved(model)

    def apply(self, model: Any) -> None:
        block = _disjunctions(model, lifted=True)
        pyo.TransformationFactory("gdp.hull").apply_to(model, targets=[block])


def _disjunctions(model: Any, lifted: bool) -> Any:
    """The block ``complementarity`` with a disjunction per pair, over the slack itself or a variable equal to it."""
    bounds = proofs_of(model)
    model.complementarity = block = pyo.Block()
    block.bounds = bounds
    block.pairs = pyo.Set(initialize=list(bounds), dimen=2)
    block.slack = pyo.Var(pyo.Any, dense=False)
    block.definition = pyo.Constraint(pyo.Any)
    block.slack_is_zero, block.multiplier_is_zero = gdp.Disjunct(block.pairs), gdp.Disjunct(block.pairs)
    block.either = gdp.Disjunction(
        block.pairs, rule=lambda b, *key: [b.slack_is_zero[key], b.multiplier_is_zero[key]], xor=True
    )
    for pair in model.bilevel_kkt.pairs:
        key, slack = (pair.source, pair.side), pair.slack
        if lifted:
            slack = block.slack.add(key)
            slack.setlb(0.0)
            slack.setub(bounds[key].slack.value)
            pair.multiplier.setub(bounds[key].multiplier.value)
            block.definition.add(key, slack - pair.slack == 0)
        block.slack_is_zero[key].row = pyo.Constraint(expr=slack <= 0)
        block.multiplier_is_zero[key].row = pyo.Constraint(expr=pair.multiplier <= 0)
    return block
