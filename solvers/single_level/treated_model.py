"""A bilevel problem as the KKT path solves it: conditions, treated pairs, the compiled form, and the way back."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bilevel import registry
from bilevel.arrays import Array
from bilevel.contracts.treatment import Treatment
from bilevel.errors import RefusedError
from bilevel.expressions.translation import evaluator
from bilevel.kkt.conditions import apply_conditions
from bilevel.kkt.lifting import lift_above
from bilevel.kkt.single_level import SingleLevel
from bilevel.programs.program import Program
from bilevel.reading.pieces import solved_value
from bilevel.reading.problem import Problem

Values = dict[str, float]
"""Values of a single-level model's variables by name: what two treatments of one problem have in common."""


class TreatedModel:
    """One problem under one treatment.

    Maxima that are no epigraphs stay as they are: the compiled form takes them, with the derivative of the piece that
    attains them.

    Parameters
    ----------
    problem : Problem
        Stays as it is.
    treatment : str
        Name of a treatment.
    bounds : dict, optional
        What is known to bound variables of both levels, by name, beyond what is declared.
    weighted : collection of str
        Names of the followers whose conditions are Fritz John's.

    Raises
    ------
    RefusedError
        If the problem has no optimality conditions, or the treatment does not take it.
    """

    def __init__(
        self,
        problem: Problem,
        treatment: str,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        weighted: Collection[str] = (),
    ) -> None:
        self.problem = problem
        self.treatment = registry.get(Treatment, treatment)()
        self.model = problem.model.clone()
        self._inner = Problem.read(self.model)
        self.conditions = apply_conditions(self._inner, lift=False, weighted=weighted)
        lift_above(self._inner, self.conditions)
        for var in (*self._inner.variables, *self._inner.lower_variables):
            if bounds is not None and var.name in bounds:
                _narrow(var, *bounds[var.name])
        reason = self.treatment.refusal(self.model)
        if reason is not None:
            raise RefusedError(f"complementarity={treatment!r}: {reason}")
        self.treatment.apply(self.model)
        epsilon = self.model.complementarity.component("epsilon")
        self.single = SingleLevel(self.model, [] if epsilon is None else [epsilon])
        self.program: Program = self.single.program

    def tighten(self, bounds: Mapping[str, tuple[float, float]]) -> None:
        """Give variables of the program, by name, bounds that are known to hold."""
        lower, upper = self.program.lower.copy(), self.program.upper.copy()
        for k, var in enumerate(self.single.variables):
            if var.name in bounds:
                low, high = bounds[var.name]
                lower[k], upper[k] = max(lower[k], low), min(upper[k], high)
        self.program = replace(self.program, lower=lower, upper=upper)

    @property
    def relaxed(self) -> Program:
        """The compiled form with integers made real."""
        return replace(self.program, integer=np.zeros(self.program.n, dtype=bool))

    @property
    def schedule(self) -> tuple[float, ...]:
        """Values of epsilon to solve for in turn; the last one alone where there is no pair to relax."""
        schedule = tuple(self.treatment.schedule())
        return schedule if self.conditions.pairs else schedule[-1:]

    def by_name(self, values: Array) -> Values:
        """A point of the program by the variables' names."""
        return {var.name: float(value) for var, value in zip(self.single.variables, values, strict=True)}

    def point_from(self, values: Values) -> Array:
        """A point of this program from another treatment's: what that one does not have is NaN."""
        return np.array([values.get(var.name, np.nan) for var in self.single.variables])

    def start(self, x: Array, y: Array | None) -> Array:
        """A point of the program at given upper values (in the order of the problem's), NaN where nothing is known."""
        point = np.full(self.program.n, np.nan)
        lower = self._inner.lower_variables
        below = [np.nan if var.value is None else var.value for var in lower] if y is None else list(y)
        for var, value in zip([*self._inner.variables, *lower], [*x, *below], strict=True):
            place = self.single.place(var)
            if place is not None:
                point[place] = value
        return point

    def read(self, values: Array) -> tuple[dict[str, Any], dict[str, float]]:
        """Upper and lower variables at a point of the program, by the user's names, each within its domain."""
        self.single.load(np.clip(values, self.program.lower, self.program.upper))
        self.conditions.recover()
        upper = {
            ours.name: solved_value(theirs, ours)
            for ours, theirs in zip(self.problem.variables, self._inner.variables, strict=True)
        }
        lower = {}
        for ours, theirs in zip(self.problem.followers, self._inner.followers, strict=True):
            for var, solved in zip(ours.variables, theirs.variables, strict=True):
                lower[var.name] = 0.0 if solved.value is None else float(solved.value)
        return upper, lower

    def pairs_at(self, values: Values) -> list[tuple[float, float]]:
        """Slack and multiplier of every pair at a point."""
        known = {id(var): values[var.name] for var in self.single.variables if var.name in values}
        evaluate = evaluator(known)
        return [(float(evaluate(p.slack)), known.get(id(p.multiplier), 0.0)) for p in self.conditions.pairs]


def _narrow(var: Any, low: float, high: float) -> None:
    """Give a variable the ends it does not have; those it has stay, for rows were made of them."""
    if var.lb is None and math.isfinite(low):
        var.setlb(low)
    if var.ub is None and math.isfinite(high):
        var.setub(high)
