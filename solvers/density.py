"""Whether a follower's data are too dense for paths that write them out term by term."""

from __future__ import annotations

from bilevel.compiling import Compilation
from bilevel.contracts import Settings
from bilevel.errors import RefusedError

_MOST = 4000  # products of two coefficients, about what a global solver can do something with in a minute


def refuse_dense(compilation: Compilation, settings: Settings) -> None:
    """Refuse large squared distances where nobody asked for this path by name.

    Raises
    ------
    RefusedError
        If ``auto`` would spend its time on writing them out.
    """
    sizes = [int(s.variables.numel()) for program in compilation.programs.values() for s in program.squares]
    if settings.method == "auto" and sum(size**2 for size in sizes) > _MOST:
        raise RefusedError(
            f"squared distances in {max(sizes)} coefficients of a follower are too many products to write out;"
            " method='kkt' does it all the same"
        )
