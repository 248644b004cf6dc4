"""Fronts by descents: weighted sums of the objectives, one after the other along the front, each begun at the last.

    min_x  sum_j w_j F_j(x, y(x)) / r_j,      w spread over the simplex

(Das and Dennis 1997). The ends come first, which gives the ranges r. What lies in a dent of the front is the optimum of
no weighted sum (Das and Dennis 1997, sec. 3); every point evaluated is a candidate all the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bilevel import registry
from bilevel.api.asking import SEARCH_PATH
from bilevel.api.auto.choosing import DESCENT, walk
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.deadline import passed
from bilevel.errors import OptionError
from bilevel.language.domains import give
from bilevel.reading.several.objectives import SeveralObjectives
from bilevel.upper.front import ends, nondominated, ranges_of

_BUDGET = 200
_EACH = 12  # evaluations of one descent, about
_LEAST = 1e-3  # the weight of the others at an end: none of the optima is dominated


def descended(several: SeveralObjectives, settings: Settings, observer: Observer) -> Finding:
    """Run the gradient search on weighted sums.

    Raises
    ------
    RefusedError
        If it does not take the problem.
    """
    if settings.study is not None:
        raise OptionError("a front by descents is several searches, which no one study holds; leave study out")
    budget, count = settings.budget or _BUDGET, len(several)
    runs = max(count + 1, budget // _EACH)
    found: Finding | None = None
    width = np.ones(count)
    for k, weights in enumerate(_weights(count, runs)):
        done = 0 if found is None else len(found.archive)
        left = budget - done
        if left <= 0 or (passed() and found is not None):
            break
        share = max(2, left // max(1, runs - k))
        options = settings.options if k < count else {"starts": 1, **settings.options}
        asked = replace(settings, method=DESCENT, budget=min(share, left), options=options)
        problem = several.scalarised((np.array(weights) / width).tolist(), {})
        new = walk(registry.get(Path, SEARCH_PATH), problem, asked, observer)
        found = new if found is None else _joined(found, new)
        for var in problem.variables:
            if new.upper is not None:
                give(var, new.upper[var.name])
        costs = np.array([e.costs for e in found.archive if e.feasible])
        if k == count - 1 and len(costs):
            width = ranges_of(*ends(costs[nondominated(costs)]))
        if new.termination in (Termination.INTERRUPTED, Termination.TIME_LIMIT):
            break
    assert found is not None
    found.claim = Verdict.BEST_FOUND
    return found


def _weights(count: int, runs: int) -> Iterator[tuple[float, ...]]:
    """The ends, then weights over the simplex so that each lies near the one before."""
    for i in range(count):
        yield tuple(1.0 if j == i else _LEAST for j in range(count))
    steps = 1
    while math.comb(steps + count - 1, count - 1) - count < runs - count:
        steps += 1
    for whole in itertools.product(range(steps + 1), repeat=count):  # from the end that came last on
        if sum(whole) == steps and max(whole) < steps:
            yield tuple(max(part / steps, _LEAST) for part in whole)


def _joined(found: Finding, new: Finding) -> Finding:
    found.archive.extend(new.archive)
    found.termination = new.termination
    found.notes += [note for note in new.notes if note not in found.notes]
    return found
