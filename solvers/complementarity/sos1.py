"""Complementarity by special ordered sets: at most one of slack and multiplier is nonzero.

Beale and Tomlin (1970); for bilevel problems Siddiqui and Gabriel (2013, doi 10.1007/s11067-012-9171-5) and Kleinert
and Schmidt (2023, doi 10.1007/s10287-023-00435-5), who find it a match for big-M, whose constants it does not need.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from bilevel.contracts.treatment import Treatment
from bilevel.registry import register
from bilevel.solvers.complementarity.proofs.compiled_conditions import CompiledConditions
from bilevel.solvers.complementarity.proofs.dual_objective import state_by_duals
from bilevel.solvers.complementarity.proofs.duality_rows import why_no_duality
from bilevel.solvers.complementarity.proofs.proof_of_pairs import bound_multipliers, impose_cuts, proofs_of, why_no_cuts


@register("sos1")
class SOS1(Treatment):
    """Special ordered sets: exact, needs an engine that branches on them (SCIP).

    Source:      pairs ``0 <= s(x, y)``, ``0 <= mu``, ``s mu = 0``
    Target:      a variable ``t >= 0`` with ``t = s(x, y)`` (the slack itself where it is a variable with the lower
                 bound 0), and the set {t, mu} of type 1: at most one of them nonzero
    Exact when:  always
    Refuses:     nothing

    Take it when the pairs are to be exact and nothing is known of their multipliers; where a row of strong duality
    exists, ``sos1_cut`` starts from a better bound.
    """

    exact = True

    def apply(self, model: Any) -> None:
        block = model.bilevel_kkt
        weighted = len(block.weight) > 0  # multipliers that share a weight are bounded by that
        if block.given:
            proofs_of(model)  # what is given and proved besides costs no certificate
        if not weighted and why_no_duality(CompiledConditions(model)) is not None:
            bound_multipliers(model)
        _impose(model)


@register("sos1_cut")
class SOS1Cut(Treatment):
    """As sos1, with strong duality as a cut at the root (Kleinert et al. 2020).

    Source:      as ``sos1``
    Target:      as ``sos1``, and the rows ``complementarity.cut`` of
                 :mod:`bilevel.solvers.complementarity.proofs.duality_rows`; products of x and y in F by the dual
                 objective where :mod:`bilevel.solvers.complementarity.proofs.dual_objective` has a form with fewer of
                 them
    Exact when:  always: the cuts hold at every bilevel-feasible point
    Refuses:     constraints that are not affine in y; followers for which there is no such row

    Take it when the lower constraints are affine in y and the bound at the root is weak; it refuses what has no such
    row, which ``sos1`` takes.
    """

    exact = True

    def refusal(self, model: Any) -> str | None:
        return why_no_cuts(model, linear=False)

    def apply(self, model: Any) -> None:
        compiled = CompiledConditions(model)
        if model.bilevel_kkt.given:
            proofs_of(model)
        _impose(model)
        impose_cuts(model, linear=False)
        state_by_duals(model, compiled)


def _impose(model: Any) -> None:
    """Sets on the block ``complementarity``."""
    pairs = model.bilevel_kkt.pairs
    model.complementarity = block = pyo.Block()
    block.slack = pyo.Var(pyo.Any, dense=False, domain=pyo.NonNegativeReals)
    block.definition = pyo.Constraint(pyo.Any)
    members = {}
    for pair in pairs:
        key = (pair.source, pair.side)
        slack = pair.slack.expr
        if not _is_nonnegative_variable(slack):
            slack = block.slack.add(key)
            block.definition.add(key, slack - pair.slack == 0)
        members[key] = [slack, pair.multiplier]
    block.pairs = pyo.Set(initialize=list(members), dimen=2)
    block.sets = pyo.SOSConstraint(block.pairs, rule=lambda _, *key: members[key], sos=1)


def _is_nonnegative_variable(slack: Any) -> bool:
    return hasattr(slack, "is_variable_type") and slack.is_variable_type() and not slack.fixed and slack.lb == 0
