"""When the conditions are the problem: what a bound on the single-level model, or its infeasibility, proves.

Where every follower is convex and meets a constraint qualification at every x, the points of the single-level model
*are* the bilevel-feasible points: its bound is one on F, its infeasibility is proved. Convex without a qualification,
its points are all bilevel feasible, but an optimum may lack multipliers, so nothing is proved (Dempe and Dutta 2012,
doi 10.1007/s10107-010-0342-1); with Fritz John's conditions in their place it is a relaxation, whose bound and
infeasibility count. Not convex, it also holds points that are no answers: what is found must survive the
verification by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from bilevel.convexity.examination import convexity_of
from bilevel.errors import RefusedError
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem


@dataclass(frozen=True)
class Equivalence:
    """What is known of the followers together.

    Attributes
    ----------
    word : str
        For ``Result.convexity``.
    holds : bool
        Whether the single-level model is the problem.
    convex : tuple of str
        Names of the followers that are proved convex.
    unqualified : tuple of str
        Names of those among them for which no constraint qualification was found.
    remarks : tuple of str
        Why it does not hold.
    """

    word: str
    holds: bool
    convex: tuple[str, ...]
    unqualified: tuple[str, ...]
    remarks: tuple[str, ...]


def equivalence_of(problem: Problem, compilation: Compilation, allow_nonconvex: bool) -> Equivalence:
    """Look at every follower.

    Raises
    ------
    RefusedError
        If one is not proved convex and that is not allowed; with the reason and the cure.
    """
    found = convexity_of(problem, compilation)
    word, remarks, unqualified = "proved", [], []
    for name, convexity in found.items():
        if convexity.verdict != "proved":
            if not allow_nonconvex:
                raise RefusedError(
                    f"{name} is not proved convex: {convexity.reason}. Its optimality conditions may hold at points"
                    " that are no optima. Use a search (method='rbf'), or go on without a certificate:"
                    " --allow-nonconvex (allow_nonconvex=True)"
                )
            word = f"refuted: {convexity.reason}" if convexity.verdict == "refuted" else "unknown"
            remarks.append(f"{name} is not proved convex ({convexity.reason}): no certificate, best_found at most")
        elif not convexity.qualified:
            unqualified.append(name)
            remarks.append(
                f"{name} is convex, but no constraint qualification was found that holds at every x: an optimum may"
                " have no multipliers; a bound comes from Fritz John's conditions, which weigh f too"
            )
    convex = tuple(name for name, convexity in found.items() if convexity.verdict == "proved")
    return Equivalence(word, not remarks, convex, tuple(unqualified), tuple(remarks))
