"""What the second look found at one point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bilevel import tolerances
from bilevel.verify.noise import Noise


@dataclass
class Check:
    """What an independent look at one point (x, y) measured.

    Attributes
    ----------
    upper, lower : dict
        The point, by component name.
    upper_objective : float
        F in the user's sense.
    lower_objectives : list of float
        f of each follower in the user's sense; NaN for a response function.
    bilevel_gap : float or None
        Largest excess of f over the best f for that x, relative to ``max(1, |f|)``; None where only response functions
        answer.
    upper_violation, lower_violation : float
        Largest relative violations.
    proved : bool
        Whether the best f of every follower, and the choice among ties, is proved.
    certain : bool
        Whether the point is proved bilevel feasible: the best f of every follower is proved, to
        ``tolerances.SHARP`` where that is not by convexity. The optimistic choice need not be (a worse one is feasible
        too), the pessimistic one must.
    complaints : list of str
        Why the point does not stand; empty if it does.
    remark : str
        What of it is not unique, if anything.
    noise : Noise or None
        How response functions differed when they were asked again, where that matters for F.
    """

    upper: dict[str, Any]
    lower: dict[str, float]
    upper_objective: float
    lower_objectives: list[float]
    bilevel_gap: float | None
    upper_violation: float
    lower_violation: float
    proved: bool
    certain: bool
    complaints: list[str]
    remark: str = ""
    noise: Noise | None = None

    @property
    def stands(self) -> bool:
        """Whether (x, y) is bilevel feasible within the tolerances."""
        return not self.complaints

    @property
    def optimal(self) -> bool:
        """Whether y is an optimum below within the tolerances, whatever the upper constraints say of it."""
        gap = self.bilevel_gap
        return (gap is None or gap <= tolerances.OPTIMALITY) and self.lower_violation <= tolerances.FEASIBILITY
