"""One lower level as read from the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from bilevel.language.lower_level import Limits, LowerLevelData, ResponseFunction, limits_of, response_of, steps_of
from bilevel.reading.criterion import Criterion
from bilevel.reading.epigraph import Epigraph


@dataclass(frozen=True)
class Follower:
    """One lower level as read from the model.

    Attributes
    ----------
    name : str
        Name of its ``LowerLevel`` component.
    block : LowerLevelData
        The component.
    variables : tuple of VarData
        Its decisions: unfixed, and mentioned somewhere.
    constraints : tuple of ConstraintData
        Active ones. The variables' bounds and domains are constraints too.
    objective : ObjectiveData, Criterion or None
        What it goes by; None where a response function answers.
    mentioned : dict
        Every unfixed variable its expressions mention, by id.
    epigraph : Epigraph or None
        What stands for its convex piecewise-linear terms (:mod:`bilevel.reading.piecewise`).
    plain : Follower or None
        The follower as it was written, where that is another.
    """

    name: str
    block: LowerLevelData
    variables: tuple[Any, ...]
    constraints: tuple[Any, ...]
    objective: Any | None
    mentioned: dict[int, Any]
    epigraph: Epigraph | None = None
    plain: Follower | None = None

    @property
    def written(self) -> Follower:
        """The follower as it was written."""
        return self if self.plain is None else self.plain

    @property
    def aside(self) -> Any:
        """What the objective that was written has besides what the follower goes by, where that is a sum."""
        return self.objective.aside if isinstance(self.objective, Criterion) else 0.0

    def stated(self, f: float, aside: float) -> float:
        """The value of the objective that was written where what it goes by is ``f``."""
        return self.objective.value(f, aside) if isinstance(self.objective, Criterion) else f

    @property
    def response(self) -> ResponseFunction | None:
        """The function that answers, or None."""
        return response_of(self.block)

    @property
    def limits(self) -> Limits:
        """What one call of that function may take."""
        return limits_of(self.block)

    @property
    def steps(self) -> int | None:
        """The steps of a whole training, where it goes on from a state; None elsewhere."""
        return steps_of(self.block)

    @property
    def sense(self) -> int:
        """+1 where it minimises, -1 where it maximises."""
        return -1 if self.objective is not None and self.objective.sense == pyo.maximize else 1
