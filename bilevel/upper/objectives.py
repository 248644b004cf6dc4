"""What each of the leader's several objectives is worth at an upper point and the followers' answer to it."""

from __future__ import annotations

import math

import casadi as ca
import numpy as np
import pyomo.environ as pyo

from bilevel.arrays import Array
from bilevel.expressions.squares import held_by, symbols_of
from bilevel.graphs.compiled import Compiled
from bilevel.programs.compilation import Compilation
from bilevel.upper.archive import Evaluation


class Objectives:
    """All objectives of a problem in one compiled function; losses over data stay arrays.

    Parameters
    ----------
    compilation : Compilation
        Of a problem with ``objectives``.
    """

    def __init__(self, compilation: Compilation) -> None:
        own = compilation.problem.objectives
        self._names = [objective.name for objective in own]
        self._senses = np.array([-1.0 if objective.sense == pyo.maximize else 1.0 for objective in own])
        short = ca.vertcat(*(compilation.short(objective.expr, objective.name) for objective in own))
        self._squares = [o for o in (s.within(compilation.places) for s in held_by(short, compilation.squares)) if o]
        self._compiled = Compiled([compilation.x, ca.vertcat(compilation.all_y, symbols_of(self._squares))], [short])

    def __call__(self, x: Array, y: Array) -> Array:
        """Every objective, minimised, shape (k,)."""
        if self._squares:
            y = np.concatenate([y, [square.value(y) for square in self._squares]])
        (values,) = self._compiled(x, y)
        return self._senses * np.ravel(values)

    def write(self, evaluation: Evaluation, costs: Array) -> None:
        """Write them down; where one is no number the point has no value at all."""
        evaluation.costs = tuple(costs.tolist())
        evaluation.upper_objectives = dict(zip(self._names, (self._senses * costs).tolist(), strict=True))
        evaluation.upper_objective = math.nan
        if not np.isfinite(costs).all():
            evaluation.cost = math.nan
