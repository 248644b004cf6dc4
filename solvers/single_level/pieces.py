"""A few pairs, taken apart: one ordinary program for every choice of which of each pair is zero.

Where F multiplies variables that nothing bounds (a price that is a multiplier of an equality, say) a relaxation with
the pairs in it is unbounded, and a solver may branch for ever without a bound. Once one of each pair is held at zero,
stationarity often ties such variables to bounded ones. The least bound over all choices is one on the whole.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace

import numpy as np

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.programs.answer import Answer, Status
from bilevel.programs.program import Program

MOST_PAIRS = 5
_LEAST = 0.5  # seconds for a piece


def solved_by_pieces(program: Program, engine: str, time_limit: float) -> Answer | None:
    """The best point and the least bound; None where there are too many pairs, or some piece has no bound.

    Parameters
    ----------
    program : Program
        Without parameters, its pairs special ordered sets of two.
    engine : str
        Name of one that proves its answers.
    time_limit : float
        Seconds for all of them.
    """
    if not 0 < len(program.sos1) <= MOST_PAIRS or any(len(members) != 2 for members in program.sos1):
        return None
    until = time.monotonic() + time_limit
    best, bound = Answer(Status.INFEASIBLE), math.inf
    for zero in itertools.product(*program.sos1):
        lower, upper = program.lower.copy(), program.upper.copy()
        if (lower[list(zero)] > 0.0).any() or (upper[list(zero)] < 0.0).any():
            continue
        lower[list(zero)] = upper[list(zero)] = 0.0
        piece = replace(program, lower=lower, upper=upper, sos1=())
        left = until - time.monotonic()
        if left < _LEAST:
            return None
        answer = registry.get(Engine, engine)().prepare(piece)(np.zeros(0), None, left)
        if answer.status is Status.INFEASIBLE:
            continue
        if answer.status is not Status.OPTIMAL or not math.isfinite(answer.bound):
            return None
        bound = min(bound, answer.bound)
        if best.y is None or answer.objective < best.objective:
            best = answer
    return best if best.y is None else replace(best, bound=min(bound, best.objective))
