"""What a follower goes by, where that is simpler than the objective that was written: the same optima, more digits.

An even power of an expression is least, and greatest, where its square is: ``argmin c h^4 = argmin c h^2``. But the
fourth power is flat where h is small: an f right to 1e-12 leaves h at 1e-3, and F with it. So the square is what is
compiled, differentiated and proved convex; f itself is computed from it for reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyomo.core.expr import MonomialTermExpression, PowExpression, ProductExpression


@dataclass(frozen=True)
class Criterion:
    """Stands in the place of an Objective.

    Attributes
    ----------
    stated : ObjectiveData
        The objective that was written, ``factor h^(2 half)``.
    expr : Pyomo expression
        ``factor h^2``.
    factor : float
        Not zero.
    half : int
        At least 2.
    """

    stated: Any
    expr: Any
    factor: float
    half: int

    @property
    def name(self) -> str:
        """The objective's."""
        return str(self.stated.name)

    @property
    def sense(self) -> Any:
        """The objective's."""
        return self.stated.sense

    def deactivate(self) -> None:
        """Deactivate the objective."""
        self.stated.deactivate()

    def value(self, own: float) -> float:
        """The objective's value where the criterion's is ``own``."""
        return float(self.factor * (own / self.factor) ** self.half)


def criterion_of(objective: Any) -> Any:
    """The objective, or what stands in its place."""
    factor, power = 1.0, objective.expr
    if isinstance(power, ProductExpression) and not isinstance(power, MonomialTermExpression):
        left, right = power.args
        if not _varies(left):
            factor, power = _number(left), right
    if not isinstance(power, PowExpression) or factor == 0.0:
        return objective
    base, exponent = power.args
    if _varies(exponent) or not _varies(base):
        return objective
    half = _number(exponent) / 2.0
    if half < 2.0 or half != int(half):
        return objective
    return Criterion(objective, factor * base**2, factor, int(half))


def _varies(expression: Any) -> bool:
    return bool(getattr(expression, "is_potentially_variable", bool)())


def _number(expression: Any) -> float:
    return float(expression() if callable(expression) else expression)
