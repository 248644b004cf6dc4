"""Points without an answer, counted by what went wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from bilevel.upper.archive import Evaluation

_NUMBER = re.compile(r"-?\d[\d.]*(?:e[+-]?\d+)?")
_LONGEST = 200  # characters of a reason


def failures_of(history: Iterable[Evaluation]) -> dict[str, int]:
    """How many points of a history have no answer, by reason, the commonest first.

    Messages that differ in their numbers alone are one reason, told as it was met first.
    """
    counts: Counter[str] = Counter()
    told: dict[str, str] = {}
    for evaluation in history:
        if not (evaluation.answered or evaluation.pruned):
            text = " ".join(evaluation.message.split()) or f"the lower level is {evaluation.status}"
            kind = _NUMBER.sub("#", text)
            told.setdefault(kind, text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")
            counts[kind] += 1
    return {told[kind]: count for kind, count in counts.most_common()}
