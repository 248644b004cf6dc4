"""Whether a follower's problem is convex in y for every x, and whether its KKT conditions are necessary.

Convex: for every x in its box the objective (minimised) and the rows ``g <= u`` are convex in y on the box of y, rows
``g >= l`` concave, equalities affine. Then the KKT conditions are sufficient, and necessary where a constraint
qualification holds: all rows affine, or a point strictly inside those that are not (Slater; Boyd and Vandenberghe 2004,
5.2.3).

Cheapest first: composition (:mod:`bilevel.convexity.curvature`); a constant Hessian's eigenvalues, on the null space of
the affine equalities; a Hessian affine in x at the vertices of its box, which is enough because the smallest eigenvalue
is concave; the Hessian's range over boxes of (x, y), split as needed, with the bound ``l(A) >= l(center) -
rho(radius)`` (Rohn 1994; Hladik, Daney and Tsigaridas 2010). What these leave open is tried at sampled points. A proof
holds up to rounding, a refutation shows a point, and where there is neither the answer is "unknown".
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import casadi as ca
import numpy as np

from bilevel.convexity.claimed_hessian import ClaimedHessian
from bilevel.convexity.claims import Claim, Convexity
from bilevel.convexity.curvature import curvatures
from bilevel.convexity.losses import not_convex
from bilevel.convexity.qualification import Slater
from bilevel.convexity.refutation import Sampling
from bilevel.convexity.subject import Subject
from bilevel.expressions.summands import summands
from bilevel.graphs.intervals import Graph
from bilevel.programs.compilation import Compilation
from bilevel.reading.follower import Follower
from bilevel.reading.problem import Problem

_MOST_OPEN = 3
"""Claims looked at once so many are open: the verdict needs no more."""


def convexity_of(problem: Problem, compilation: Compilation) -> dict[str, Convexity]:
    """Examine every follower; once, what was found is kept with the problem.

    Parameters
    ----------
    problem : Problem
        As read.
    compilation : Compilation
        Its compiled form.

    Returns
    -------
    dict of Convexity
        By the follower's name.
    """
    kept = problem.__dict__.get("_convexity")
    if kept is None or kept[0] is not compilation:  # who asks about other programs asks with another compilation
        with np.errstate(all="ignore"):  # infinite ends meet, and samples leave domains
            found = {follower.name: _examined(problem, compilation, follower) for follower in problem.followers}
        problem.__dict__["_convexity"] = kept = compilation, found
    return dict(kept[1])


def _examined(problem: Problem, compilation: Compilation, follower: Follower) -> Convexity:
    if follower.objective is None:
        reason = f"{follower.name} is answered by a response function, of which nothing is known"
        return Convexity("unknown", reason, False)
    losses = compilation.programs[follower.name].losses
    if losses:
        return _with_losses(problem, compilation, follower)
    beside = Subject.beside_squares(problem, compilation, follower)
    if beside is not None:  # what is added to the squares is convex by itself, mostly, and the squares stay arrays
        examination = Examination(beside)
        if examination.composed:
            return examination.result()
    return Examination(Subject(problem, compilation, follower)).result()


def _with_losses(problem: Problem, compilation: Compilation, follower: Follower) -> Convexity:
    """Of a follower whose losses over rows are arrays: proved where these are convex, and the rest is by itself.

    Never refuted by the rest alone, whose want of curvature the losses may make up for.
    """
    program = compilation.programs[follower.name]
    without = copy.copy(compilation)
    without.programs = compilation.programs | {follower.name: program.rest}
    subject = Subject(problem, without, follower)
    rest = Examination(subject).result()
    if program.integer.any():
        return rest
    reason = not_convex(program, subject.x_box)
    if reason is None and rest.verdict == "proved":
        smooth = rest.smooth and all(term.rows.loss.smooth and not term.kinked for term in program.losses)
        names = ", ".join(term.name for term in program.losses)
        return replace(rest, reason=f"{rest.reason}; so are {names}, in each row's prediction", smooth=smooth)
    if reason is None:
        reason = f"{program.name} has convex losses over rows, and nothing proves the rest of it convex"
    return Convexity("unknown", reason, False)


class Examination:
    """One follower under examination."""

    def __init__(self, subject: Subject) -> None:
        self._of = subject

    @property
    def composed(self) -> bool:
        """Whether composition proves it."""
        return not self._of.program.integer.any() and all(claim.shape.convex for claim in self._claims())

    def result(self) -> Convexity:
        """The verdict."""
        program = self._of.program
        if program.integer.any():
            which = program.names[int(np.argmax(program.integer))]
            return Convexity("refuted", f"{which} is integer, and a convex program has no integer variables", False)
        means: dict[str, None] = {}
        left = []
        for claim in self._claims():
            composed = claim.shape.convex
            proof = "by composition" if composed else self._by_hessian(claim)
            if proof is None:
                left.append(claim)
                if len(left) == _MOST_OPEN:
                    break
            else:
                means[proof if composed else f"{claim.component.name} {proof}"] = None
        if left:
            return Sampling(self._of, left).result()
        qualified, why = self._qualification()
        smooth = not any(shape.kink or shape.steep for shape in self._of.shapes)
        return Convexity("proved", f"{program.name} is convex: {', '.join(means)}; {why}", qualified, None, smooth)

    def _claims(self) -> list[Claim]:
        """A two-sided row gives two claims, an idle side none.

        A side that holds throughout the box of y may still be touched, but there its gradient lies in the box's normal
        cone, and the KKT conditions with it ask for no more than those without.
        """
        program, objective = self._of.program, self._of.objective
        shape, sense = self._of.shapes[0], self._of.follower.sense
        wanted = "convex" if sense > 0 else "concave"
        claims = [Claim(objective, objective.expr, sense, program.objective, wanted, shape)]
        for k, (row, shape) in enumerate(zip(self._of.follower.constraints, self._of.shapes[1:], strict=True)):
            low, high = program.row_lower[k], program.row_upper[k]
            if shape.affine:
                continue
            # A side that is never idle: an equality's, or that of a function whose domain might not be convex.
            never = low == high or (shape.partial and not (shape.convex or shape.concave))
            if shape.range[1] > high or (never and high < math.inf):
                wanted = "affine" if low == high else "convex"
                claims.append(Claim(row, row.body, 1, program.rows[k], wanted, shape))
            if shape.range[0] < low or (never and low > -math.inf):
                wanted = "affine" if low == high else "concave"
                claims.append(Claim(row, row.body, -1, -program.rows[k], wanted, -shape))
        return claims

    def _by_hessian(self, claim: Claim) -> str | None:
        """How the Hessian proves a claim: that of what composition left open, else that of the whole."""
        part = None if claim.shape.quadratic else self._open_part(claim.function)
        proof = None if part is None else ClaimedHessian(self._of, part).proof()
        return ClaimedHessian(self._of, claim.function, claim.shape).proof() if proof is None else proof

    def _open_part(self, function: ca.SX) -> ca.SX | None:
        """The sum of the terms that are quadratic or not known to be convex; None where that is all of them."""
        terms = ca.vertsplit(ca.cse(ca.vertcat(*(factor * term for term, factor in summands(function)))))
        graph = Graph(self._of.x, self._of.y, ca.vertcat(*terms))
        shapes = curvatures(graph, graph.enclose(self._of.x_box, self._of.y_box))
        kept = [t for t, shape in zip(terms, shapes, strict=True) if shape.quadratic or not shape.convex]
        if len(kept) == len(terms):
            return None
        return sum(kept[1:], kept[0]) if kept else ca.SX(0.0)

    def _qualification(self) -> tuple[bool, str]:
        """Whether the KKT conditions are necessary, and why (not)."""
        if any(shape.steep for shape in self._of.shapes):
            return False, "but a root has no finite derivative where its argument is zero; bound that away from zero"
        program = self._of.program
        curved = [
            k
            for k, shape in enumerate(self._of.shapes[1:])
            if not (shape.affine or program.equality[k])
            and (shape.range[1] > program.row_upper[k] or shape.range[0] < program.row_lower[k])
        ]
        if not curved:
            return True, "its constraints are affine"
        if Slater(self._of, curved).found():
            return True, "a Slater point exists for every x"
        return False, f"but no Slater point strictly inside {program.row_names[curved[0]]} is in sight for every x"
