"""What the variables of a model are worth at one moment, to be given back later."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.gdp import Disjunct

from bilevel.language.domains import give
from bilevel.language.duals import Duals
from bilevel.language.lower_level import LowerLevel


class ModelValues:
    """The values of every variable, truth values included, of a model as it is now."""

    def __init__(self, model: Any) -> None:
        inside = (pyo.Block, LowerLevel, Duals, Disjunct)
        variables = model.component_data_objects((pyo.Var, pyo.BooleanVar), descend_into=inside)
        self._values = [(var, var.value) for var in variables]

    def restore(self) -> None:
        """Give every variable that value again."""
        for var, value in self._values:
            give(var, value)
