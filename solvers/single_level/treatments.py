"""Which exact treatments a single-level model is given, and in what order: chosen by its structure.

One is enough where it bounds F at once; where that is not to be foreseen several are tried in turn.

- A multiplier in F, as a price in a profit, makes F a product of two variables of which one has no bound of its own.
  Strong duality says what all such products add up to: it comes first, the cut (the same at the root of the tree, with
  the products stated by the dual objective) next, sets alone last.
- Elsewhere the cut, which is linear or convex and only tightens what sets say.
- Where that cut holds products of variables without bounds, of which a relaxation proves nothing: sets first.
- HiGHS takes no sets: proved big-Ms.
"""

from __future__ import annotations

from collections.abc import Callable

from bilevel.errors import RefusedError
from bilevel.reading.problem import Problem
from bilevel.solvers.single_level.treated_model import TreatedModel

SETS, CUT, DUALITY = "sos1", "sos1_cut", "strong_duality"
_LINEAR = ("big_m_cut", "big_m")


def treatments_in_turn(
    problem: Problem, engine: str, weighted: bool, build: Callable[[str], TreatedModel]
) -> tuple[list[str], str]:
    """Names of treatments, the most promising first, and why there is more than one, if there is.

    Parameters
    ----------
    problem : Problem
        The bilevel problem.
    engine : str
        The one that was asked for, or ``auto``.
    weighted : bool
        Whether a follower's conditions are Fritz John's: then there is no duality.
    build : callable
        Gives the model under a treatment, or raises ``RefusedError``.
    """
    if weighted:
        return [SETS], ""
    if engine == "highs":
        return [next((name for name in _LINEAR if _taken(name, build)), _LINEAR[-1])], ""
    if problem.multipliers:
        return _several([DUALITY, CUT, SETS], build, "the upper level mentions a multiplier")
    cut = _taken(CUT, build)
    if cut is None:
        return [SETS], ""
    if cut.program.loose.any():
        return _several([SETS, CUT, DUALITY], build, "rows hold products of variables without bounds")
    return [CUT], ""


def _several(names: list[str], build: Callable[[str], TreatedModel], why: str) -> tuple[list[str], str]:
    taken = [name for name in names if name == SETS or _taken(name, build)]
    return taken, f"{why}: {', '.join(taken)} are tried in turn" if len(taken) > 1 else ""


def _taken(name: str, build: Callable[[str], TreatedModel]) -> TreatedModel | None:
    try:
        return build(name)
    except RefusedError:
        return None
