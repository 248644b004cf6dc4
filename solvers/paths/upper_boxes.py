"""Branch and bound over the upper variables alone: few of them, followers that are strongly convex over polyhedra.

The single-level model of the KKT path grows with the followers, and a global solver branches on all of it. Where x has
one to three entries it is enough to branch on those: on a box the followers' answers lie in a tube around a polynomial
in x (:mod:`.boxes.answer_tubes`), along which F and G are polynomials of degree 2 with a proved remainder
(:mod:`.boxes.leader_models`). The least value of the polynomial less the remainder bounds F on the box, and a
box is left out if its bound reaches the incumbent or a row of G is out of reach (Hansen and Walster 2004, *Global
Optimization Using Interval Analysis*, chapters 12 and 14).

Where the active set does not change in the box and the functions are smooth, the remainder falls with the cube of the
width while F rises with its square around a minimum in the interior: the number of boxes that cannot be left out near
such a minimum stays small (the cluster problem; Du and Kearfott 1994, J. Global Optimization 5, 253-265). At a kink
the remainder falls with the width alone.

How y, F and x enter does not matter as long as :mod:`bilevel.graphs.taylor` has a rule for it: decays, kernels,
logarithmic penalties. What does: f has to be strongly convex in y on each small box, up to three upper variables with
finite bounds, constraints of the followers linear in (x, y).

What the bound is worth. Every remainder holds what rounding may have changed. Rows of G count as met up to the
feasibility tolerance, which can only lower the bound. A follower's rows are taken to hold at a polynomial that misses
them by no more than the twelfth digit.
"""

from __future__ import annotations

import math

from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.convexity.examination import convexity_of
from bilevel.errors import RefusedError
from bilevel.graphs.taylor import Taylor
from bilevel.programs.compilation import Compilation
from bilevel.reading.pieces import is_category
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.missing_slopes import slope_missing_in_the_box
from bilevel.response.response import Response
from bilevel.solvers.boxes.answer_tubes import AnswerTubes
from bilevel.solvers.boxes.box_search import BoxSearch
from bilevel.solvers.boxes.kinked_tubes import KinkedTubes, tubes_of
from bilevel.solvers.boxes.leader_models import LeaderModels
from bilevel.upper.archive import Archive

DEFAULT_TIME_LIMIT = 60.0
MOST_VARIABLES = 3
_PATIENCE = 20.0  # seconds it may keep other exact paths waiting where none was named
_LARGEST_GRAPH = 300_000  # instructions walked through for every batch of boxes


@register("upper_boxes")
class UpperBoxes(Path):
    """Branch and bound over one to three upper variables, with polynomial tubes around the followers' answers.

    Take it when one to three real upper variables stand above strongly convex followers, however many coefficients
    these have; with more of them, or with integers above, take ``kkt``.
    """

    preference = 0.55
    share = 0.3
    losses = True

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        compilation = Compilation.of(problem)
        _refuse(compilation)
        taylor = Taylor(len(problem.variables))
        box = [compilation.ranges[variable.name] for variable in problem.variables]
        tubes = tubes_of(compilation, box, taylor)
        _refuse_unproved(compilation, tubes)
        try:
            leader = LeaderModels(compilation, taylor)
        except RefusedError as refusal:
            raise RefusedError(f"the upper level: {refusal}") from None
        size = len(leader) + sum(len(tube) for tube in tubes)
        if size > _LARGEST_GRAPH:
            raise RefusedError(f"the functions come to {size} instructions, more than {_LARGEST_GRAPH}")
        limit = settings.time_limit if settings.time_limit is not None else DEFAULT_TIME_LIMIT
        if settings.method == "auto":
            limit = min(limit, _PATIENCE)
        search = BoxSearch(compilation, taylor, tubes, leader, observer, limit)
        search.run()
        finding = _finding(problem, search)
        if not math.isfinite(search.bound) and search.value < math.inf:
            finding.notes += slope_missing_in_the_box(Response(problem, compilation=compilation))
        if settings.method == "auto" and finding.termination in (Termination.TIME_LIMIT, Termination.STALLED):
            raise RefusedError(
                f"its bound did not close within {limit:.3g} seconds; method='upper_boxes' goes on longer"
            )
        return finding


def _finding(problem: Problem, search: BoxSearch) -> Finding:
    notes = [f"{search.boxes} boxes of the upper variables were bounded"]
    if search.value == math.inf:
        empty = search.bound == math.inf
        if empty:
            notes.append("every box breaks an upper constraint throughout")
        claim = Verdict.INFEASIBLE if empty else Verdict.FAILED
        return Finding(search.termination, claim, convexity="proved", notes=notes)
    return Finding(
        search.termination,
        Verdict.CERTIFIED_GLOBAL if search.closed else Verdict.BEST_FOUND,
        upper=dict(zip((v.name for v in problem.variables), search.x.tolist(), strict=True)),
        bound=problem.sense * search.bound if math.isfinite(search.bound) else None,
        archive=Archive(),
        convexity="proved",
        notes=notes,
    )


def _refuse(compilation: Compilation) -> None:
    problem = compilation.problem
    if not 0 < len(problem.variables) <= MOST_VARIABLES:
        raise RefusedError(
            f"it takes up to {MOST_VARIABLES} upper variables, and there are {len(problem.variables)}; fix some of them"
        )
    if problem.allowed:
        raise RefusedError(f"{problem.allowed[0].name} is a predicate, of which nothing is known between two points")
    for variable in problem.variables:
        if not variable.is_continuous() or is_category(variable) or variable.domain.isfinite():
            raise RefusedError(f"{variable.name} is not continuous; a search lists its values")
        if not all(math.isfinite(end) for end in compilation.ranges[variable.name]):
            raise RefusedError(f"{variable.name} needs two bounds; write Var(bounds=(lower, upper))")
    for follower in problem.followers:
        if follower.name not in compilation.programs:
            raise RefusedError(f"{follower.name} is answered by a function, of which nothing is known")


def _refuse_unproved(compilation: Compilation, tubes: list[AnswerTubes | KinkedTubes]) -> None:
    """Refuse followers that are not quadratic and not proved convex: a tube shows no more than a local optimum."""
    if all(tube.quadratic for tube in tubes):
        return
    found = convexity_of(compilation.problem, compilation)
    for tube in tubes:
        name = tube.program.name
        if not tube.quadratic and found[name].verdict != "proved":
            raise RefusedError(f"{name} is not proved convex in its variables: {found[name].reason}")
