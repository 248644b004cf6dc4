"""Single-objective problems that stand for one of several upper objectives.

``min_(x, y) (F_1, ..., F_k)`` over the bilevel feasible points (Eichfelder 2010, *Multiobjective bilevel optimization*,
Math. Program. 123, 419-449) is asked for its nondominated points. A weighted sum with limits,

    min  sum_j w_j F_j    s.t.  F_j <= e_j,

is an ordinary bilevel problem whose limits are coupling constraints (Haimes, Lasdon and Wismer 1971), so that every
path and every search takes it as it takes any other. With all weights positive its optima are nondominated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.block import BlockData

from bilevel.errors import ModelError
from bilevel.reading.components import objectives_above
from bilevel.reading.plain.preparing import cloned, plain
from bilevel.reading.problem import SEVERAL, Problem


class SeveralObjectives:
    """A model with several upper objectives, and the single-objective problems made of them.

    Parameters
    ----------
    model : ConcreteModel
        With two or more active Objectives on the upper level; it stays as it is.
    attitude : str
        As for :meth:`bilevel.reading.problem.Problem.read`.

    Attributes
    ----------
    names : tuple of str
        Of the objectives, in their order.
    senses : tuple of int
        +1 where one is minimised, -1 where it is maximised.
    whole : Problem
        Their plain sum, each minimised; ``whole.objectives`` are they. All variables of the model are in it.

    Raises
    ------
    ModelError
        If the model cannot mean a bilevel problem.
    """

    def __init__(self, model: Any, attitude: str) -> None:
        self._attitude = attitude
        self._bench = _bench_of(model)
        found = objectives_above(self._bench)
        for objective in found:
            if objective.expr is None:
                raise ModelError(f"the Objective {objective.name} has no expression")
            objective.deactivate()
        self.names = tuple(objective.name for objective in found)
        self.senses = tuple(-1 if objective.sense == pyo.maximize else 1 for objective in found)
        block = pyo.Block()
        self._bench.add_component(SEVERAL, block)
        block.names, block.at_once = self.names, False
        whole = cloned(self._bench)
        whole.component(SEVERAL).at_once = True
        self.whole = replace(self._read([1.0] * len(found), {}, whole), source=model)

    def __len__(self) -> int:
        return len(self.names)

    def scalarised(self, weights: Sequence[float], limits: dict[int, float]) -> Problem:
        """``min sum_j w_j F_j  s.t.  F_j <= e_j``, each F_j minimised.

        Parameters
        ----------
        weights : sequence of float
            One per objective, none negative.
        limits : dict of int to float
            By the objective's place; on F_j minimised, so on -F_j where F_j is maximised.
        """
        return self._read(weights, limits, self._bench)

    def _read(self, weights: Sequence[float], limits: dict[int, float], bench: Any) -> Problem:
        block = bench.component(SEVERAL)
        for part in ("objective", "limit"):
            block.del_component(part)
        costs = [_minimised(bench.find_component(n).expr, s) for n, s in zip(self.names, self.senses, strict=True)]
        block.objective = pyo.Objective(expr=_weighted(costs, weights))
        block.limit = pyo.Constraint(
            [self.names[j] for j in limits],
            rule=lambda _, name: costs[self.names.index(name)] <= limits[self.names.index(name)],
        )
        return Problem.read(bench, self._attitude)


def has_several(model: Any) -> bool:
    """Whether a model has more than one active upper objective."""
    ready = isinstance(model, BlockData) and model.is_constructed()
    return ready and len(objectives_above(model)) > 1


def _bench_of(model: Any) -> Any:
    made = plain(model)
    return cloned(model) if made is model else made


def _minimised(expression: Any, sense: int) -> Any:
    return expression if sense > 0 else -expression


def _weighted(costs: Sequence[Any], weights: Sequence[float]) -> Any:
    parts = [cost if w == 1.0 else w * cost for cost, w in zip(costs, weights, strict=True) if w]
    return sum(parts[1:], start=parts[0])
