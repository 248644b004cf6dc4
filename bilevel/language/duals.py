"""The multiplier of a lower constraint, as a variable that the upper level may use."""

from __future__ import annotations

import pyomo.environ as pyo
from pyomo.common.collections import ComponentMap
from pyomo.core.base.block import ScalarBlock
from pyomo.core.base.constraint import ConstraintData
from pyomo.core.base.var import VarData

from bilevel.errors import ModelError
from bilevel.language.lower_level import LowerLevel

BLOCK = "duals"


class Duals(ScalarBlock):
    """What ``dual_of`` declared on one follower. Its ctype is its own: no walk over decisions meets it by accident."""

    def __init__(self) -> None:
        super().__init__(concrete=True, ctype=Duals)
        self.of = pyo.Var(pyo.Any, dense=False)
        self.known = ComponentMap()

    def variable(self, constraint: ConstraintData, name: str) -> VarData:
        """The variable that stands for a constraint's multiplier, the same at every call."""
        if constraint not in self.known:
            self.known[constraint] = self.of.add(name)
        return self.known[constraint]


def dual_of(constraint: ConstraintData) -> VarData:
    """The multiplier of a follower's constraint, for use in the upper objective and upper constraints.

    Its value is the derivative of the follower's optimal objective with respect to the constraint's right-hand side in
    Pyomo's form, ``body <= upper`` or ``lower <= body`` with all that varies in the body (a table of signs stands in
    :mod:`bilevel.reading.multipliers`). ``y >= x`` is ``x - y <= 0`` to Pyomo: of a follower who minimises its dual is
    never positive, and the price of x is ``-dual_of(row)``. Of ``y - x >= 0`` it is never negative; of ``x == y`` it
    has either sign.

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
    A plant covers the leader's demand at the cost y^2, and the leader pays the marginal cost, 2 x. The row is written
    with the constant 0 on its right: written ``y >= x`` it is ``x - y <= 0`` to Pyomo, and its dual -2 x.

    >>> import bilevel
    >>> import pyomo.environ as pyo
    >>> from bilevel import LowerLevel, dual_of
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var(bounds=(0, 10))
    >>> model.lower = LowerLevel()
    >>> model.lower.y = pyo.Var(bounds=(0, None))
    >>> model.lower.demand = pyo.Constraint(expr=model.lower.y - model.x >= 0)
    >>> model.lower.obj = pyo.Objective(expr=model.lower.y**2)
    >>> price = dual_of(model.lower.demand)
    >>> model.obj = pyo.Objective(expr=(12 - price) * model.x, sense=pyo.maximize)
    >>> result = bilevel.solve(model, "kkt")
    >>> f"F = {result.upper_objective:.3f} at x = {model.x.value:.3f}, price {price.value:.3f}"
    'F = 18.000 at x = 3.000, price 6.000'
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
