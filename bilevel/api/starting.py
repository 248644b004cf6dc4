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

import pyomo.environ as pyo
from pyomo.common.collections import ComponentMap
from pyomo.core.base.block import BlockData
from pyomo.gdp import Disjunct

from bilevel.language.domains import give
from bilevel.language.duals import Duals
from bilevel.language.lower_level import LowerLevel
from bilevel.reading.problem import Problem

_NOTE = "_bilevel_starts"  # on the model, so that a clone or a pickle has it too


@contextmanager
def from_the_starts(model: Any) -> Iterator[None]:
    """Within, the variables have the user's values to begin with; what they have at the end is noted as an answer.

    Where the run raises, they have again what they had.

    Parameters
    ----------
    model : ConcreteModel or Problem
        Anything else is left to whoever reads it.
    """
    variables = _variables(model)
    shown = [var.value for var in variables]
    back_to_starts(model)
    starts = [var.value for var in variables]
    try:
        yield
    except BaseException:
        _set(variables, shown)
        raise
    note = ComponentMap((v, (start, v.value)) for v, start in zip(variables, starts, strict=True) if v.value != start)
    if variables:
        _model_of(model).__dict__[_NOTE] = note


def back_to_starts(model: Any) -> None:
    """Take away what runs wrote on a model, where it still stands."""
    for var, (start, written) in getattr(_model_of(model), "__dict__", {}).get(_NOTE, {}).items():
        if not var.fixed and var.value == written:
            give(var, start)


class Values:
    """What every variable of a model is worth at one moment, truth values included, and which of it is an answer."""

    def __init__(self, model: Any) -> None:
        self._model = _model_of(model)
        self._variables = _variables(model)
        self._values = [var.value for var in self._variables]
        self._note = self._model.__dict__.get(_NOTE)

    def restore(self) -> None:
        """Give every variable that value again."""
        _set(self._variables, self._values)
        if self._note is not None:
            self._model.__dict__[_NOTE] = self._note


def _model_of(model: Any) -> Any:
    return model.model if isinstance(model, Problem) else model


def _variables(model: Any) -> list[Any]:
    model = _model_of(model)
    if not isinstance(model, BlockData) or not model.is_constructed():
        return []
    inside = (pyo.Block, LowerLevel, Duals, Disjunct)
    return list(model.component_data_objects((pyo.Var, pyo.BooleanVar), descend_into=inside))


def _set(variables: list[Any], values: list[Any]) -> None:
    for var, value in zip(variables, values, strict=True):
        give(var, value)
