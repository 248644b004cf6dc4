"""A function and its trial in another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bilevel.errors import with_its_kind
from bilevel.language.trials.trial import Reports, Trial, is_pruned, under


class WithTrial:
    """Calls a function with a trial that is made where it is called.

    Parameters
    ----------
    function : callable
        A response function.
    name : str
        Of its parameter; empty where the trial is given by place.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function, self._name = function, name

    def __call__(self, arguments: tuple[Any, ...], handed: Any) -> tuple[str, Any, Reports]:
        """``answer`` and what the function gave, or ``pruned`` and why, with what was reported."""
        trial = Trial(*handed)
        with under(trial):
            try:
                if self._name:
                    return "answer", self._function(*arguments, **{self._name: trial}), trial.reports
                return "answer", self._function(*arguments, trial), trial.reports
            except Exception as error:
                if not is_pruned(error):
                    raise
                return "pruned", with_its_kind(error), trial.reports
