"""What is known of a program's convexity before anybody examines it, and programs marked by what was found."""

from __future__ import annotations

from bilevel import tolerances
from bilevel.convexity.examination import convexity_of
from bilevel.programs.compilation import Compilation
from bilevel.programs.numeric_form import numeric_form
from bilevel.programs.program import Program, Shape


def surely_convex(program: Program) -> bool:
    """Whether it is convex at every value of the parameters: declared so, linear, or with a constant Hessian."""
    if program.integer.any():
        return False
    if program.convex or program.shape is Shape.LINEAR:
        return True
    if program.shape is Shape.NONLINEAR:
        return False
    form = numeric_form(program)
    return form.constant_hessian and form.definiteness >= -tolerances.DEFINITE


def known_convex(compilation: Compilation, program: Program) -> Program:
    """A large sparse program, marked where it is convex: then Ipopt proves its answer, which HiGHS takes too long to.

    Others are returned as they are.
    """
    if not program.sparse or not program.has_inequalities or program.convex or program.integer.any():
        return program
    surely = surely_convex(program) or convexity_of(compilation.problem, compilation)[program.name].verdict == "proved"
    return program.proved_convex if surely else program
