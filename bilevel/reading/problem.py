"""Reading a Pyomo model as a bilevel problem, and refusing what it cannot mean.

``min_x F(x, y)  s.t.  G(x, y) <= 0,  y in argmin_y { f(x, y) : g(x, y) <= 0 }`` (Dempe 2002, eq. 1.1): here is which
component plays which part.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.block import BlockData

from bilevel.errors import ModelError, RefusedError
from bilevel.expressions.translation import mentioned
from bilevel.language.active_when import ActiveWhen, conditions_on
from bilevel.language.attitude import Attitude
from bilevel.language.domains import Allowed, allowed_on, give
from bilevel.language.duals import BLOCK as DUALS
from bilevel.language.lower_level import LowerLevel, response_of
from bilevel.language.trials.once import reported_of
from bilevel.reading.components import called, objectives_above, refuse_nested, refuse_unknown_components, within
from bilevel.reading.criterion import criterion_of
from bilevel.reading.follower import Follower
from bilevel.reading.multipliers import Multiplier, multipliers_above
from bilevel.reading.piecewise import ends_within, lifted
from bilevel.reading.plain.foreign_components import truth_values
from bilevel.reading.plain.preparing import insist_on_a_value, plain
from bilevel.reading.structure import refuse_entangled
from bilevel.reading.variables import names_of

SEVERAL = "bilevel_several"  # the block with the objective that stands for several (bilevel.reading.several)


@dataclass(frozen=True)
class Problem:
    """A bilevel problem: the parts of a Pyomo model by the role they play.

    Attributes
    ----------
    model : ConcreteModel
        The user's model, or a clone of it made plain (:mod:`bilevel.reading.plain.preparing`).
    variables : tuple of VarData
        The leader's decisions x.
    objective : ObjectiveData
        F.
    constraints : tuple of ConstraintData
        G: over x alone, or coupling.
    allowed : tuple of Allowed
        Predicates over x.
    followers : tuple of Follower
        At least one; independent of each other.
    attitude : Attitude
        Which of the followers' optima counts.
    multipliers : tuple of Multiplier
        Those of lower constraints that the upper level mentions.
    conditions : tuple of ActiveWhen
        Which upper variables matter where.
    source : ConcreteModel
        The user's own model, which takes the answer.
    objectives : tuple of ObjectiveData
        The several for which ``objective`` stands (:mod:`bilevel.reading.several.objectives`); mostly empty.
    """

    model: Any
    variables: tuple[Any, ...]
    objective: Any
    constraints: tuple[Any, ...]
    allowed: tuple[Allowed, ...]
    followers: tuple[Follower, ...]
    attitude: Attitude = Attitude.OPTIMISTIC
    multipliers: tuple[Multiplier, ...] = ()
    conditions: tuple[ActiveWhen, ...] = ()
    source: Any = None
    objectives: tuple[Any, ...] = ()

    def _repr_html_(self) -> str:
        """Who decides what, as a table, for notebooks."""
        rows = [("leader", self.objective.name, self.variables)]
        rows += [
            (f.name, "a function" if f.objective is None else f.objective.name, f.variables) for f in self.followers
        ]
        cells = "".join(
            f"<tr><td>{html.escape(who)}</td><td>{html.escape(aim)}</td><td>{len(variables)}</td></tr>"
            for who, aim, variables in rows
        )
        return f"<table><tr><th>level</th><th>objective</th><th>variables</th></tr>{cells}</table>"

    @classmethod
    def read(cls, model: Any, attitude: str | None = None) -> Problem:
        """Read a model.

        Parameters
        ----------
        model : ConcreteModel
            With at least one ``LowerLevel``.
        attitude : str, optional
            ``optimistic``, which it is where nothing is said, or ``pessimistic`` (:mod:`bilevel.language.attitude`).

        Raises
        ------
        ModelError
            If the model cannot mean a bilevel problem; the message names the component and the cure.
        """
        if isinstance(model, Problem):
            return model if attitude in (None, model.attitude) else replace(model, attitude=Attitude(attitude))
        if not isinstance(model, BlockData):
            raise ModelError(f"expected a Pyomo ConcreteModel, got {type(model).__name__}")
        if not model.is_constructed():
            raise ModelError(f"{called(model)} is an AbstractModel without data; call create_instance() first")
        source, model = model, plain(model)
        refuse_unknown_components(model)
        blocks = list(model.component_data_objects(LowerLevel, active=True, descend_into=True))
        if not blocks:
            raise ModelError(
                f"{called(model)} has no active LowerLevel; declare the follower with `model.lower = LowerLevel()`"
            )
        once = asked_once(model)
        blocks = [block for block in blocks if all(block is not other for other in once)] or blocks
        for block in blocks:
            refuse_nested(block)
        objective = _only_objective(model, "the upper level", objectives_above(model))
        constraints = tuple(model.component_data_objects(pyo.Constraint, active=True, descend_into=True))
        upper = mentioned([objective.expr, *(c.body for c in constraints)])
        allowed = tuple(allowed_on(model))
        followers = tuple(_read_follower(block, upper) for block in blocks)
        multipliers = multipliers_above(followers, upper)
        priced = {id(multiplier.constraint) for multiplier in multipliers}
        ends = ends_within([*constraints, *(row for follower in followers for row in follower.constraints)])
        followers = tuple(lifted(follower, priced, ends) for follower in followers)
        refuse_entangled(followers)
        conditions = tuple(conditions_on(model))
        variables = _upper_variables(model, followers, upper, allowed, conditions)
        meant = Attitude.OPTIMISTIC if attitude is None else Attitude(attitude)
        problem = cls(
            *(model, variables, objective, constraints, allowed, followers, meant, multipliers, conditions, source),
            _several(model),
        )
        problem._refuse_strangers(upper)
        for var in (*problem.variables, *problem.lower_variables):
            insist_on_a_value(var)
        return problem

    def refuse_conditions(self, who: str) -> list[str]:
        """What a method to which every variable matters everywhere makes of conditional variables.

        By the modeller's word inactive variables change nothing, so their free choice does no harm: a remark says so.
        Not where a constraint over x alone or a predicate mentions one: a search checks that with the variable at rest.

        Raises
        ------
        RefusedError
            In that case.
        """
        over_x = mentioned([c.body for c in self.x_only])
        over_x |= {id(v): v for allowed in self.allowed for v in allowed.variables}
        for declared in self.conditions:
            for var in declared.variables:
                if id(var) in over_x:
                    raise RefusedError(
                        f"{who} knows no conditional variables, and {var.name} of {declared.name} stands in a"
                        " constraint over x alone; use a search, or fix"
                        f" {declared.on.name} and deactivate {declared.name}"
                    )
        names = ", ".join(declared.name for declared in self.conditions)
        return [f"{names} not needed by {who}: inactive variables took any value within their bounds"] if names else []

    def __getstate__(self) -> dict[str, Any]:
        """Without what others keep with it, the compiled form for one, or what goes by ids: made again elsewhere."""
        return {field.name: self.__dict__[field.name] for field in fields(self)} | {"source": None}

    def leave(self, values: dict[str, Any]) -> None:
        """Leave values, by name, on the user's model, truth values with them; what that does not have is left out."""
        for var in (*self.variables, *self.reported_variables):
            give(var, values[self.names[id(var)]])
        if self.source is self.model:
            return
        for name, theirs in self.homes.items():
            give(theirs, values[name])
        for theirs in truth_values(self.source):
            binary = self.model.find_component(theirs).get_associated_binary()
            if binary is not None and binary.value is not None and not theirs.fixed:
                theirs.set_value(bool(round(binary.value)), skip_validation=True)

    @property
    def seeks_front(self) -> bool:
        """Whether a search is to learn from all ``objectives`` at once, and not from the one that stands for them."""
        return bool(self.objectives) and bool(self.model.component(SEVERAL).at_once)

    @property
    def sense(self) -> int:
        """+1 where the leader minimises, -1 where it maximises."""
        return -1 if self.objective.sense == pyo.maximize else 1

    @cached_property
    def unbounded(self) -> tuple[Any, ...]:
        """The leader's variables that lack a bound of their own."""
        return tuple(var for var in self.variables if not var.domain.isfinite() and None in var.bounds)

    @cached_property
    def lower_variables(self) -> tuple[Any, ...]:
        """What comes with the followers' answer: their variables in turn, then the multipliers."""
        own = (var for follower in self.followers for var in follower.variables)
        return (*own, *(multiplier.variable for multiplier in self.multipliers))

    @cached_property
    def reported_variables(self) -> tuple[Any, ...]:
        """The same without variables that nobody declared."""
        own = (var for follower in self.followers for var in follower.written.variables)
        return (*own, *(multiplier.variable for multiplier in self.multipliers))

    @cached_property
    def names(self) -> dict[int, str]:
        """Names by id: of the leader's variables, then of those in :attr:`lower_variables`."""
        members = (*self.variables, *self.lower_variables)
        return dict(zip(map(id, members), names_of(members), strict=True))

    @cached_property
    def lower_names(self) -> tuple[str, ...]:
        """Of :attr:`lower_variables`, in their order."""
        return tuple(self.names.values())[len(self.variables) :]

    @cached_property
    def homes(self) -> dict[str, Any]:
        """The user's own variables by name: without those that were made to make the model plain."""
        own = {self.names[id(var)]: var for var in (*self.variables, *self.reported_variables)}
        if self.source is None or self.source is self.model:
            return own
        found = {name: self.source.find_component(var) for name, var in own.items()}
        return {name: var for name, var in found.items() if var is not None}

    @cached_property
    def lower_ids(self) -> frozenset[int]:
        """Ids of the same."""
        return frozenset(id(var) for var in self.lower_variables)

    @property
    def pessimistic(self) -> bool:
        """Whether the worst of the followers' optima counts."""
        return self.attitude is Attitude.PESSIMISTIC

    @cached_property
    def coupling(self) -> tuple[Any, ...]:
        """The upper constraints that mention some follower's variable."""
        return tuple(c for c in self.constraints if not self.lower_ids.isdisjoint(mentioned([c.body])))

    @cached_property
    def x_only(self) -> tuple[Any, ...]:
        """The upper constraints over x alone."""
        coupling = {id(c) for c in self.coupling}
        return tuple(c for c in self.constraints if id(c) not in coupling)

    def _refuse_strangers(self, upper: dict[int, Any]) -> None:
        """Refuse variables that belong to no level of this model (another model's, or a deactivated follower's)."""
        known = self.lower_ids | {id(var) for var in self.variables}
        sources = [("the upper level", upper), *((f.name, f.mentioned) for f in self.followers)]
        for place, found in sources:
            for key, var in found.items():
                if key not in known:
                    raise ModelError(
                        f"{place} mentions {var.name}, which belongs to no active level of {called(self.model)};"
                        " declare it on the model, activate its LowerLevel, or fix it"
                    )


