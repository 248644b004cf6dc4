"""Upper variables whose values come from a list, and predicates over them, as mixed-integer programming has them.

Pyomo's writers know reals, integers and binaries. A variable with any other finite domain becomes

- ``x = v_0 + step k`` with an integer k where its values are evenly spaced,
- else ``x = sum_k v_k z_k`` with ``sum_k z_k = 1`` and binary z (one per value).

An ``Allowed`` predicate over variables with finite domains becomes a table: a binary per allowed combination, exactly
one of which is chosen, and ``x = sum_rows v_row z_row`` for each of its variables. This is the convex hull of the
combinations.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from bilevel.errors import ModelError, RefusedError
from bilevel.expressions.translation import mentioned
from bilevel.language.domains import Allowed, give
from bilevel.reading.pieces import is_category, list_values
from bilevel.reading.problem import Problem

LARGEST_TABLE = 10_000
"""Combinations a predicate is asked about; a table of more rows is slower than the search it is to replace."""


@dataclass(frozen=True)
class Choice:
    """An upper variable with a list of values; ``code`` stands for it in algebra: itself, or a word's number."""

    variable: Any
    values: tuple[Any, ...]
    code: Any

    def recover(self) -> None:
        """Set the variable to the value of the list that its code is nearest to."""
        if self.code.value is None:
            return
        numbers = range(len(self.values)) if self.code is not self.variable else map(_plain, self.values)
        nearest = min(zip(numbers, self.values, strict=True), key=lambda pair: abs(pair[0] - self.code.value))
        give(self.variable, nearest[1])


@dataclass(frozen=True)
class Table:
    """The allowed combinations of some variables' values."""

    source: Allowed
    variables: tuple[Any, ...]
    rows: tuple[tuple[Any, ...], ...]


class Choices:
    """The lists and tables of a problem: :meth:`plan` refuses or decides, :meth:`impose` changes the model."""

    def __init__(self, block: Any) -> None:
        self._block = block
        self._lists: dict[str, tuple[Any, tuple[Any, ...]]] = {}
        self._tables: list[Table] = []
        self._predicates: tuple[Allowed, ...] = ()
        self.made: list[Choice] = []

    def plan(self, problem: Problem) -> None:
        """Decide how each list and each predicate is expressed.

        Raises
        ------
        RefusedError
            If one cannot be.
        """
        algebra = set(mentioned([problem.objective.expr, *(c.body for c in problem.constraints)]))
        algebra.update(*(follower.mentioned for follower in problem.followers))
        for var in problem.variables:
            values = list_of(var)
            if values is not None:
                self._lists[var.name] = (var, values)
                if is_category(var) and id(var) in algebra:
                    raise ModelError(f"{var.name} is a category and cannot stand in an algebraic expression")
        self._predicates = problem.allowed
        self._tables = [table for table in map(_tabulated, problem.allowed) if table is not None]

    def impose(self) -> None:
        """Add binaries and rows, and give the variables domains that Pyomo's writers know."""
        block = self._block
        if self._lists:
            block.choice, block.one_choice = pyo.Var(pyo.Any, dense=False, domain=pyo.Binary), pyo.Constraint(pyo.Any)
            block.step, block.code = pyo.Var(pyo.Any, dense=False), pyo.Var(pyo.Any, dense=False)
            block.chosen = pyo.Constraint(pyo.Any)
        for var, values in self._lists.values():
            self._replace_domain(var, values)
        for predicate in self._predicates:
            predicate.deactivate()
        if self._tables:
            block.row, block.one_row = pyo.Var(pyo.Any, dense=False, domain=pyo.Binary), pyo.Constraint(pyo.Any)
            block.tabulated = pyo.Constraint(pyo.Any)
        for table in self._tables:
            self._impose(table)
        tabulated = {var.name for table in self._tables for var in table.variables}
        for choice in self.made:
            if choice.variable.name not in tabulated:
                self._express(choice)

    def recover(self) -> None:
        """Set every variable with a list to a value of the list."""
        for choice in self.made:
            choice.recover()

    def _replace_domain(self, var: Any, values: tuple[Any, ...]) -> None:
        code = var
        if is_category(var):
            code = self._block.code.add(var.name)
            code.setlb(0)
            code.setub(len(values) - 1)
        else:
            var.domain = pyo.Reals
            var.setlb(min(map(_plain, values)))
            var.setub(max(map(_plain, values)))
        self.made.append(Choice(var, values, code))

    def _code(self, var: Any) -> Choice | None:
        return next((choice for choice in self.made if choice.variable is var), None)

    def _impose(self, table: Table) -> None:
        block, name = self._block, table.source.name
        rows = [block.row.add((name, k)) for k in range(len(table.rows))]
        if not rows:  # nothing is allowed: a binary that has to be one and cannot
            rows = [block.row.add((name, "none"))]
            rows[0].setub(0)
        block.one_row.add(name, sum(rows) == 1)
        for place, var in enumerate(table.variables):
            if var.fixed:
                continue
            choice = self._code(var)
            coded = choice is not None and choice.code is not var
            column = [row[place] for row in table.rows]
            numbers = [choice.values.index(v) if coded and choice else _plain(v) for v in column]
            target = choice.code if choice is not None else var
            if numbers:
                chosen = sum(number * row for number, row in zip(numbers, rows, strict=True))
                block.tabulated.add((name, var.name), target - chosen == 0)

    def _express(self, choice: Choice) -> None:
        block, var = self._block, choice.variable
        if choice.code is not var:
            return  # a word that neither algebra nor a table mentions
        values = tuple(map(_plain, choice.values))
        if len(values) == 1:
            return  # its bounds say all
        step = _even_step(values)
        if step is not None:
            number = block.step.add(var.name)
            number.domain = pyo.Integers
            number.setlb(0)
            number.setub(len(values) - 1)
            block.chosen.add(var.name, var - step * number == min(values))
            return
        binaries = [block.choice.add((var.name, k)) for k in range(len(values))]
        block.one_choice.add(var.name, sum(binaries) == 1)
        block.chosen.add(var.name, var - sum(v * z for v, z in zip(values, binaries, strict=True)) == 0)


