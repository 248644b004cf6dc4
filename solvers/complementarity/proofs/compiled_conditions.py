"""Optimality conditions in numbers: what the proofs behind bounds and duality rows are computed from.

Stationarity is linear in the multipliers, ``grad f(x, y) + A mu = 0``; which of them meet in a row says into what parts
the followers fall that can be looked at alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np
import pyomo.environ as pyo
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bilevel.expressions.rows import translate_rows
from bilevel.expressions.translation import mentioned, to_casadi
from bilevel.reading.variables import bounds_of


@dataclass(frozen=True)
class Part:
    """Stationarity rows and the multipliers that occur in them and nowhere else.

    Attributes
    ----------
    rows : list of int
        Positions in ``CompiledConditions.answers``.
    columns : list of int
        Positions in ``CompiledConditions.multipliers``.
    """

    rows: list[int]
    columns: list[int]


class CompiledConditions:
    """A single-level model's conditions as CasADi symbols.

    Attributes
    ----------
    variables : tuple of VarData
        Every unfixed variable of rows, slacks and conditions; ``symbols`` in the same order.
    answers : list of VarData
        The followers' variables, one for each stationarity row.
    multipliers : list of VarData
        Of inequalities and equalities.
    sides : list of tuple of str
        The multipliers' (source name, side).
    slacks : SX
        Of each multiplier's row: not negative, or zero for an equality.
    gradient : SX
        Of the followers' objectives (minimised), a component per answer.
    matrix : SX
        ``A``, shape (answers, multipliers).
    """

    def __init__(self, model: Any) -> None:
        self.conditions = block = model.bilevel_kkt
        self.constraints = list(model.component_data_objects(pyo.Constraint, active=True, descend_into=True))
        stationarity = list(block.stationarity.values())
        self.answers = [block.get_source(row) for row in stationarity]
        self.sides, self.multipliers = list(block.multiplier.keys()), list(block.multiplier.values())
        self.slack_expressions = [self._slack(*key) for key in self.sides]
        pairs = [e for pair in block.pairs for e in (pair.slack, pair.multiplier)]
        bodies = [c.body for c in self.constraints]
        found = mentioned([*bodies, *self.answers, *self.multipliers, *self.slack_expressions, *pairs])
        self.variables = tuple(found.values())
        self.places = {key: k for k, key in enumerate(found)}
        self.symbols = ca.SX.sym("v", len(self.variables))
        known = {key: self.symbols[k] for key, k in self.places.items()}
        self.translate = to_casadi(lambda node: known.get(id(node)))
        self.mu = self._symbols_of(self.multipliers)
        rows = self.column([row.body for row in stationarity])
        self.gradient = ca.substitute(rows, self.mu, ca.SX.zeros(self.mu.shape)) if len(self.multipliers) else rows
        self.matrix = ca.jacobian(rows, self.mu)
        self.slacks = self.column(self.slack_expressions)

    def _slack(self, source: str, side: str) -> Any:
        if side != "equality":
            return self.conditions.slack[source, side]
        origin = self.conditions.get_source(self.conditions.multiplier[source, side])
        return (origin if origin.ctype is pyo.Var else origin.body) - origin.upper

    def _symbols_of(self, variables: list[Any]) -> ca.SX:
        return ca.vertcat(*(self.symbols[self.places[id(var)]] for var in variables)) if variables else ca.SX(0, 1)

    def column(self, expressions: list[Any]) -> ca.SX:
        """Some expressions, translated."""
        return ca.vertcat(*(ca.SX(self.translate(e)) for e in expressions)) if expressions else ca.SX(0, 1)

    def rows(self) -> tuple[ca.SX, Any, Any]:
        """Every active constraint: bodies, lower and upper bounds."""
        return translate_rows(self.translate, self.constraints)

    def box(self) -> tuple[Any, Any]:
        """The variables' declared bounds."""
        lower, upper, _ = bounds_of(self.variables)
        return lower, upper

    @cached_property
    def y(self) -> ca.SX:
        """The followers' variables as symbols."""
        return self._symbols_of(self.answers)

    @cached_property
    def parts(self) -> list[Part]:
        """What can be looked at alone."""
        n, m = self.matrix.shape
        row, column = (np.array(k, dtype=int) for k in self.matrix.sparsity().get_triplet())
        graph = coo_matrix((np.ones(len(row)), (row, n + column)), shape=(n + m, n + m))
        count, label = connected_components(graph, directed=False)
        found = []
        for k in range(count):
            members = np.flatnonzero(label == k)
            if (members < n).any():
                found.append(Part(members[members < n].tolist(), (members[members >= n] - n).tolist()))
        return found

    def curved(self, part: Part) -> int | None:
        """A multiplier of a part whose row is not affine in y; None where all are."""
        for k in part.columns:
            if ca.depends_on(self.matrix[:, k], self.y):
                return k
        return None
