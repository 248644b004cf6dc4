"""``bilevel.compare``: the same model by several methods, each from the same start."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from bilevel.api import solving
from bilevel.api.asking import GENERAL, called_back, insist_on_names, points_of, watching
from bilevel.api.fronts.solving_fronts import own_options
from bilevel.api.options import options_of
from bilevel.api.starting import Values, back_to_starts
from bilevel.contracts.finding import Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.settings import Settings
from bilevel.errors import BilevelError, OptionError, RefusedError
from bilevel.reading.problem import Problem
from bilevel.reading.several.objectives import has_several
from bilevel.results.comparison import Comparison
from bilevel.results.fronts.comparison import FrontComparison
from bilevel.results.fronts.result import FrontResult
from bilevel.results.result import Result


def compare(
    model: Any,
    methods: str | Sequence[str],
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
    enqueue: Iterable[Mapping[str, Any]] = (),
    evaluation_time_limit: float | None = None,
    callbacks: Iterable[Callable[[Any, Any], object]] = (),
    pruner: Any = None,
    repeats: int = 1,
    top: int | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Comparison:
    """Solve one model by several methods.

    Afterwards the model holds the best verified point: the certified one, else that with the best F.

    Parameters
    ----------
    model : ConcreteModel
        Holds at least one ``LowerLevel``.
    methods : sequence of str, or str
        Names as :func:`bilevel.solve` takes them; in one text, separated by commas.
    budget, seed, time_limit, complementarity, engine, allow_nonconvex, attitude, workers, pruner, repeats, top
        As for :func:`bilevel.solve`, for each method anew.
    study, evaluation_time_limit
        As for :func:`bilevel.solve`; each method has a study of its own at that address.
    **options
        Options of the searches; each goes to the methods that have one of that name.

    Returns
    -------
    Comparison
        Also after an interrupt (Ctrl-C), with what was found by then.

    Raises
    ------
    BilevelError
        If the model or the call is wrong, or every method refuses the model for the same reason.

    Examples
    --------
    >>> import bilevel
    >>> table = bilevel.compare(bilevel.load_model("toy"), ["kkt", "grid", "random"], budget=20, seed=1)
    >>> [str(result.verdict) for result in table.results]
    ['certified_global', 'best_found', 'best_found']
    >>> print(f"best: {table.best.method}; random is {table.distance(table.results[2]):.2f} worse")
    best: kkt; random is 0.15 worse
    """
    names = _distinct(methods.split(",") if isinstance(methods, str) else methods)
    insist_on_names(names, complementarity, engine)
    shares = _share_out(options, names, exact_fronts=has_several(model))
    asked = Settings(
        method="",
        budget=budget,
        seed=seed,
        time_limit=time_limit,
        complementarity=complementarity,
        engine=engine,
        allow_nonconvex=allow_nonconvex,
        attitude=attitude,
        workers=workers,
        executor=executor,
        enqueue=points_of(enqueue),
        evaluation_time_limit=evaluation_time_limit,
        callbacks=called_back(callbacks),
        pruner=pruner,
        repeats=repeats,
        top=top,
    )
    comparison = FrontComparison([]) if has_several(model) else Comparison([], Problem.read(model).sense)
    errors: list[BilevelError] = []
    kept = Values(model)
    back_to_starts(model)
    before = Values(model)
    try:
        for name in names:
            before.restore()
            own = replace(asked, method=name, study=_study_of(study, name), options=shares[name])
            result = _solve(model, own, watching(observer), errors)
            comparison.results.append(result)
            kept = Values(model) if comparison.best is result else kept
            if result.termination is Termination.INTERRUPTED:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        comparison.not_run = names[len(comparison.results) :]
        comparison.interrupted = True
    finally:
        kept.restore()
    if len(errors) == len(names) and len({str(error) for error in errors}) == 1:
        raise errors[0]
    return comparison


def _study_of(study: Any, method: str) -> Any:
    """A study of its own for each method, at the same address."""
    if study is None:
        return None
    if not isinstance(study, str):
        held, name = study if isinstance(study, tuple) else (study, "bilevel")
        return held, f"{name}-{method}"
    address, _, name = study.partition("#")
    return f"{address}#{name}/{method}" if name else f"{address}#{method}"


def _solve(model: Any, asked: Settings, observer: Observer, errors: list[BilevelError]) -> Result:
    """One line of the comparison; a method that refuses the model is a line, too."""
    began = time.perf_counter()
    try:
        result = solving.solved(model, asked, observer)
    except BilevelError as error:
        errors.append(error)
        seconds = time.perf_counter() - began
        kind = FrontResult if has_several(model) else Result
        found = kind(asked.method, Verdict.FAILED, Termination.ERROR, seconds=seconds, notes=[str(error)])
        found.refused = isinstance(error, RefusedError)
        return found
    if ":" in asked.method:
        result.method = asked.method  # two variants of one search are two lines
    elif asked.method == "auto":
        result.method = f"auto: {result.method}"
    return result


def _distinct(methods: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in methods if name.strip()))
    if not names:
        raise OptionError("compare needs at least one method: compare(model, ['kkt', 'random'])")
    return names


def _share_out(options: dict[str, Any], methods: Sequence[str], exact_fronts: bool) -> dict[str, dict[str, Any]]:
    """Each option to the methods that have one of that name."""
    known = {method: dict(options_of(method)) for method in methods}
    for method in methods if exact_fronts else ():
        known[method] |= own_options(method)
    for option in options:
        if not any(option in own for own in known.values()):
            listed = "; ".join(f"{method}: {', '.join(own) or 'none'}" for method, own in known.items())
            names = {name for own in known.values() for name in own} | set(GENERAL)
            close = difflib.get_close_matches(option, names, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise OptionError(f"none of the methods has an option {option!r}; they take {listed}{meant}")
    return {method: {o: v for o, v in options.items() if o in own} for method, own in known.items()}
