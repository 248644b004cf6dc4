"""From a problem read off Pyomo to compiled programs: one per follower, and the leader's functions of (x, y).

One translator serves all levels, so that an expression both levels share is translated once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np
import pyomo.environ as pyo

from bilevel.compiled import Array
from bilevel.errors import ModelError, UntranslatableError
from bilevel.problem import Follower, Problem
from bilevel.program import Program
from bilevel.symbolic import Translator, to_casadi

MULTIPLIERS = "(multipliers)"  # no follower's name: it is no identifier


class Compilation:
    """The compiled form of a problem.

    Attributes
    ----------
    problem : Problem
        What was compiled.
    x : SX of shape (number of upper variables, 1)
        The leader's variables, in the order of ``problem.variables``. A category's entry is its number in its set.
    y : dict of SX
        Each follower's variables, by its name; last, under ``MULTIPLIERS``, the multipliers used above.
    programs : dict of Program
        Each follower's program with x as its parameters; absent for a response function.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.x = ca.SX.sym("x", len(problem.variables))
        self.y = {f.name: ca.SX.sym(f.name, len(f.variables)) for f in problem.followers}
        self._symbols: dict[int, ca.SX] = {}
        for k, var in enumerate(problem.variables):
            if not is_category(var):
                self._symbols[id(var)] = self.x[k]
        for follower in problem.followers:
            for k, var in enumerate(follower.variables):
                self._symbols[id(var)] = self.y[follower.name][k]
        if problem.multipliers:
            self.y[MULTIPLIERS] = ca.SX.sym(MULTIPLIERS, len(problem.multipliers))
            for k, multiplier in enumerate(problem.multipliers):
                self._symbols[id(multiplier.variable)] = self.y[MULTIPLIERS][k]
        self._translate = to_casadi(lambda node: self._symbols.get(id(node)))
        self.programs = {f.name: self._program(f) for f in problem.followers if f.objective is not None}

    @cached_property
    def all_y(self) -> ca.SX:
        """All of these, stacked in the order of ``problem.lower_variables``."""
        return ca.vertcat(*self.y.values())

    @cached_property
    def upper_objective(self) -> ca.SX:
        """F(x, y), minimised (negated where the leader maximises)."""
        problem = self.problem
        return problem.sense * self.symbol(problem.objective.expr, problem.objective.name)

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What linear rows and declared bounds leave of every variable, by name (:mod:`bilevel.ranges`)."""
        from bilevel.ranges import ranges_of

        return ranges_of(self.problem)

    def rows(self, constraints: Iterable[Any]) -> tuple[ca.SX, Array, Array]:
        """Bodies, shape (m, 1), lower and upper bounds, shape (m,), of some constraints."""
        return translate_rows(self._translate, constraints)

    def symbol(self, expression: Any, owner: str) -> ca.SX:
        """Translate one expression; errors name the component that holds it."""
        return translate(self._translate, expression, owner)

    def _program(self, follower: Follower) -> Program:
        rows, row_lower, row_upper = self.rows(follower.constraints)
        objective = follower.objective
        assert objective is not None
        lower, upper, integer = bounds_of(follower.variables)
        return Program(
            name=follower.name,
            parameters=self.x,
            variables=self.y[follower.name],
            objective=follower.sense * self.symbol(objective.expr, objective.name),
            rows=rows,
            row_lower=row_lower,
            row_upper=row_upper,
            lower=lower,
            upper=upper,
            integer=integer,
            names=tuple(v.name for v in follower.variables),
            row_names=tuple(c.name for c in follower.constraints),
        )


def is_category(var: Any) -> bool:
    """Whether a variable's domain holds anything that is not a number."""
    domain = var.domain
    return bool(domain.isfinite()) and any(isinstance(v, str) for v in domain)


def translate(translator: Translator, expression: Any, owner: str) -> ca.SX:
    """Translate, and name the component where that fails."""
    try:
        return ca.SX(translator(expression))
    except UntranslatableError as error:
        raise UntranslatableError(f"{owner}: {error}") from None
    except ModelError as error:
        raise ModelError(f"{owner}: {error}") from None


def translate_rows(translator: Translator, constraints: Iterable[Any]) -> tuple[ca.SX, Array, Array]:
    """Bodies and bounds of some constraints, as a column of symbols and two arrays."""
    bodies, lower, upper = [], [], []
    for constraint in constraints:
        bodies.append(translate(translator, constraint.body, constraint.name))
        lower.append(_bound(constraint, constraint.lower, -math.inf))
        upper.append(_bound(constraint, constraint.upper, math.inf))
    return ca.vertcat(*bodies) if bodies else ca.SX(0, 1), np.array(lower, dtype=float), np.array(upper, dtype=float)


def _bound(constraint: Any, bound: Any, missing: float) -> float:
    value = missing if bound is None else float(pyo.value(bound))
    if math.isnan(value) or value == -missing:
        raise ModelError(f"{constraint.name}: a bound is {value}; every number in a model must be finite")
    return value


def numeric_bounds(var: Any) -> tuple[float | None, float | None]:
    """A variable's bounds, its domain's included; None where there is none.

    Raises
    ------
    ModelError
        If a bound is no number.
    """
    try:
        low, high = var.bounds
    except ValueError as error:
        raise ModelError(" ".join(str(error).split())) from None
    return low, high


def bounds_of(variables: Iterable[Any]) -> tuple[Array, Array, Any]:
    """Bounds, infinite where there is none, and integrality of Pyomo variables."""
    lower, upper, integer = [], [], []
    for var in variables:
        low, high = numeric_bounds(var)
        lower.append(-math.inf if low is None else float(low))
        upper.append(math.inf if high is None else float(high))
        if not (var.is_continuous() or var.is_integer() or var.is_binary()):
            raise ModelError(
                f"{var.name} has the domain {var.domain}: a follower's variable is real, integer or binary;"
                " write the choice with binaries (only an upper variable may take values from a list)"
            )
        integer.append(not var.is_continuous())
    return np.array(lower), np.array(upper), np.array(integer, dtype=bool)
