"""A lower constraint's multiplier as a variable of the upper level: prices that the leader pays or earns.

``dual_of(constraint)`` is the derivative of the follower's optimal objective, in the follower's own sense, with respect
to the constraint's right-hand side: the convention of Pyomo's and the solvers' duals. The right-hand side is that of
Pyomo's own form ``lower <= body <= upper``, where all that varies stands in the body:

    follower    body <= upper    lower <= body    body == value    both sides
    minimises   dual <= 0        dual >= 0        either sign      that of the active one
    maximises   dual >= 0        dual <= 0        either sign      that of the active one

A row times -1 has its dual times -1. With f minimised, ``grad f + w grad body + ... = 0`` and ``s`` the follower's
sense, +1 or -1, the dual is ``-s w``: the optimal f falls at the rate w as the right-hand side grows (Boyd and
Vandenberghe 2004, 5.6.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo
from pyomo.common.collections import ComponentMap
from pyomo.core.base.block import ScalarBlock
from pyomo.core.base.constraint import ConstraintData

from bilevel.errors import ModelError
from bilevel.expressions.translation import mentioned
from bilevel.language.lower_level import LowerLevel

if TYPE_CHECKING:
    from bilevel.reading.problem import Follower

BLOCK = "duals"


class Duals(ScalarBlock):
    """What ``dual_of`` declared on one follower. Its ctype is its own: no walk over decisions meets it by accident."""

    def __init__(self) -> None:
        super().__init__(concrete=True, ctype=Duals)
        self.of = pyo.Var(pyo.Any, dense=False)
        self.known = ComponentMap()

    def variable(self, constraint: Any, name: str) -> Any:
        """The variable that stands for a constraint's multiplier, the same at every call."""
        if constraint not in self.known:
            self.known[constraint] = self.of.add(name)
        return self.known[constraint]


@dataclass(frozen=True)
class Multiplier:
    """A multiplier that the upper level mentions.

    Attributes
    ----------
    follower : str
        Name of the follower.
    constraint : ConstraintData
        Of that follower.
    variable : VarData
        Stands for the multiplier in upper expressions.
    """

    follower: str
    constraint: Any
    variable: Any


def dual_of(constraint: Any) -> Any:
    """The multiplier of a follower's constraint, for use in the upper objective and upper constraints.

    Its value is the derivative of the follower's optimal objective with respect to the constraint's right-hand side;
    the module's docstring has the table of signs.

    Parameters
    ----------
    constraint : ConstraintData
        A constraint of a ``LowerLevel``; one member of an indexed one.

    Returns
    -------
    VarData
        On a hidden block of the ``LowerLevel``. Neither level decides it: it comes with the follower's answer.

    Raises
    ------
    ModelError
        If it is no single constraint of a follower.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> from bilevel import LowerLevel, dual_of
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var(bounds=(0, 10))
    >>> model.lower = LowerLevel()
    >>> model.lower.y = pyo.Var(bounds=(0, None))
    >>> model.lower.demand = pyo.Constraint(expr=model.lower.y >= model.x)
    >>> model.lower.obj = pyo.Objective(expr=model.lower.y**2)
    >>> model.obj = pyo.Objective(expr=model.x * dual_of(model.lower.demand), sense=pyo.maximize)
    """
    if not isinstance(constraint, ConstraintData):
        name = getattr(constraint, "name", repr(constraint))
        raise ModelError(f"dual_of({name}) takes a single constraint; name a member, as in dual_of(model.lower.row[1])")
    home = constraint.parent_block()
    while home is not None and home.ctype is not LowerLevel:
        home = home.parent_block()
    if home is None:
        raise ModelError(f"{constraint.name} belongs to no LowerLevel; only a follower's constraint has a multiplier")
    if home.component(BLOCK) is None:
        home.add_component(BLOCK, Duals())
    duals = home.component(BLOCK)
    if not isinstance(duals, Duals):
        raise ModelError(f"{duals.name} stands where dual_of keeps its variables; rename it")
    return duals.variable(constraint, constraint.getname(fully_qualified=True, relative_to=home))


def multipliers_above(followers: Sequence[Follower], upper: dict[int, Any]) -> tuple[Multiplier, ...]:
    """The multipliers that the upper level mentions.

    Raises
    ------
    ModelError
        If one has no meaning: its constraint is not active or does not involve the follower, whose variables are not
        all real; or if a follower mentions one.
    """
    found = list(_declared(followers))
    for multiplier in found:
        for follower in followers:
            if id(multiplier.variable) in follower.mentioned:
                raise ModelError(
                    f"{follower.name} mentions dual_of({multiplier.constraint.name}); only the upper level may use it"
                )
    used = tuple(m for m in found if id(m.variable) in upper)
    for multiplier in used:
        _insist(multiplier, next(f for f in followers if f.name == multiplier.follower))
    return used


def _declared(followers: Sequence[Follower]) -> Iterator[Multiplier]:
    for follower in followers:
        duals = follower.block.component(BLOCK)
        if isinstance(duals, Duals):
            for constraint, variable in duals.known.items():
                yield Multiplier(follower.name, constraint, variable)


def _insist(multiplier: Multiplier, follower: Follower) -> None:
    constraint, own = multiplier.constraint, {id(var) for var in follower.variables}
    if all(constraint is not other for other in follower.constraints):
        raise ModelError(f"dual_of({constraint.name}) is used above, but the constraint is not active; activate it")
    if own.isdisjoint(mentioned([constraint.body])):
        raise ModelError(
            f"dual_of({constraint.name}): the constraint mentions no variable of {follower.name} and has no multiplier"
        )
    for var in follower.variables:
        if not var.is_continuous():
            raise ModelError(
                f"dual_of({constraint.name}): {var.name} is integer, and a follower with integer variables has no"
                " multipliers; make it real, or leave the multiplier out"
            )
