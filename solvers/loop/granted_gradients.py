"""Which evaluations carry dF/dx: all for a search that needs it, those where it helps for one that welcomes it.

A search that goes by values is only helped by a gradient that tells where F falls. So it is given none where upper
constraints involve y (F's own gradient leaves the feasible set), none where a follower is so large that a dense
adjoint system would take longer than its solve, and none at a kink, where the gradient is that of one piece. None
either where a follower is not proved convex: going down leads to where its answer is about to jump, and there a y that
is no optimum passes for one within any tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np

from bilevel.arrays import Array
from bilevel.contracts.search import Search
from bilevel.convexity.examination import convexity_of
from bilevel.convexity.known import surely_convex
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program
from bilevel.sensitivity.hypergradient import Gradient, Hypergradient

_LARGEST = 300  # variables of a follower with constraints: its multipliers are a dense least-squares solve
_LARGEST_FREE = 1000  # of one without: a Cholesky factorization

Differentiate = Callable[[Array, Array], Gradient | None]


class Gradients(StrEnum):
    """Which evaluations carry a gradient."""

    NONE = ""
    SMOOTH = "smooth"
    ALL = "all"


def granted(search: Search, compilation: Compilation) -> Gradients:
    """What a search is given on this problem.

    Raises
    ------
    RefusedError
        If it needs gradients, upper constraints involve y, and it does not keep these.
    """
    coupling = compilation.problem.coupling
    if search.uses_gradients:
        if coupling and not search.keeps_coupling:
            raise RefusedError(
                f"{search.name} cannot hold the coupling constraint {coupling[0].name}; use kkt or a surrogate"
            )
        return Gradients.ALL
    if not search.welcomes_gradients or coupling or Hypergradient.refusal(compilation) is not None:
        return Gradients.NONE
    small = all(map(_small, compilation.programs.values()))
    return Gradients.SMOOTH if small and _convex(compilation) else Gradients.NONE


def differentiator(compilation: Compilation, gradients: Gradients) -> Differentiate | None:
    """``(x, y) -> gradient``, None at a point that is to carry none; None itself where no point is."""
    if gradients is Gradients.NONE:
        return None
    exact = Hypergradient(compilation)
    return exact if gradients is Gradients.ALL else _where_smooth(exact)


def _where_smooth(exact: Hypergradient) -> Differentiate:
    def differentiate(x: Array, y: Array) -> Gradient | None:
        try:
            found = exact(x, y)
        except np.linalg.LinAlgError:
            return None
        return found if found.smooth or not np.isfinite(found.value).all() else None  # who writes it down says why

    return differentiate


def _convex(compilation: Compilation) -> bool:
    """Whether every follower is convex for all x, large sums of squares taken for what they look like."""
    open_ = [name for name, program in compilation.programs.items() if not (surely_convex(program) or program.moving)]
    if not open_:
        return True
    found = convexity_of(compilation.problem, compilation)
    return all(found[name].verdict == "proved" for name in open_)


def _small(program: Program) -> bool:
    return program.sparse or program.n <= (_LARGEST if program.has_inequalities or program.m else _LARGEST_FREE)
