"""Whether a follower's data are too dense, or its constraints too many, for paths that write them out term by term."""

from __future__ import annotations

import numpy as np

from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.programs.program import Program

_MOST = 4000  # products of two coefficients, about what a global solver can do something with in a minute
_MOST_PAIRS = 1000  # complementarity pairs, about what Ipopt's relaxations can in a minute


def refuse_dense(compilation: Compilation, settings: Settings) -> None:
    """Refuse large squared distances, and very many inequalities, where nobody asked for this path by name.

    Raises
    ------
    RefusedError
        If ``auto`` would spend its time on writing them out.
    """
    if settings.method != "auto":
        return
    programs = compilation.programs.values()
    sizes = [int(s.variables.numel()) for program in programs for s in program.squares]
    if sum(size**2 for size in sizes) > _MOST:
        raise RefusedError(
            f"squared distances in {max(sizes)} coefficients of a follower are too many products to write out;"
            " method='kkt' does it all the same"
        )
    pairs = sum(map(_pairs, programs))
    if pairs > _MOST_PAIRS:
        raise RefusedError(
            f"the followers' {pairs} inequalities are too many complementarity pairs; method='kkt' tries all the same"
        )


def _pairs(program: Program) -> int:
    """How many sides of rows and bounds are inequalities of a large follower."""
    if not program.sparse:
        return 0
    sides = [program.row_lower[~program.equality], program.row_upper[~program.equality], program.lower, program.upper]
    return sum(int(np.isfinite(side).sum()) for side in sides)
