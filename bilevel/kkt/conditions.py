"""Optimality conditions in place of the lower level: from two levels to one ordinary Pyomo model.

Where the follower's problem ``min_y { f(x, y) : g(x, y) <= 0, h(x, y) = 0 }`` is convex in y and meets a constraint
qualification, y is optimal exactly where multipliers exist with (Karush 1939; Kuhn and Tucker 1951; Dempe 2002, ch. 5)

    grad_y f + sum_i mu_i grad_y g_i + sum_j nu_j grad_y h_j = 0     stationarity
    g <= 0,  h = 0                                                   feasibility: the constraints stay where they are
    mu >= 0,  mu_i g_i = 0                                           complementarity: a list of pairs for a treatment

Every constraint side and every finite bound of a follower's variable is one g. The signs stand in one table:

    side        holds           slack s >= 0      row g (or h)     multiplier     stationarity gets
    upper       body <= u       u - body          body - u         mu >= 0        + mu grad body
    lower       body >= l       body - l          l - body         mu >= 0        - mu grad body
    equality    body == r       none              body - r         nu free        + nu grad body

and grad f with the sign of the follower's sense, +1 where it minimises and -1 where it maximises. A multiplier mu is
hence the rate at which the optimal f (minimised) grows as the side is tightened.

Where no constraint qualification is known, an optimum may have no such multipliers. It always has Fritz John's: with a
weight on f besides,

    weight grad_y f + sum_i mu_i grad_y g_i + ... = 0,    weight >= 0,    weight + sum of the mu_i of curved rows = 1

(John 1948; rows affine in y stay out of the sum by Rockafellar 1970, *Convex Analysis*, theorem 21.2). These hold at
every answer, and at some points that are none: a relaxation.

A multiplier that the upper level mentions (:mod:`bilevel.reading.multipliers`) is tied to these by an equation of its
own.

All that is new stands on one block, :class:`OptimalityConditions`. The pairs are listed on it; a treatment of
``solvers/complementarity`` imposes them. ``TransformationFactory("bilevel.kkt")`` does both and so gives a model that
is ordinary and complete; :func:`apply_conditions` does only the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo
from pyomo.common.collections import ComponentMap
from pyomo.core.base.block import BlockData, ScalarBlock

from bilevel.contracts.treatment import GIVEN
from bilevel.errors import ModelError, RefusedError
from bilevel.expressions.gradients import Gradients
from bilevel.expressions.translation import mentioned
from bilevel.kkt.choices import Choices
from bilevel.kkt.given_bounds import sides_given
from bilevel.kkt.lifting import lift_above, lift_maxima
from bilevel.language.duals import BLOCK as DUALS
from bilevel.language.duals import Duals
from bilevel.language.lower_level import LowerLevel
from bilevel.reading.follower import Follower
from bilevel.reading.multipliers import Multiplier
from bilevel.reading.piecewise import settle
from bilevel.reading.plain.preparing import make_plain
from bilevel.reading.problem import Problem

BLOCK = "bilevel_kkt"
SIGN = {"upper": 1, "lower": -1, "equality": 1}


@dataclass(frozen=True)
class Pair:
    """``0 <= slack``, ``0 <= multiplier``, and one of the two is zero.

    Attributes
    ----------
    source : str
        Name of the constraint, of the variable whose bound it is, or of the lifted maximum.
    side : str
        ``lower`` or ``upper``; ``piece <i>`` of a maximum.
    multiplier : VarData
        On the generated block, with the lower bound 0.
    slack : named Expression
        On the generated block.
    """

    source: str
    side: str
    multiplier: Any
    slack: Any


class OptimalityConditions(ScalarBlock):
    """The generated block: multipliers, stationarity rows and complementarity pairs of every follower.

    Attributes
    ----------
    multiplier : Var, indexed by (source name, side)
        One for every side of a constraint and every finite bound that involves a follower's variable.
    stationarity : Constraint, indexed by name of a follower's variable
        One row each.
    weight : Var, indexed by name of a follower
        Of the objectives that have one.
    normal : Constraint, indexed by name of a follower
        Weight and multipliers of curved rows are not all zero.
    dual : Constraint, indexed by name of a variable that ``dual_of`` made
        Ties it to the multipliers.
    slack : Expression, indexed by (source name, side)
        Not negative where the source holds.
    pairs : list of Pair
        What is complementary.
    given : dict
        Bounds on multipliers that a user knows, by (source name, side).
    """

    def __init__(self) -> None:
        super().__init__(concrete=True)
        self.pairs: list[Pair] = []
        self.given: dict[tuple[str, str], float] = {}
        self._sources = ComponentMap()
        self._multipliers = ComponentMap()
        self.multiplier = pyo.Var(pyo.Any, dense=False)
        self.slack = pyo.Expression(pyo.Any)
        self.adjoint = pyo.Expression(pyo.Any)
        self.stationarity = pyo.Constraint(pyo.Any)
        self.weight = pyo.Var(pyo.Any, dense=False, bounds=(0, 1))
        self.normal = pyo.Constraint(pyo.Any)
        self.dual = pyo.Constraint(pyo.Any)
        self.choices = Choices(self)

    def get_source(self, component: Any) -> Any:
        """Where a stationarity row, a multiplier or a slack comes from: a variable or constraint of the follower.

        Raises
        ------
        ModelError
            If it is not one of this block's.
        """
        if component not in self._sources:
            raise ModelError(f"{component.name} is no row, multiplier or slack of {self.name}")
        return self._sources[component]

    def multipliers_of(self, component: Any) -> dict[str, Any]:
        """The multipliers of a follower's constraint, or of a variable's bounds, by side; empty where it has none."""
        return dict(self._multipliers.get(component, {}))

    def share(self, expression: Any) -> Any:
        """Give an expression a name on this block."""
        return self.adjoint.add(len(self.adjoint), expression)

    def pair(self, source: str, side: str, multiplier: Any, slack: Any) -> Any:
        """Add a pair; the named slack."""
        named = self.slack.add((source, side), slack)
        self.pairs.append(Pair(source, side, multiplier, named))
        return named

    def recover(self) -> None:
        """After a solve: variables whose values come from a list get exactly one of them, categories their word."""
        self.choices.recover()

    def give(self, bounds: Mapping[Any, float]) -> None:
        """Take note of what a user knows of the multipliers, by (source, side); proofs are made without it."""
        self.given = sides_given(bounds, list(self.multiplier.keys()))

    def impose_given(self) -> None:
        """Give the multipliers the bounds that a user knows, after all that is proved of them."""
        for key, limit in self.given.items():
            multiplier = self.multiplier[key]
            multiplier.setub(limit if multiplier.ub is None else min(limit, multiplier.ub))
            if key[1] == "equality":
                multiplier.setlb(-limit if multiplier.lb is None else max(-limit, multiplier.lb))

    @property
    def believed(self) -> list[tuple[str, str]]:
        """The multipliers whose given bound is used and not proved."""
        proved = self.__dict__.get("proved_bounds", {})
        return [key for key in self.given if key not in proved or proved[key].multiplier.provenance == GIVEN]

    def add_follower(self, follower: Follower, weighted: bool = False) -> None:
        """Add one follower's multipliers, pairs and stationarity rows; Fritz John's if ``weighted``."""
        assert follower.objective is not None
        weight = self.weight.add(follower.name) if weighted else 1.0
        normal = [weight]
        gradients = Gradients(follower.variables, self.share)
        sums: dict[int, list[Any]] = {id(v): [] for v in follower.variables}
        for key, slope in gradients(follower.objective.expr, follower.objective.name).items():
            sums[key].append(follower.sense * weight * slope)
        for row in _rows(follower):
            slopes = gradients(row.body, row.source.name)
            if slopes:  # a row over x alone restricts the leader; it has no multiplier
                for side in row.sides:
                    multiplier = self._multiplier(row, side)
                    if weighted and side != "equality" and _mentions(slopes.values(), follower.variables):
                        normal.append(multiplier)
                    for key, slope in slopes.items():
                        sums[key].append(SIGN[side] * slope * multiplier)
        for var in follower.variables:
            body = sum(sums[id(var)])
            if not getattr(body, "is_potentially_variable", bool)():
                body = self.share(body)  # a number: no row in Pyomo's eyes, yet false unless it is zero
            self._sources[self._row(var.name, body)] = var
        if weighted:
            self.normal.add(follower.name, sum(normal) == 1)

    def tie(self, wanted: Multiplier, sense: int) -> None:
        """Say what ``dual_of`` a constraint is: the derivative of the optimal f, in its own sense."""
        sides = self._multipliers[wanted.constraint].items()
        weight = sum(SIGN[side] * multiplier for side, multiplier in sides)
        self.dual.add(wanted.variable.name, wanted.variable + sense * weight == 0)

    def _row(self, name: str, body: Any) -> Any:
        return self.stationarity.add(name, body == 0.0)

    def _multiplier(self, row: _Row, side: str) -> Any:
        multiplier = self.multiplier.add((row.source.name, side))
        self._sources[multiplier] = row.source
        self._multipliers.setdefault(row.source, {})[side] = multiplier
        if side != "equality":
            multiplier.domain = pyo.NonNegativeReals
            slack = row.upper - row.body if side == "upper" else row.body - row.lower
            self._sources[self.pair(row.source.name, side, multiplier, slack)] = row.source
        return multiplier


@dataclass(frozen=True)
class _Row:
    """``lower <= body <= upper``: a constraint, or a variable within its bounds; None where there is no bound."""

    source: Any
    body: Any
    lower: Any
    upper: Any

    @property
    def sides(self) -> tuple[str, ...]:
        low, high = self.source.lb, self.source.ub
        if low is not None and low == high:
            return ("equality",)
        return tuple(side for side, bound in (("lower", low), ("upper", high)) if bound is not None)


def _rows(follower: Follower) -> Iterator[_Row]:
    for constraint in follower.constraints:
        yield _Row(constraint, constraint.body, constraint.lower, constraint.upper)
    for var in follower.variables:
        yield _Row(var, var, var.lower, var.upper)


def _mentions(expressions: Iterable[Any], variables: Iterable[Any]) -> bool:
    own = {id(var) for var in variables}
    return not own.isdisjoint(mentioned([e for e in expressions if not isinstance(e, (int, float))]))


def apply_conditions(
    model: Any, *, lift: bool = True, conditions: Collection[str] | None = None, weighted: Collection[str] = ()
) -> OptimalityConditions:
    """Turn a bilevel model into a single-level one, in place.

    Every LowerLevel becomes an ordinary Block of the same name, its objective deactivated; the rest stands on the block
    ``bilevel_kkt``. Upper variables that take their values from a list are expressed by binaries or an integer, and
    ``Allowed`` predicates by a table (see :mod:`bilevel.kkt.choices`). Nothing is changed if the model is refused.

    Parameters
    ----------
    model : ConcreteModel or Problem
        The bilevel model.
    lift : bool
        Replace maxima and minima by variables and further pairs. Without it Pyomo's writers refuse them; our own
        compiled form takes them as they are.
    conditions : collection of str, optional
        Names of the followers whose optimality conditions are imposed; all where nothing is said. The constraints of
        the others stay, their optimality is dropped: a relaxation.
    weighted : collection of str
        Names of the followers whose conditions are Fritz John's, for want of a constraint qualification.

    Raises
    ------
    ModelError
        If the model cannot mean a bilevel problem.
    RefusedError
        If a follower has no optimality conditions, or an upper domain cannot be expressed.
    """
    if isinstance(model, BlockData):
        make_plain(model)
    problem = Problem.read(model)
    problem.refuse_conditions("the KKT path")
    if problem.model.component(BLOCK) is not None:
        raise ModelError(f"{problem.model.name} already has a component {BLOCK}; rename it")
    chosen = [f for f in problem.followers if conditions is None or f.name in conditions]
    for follower in chosen:
        refuse_follower(follower)
    block = OptimalityConditions()
    for follower in chosen:
        block.add_follower(follower, follower.name in weighted)
        for multiplier in (m for m in problem.multipliers if m.follower == follower.name):
            block.tie(multiplier, follower.sense)
    block.choices.plan(problem)
    problem.model.add_component(BLOCK, block)
    block.choices.impose()
    for follower in problem.followers:
        settle(follower)
        if follower.objective is not None:
            follower.objective.deactivate()
        duals = follower.block.component(DUALS)
        if isinstance(duals, Duals):
            follower.block.reclassify_component_type(duals, pyo.Block)
        component = follower.block.parent_component()
        component.parent_block().reclassify_component_type(component, pyo.Block)
    for aside in list(problem.model.component_data_objects(LowerLevel, active=True, descend_into=True)):
        aside.deactivate()  # asked once, at the answer, and by nobody before
    if lift:
        lift_above(problem, block)
        lift_maxima(problem.model, block)
    return block


def refuse_follower(follower: Follower) -> None:
    """Refuse a follower that has no optimality conditions.

    Raises
    ------
    RefusedError
        Naming the follower or the variable to blame, and what takes it.
    """
    if follower.response is not None:
        raise RefusedError(
            f"{follower.name} answers by a Python function, which has no optimality conditions;"
            " use a search (method='rbf')"
        )
    for var in follower.variables:
        if not var.is_continuous():
            raise RefusedError(
                f"{var.name} is integer: a lower level with integer variables has no optimality conditions;"
                " use a search (method='rbf')"
            )
