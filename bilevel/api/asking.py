"""What may be asked of a run, and settings that are found to be meant so."""

from __future__ import annotations

from dataclasses import replace

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.contracts.path import Path
from bilevel.contracts.search import Search
from bilevel.contracts.settings import Settings
from bilevel.contracts.treatment import Treatment
from bilevel.errors import OptionError, UnknownNameError
from bilevel.language.attitude import Attitude

SEARCH_PATH = "search"
"""The path that runs every search: by itself it is no method."""


def checked(asked: Settings) -> Settings:
    """The settings of one run, a method's variant among its options.

    Raises
    ------
    OptionError, UnknownNameError
        If a value is none that is taken, or a part is not known.
    """
    if asked.budget is not None and asked.budget < 1:
        raise OptionError(f"budget={asked.budget}: at least one evaluation is needed")
    if asked.time_limit is not None and not asked.time_limit > 0:
        raise OptionError(f"time_limit={asked.time_limit}: must be positive")
    if asked.workers < 1:
        raise OptionError(f"workers={asked.workers}: at least one process has to do the work")
    if asked.attitude not in list(Attitude):
        raise OptionError(f"attitude={asked.attitude!r}: there are {' and '.join(Attitude)}")
    insist_on_names([asked.method], asked.complementarity, asked.engine)
    name, _, variant = asked.method.partition(":")
    options = {**asked.options, "sampler": variant} if variant else asked.options
    return replace(asked, method=name, seed=int(asked.seed), options=options)


def insist_on_names(methods: list[str], complementarity: str, engine: str) -> None:
    """Find a misspelt name of a part now, and not after an hour of the methods before it."""
    for method in methods:
        name = method.partition(":")[0]
        if name != "auto" and registry.find(Path, name) is None and registry.find(Search, name) is None:
            known = ", ".join(["auto", *method_names()])
            raise UnknownNameError(f"no method is called {method!r}; there are: {known}")
    if complementarity != "auto":
        registry.get(Treatment, complementarity)
    if engine != "auto":
        registry.get(Engine, engine)


def method_names() -> list[str]:
    """What ``method`` may be, besides ``auto``."""
    return [name for name in registry.methods() if name != registry.AUTO.name]
