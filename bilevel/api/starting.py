"""From which values a run starts: the user's, never those that an earlier run left on the model.

A run leaves its answer on the model's variables. To start the next one there would make a notebook's cell another one
when it is run again, and a comparison by hand a race in which the last one to start has seen the others' answers. So
the model remembers what was written, and which values stood there before: a variable that still has the value that was
written has the start from before. A value that differs was set by hand, and counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyomo.common.collections import ComponentMap

from bilevel.reading.problem import Problem

_NOTE = "_bilevel_starts"  # on the model, so that a clone or a pickle has it too


@contextmanager
def from_the_starts(problem: Problem) -> Iterator[None]:
    """Within, the variables have the user's values to begin with; what they have at the end is noted as an answer.

    Where the run raises, they have again what they had.
    """
    variables = [*problem.variables, *problem.lower_variables]
    shown = [var.value for var in variables]
    back_to_starts(problem.model)
    starts = [var.value for var in variables]
    try:
        yield
    except BaseException:
        _set(variables, shown)
        raise
    note = ComponentMap((v, (start, v.value)) for v, start in zip(variables, starts, strict=True) if v.value != start)
    problem.model.__dict__[_NOTE] = note


def back_to_starts(model: Any) -> None:
    """Take away what runs wrote on a model, where it still stands."""
    for var, (start, written) in model.__dict__.get(_NOTE, {}).items():
        if not var.fixed and var.value == written:
            var.set_value(start, skip_validation=True)


class Values:
    """What the variables of a model are worth at one moment, and which of it is an answer."""

    def __init__(self, problem: Problem) -> None:
        self._model = problem.model
        self._variables = [*problem.variables, *problem.lower_variables]
        self._values = [var.value for var in self._variables]
        self._note = self._model.__dict__.get(_NOTE)

    def restore(self) -> None:
        """Give every variable that value again."""
        _set(self._variables, self._values)
        if self._note is not None:
            self._model.__dict__[_NOTE] = self._note


def _set(variables: list[Any], values: list[Any]) -> None:
    for var, value in zip(variables, values, strict=True):
        var.set_value(value, skip_validation=True)
