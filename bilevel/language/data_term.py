"""A term over data as one node of a Pyomo expression, its numbers kept as arrays.

Whoever knows the node takes the numbers as they are. Everybody else (Pyomo's writers and visitors, the optimality
conditions) meets an ordinary named Expression, whose terms are written out when they are first looked at.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from pyomo.core.base.expression import ExpressionData, NamedExpressionData

from bilevel.arrays import Array


class DataTerm(NamedExpressionData):
    """What such nodes have in common."""

    __slots__ = ("_written",)

    def __init__(self) -> None:
        self._written: Any = None

    @property
    @abstractmethod
    def operands(self) -> tuple[Any, ...]:
        """The expressions it is a function of."""

    @property
    @abstractmethod
    def size(self) -> int:
        """About how many nodes it has written out."""

    @abstractmethod
    def at(self, values: Array) -> float:
        """Its value, given those of its operands."""

    @abstractmethod
    def written_out(self) -> Any:
        """The same as an ordinary Pyomo expression."""

    @property
    def _args_(self) -> tuple[Any]:
        """The terms, written out at the first look."""
        if self._written is None:
            self._written = self.written_out()
        return (self._written,)

    def getname(self, *args: Any, **kwargs: Any) -> str:
        """Its name."""
        return str(self.name)

    @property
    def is_written_out(self) -> bool:
        """Whether anybody has looked."""
        return self._written is not None

    def create_node_with_local_data(self, values: Any, classtype: Any = None) -> Any:
        """An ordinary named Expression: what a visitor put in place of the data is no term over data any more."""
        return (classtype or ExpressionData)(np.asarray(values, dtype=object).reshape(-1)[0])
