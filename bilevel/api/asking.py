"""What may be asked of a run, and settings that are found to be meant so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from bilevel import registry
from bilevel.api.options import count, known, seconds
from bilevel.contracts.engine import Engine
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.pruner import named
from bilevel.contracts.search import Search
from bilevel.contracts.settings import Settings
from bilevel.contracts.treatment import Treatment
from bilevel.errors import OptionError, UnknownNameError
from bilevel.language.attitude import Attitude
from bilevel.language.trials.trial import AT_LAST, fresh_seeds

GENERAL = (*(field.name for field in fields(Settings) if field.name != "options"), "observer")
"""The arguments that every method takes."""

SEARCH_PATH = "search"
"""The path that runs every search: by itself it is no method."""


def points_of(enqueue: Any) -> tuple[dict[str, Any], ...]:
    """Points to try first, each as a dict.

    Raises
    ------
    OptionError
        If they are no list of dicts.
    """
    if isinstance(enqueue, Iterable) and not isinstance(enqueue, (str, Mapping)):
        points = tuple(enqueue)
        if all(isinstance(point, Mapping) for point in points):
            return tuple(map(dict, points))
    raise OptionError(f"enqueue={enqueue!r}: a list of points is wanted, each a dict of values by name")


def called_back(callbacks: Any) -> tuple[Callable[[Any, Any], object], ...]:
    """Who is called with every outcome.

    Raises
    ------
    OptionError
        If they are no list of functions.
    """
    if isinstance(callbacks, Iterable):
        found = tuple(callbacks)
        if all(map(callable, found)):
            return found
    raise OptionError(f"callbacks={callbacks!r}: a list of functions of (study, trial) is wanted")


def watching(observer: Any) -> Observer:
    """Who watches; nobody where none is given.

    Raises
    ------
    OptionError
        If it is no observer.
    """
    if observer is None:
        return Observer()
    if not isinstance(observer, Observer):
        raise OptionError(f"observer={observer!r}: an instance of a class made from bilevel.Observer is wanted")
    return observer


def checked(asked: Settings) -> Settings:
    """The settings of one run, a method's variant among its options.

    Raises
    ------
    OptionError, UnknownNameError
        If a value is none that is taken, or a part is not known.
    """
    budget, limit, each = asked.budget, asked.time_limit, asked.evaluation_time_limit
    for name in ("method", "complementarity", "engine"):
        if not isinstance(getattr(asked, name), str):
            raise OptionError(f"{name}={getattr(asked, name)!r}: a name is needed, as text")
    if asked.attitude not in list(Attitude):
        raise OptionError(f"attitude={asked.attitude!r}: there are {' and '.join(Attitude)}")
    insist_on_names([asked.method], asked.complementarity, asked.engine)
    if asked.shared:
        _insist_on_what_is_shared(asked)
    name, _, variant = asked.method.partition(":")
    options = {**asked.options, "sampler": variant} if variant else asked.options
    return replace(
        asked,
        method=name,
        budget=None if budget is None else count("budget", budget, 1, "at least one evaluation is needed"),
        seed=count("seed", asked.seed, 0, "a whole number, 0 or above, is needed"),
        time_limit=None if limit is None else seconds("time_limit", limit),
        evaluation_time_limit=None if each is None else seconds("evaluation_time_limit", each),
        workers=_workers(asked.workers),
        pruner=known_pruner(asked.pruner),
        repeats=count("repeats", asked.repeats, 1, "a function has to be asked at least once"),
        top=None if asked.top is None else count("top", asked.top, 1, "at least one point is the answer"),
        options=known(asked.method, options, GENERAL),
    )


def _insist_on_what_is_shared(asked: Settings) -> None:
    """That there is a study, and nothing is asked for that one driver alone could tell."""
    if asked.study is None:
        raise OptionError("shared=True: several drivers meet in a study; give its address, study=")
    alone = {"pruner": asked.pruner, "top": asked.top, "callbacks": asked.callbacks, "repeats": asked.repeats > 1}
    for name, given in alone.items():
        if given:
            raise OptionError(f"{name} is for a run that has its study for itself; leave out {name}, or shared")


def _workers(asked: int | str) -> int | str:
    """A number of processes, or an address as it is."""
    if isinstance(asked, str) and "://" in asked:
        return asked
    return count("workers", asked, 1, "at least one process has to do the work")


def known_pruner(pruner: Any) -> Any:
    """A pruner as it was asked for; a misspelt name is found now.

    Raises
    ------
    OptionError
        If there is none of that name, or it is no pruner.
    """
    if pruner is None or callable(getattr(pruner, "prune", None)):
        return pruner
    if not isinstance(pruner, str):
        raise OptionError(f"pruner={pruner!r}: it is a name, or an instance of a class in optuna.pruners")
    if pruner.strip().lower() in ("none", "nop"):
        return None
    named(pruner)
    return pruner


def seeds_at_last(settings: Settings) -> tuple[int, ...]:
    """With which functions are asked when the answer is verified: new ones where they are noisy by what was said."""
    if settings.repeats == 1:
        return (settings.seed,)
    return fresh_seeds(settings.seed, AT_LAST, settings.repeats)


def insist_on_names(methods: list[str], complementarity: str, engine: str) -> None:
    """Find a misspelt name of a part now, and not after an hour of the methods before it."""
    for method in methods:
        name = method.partition(":")[0]
        if name != "auto" and registry.find(Path, name) is None and registry.find(Search, name) is None:
            names = ", ".join(["auto", *method_names()])
            raise UnknownNameError(f"no method is called {method!r}; there are: {names}")
    if complementarity != "auto":
        registry.get(Treatment, complementarity)
    if engine != "auto":
        registry.get(Engine, engine)


def method_names() -> list[str]:
    """What ``method`` may be, besides ``auto``."""
    return [name for name in registry.methods() if name != registry.AUTO.name]