def asked_once(model: Any) -> list[Any]:
    """Followers that only what is evaluated for the answer alone speaks of (``report_once``): no search asks them."""
    spoken = mentioned([getattr(body, "expr", body) for body in reported_of(model).values()])
    if not spoken:
        return []
    objectives = list(model.component_data_objects(pyo.Objective, active=True, descend_into=True))
    rows = list(model.component_data_objects(pyo.Constraint, active=True, descend_into=True))
    above = mentioned([*(o.expr for o in objectives), *(row.body for row in rows)])
    found = []
    for block in model.component_data_objects(LowerLevel, active=True, descend_into=True):
        own = {id(var) for var in block.component_data_objects(pyo.Var, descend_into=True)}
        if own & spoken.keys() and not own & above.keys():
            found.append(block)
    return found


def _only_objective(model: Any, place: str, objectives: Iterable[Any]) -> Any:
    found = list(objectives)
    if not found:
        raise ModelError(f"{place} of {called(model)} has no active Objective; add one")
    if len(found) > 1:
        names = ", ".join(o.name for o in found)
        front = ", or ask bilevel.solve for their front" if place == "the upper level" else ""
        raise ModelError(
            f"{place} of {called(model)} has {len(found)} active Objectives ({names}); deactivate all but one{front}"
        )
    if found[0].expr is None:
        raise ModelError(f"the Objective {found[0].name} has no expression")
    return found[0]


