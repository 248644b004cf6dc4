"""What is to be said of a test loss (``report_once``): rows that F or the training reads too, a second look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bilevel.language.trials.once import looked_at, reported_of
from bilevel.language.trials.shared_rows import shared_rows
from bilevel.reading.problem import Problem


def of_the_test(problem: Problem, model: Any) -> Iterator[str]:
    """Lines for the notes of a result whose model reports something once; counts the look."""
    reported = reported_of(model)
    if not reported:
        return
    above = [objective.expr for objective in problem.objectives or (problem.objective,)]
    below = [f.written.objective.expr for f in problem.followers if f.written.objective is not None]
    for name, body in reported.items():
        for place, expressions in (("F", above), ("the training", below)):
            shared, whole = shared_rows([body], expressions)
            if shared:
                yield (
                    f"{name}: {shared} of its {whole} rows are read by {place} as well, so that it is no test; keep"
                    " rows apart that neither level reads"
                )
    looks = looked_at(model)
    if looks > 1:
        yield (
            f"{', '.join(reported)} was looked at for the {_nth(looks)} time: a choice between runs by it makes it one"
            " more validation loss; choose by F, and look once"
        )


def _nth(count: int) -> str:
    return {2: "second", 3: "third"}.get(count, f"{count}th")
