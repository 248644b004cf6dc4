"""What treatments that need proved bounds have in common: the refusal that names the pairs, and the cuts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pyomo.environ as pyo

from bilevel.contracts.treatment import GIVEN
from bilevel.solvers.complementarity.proofs.compiled_conditions import CompiledConditions
from bilevel.solvers.complementarity.proofs.duality_rows import cut, why_no_duality
from bilevel.solvers.complementarity.proofs.proved_bounds import LARGEST, Bound, PairBounds, Relaxation, bounds_of_pairs

_NAMED = 4


def proofs_of(model: Any) -> dict[tuple[str, str], PairBounds]:
    """The bounds of a model's pairs, computed once: they stay on its conditions' block.

    What a user knows of multipliers takes part only here, after all proofs are made.
    """
    block = model.bilevel_kkt
    if "proved_bounds" not in block.__dict__:
        block.proved_bounds = {key: _with_given(key, bounds, block) for key, bounds in bounds_of_pairs(model).items()}
    found: dict[tuple[str, str], PairBounds] = block.proved_bounds
    return found


def _with_given(key: tuple[str, str], bounds: PairBounds, block: Any) -> PairBounds:
    known = block.given.get(key, math.inf)
    return replace(bounds, multiplier=Bound(known, GIVEN)) if known < bounds.multiplier.value else bounds


def bound_multipliers(model: Any) -> dict[tuple[str, str], PairBounds]:
    """Give the multipliers the bounds that are proved, which a global engine needs to relax their products.

    Without them SCIP's relaxations of products are empty statements, and its linear programs break down over them.
    """
    proved = proofs_of(model)
    for pair in model.bilevel_kkt.pairs:
        value = proved[pair.source, pair.side].multiplier.value
        if math.isfinite(value) and (pair.multiplier.ub is None or value < pair.multiplier.ub):
            pair.multiplier.setub(value)
    return proved


def refuse_unproved(model: Any) -> str | None:
    """Why there is no big-M for some pair, with the pairs' names; None where all have one."""
    missing = []
    for (source, side), proved in proofs_of(model).items():
        if proved.usable:
            continue
        what = [f"slack: {proved.slack}"] if proved.slack.value > LARGEST else []
        what += [f"multiplier: {proved.multiplier}"] if proved.multiplier.value > LARGEST else []
        missing.append(f"{source} {side} ({', '.join(what)})")
    if not missing:
        return None
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return (
        f"no usable big-M is proved for {len(missing)} of {len(proofs_of(model))} pairs: {', '.join(missing[:_NAMED])}"
        f"{more}; bound the variables of both levels more tightly, give what you know of the multipliers"
        " (dual_bounds={...}), or use complementarity='sos1', which needs no bounds"
    )


def why_no_cuts(model: Any, linear: bool) -> str | None:
    """Why there is no strong duality cut (a linear one, if only that will do); None where there is one."""
    compiled = CompiledConditions(model)
    reason = why_no_duality(compiled)
    if reason is not None:
        return reason
    relaxation = Relaxation(compiled)
    rows = {}
    for part in compiled.parts:
        row = cut(compiled, relaxation, part, linear)
        if row is not None and any(compiled.sides[k][1] != "equality" for k in part.columns):
            rows[compiled.answers[part.rows[0]].name] = row
    model.bilevel_kkt.proved_cuts = rows
    if rows:
        return None
    return (
        f"there is no {'linear ' if linear else ''}strong duality cut: a function of x next to a multiplier is"
        " unbounded, moves in an equality, or f is not linear in y alone; leave the _cut away"
    )


def impose_cuts(model: Any, linear: bool) -> None:
    """Add the strong duality cuts to the block ``complementarity``."""
    if "proved_cuts" not in model.bilevel_kkt.__dict__:
        why_no_cuts(model, linear)
    block = model.complementarity
    block.cut = pyo.Constraint(pyo.Any)
    for name, row in model.bilevel_kkt.proved_cuts.items():
        block.cut.add(name, row <= 0)
