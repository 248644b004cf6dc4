"""Fronts by search: every point tried is a candidate, and those that nothing tried dominates are verified."""

from __future__ import annotations

from dataclasses import replace

from bilevel import registry
from bilevel.api.asking import SEARCH_PATH
from bilevel.api.auto.choosing import walk
from bilevel.contracts.finding import Finding
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.convexity.uniqueness import not_unique
from bilevel.programs.compilation import Compilation
from bilevel.reading.several.objectives import SeveralObjectives
from bilevel.upper.space import Space

ENUMERATED = 1000  # points of a space up to which ``auto`` tries them all


def can_be_enumerated(several: SeveralObjectives, budget: int | None) -> bool:
    """Whether the space is finite and small, and every point of it has one answer that is proved."""
    if any(var.is_continuous() and not var.domain.isfinite() for var in several.whole.variables):
        return False
    if any(follower.response is not None for follower in several.whole.followers):
        return False
    size = Space(Compilation.of(several.whole)).size
    return size <= (ENUMERATED if budget is None else budget) and unique_answers(several)


def unique_answers(several: SeveralObjectives) -> bool:
    """Whether the followers' answer is proved unique for every x, as far as any objective sees it."""
    return not several.whole.multipliers and not not_unique(Compilation.of(several.whole))


def searched(several: SeveralObjectives, settings: Settings, observer: Observer) -> Finding:
    """Run a search on all objectives at once.

    Raises
    ------
    RefusedError
        If it knows one objective alone.
    """
    return walk(registry.get(Path, SEARCH_PATH), several.whole, settings, observer)


def enumerated(several: SeveralObjectives, settings: Settings, observer: Observer) -> Finding:
    """Try every point of a finite space."""
    size = int(Space(Compilation.of(several.whole)).size)
    return searched(several, replace(settings, method="grid", budget=size, options={}), observer)
