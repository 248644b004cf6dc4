"""Nonconvex followers of few variables: branch and bound over boxes of x and cells of y.

``solvers/boxes`` needs answers that move smoothly with x. A nonconvex follower has several valleys and jumps between
them, so here the cells of y in which an answer may lie are kept for each box of x
(:mod:`bilevel.solvers.cells.cell_search`).
"""

from __future__ import annotations

import math

from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.pieces import is_category
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.solvers.cells.cell_models import CellModels
from bilevel.solvers.cells.cell_search import CellSearch

DEFAULT_TIME_LIMIT = 60.0
_MOST = 3
_PATIENCE = 20.0  # seconds it may keep ``value_function`` waiting where none was named


@register("answer_cells")
class AnswerCells(Path):
    """Nonconvex followers of few variables: boxes of x, each with the cells of y that may hold an answer.

    Take it when up to three real upper variables stand above one nonconvex follower of up to three; with more of
    either, or integers, take ``value_function``.
    """

    preference = 0.35
    share = 0.4

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        compilation = Compilation.of(problem)
        _refuse(compilation)
        models = CellModels(compilation)
        limit = settings.time_limit if settings.time_limit is not None else DEFAULT_TIME_LIMIT
        if settings.method == "auto":
            limit = min(limit, _PATIENCE)
        search = CellSearch(compilation, models, observer, limit)
        search.run()
        if settings.method == "auto" and search.termination in (Termination.TIME_LIMIT, Termination.STALLED):
            raise RefusedError(
                f"its bound did not close within {limit:.3g} seconds; method='answer_cells' goes on longer"
            )
        notes = [f"{search.boxes} boxes of the upper variables, {search.cells} cells of the follower's"]
        best = search.best
        if best.upper is None or best.lower is None:
            empty = search.bound == math.inf
            return Finding(search.termination, Verdict.INFEASIBLE if empty else Verdict.FAILED, notes=notes)
        return Finding(
            search.termination,
            Verdict.CERTIFIED_GLOBAL if search.closed else Verdict.BEST_FOUND,
            upper=dict(zip((v.name for v in problem.variables), best.upper.tolist(), strict=True)),
            lower=dict(zip(problem.lower_names, best.lower.tolist(), strict=True)),
            bound=problem.sense * search.bound if math.isfinite(search.bound) else None,
            notes=notes,
        )


def _refuse(compilation: Compilation) -> None:
    problem = compilation.problem
    if len(problem.followers) != 1:
        raise RefusedError("it takes one follower")
    if not 0 < len(problem.variables) <= _MOST:
        raise RefusedError(f"it takes up to {_MOST} upper variables, and there are {len(problem.variables)}")
    (follower,) = problem.followers
    if follower.name not in compilation.programs:
        raise RefusedError(f"{follower.name} is answered by a function, of which nothing is known")
    if len(follower.variables) > _MOST:
        raise RefusedError(f"{follower.name} has {len(follower.variables)} variables, more than {_MOST}")
    if (compilation.programs[follower.name].row_lower == compilation.programs[follower.name].row_upper).any():
        raise RefusedError(f"{follower.name} has equality constraints, which no cell lies within; use 'value_function'")
    if problem.allowed:
        raise RefusedError(f"{problem.allowed[0].name} is a predicate, of which nothing is known between two points")
    for variable in [*problem.variables, *follower.variables]:
        if not variable.is_continuous() or is_category(variable) or variable.domain.isfinite():
            raise RefusedError(f"{variable.name} is not continuous")
        if not all(math.isfinite(end) for end in compilation.ranges[variable.name]):
            raise RefusedError(f"{variable.name} needs two bounds; write Var(bounds=(lower, upper))")
