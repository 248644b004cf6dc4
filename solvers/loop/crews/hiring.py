"""Who evaluates a run's points, by what was asked for: this process, or others; each outcome is stored as it comes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bilevel.contracts.settings import Settings
from bilevel.programs.compilation import Compilation
from bilevel.response.response import Response
from bilevel.solvers.loop.crews.alone import Alone
from bilevel.solvers.loop.crews.crew import Crew
from bilevel.solvers.loop.crews.second_try import SecondTry
from bilevel.solvers.loop.crews.workers import Workers
from bilevel.solvers.loop.evaluate import Evaluate
from bilevel.solvers.loop.granted_gradients import Gradients, differentiator
from bilevel.solvers.loop.study import NoStudy
from bilevel.upper.archive import Evaluation
from bilevel.upper.space import Space


def where_of(settings: Settings) -> Any:
    """Where workers are: a number of processes, an address, an executor; None where this process evaluates."""
    if settings.executor is not None:
        counted = isinstance(settings.workers, int) and settings.workers > 1
        return settings.executor, settings.workers if counted else None
    return None if settings.workers == 1 else settings.workers


def crew_for(
    compilation: Compilation,
    response: Callable[[], Response],
    space: Space,
    where: Any,
    gradients: Gradients,
    study: NoStudy,
    apart: bool,
) -> Crew:
    """Who evaluates: this process or others. An outcome depends on its point and start, not on what was solved last.

    ``apart`` where one must be told before the next is sent out.
    """
    arrived = partial(_store, study)
    if where is not None:
        return Workers(compilation.problem, space, where, gradients, arrived)
    evaluate = Evaluate(space, response(), differentiator(compilation, gradients))
    followers = compilation.problem.followers
    programs = all(follower.response is None for follower in followers)
    if programs and not (study.kept or apart or gradients):
        return Alone(evaluate, arrived, evaluate.many)
    if not study.kept or all(f.response is None or f.limits.isolated for f in followers):
        return Alone(evaluate, arrived, together=study.kept and not apart)
    return Alone(SecondTry(evaluate, compilation.problem, space, gradients, study), arrived)


def _store(study: NoStudy, *evaluations: Evaluation) -> None:
    """Store outcomes as soon as they are there, but an answer of a wrong shape only when it is told.

    Whether it is a failed point or the function's fault hangs on what was told before it.
    """
    found = [evaluation for evaluation in evaluations if not evaluation.misshapen and evaluation.index >= 0]
    if found:
        study.add(found)
