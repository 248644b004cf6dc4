"""The high-point problem: both levels' constraints, the leader's objective, nobody's optimality.

The relaxation of Bialas and Karwan (1984, doi 10.1287/mnsc.30.8.1004): every bilevel-feasible point is feasible, so its
optimum bounds F. Paths that add what the follower's answers teach start from it.
"""

from __future__ import annotations

from typing import Any

from bilevel import registry
from bilevel.arrays import Array
from bilevel.contracts.treatment import Treatment
from bilevel.kkt.conditions import OptimalityConditions, apply_conditions
from bilevel.kkt.single_level import SingleLevel
from bilevel.programs.program import Program
from bilevel.reading.pieces import is_category, solved_value
from bilevel.reading.problem import Problem


class HighPoint:
    """The high-point problem of a bilevel problem in compiled form, and the way back to the leader's decision.

    Parameters
    ----------
    problem : Problem
        The bilevel problem.
    compilation : Compilation
        Of the same.
    conditions : frozenset of str
        Followers whose optimality conditions are added, to tighten it.

    Attributes
    ----------
    program : Program
        Minimised. Lists of values and predicates are expressed by binaries; every variable of both levels is there,
        also one that only a follower's objective mentions.
    places : dict
        Where each variable stands in the program, by name.
    """

    def __init__(self, problem: Problem, conditions: frozenset[str] = frozenset()) -> None:
        self._variables = problem.variables
        self._model = problem.model.clone()
        block = apply_conditions(self._model, conditions=conditions)
        assert isinstance(block, OptimalityConditions)
        self._block = block
        registry.get(Treatment, "sos1")().apply(self._model)
        # Both levels' variables that only a follower's objective mentions too: rows made of that objective hold them.
        names = [var.name for var in (*problem.variables, *problem.lower_variables) if not is_category(var)]
        there = [self._model.find_component(name) for name in names]
        self._single = SingleLevel(self._model, also=[var for var in there if var is not None])
        self.places = {var.name: k for k, var in enumerate(self._single.variables)}
        self.program: Program = self._single.program

    def upper_values(self, solution: Array) -> dict[str, Any]:
        """The leader's decision in a solution, by name."""
        self._single.load(solution[: len(self._single.variables)])
        self._block.recover()
        return {var.name: solved_value(self._model.find_component(var), var) for var in self._variables}
