"""How far f can be from its best where a dual says so at the answer, without solving anything again.

The dual is that of least squares with an l1 term (:mod:`bilevel.programs.l1.duality`). Its bound holds whatever the
answer is and whoever found it; that the numbers it is made of are those of the user's own objective is seen from f.
"""

from __future__ import annotations

import math

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.programs.l1.duality import lower_bound
from bilevel.programs.l1.recognition import l1_form
from bilevel.programs.program import Program

_SAME = 1e-9  # of f as the user wrote it and as the dual's numbers say


class DualGap:
    """Bounds how much f at a point exceeds its least value.

    Parameters
    ----------
    program : Program
        That :meth:`takes` takes.
    """

    def __init__(self, program: Program) -> None:
        form = l1_form(program)
        assert form is not None
        self._form = form

    @staticmethod
    def takes(program: Program) -> bool:
        """Whether it is least squares with an l1 term."""
        return l1_form(program) is not None

    def __call__(self, x: Array, y: Array, f: float) -> float:
        """The bound on what f at y, known to be ``f``, exceeds its least by; infinite where nothing is known."""
        weights = self._form.at(x)
        if weights is None:
            return math.inf
        w = self._form.coefficients(y)
        if abs(self._form.objective(weights, w) - f) > _SAME * tolerances.scale(f):
            return math.inf
        excess = f - lower_bound(self._form, weights, w)
        return excess if math.isfinite(excess) else math.inf
