"""Sub-expressions in units of their own: what SCIP is given is of magnitude one, whatever the model is written in.

SCIP's tolerances are absolute: 1e-7 for rows, 1e-9 for coefficients, below which they count as zero. Every nonlinear
term becomes an auxiliary variable with such a row, and the reciprocal of a million dollars is 1e-6: its relaxation then
proves nothing, or proves what is false. So each sub-expression is carried as ``unit * expression`` with an interval
that encloses it (:mod:`bilevel.graphs.intervals`), and where it enters a power, a product or a quotient it is measured
in the power of two that brings its range to about one. Rows and objective are divided by the size of theirs.

A range from 0.1 to 1e5 is left as it is: there SCIP is at home, and what is written in sensible units stays as written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from bilevel.graphs.intervals import Interval

SMALL, LARGE = 0.1, 1e5
"""Ends of what is left as it is."""

_NARROW, _WIDE = 1e-6, 1e15  # beyond these SCIP's tolerance of 1e-7 hides what happens


@dataclass(frozen=True, slots=True)
class Scaled:
    """``unit * expression``, with a range of the whole.

    Attributes
    ----------
    expression : pyscipopt expression
        In SCIP's variables.
    unit : float
        Above zero.
    range : tuple of float
        Of the product.
    """

    expression: Any
    unit: float
    range: Interval

    @property
    def blunt(self) -> bool:
        """Whether SCIP's tolerance is as large as what this varies by, or as what doubles hold beside its size."""
        low, high = (end / self.unit for end in self.range)
        return 0.0 < high - low < _NARROW or _WIDE < max(abs(low), abs(high)) < math.inf

    @property
    def plain(self) -> Any:
        """The product written out."""
        return self.expression if self.unit == 1.0 else self.unit * self.expression

    @property
    def normal(self) -> Scaled:
        """The same in the unit that suits its range."""
        unit = unit_of(self.range) or self.unit
        if unit == self.unit:
            return self
        return Scaled((self.unit / unit) * self.expression, unit, self.range)


@dataclass(frozen=True, slots=True)
class Measure:
    """What an objective is measured in: ``origin + unit * number``."""

    origin: float
    unit: float

    def to(self, value: float) -> float:
        """A value as such a number."""
        return (value - self.origin) / self.unit

    def back(self, number: float) -> float:
        """And back."""
        return self.origin + self.unit * number

    def inner(self, value: Scaled | float) -> Any:
        """The expression that is minimised."""
        if isinstance(value, float):
            return self.to(value)
        expression = (value.unit / self.unit) * value.expression
        return expression if self.origin == 0.0 else expression - self.origin / self.unit


def unit_of(span: Interval) -> float | None:
    """The power of two in which a range is of magnitude one; None where the range is zero or has no end.

    The largest magnitude where all of it is small; the smallest where all of it is large; where zero is inside, what
    brings the far end to ``LARGE``: what is small beside it may be what matters.
    """
    low, high = span
    top = max(abs(low), abs(high))
    if not 0.0 < top < math.inf:
        return None
    bottom = 0.0 if low <= 0.0 <= high else min(abs(low), abs(high))
    if top < SMALL:
        return power_of_two(top)
    if bottom > 0.0:
        return power_of_two(bottom) if bottom > 1.0 / SMALL else 1.0
    return power_of_two(top / LARGE) if top > LARGE else 1.0


def power_of_two(size: float) -> float:
    """The one next to a size: dividing by it rounds nothing."""
    return float(2.0 ** round(math.log2(size)))
