"""A lower constraint's multiplier as a variable of the upper level: prices that the leader pays or earns.

``dual_of(constraint)`` is the derivative of the follower's optimal objective, in the follower's own sense, with respect
to the constraint's right-hand side: the convention of Pyomo's and the solvers' duals. The right-hand side is that of
Pyomo's own form ``lower <= body <= upper``, where all that varies stands in the body:

    follower    body <= upper    lower <= body    body == value    both sides
    minimises   dual <= 0        dual >= 0        either sign      that of the active one
    maximises   dual >= 0        dual <= 0        either sign      that of the active one

Mind where all that varies stands: Pyomo writes ``y >= x`` as ``x - y <= 0``, an upper side, whose dual is not positive
where the follower minimises. What he pays for one unit more of x is therefore ``-dual_of(row)``, and a leader who
maximises ``x * dual_of(row)`` finds that 0 is the best there is (a note in the result says so). ``y - x >= 0`` is a
lower side, and has a dual that is not negative. A row times -1 has its dual times -1.

With f minimised, ``grad f + w grad body + ... = 0`` and ``s`` the follower's sense, +1 or -1, the dual is ``-s w``: the
optimal f falls at the rate w as the right-hand side grows (Boyd and Vandenberghe 2004, 5.6.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bilevel.errors import ModelError
from bilevel.expressions.translation import mentioned
from bilevel.language.duals import BLOCK, Duals

if TYPE_CHECKING:
    from bilevel.reading.follower import Follower


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
