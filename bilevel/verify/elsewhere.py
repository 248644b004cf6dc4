"""A second look where a claim about all points rests on response functions: at another point than the answer.

Noise in proportion to y is none where the best y is 0. So an enumeration counts as a proof only if the function repeats
itself at the next best point as well, and where no point is feasible at the one that came nearest.
"""

from __future__ import annotations

from bilevel.contracts.finding import Finding, Verdict
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response
from bilevel.verify.noise import Noise
from bilevel.verify.verifier import Verifier


def noise_elsewhere(problem: Problem, finding: Finding) -> Noise | None:
    """The noise of response functions at one more evaluated point, where more is claimed than for the best one."""
    if finding.claim not in (Verdict.CERTIFIED_GLOBAL, Verdict.INFEASIBLE):
        return None
    if all(follower.response is None for follower in problem.followers):
        return None
    others = [e for e in finding.archive if e.answered and e.upper != finding.upper]
    if not others:
        return None
    compilation = Compilation.of(problem)
    response = Response(problem, compilation=compilation, warm=False)
    verifier = Verifier(compilation, response, costs=finding.archive.evaluations.costs().tolist())
    other = min(others, key=lambda e: (not e.feasible, 0.0 if e.feasible else e.upper_violation, e.cost))
    return verifier.noise_at(other.upper, other.lower, other.cost)
