"""The numbers of a linear or quadratic program: dense, sparse, or from data that stay arrays.

Each is made once and kept with the program, which knows none of them.
"""

from __future__ import annotations

import casadi as ca

from bilevel.programs.data_form import DataForm
from bilevel.programs.program import Program
from bilevel.programs.quadratic_form import QuadraticForm
from bilevel.programs.sparse_form import DenseView, SparseForm

_KEPT, _DENSE = "_numeric_form", "_dense_form"


def numeric_form(program: Program, companions: ca.SX | None = None) -> QuadraticForm:
    """The numeric form of a linear or quadratic program.

    Parameters
    ----------
    program : Program
        Linear or quadratic in its variables.
    companions : SX of shape (k, 1), optional
        Further functions of the parameters that the form evaluates in the same call. Whoever wants some asks before
        anybody else asks for the form.
    """
    form: QuadraticForm | None = program.__dict__.get(_KEPT)
    if form is None or companions is not None:
        program.__dict__[_KEPT] = form = _form(program, companions)
    return form


def dense_form(program: Program) -> QuadraticForm:
    """The same with matrices that are arrays, for those who need all of their entries."""
    if not program.sparse:
        return numeric_form(program)
    view: QuadraticForm | None = program.__dict__.get(_DENSE)
    if view is None:
        program.__dict__[_DENSE] = view = DenseView(numeric_form(program))
    return view


def _form(program: Program, companions: ca.SX | None) -> QuadraticForm:
    if program.squares or program.moving:
        return DataForm(program, companions)
    if program.sparse:
        return SparseForm(program, companions)
    return QuadraticForm(program, companions)
