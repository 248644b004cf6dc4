"""How far f can be from its best where a dual says so at the answer, without solving anything again.

The duals are those of least squares with an l1 term (:mod:`bilevel.programs.l1.duality`) and of sums of hinges
(:mod:`bilevel.programs.hinges.forces`). Their bounds hold whatever the answer is and whoever found it; that the numbers
they are made of are those of the user's own objective is seen from f.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.programs.hinges.forces import ForcesAt
from bilevel.programs.hinges.forces import lower_bound as hinge_bound
from bilevel.programs.hinges.form import HingeForm
from bilevel.programs.hinges.recognition import hinge_form
from bilevel.programs.l1.duality import lower_bound as l1_bound
from bilevel.programs.l1.form import L1Form
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
        form, hinges = l1_form(program), hinge_form(program)
        self._bound: Callable[[Array, Array], tuple[float, float] | None]
        if form is not None:
            self._bound = partial(_of_l1, form)
        else:
            assert hinges is not None
            self._bound = partial(_of_hinges, hinges, ForcesAt(hinges))

    @staticmethod
    def takes(program: Program) -> bool:
        """Whether it is least squares with an l1 term, or a sum of hinges."""
        return l1_form(program) is not None or hinge_form(program) is not None

    def __call__(self, x: Array, y: Array, f: float) -> float:
        """The bound on what f at y, known to be ``f``, exceeds its least by; infinite where nothing is known."""
        found = self._bound(x, y)
        if found is None or not abs(found[0] - f) <= _SAME * tolerances.scale(f):
            return math.inf
        excess = f - found[1]
        return excess if math.isfinite(excess) else math.inf


def _of_l1(form: L1Form, x: Array, y: Array) -> tuple[float, float] | None:
    """F by the form's numbers, and the dual's bound."""
    weights = form.at(x)
    if weights is None:
        return None
    w = form.coefficients(y)
    return form.objective(weights, w), l1_bound(form, weights, w)


def _of_hinges(form: HingeForm, forces: ForcesAt, x: Array, y: Array) -> tuple[float, float] | None:
    weights = form.at(x)
    if weights is None or not np.isfinite(y).all():
        return None
    w = form.coefficients(y)
    return form.objective(weights, w), hinge_bound(form, weights, forces(weights, w))
