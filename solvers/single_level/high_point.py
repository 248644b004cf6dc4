"""The high-point problem: both levels' constraints, the leader's objective, nobody's optimality.

The relaxation of Bialas and Karwan (1984, doi 10.1287/mnsc.30.8.1004): every bilevel-feasible point is feasible, so its
optimum bounds F. Paths that add what the follower's answers teach start from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import casadi as ca
import numpy as np

from bilevel import registry
from bilevel.arrays import Array
from bilevel.contracts.treatment import Treatment
from bilevel.kkt.conditions import OptimalityConditions, apply_conditions
from bilevel.kkt.single_level import SingleLevel
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program
from bilevel.reading.pieces import solved_value
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
        Minimised. Lists of values and predicates are expressed by binaries; every follower's variable is there, also
        one that only its objective mentions.
    places : dict
        Where each variable stands in the program, by name.
    """

    def __init__(self, problem: Problem, compilation: Compilation, conditions: frozenset[str] = frozenset()) -> None:
        self._variables = problem.variables
        self._model = problem.model.clone()
        block = apply_conditions(self._model, conditions=conditions)
        assert isinstance(block, OptimalityConditions)
        self._block = block
        registry.get(Treatment, "sos1")().apply(self._model)
        self._single = SingleLevel(self._model)
        self.places = {var.name: k for k, var in enumerate(self._single.variables)}
        self.program = self._with_missing(self._single.program, compilation)

    def _with_missing(self, program: Program, compilation: Compilation) -> Program:
        """Variables that only a follower's objective mentions are missing from the single-level model: add them."""
        for compiled in compilation.programs.values():
            new = [k for k, name in enumerate(compiled.names) if name not in self.places]
            if not new:
                continue
            for place, k in enumerate(new):
                self.places[compiled.names[k]] = program.n + place
            symbols = ca.SX.sym("free", len(new))
            program = replace(
                program,
                variables=ca.vertcat(program.variables, symbols),
                lower=np.concatenate([program.lower, compiled.lower[new]]),
                upper=np.concatenate([program.upper, compiled.upper[new]]),
                integer=np.concatenate([program.integer, compiled.integer[new]]),
                names=(*program.names, *(compiled.names[k] for k in new)),
            )
        return program

    def upper_values(self, solution: Array) -> dict[str, Any]:
        """The leader's decision in a solution, by name."""
        self._single.load(solution[: len(self._single.variables)])
        self._block.recover()
        return {var.name: solved_value(self._model.find_component(var), var) for var in self._variables}
