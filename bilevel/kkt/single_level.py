"""A single-level Pyomo model in compiled form, and the way back to its variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import casadi as ca
import numpy as np
import pyomo.environ as pyo

from bilevel.arrays import Array
from bilevel.errors import ModelError, RefusedError
from bilevel.expressions.rows import translate, translate_rows
from bilevel.expressions.translation import mentioned, to_casadi
from bilevel.programs.compilation import program_of
from bilevel.programs.program import Program


class SingleLevel:
    """Compiles what is active on a model: one objective, constraints, special ordered sets of type 1.

    Parameters
    ----------
    model : ConcreteModel
        Without a LowerLevel.
    parameters : sequence of ParamData
        Mutable Params that stay parameters of the program; all others are data. They count in bodies, not in bounds.
    also : sequence of VarData
        Variables of the program even where nothing mentions them.

    Attributes
    ----------
    variables : tuple of VarData
        The unfixed variables that anything mentions, in the order of the program.
    program : Program
        The compiled form, minimised.
    sense : int
        +1 where the model minimises, -1 where it maximises.
    """

    def __init__(self, model: Any, parameters: Sequence[Any] = (), also: Sequence[Any] = ()) -> None:
        objectives = list(model.component_data_objects(pyo.Objective, active=True, descend_into=True))
        if len(objectives) != 1:
            raise ModelError(f"{model.name} has {len(objectives)} active Objectives; a single-level model has one")
        constraints = list(model.component_data_objects(pyo.Constraint, active=True, descend_into=True))
        sets = [_members(s) for s in model.component_data_objects(pyo.SOSConstraint, active=True, descend_into=True)]
        self.sense = -1 if objectives[0].sense == pyo.maximize else 1
        self.variables = _free([objectives[0].expr, *(c.body for c in constraints), *also], sets)
        self._places = {id(var): k for k, var in enumerate(self.variables)}
        self.program = self._compile(objectives[0], constraints, sets, parameters)

    def _compile(
        self, objective: Any, constraints: list[Any], sets: list[list[Any]], parameters: Sequence[Any]
    ) -> Program:
        p, v = ca.SX.sym("p", len(parameters)), ca.SX.sym("v", len(self.variables))
        symbols = {id(var): v[k] for k, var in enumerate(self.variables)}
        symbols |= {id(param): p[k] for k, param in enumerate(parameters)}
        translator = to_casadi(lambda node: symbols.get(id(node)))
        return program_of(
            self.variables,
            constraints,
            translate_rows(translator, constraints),
            name="the single-level model",
            parameters=p,
            variables=v,
            objective=self.sense * translate(translator, objective.expr, objective.name),
            sos1=tuple(tuple(self._places[id(var)] for var in members) for members in sets),
        )

    def place(self, var: Any) -> int | None:
        """A variable's index in the program; None where nothing mentions it."""
        return self._places.get(id(var))

    def values(self) -> Array:
        """The variables' present values; NaN where there is none."""
        return np.array([np.nan if var.value is None else float(var.value) for var in self.variables])

    def load(self, values: Array) -> None:
        """Set the variables' values."""
        for var, value in zip(self.variables, values, strict=True):
            var.set_value(float(value), skip_validation=True)


def _members(constraint: Any) -> list[Any]:
    if constraint.level != 1:
        raise RefusedError(
            f"{constraint.name} is a special ordered set of type {constraint.level}; only type 1 is solved"
        )
    return [var for var in constraint.variables if not (var.fixed and var.value == 0)]


def _free(expressions: list[Any], sets: list[list[Any]]) -> tuple[Any, ...]:
    found = mentioned(expressions)
    for members in sets:
        for var in members:
            if var.fixed:
                raise RefusedError(f"{var.name} is fixed at {var.value} and stands in a special ordered set; unfix it")
            found.setdefault(id(var), var)
    return tuple(found.values())