def list_of(var: Any) -> tuple[Any, ...] | None:
    """The values of a variable that is neither real nor an integer between bounds, else None.

    Raises
    ------
    RefusedError
        If its domain is none of these and not finite.
    """
    if not (var.domain.isfinite() or var.is_continuous() or var.is_integer()):
        raise RefusedError(
            f"{var.name} has the domain {var.domain}, which is neither an interval, integers nor a finite list"
        )
    return list_values(var)


def _plain(value: Any) -> Any:
    """A member of a list as Pyomo's algebra takes it: no truth value, none of numpy's."""
    return int(value) if isinstance(value, (bool, int)) else float(value)


def _even_step(values: tuple[Any, ...]) -> float | None:
    """The distance between neighbours where it is always the same (and there are at least three values)."""
    ordered = sorted(values)
    if len(ordered) < 3:
        return None
    step = (ordered[-1] - ordered[0]) / (len(ordered) - 1)
    even = all(
        math.isclose(ordered[0] + k * step, v, rel_tol=1e-12, abs_tol=1e-12 * step) for k, v in enumerate(ordered)
    )
    return float(step) if even else None


def _tabulated(allowed: Allowed) -> Table | None:
    """The table of a predicate, or None where it allows everything."""
    domains = [_finite(allowed, var) for var in allowed.variables]
    size = math.prod(len(domain) for domain in domains)
    if size > LARGEST_TABLE:
        raise RefusedError(
            f"{allowed.name} has {size} combinations of values, too many for a table ({LARGEST_TABLE});"
            " use a search, or say it in algebra"
        )
    rows = tuple(row for row in itertools.product(*domains) if allowed.holds(row))
    return None if len(rows) == size else Table(allowed, tuple(allowed.variables), rows)


def _finite(allowed: Allowed, var: Any) -> tuple[Any, ...]:
    if var.fixed:
        return (var.value,)
    if var.is_continuous():
        raise RefusedError(
            f"{allowed.name} is a predicate over {var.name}, which is continuous; give it a finite domain (discretize),"
            " use a search, or say it in algebra"
        )
    values = list_of(var)
    if values is not None:
        return values
    low, high = var.bounds
    if low is None or high is None:
        raise RefusedError(f"{allowed.name} is a predicate over {var.name}, which has no finite bounds; give it both")
    if high - low > LARGEST_TABLE:
        raise RefusedError(f"{allowed.name} is a predicate over {var.name}, which has more than {LARGEST_TABLE} values")
    return tuple(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
