"""Which of the follower's optima the leader reckons with.

Where the follower's answer is not unique the leader's problem is not yet said. The optimistic leader is granted the
optimum that suits him best, the pessimistic one reckons with the worst (Dempe 2002, ch. 5; Loridan and Morgan 1996,
doi 10.1007/BF00121269). With Psi(x) the follower's optimal set the pessimistic problem is, in the form of Wiesemann,
Tsoukalas, Kleniati and Rustem (2013, doi 10.1137/120864015),

    min_x  max { F(x, y) : y in Psi(x) }   s.t.  G(x, y) <= 0  for every y in Psi(x),

so an x is feasible only if *no* optimal answer breaks a coupling constraint. Where Psi(x) is a single point for every
x the two attitudes are one.
"""

from __future__ import annotations

from enum import StrEnum


class Attitude(StrEnum):
    """What the leader expects of a follower who is indifferent.

    Examples
    --------
    To this follower every y is as good as any other; the leader wants a small one. At x = 0 she has no choice.

    >>> import bilevel
    >>> import pyomo.environ as pyo
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var(within=pyo.RangeSet(0, 2))
    >>> model.lower = bilevel.LowerLevel()
    >>> model.lower.y = pyo.Var(bounds=(0, 1))
    >>> model.lower.cap = pyo.Constraint(expr=model.lower.y <= model.x)
    >>> model.lower.obj = pyo.Objective(expr=0 * model.lower.y)
    >>> model.obj = pyo.Objective(expr=5 + 3 * model.lower.y - model.x)
    >>> for attitude in ("optimistic", "pessimistic"):
    ...     result = bilevel.solve(model, "grid", attitude=attitude)
    ...     print(f"{attitude}: F = {result.upper_objective:.3f} at x = {model.x.value}")
    optimistic: F = 3.000 at x = 2
    pessimistic: F = 5.000 at x = 0
    """

    OPTIMISTIC = "optimistic"
    """The optimum best for the leader among those that meet the coupling constraints."""
    PESSIMISTIC = "pessimistic"
    """The optimum worst for the leader; every optimum has to meet the coupling constraints."""