def _several(model: Any) -> tuple[Any, ...]:
    """The objectives for which the model's one objective stands."""
    block = model.component(SEVERAL)
    return () if block is None else tuple(model.find_component(name) for name in block.names)


def _read_follower(block: Any, upper: dict[int, Any]) -> Follower:
    constraints = tuple(block.component_data_objects(pyo.Constraint, active=True, descend_into=True))
    objectives = block.component_data_objects(pyo.Objective, active=True, descend_into=True)
    declared = {id(v): v for v in block.component_data_objects(pyo.Var, descend_into=True) if within(v, block)}
    if not declared:
        raise ModelError(f"{block.name} declares no variable; a follower's decisions are declared on its LowerLevel")
    if response_of(block) is not None:
        if constraints or any(True for _ in objectives):
            raise ModelError(
                f"{block.name} has a response function and also constraints or an objective; keep one of the two"
            )
        return Follower(block.name, block, tuple(v for v in declared.values() if not v.fixed), (), None, {})
    objective = _only_objective(block.model(), block.name, objectives)
    own = mentioned([objective.expr, *(c.body for c in constraints)])
    variables = tuple(v for key, v in declared.items() if not v.fixed and (key in own or key in upper))
    if not variables:
        raise ModelError(
            f"{block.name} has no free variable that anything mentions; the follower has nothing to decide"
        )
    plain = block.component(DUALS) is None  # a multiplier is a derivative of f itself
    criterion = criterion_of(objective, variables) if plain else objective
    return Follower(block.name, block, variables, constraints, criterion, own)


def _upper_variables(
    model: BlockData,
    followers: tuple[Follower, ...],
    upper: dict[int, Any],
    allowed: tuple[Allowed, ...],
    conditions: tuple[ActiveWhen, ...],
) -> tuple[Any, ...]:
    """Unfixed variables outside every follower; only those mentioned, unless a response function may read them all."""
    below = {
        id(v)
        for follower in followers
        for v in follower.block.component_data_objects(pyo.Var, descend_into=True)
        if within(v, follower.block)
    }
    wanted = set(upper) | {id(v) for a in allowed for v in a.variables}
    wanted |= {id(condition.on) for condition in conditions}
    wanted.update(key for follower in followers for key in follower.mentioned)
    everything = any(follower.response is not None for follower in followers)
    found: dict[int, Any] = {}
    for var in model.component_data_objects(pyo.Var, descend_into=True):
        if id(var) not in below and not var.fixed and (everything or id(var) in wanted):
            found.setdefault(id(var), var)
    return tuple(found.values())
