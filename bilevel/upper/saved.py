"""Work that was spared by stopping evaluations early, counted in what was stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bilevel.upper.archive import Evaluation


def saved_of(history: Sequence[Evaluation]) -> dict[str, Any]:
    """What pruning spared; empty where nothing was pruned.

    Returns
    -------
    dict
        ``pruned`` of ``points``; ``spared`` of ``whole`` in ``unit``: followers' solves where points were stopped by a
        proof, the fidelity where one is declared (what the first looks took counted in), steps as they were reported
        elsewhere, of which a stopped point would have had as many as the longest.
    """
    pruned = [evaluation for evaluation in history if evaluation.pruned]
    if not pruned:
        return {}
    counts = {"pruned": len(pruned), "points": len(history)}
    known = [evaluation.spared for evaluation in history if evaluation.spared]
    if known:
        unit = "solves of followers" if any(math.isfinite(e.bound) for e in pruned) else "fidelity"
        return {**counts, "spared": sum(left for left, _ in known), "whole": known[0][1] * len(history), "unit": unit}
    steps = [_steps(evaluation) for evaluation in history if evaluation.answered and evaluation.reports]
    longest = max([*steps, *map(_steps, pruned)])
    spared = sum((longest - _steps(evaluation) for evaluation in pruned), 0.0)
    return {**counts, "spared": spared, "whole": sum(steps) + longest * len(pruned), "unit": "steps"}


def _steps(evaluation: Evaluation) -> float:
    """How far it got."""
    return evaluation.reports[-1][0] if evaluation.reports else 0.0
