"""``bilevel.solve``: read, solve by a method's name, verify, report."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bilevel import registry
from bilevel.api.asking import SEARCH_PATH, called_back, checked, points_of, seeds_at_last, watching
from bilevel.api.auto.choosing import apart, choose, walk
from bilevel.api.fronts.solving_fronts import OWN, solve_front
from bilevel.api.last_resort import verified, with_a_point
from bilevel.api.practice.of_a_run import of_a_run
from bilevel.api.reporting import report
from bilevel.api.starting import from_the_starts
from bilevel.api.timing import FOR_A_POINT, each_evaluation, for_exact, left, whole
from bilevel.arrays import silence
from bilevel.contracts.finding import Finding
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.deadline import Deadline, within
from bilevel.language.trials.trial import Terms, Trial, under
from bilevel.reading.problem import Problem
from bilevel.reading.several.objectives import SeveralObjectives, has_several
from bilevel.response.isolation.warm import ended_afterwards
from bilevel.results.result import Result
from bilevel.verify.judging import unbounded_at_once


def solve(
    model: Any,
    method: str = "auto",
    *,
    budget: int | None = None,
    seed: int = 0,
    time_limit: float | None = None,
    complementarity: str = "auto",
    engine: str = "auto",
    allow_nonconvex: bool = False,
    attitude: str = "optimistic",
    workers: int | str = 1,
    executor: Executor | None = None,
    study: Any = None,
    shared: bool = False,
    enqueue: Iterable[Mapping[str, Any]] = (),
    evaluation_time_limit: float | None = None,
    callbacks: Iterable[Callable[[Any, Any], object]] = (),
    pruner: Any = None,
    repeats: int = 1,
    top: int | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Result:
    """Solve a bilevel model and verify the answer.

    Parameters
    ----------
    model : ConcreteModel
        Holds at least one ``LowerLevel``. Its variables take the values of the answer, both levels; these are no start
        for the next run on the same model, an ``initialize`` or values set by hand are (:mod:`bilevel.api.starting`).
    method : str
        ``auto``, ``kkt``, or the name of a search (``grid``, ``random``, ...). ``name:variant`` passes the variant to
        the search as its ``sampler`` option. ``auto`` is the first exact path that accepts the model, else a search.
    budget : int, optional
        Largest number of upper points a search evaluates; 100 where nothing is said.
    seed : int
        Of every random choice.
    time_limit : float, optional
        Seconds, after which all has ended but the verification, which takes a tenth more and half a second at most;
        the KKT path takes 60 where nothing is said.
    complementarity, engine : str
        The treatment and the engine of the KKT path.
    allow_nonconvex : bool
        Let the KKT path go on where convexity is not proved; the verdict is then at most ``best_found``.
    attitude : str
        Which of several optima of the follower counts: ``optimistic``, the best for the leader that meets the coupling
        constraints, or ``pessimistic``, the worst, and all have to meet them (:mod:`bilevel.language.attitude`).
    workers : int or str
        Processes that evaluate upper points, or ``dask://host:port`` for those of a Dask cluster. A search that does
        not learn has the same history with any number; one that does proposes so many points before it is told of the
        first.
    executor : concurrent.futures.Executor, optional
        Evaluates in place of processes; its workers import this package. ``workers`` says how many, where it does not.
    study : str or storage, optional
        ``study.log`` (a journal file), ``sqlite:///study.db``, ``postgresql://...``, ``mysql://...``,
        ``grpc://host:port`` or an Optuna storage; ``#name`` behind an address names the study. A search stores every
        evaluated point there, as Optuna does. Called again with the same study, after an end or a crash, it goes on as
        if it had never stopped. Such a search knows no budget beforehand.
    shared : bool
        Whether several drivers, each a call of its own on any machine, work on that study together: each search hears
        of the others' outcomes, points that run elsewhere are pending to it, and ``budget`` is that of all together.
        Such a run is not repeated by another.
    enqueue : iterable of dict
        Upper points to try before those of the search, values by name.
    evaluation_time_limit : float, optional
        Seconds that one call of a response function may take, where its ``LowerLevel`` sets no limit of its own. It is
        then called in a process of its own, which is ended at the limit.
    callbacks : iterable of callable
        Called as ``callback(study, trial)`` with every outcome of a search, as by Optuna's ``optimize``: MLflow's,
        Weights & Biases', your own. ``study.stop()`` ends the search.
    pruner : str or object, optional
        Who stops an evaluation that is not worth its rest: ``median``, ``halving`` (``asha``), ``hyperband``, ``race``,
        the name of a class in ``optuna.pruners``, options in brackets (``"hyperband(factor=4)"``), or one of Optuna's
        pruners itself. Response functions have to report (``f(x, trial)``), or a variable is a ``bilevel.fidelity``;
        ``race`` needs neither, but an F that is a sum over followers.
    repeats : int
        How many times response functions are asked at each point, each time with another ``trial.seed``.
    top : int, optional
        So many of the best points are asked again at the end, with new seeds, and the best of these is the answer; 5
        where functions are repeated, else none.
    observer : Observer, optional
        Watches the run.
    **options
        The search's own.

    Returns
    -------
    Result
        Also after an interrupt (Ctrl-C), with what was found by then.

    Raises
    ------
    BilevelError
        If the model or the call is wrong, or the method refuses the model.

    Examples
    --------
    >>> import bilevel
    >>> import pyomo.environ as pyo
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var(bounds=(0, 10))
    >>> model.lower = bilevel.LowerLevel()
    >>> model.lower.y = pyo.Var(bounds=(0, 8))
    >>> model.lower.joy = pyo.Objective(expr=(10 - model.x) * model.lower.y - model.lower.y**2, sense=pyo.maximize)
    >>> model.revenue = pyo.Objective(expr=model.x * model.lower.y, sense=pyo.maximize)
    >>> result = bilevel.solve(model, "kkt")
    >>> print(result.verdict, round(result.upper_objective, 3), round(model.x.value, 2))
    certified_global 12.5 5.0
    >>> result = bilevel.solve(model, "random", budget=50, seed=1)
    >>> print(result.verdict, result.termination, result.evaluations, result.upper_objective <= 12.5 + 1e-6)
    best_found budget 50 True
    """
    settings = Settings(
        method=method,
        budget=budget,
        seed=seed,
        time_limit=time_limit,
        complementarity=complementarity,
        engine=engine,
        allow_nonconvex=allow_nonconvex,
        attitude=attitude,
        workers=workers,
        executor=executor,
        study=study,
        shared=shared,
        enqueue=points_of(enqueue),
        evaluation_time_limit=evaluation_time_limit,
        callbacks=called_back(callbacks),
        pruner=pruner,
        repeats=repeats,
        top=top,
        options=options,
    )
    return solved(model, settings, watching(observer))


def solved(model: Any, asked: Settings, observer: Observer) -> Result:
    """The same for settings that are made already."""
    began = time.perf_counter()
    if has_several(model):
        return _solved_front(model, asked, observer)
    settings = checked(asked)
    trial = Trial(Terms(seeds=seeds_at_last(settings)))
    with _under_way(model, settings) as end, under(trial):
        problem = Problem.read(model, settings.attitude)
        observer.started(asked.method, settings)
        try:
            with within(end):
                endless = unbounded_at_once(problem)
                used, finding = (settings.method, endless) if endless else _run(problem, settings, observer)
            result = verified(problem, finding, used)
            result = with_a_point(result, problem, finding, settings, observer, end)
            result.notes += of_a_run(problem, result, settings)
            report(problem, result)
        finally:
            observer.finished(asked.method)
    result.seconds = time.perf_counter() - began
    return result


def _solved_front(model: Any, asked: Settings, observer: Observer) -> Result:
    """The same where the leader has several objectives."""
    began = time.perf_counter()
    wishes = {name: value for name, value in asked.options.items() if name in OWN}
    settings = checked(replace(asked, options={n: v for n, v in asked.options.items() if n not in wishes}))
    with _under_way(model, settings) as end:
        several = SeveralObjectives(model, settings.attitude)
        observer.started(asked.method, settings)
        try:
            result = solve_front(several, settings, wishes, observer, end)
            report(several.whole, result)
        finally:
            observer.finished(asked.method)
    result.seconds = time.perf_counter() - began
    return result


@contextmanager
def _under_way(model: Any, settings: Settings) -> Iterator[Deadline]:
    """What holds for the whole of a run: its limits, its processes, its silence, its start; when it has to end."""
    with (
        within(whole(settings.time_limit)),
        ended_afterwards(),
        each_evaluation(model, settings.evaluation_time_limit),
        _quiet(),
        from_the_starts(model),
    ):
        yield Deadline.after(settings.time_limit)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of numbers that are none."""
    with warnings.catch_warnings():
        silence()
        yield


def _run(problem: Problem, settings: Settings, observer: Observer) -> tuple[str, Finding]:
    """Run the method; the name of what ran, and what it found."""
    if settings.method == "auto":
        return choose(problem, settings, observer)
    path = registry.find(Path, settings.method) or registry.get(Path, SEARCH_PATH)
    limit = left(settings) if path.evaluates else for_exact(settings, *FOR_A_POINT)
    settings = replace(settings, time_limit=limit)
    finding = apart(path, problem, settings, observer)
    if finding is None:
        finding = walk(path, problem, settings, observer)
    if not path.evaluates:
        finding.notes += _unused(path.name, settings)
    return settings.method, finding


def _unused(name: str, settings: Settings) -> list[str]:
    """What was asked for and is of no use to a path that is no search."""
    asked = {
        f"workers={settings.workers}": settings.workers != 1 or settings.executor is not None,
        f"study={settings.study}": settings.study is not None,
        f"pruner={settings.pruner}": settings.pruner is not None,
        f"repeats={settings.repeats}": settings.repeats > 1,
    }
    return [f"{option} was not used: {name} is no search over upper points" for option, given in asked.items() if given]
