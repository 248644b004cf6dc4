"""What is to be said of a search: a grid over reals, a design that is too small, an answer at the end of a range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bilevel import registry
from bilevel.contracts.search import Search
from bilevel.contracts.settings import Settings
from bilevel.language.trials.fidelity import is_fidelity
from bilevel.reading.problem import Problem
from bilevel.results.result import Result
from bilevel.upper.dimension import Dimension

_END = 1e-6  # of a range, that counts as its end
_NAMED = 4


def of_a_run(problem: Problem, result: Result, settings: Settings) -> Iterator[str]:
    """Lines for the notes of a result; nothing where it comes from no search."""
    space = [d for d in result.space if d.size > 1]
    if not space or not result.history:
        return
    if settings.method == "grid":
        yield from _grid(result, space)
    if settings.method in registry.catalogue(Search) and registry.get(Search, settings.method).learns:
        yield from _small_design(settings, space)
    if result.upper and result.verdict.holds_a_point:
        functions = any(follower.response is not None for follower in problem.followers)
        chosen = [d for d in space if (functions or d.scale == "log") and d.name not in _fidelities(problem)]
        yield from _at_an_end(result, chosen)


def _grid(result: Result, space: Sequence[Dimension]) -> Iterator[str]:
    reals = [d.name for d in space if not d.integer]
    if reals:
        place = [d.name for d in result.space].index(reals[0])
        tried = len({evaluation.point[place] for evaluation in result.history})
        yield (
            f"grid: {_listed(reals)} {'is' if len(reals) == 1 else 'are'} continuous, and {tried} values of"
            f" {reals[0]} were tried; method='surrogate' or 'random' looks between them, or say by"
            " bilevel.discretize(var, values) which are meant"
        )


def _small_design(settings: Settings, space: Sequence[Dimension]) -> Iterator[str]:
    """A start from fewer points than show a direction, one more than there are variables."""
    least, initial = len(space) + 1, settings.options.get("initial")
    if isinstance(initial, int) and initial < least:
        yield (
            f"initial={initial}: a first design of {least} points is the least that shows a direction in"
            f" {len(space)} variables; leave initial out"
        )
    elif settings.budget is not None and settings.budget <= least:
        yield (
            f"budget={settings.budget}: hardly more points than the {len(space)} variables, so that {settings.method}"
            f" learns next to nothing; give it {3 * least} or more, or fewer variables"
        )


def _at_an_end(result: Result, space: Sequence[Dimension]) -> Iterator[str]:
    """Variables whose best value is the last of its range, which somebody chose."""
    for d in space:
        if d.categorical or d.size == 2 or d.name not in result.upper:
            continue
        unit = d.to_unit(d.coordinate(result.upper[d.name]))
        if min(unit, 1.0 - unit) <= _END:
            end, more = ("lower", "less") if unit < 0.5 else ("upper", "more")
            yield (
                f"{d.name} is at the {end} end of its range, {result.upper[d.name]:g}: {more} may be better still;"
                " widen the range"
            )


def _fidelities(problem: Problem) -> set[str]:
    return {var.name for var in problem.variables if is_fidelity(var)}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
