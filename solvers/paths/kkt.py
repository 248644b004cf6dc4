"""The KKT path: optimality conditions in place of the lower level, solved globally and locally.

problem -> convexity (proved, or refused) -> ``bilevel.kkt`` -> a treatment of the complementarity pairs -> an engine
-> x, y -> the same verification as every other path.

``auto`` does both halves. A local one: the treatment ``scholtes`` through Ipopt from the model's initial values and
seeded random starts, quick at any size. And a global one: ``sos1_cut``, or ``sos1`` where there is no cut, through an
engine that proves its bound (SCIP), with the local incumbent for a start. A treatment named by the user is run alone.

What may be claimed is told in :mod:`bilevel.solvers.single_level.equivalence` and
:mod:`bilevel.solvers.single_level.global_proof`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from bilevel import registry, tolerances
from bilevel.arrays import Array
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.contracts.treatment import Treatment
from bilevel.deadline import OutOfTime, current, heard
from bilevel.errors import OptionError, RefusedError
from bilevel.kkt.conditions import refuse_follower
from bilevel.programs.answer import Answer, Status
from bilevel.programs.compilation import Compilation
from bilevel.programs.extents import box_below
from bilevel.reading.pieces import is_category
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.missing_slopes import slope_missing_in_the_box
from bilevel.response.response import Response
from bilevel.solvers.rounds.challenge import SHARE, Challenge, withdrawn
from bilevel.solvers.single_level.assessment import Assessment, Incumbent
from bilevel.solvers.single_level.density import refuse_dense
from bilevel.solvers.single_level.equivalence import equivalence_of
from bilevel.solvers.single_level.global_proof import FAR, LARGEST_GRAPH, GlobalSolve, proving_engine, size_of
from bilevel.solvers.single_level.infeasibility import why_infeasible
from bilevel.solvers.single_level.local_descent import Descent, Sequence, solve_piece, starts
from bilevel.solvers.single_level.pieces import solved_by_pieces
from bilevel.solvers.single_level.reach import answer_bounds
from bilevel.solvers.single_level.treated_model import TreatedModel, Values

DEFAULT_TIME_LIMIT = 60.0
DEFAULT_STARTS = 4
_CLOSED_FORM = "rational"
_LOCAL_SHARE = 0.15  # of the time, for the local half where a global one follows


@register("kkt")
class KKT(Path):
    """Optimality conditions in place of the lower level: global by SOS1 and SCIP, local by Scholtes and Ipopt.

    Take it when the lower level is convex and you want a proof; with up to three real upper variables ``upper_boxes``
    branches on these alone and mostly closes sooner.
    """

    preference = 0.5
    multipliers = True
    options: ClassVar[Mapping[str, type]] = {"starts": int}

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        for follower in problem.followers:
            refuse_follower(follower)
        refuse_dense(Compilation.of(problem), settings)
        if settings.complementarity == settings.engine == "auto":
            try:  # no pairs, and stationarity solved for y in closed form: the same model, proved in milliseconds
                return registry.get(Path, _CLOSED_FORM)().run(problem, settings, observer)
            except RefusedError:
                pass
        return _Walk(problem, settings, observer).run()


class _Walk:
    """One run: what is known so far, so that an interruption loses nothing."""

    def __init__(self, problem: Problem, settings: Settings, observer: Observer) -> None:
        self.problem, self.settings, self.observer = problem, settings, observer
        self.count = _options(settings)
        self.limit = settings.time_limit if settings.time_limit is not None else DEFAULT_TIME_LIMIT
        self.deadline = min(time.monotonic() + self.limit, current().end)
        self.notes: list[str] = []
        self.compilation = Compilation.of(problem)
        self.conditions = equivalence_of(problem, self.compilation, settings.allow_nonconvex)
        for remark in self.conditions.remarks:
            self._say(remark)
        convex = len(self.conditions.convex) == len(problem.followers)
        self.weighted = self.conditions.unqualified if convex and not problem.multipliers else ()
        self._reached: tuple[Incumbent | None, dict[str, tuple[float, float]]] | None = None
        self.troubled = False  # whether the engine gave up before its time
        self.proves = self.conditions.holds  # whether a bound on the single-level model is one on F
        self.response = Response(problem, compilation=self.compilation, warm=False)
        self.assess = Assessment(self.compilation, self.response)
        self.best: Incumbent | None = None
        self.bound = -math.inf
        self.claim = Verdict.FAILED  # of what needs no point: infeasible, unbounded
        self.termination = Termination.STALLED

    def run(self) -> Finding:
        """Both halves, or the treatment that was asked for."""
        name = self.settings.complementarity
        try:
            if name == "auto":
                self._auto()
            elif registry.get(Treatment, name)().schedule():
                self._descend(TreatedModel(self.problem, name), self.limit)
            else:
                self._prove(TreatedModel(self.problem, name))
        except KeyboardInterrupt:
            self.termination = Termination.INTERRUPTED
        except OutOfTime:
            heard()
            self.termination = Termination.TIME_LIMIT
        lost = self.best is None or not self.best.stationary
        if lost and self.claim is Verdict.FAILED and not math.isfinite(self.bound) and time.monotonic() < self.deadline:
            for missing in slope_missing_in_the_box(self.response):
                self._say(missing)
        return self._finding()

    def _auto(self) -> None:
        relaxed = TreatedModel(self.problem, "scholtes")
        alone = self._why_no_global_half(relaxed)
        self._descend(relaxed, self.limit * (_LOCAL_SHARE if alone is None else 1.0), "ipopt")
        if alone is not None:
            self._say(alone)
            return
        try:
            self.proves = self.conditions.holds or bool(self.weighted)
            exact = self._sets(relaxed)
            self._prove(exact)
            if self.troubled and exact.treatment.name != "sos1":
                self._prove(TreatedModel(self.problem, "sos1", self._bounds(relaxed)))
        except RefusedError as refusal:
            if self.settings.engine != "auto" or self.best is None:
                raise
            self._say(f"no global half: {refusal}")

    def _sets(self, relaxed: TreatedModel) -> TreatedModel:
        """Special ordered sets, with strong duality besides where that has a form."""
        bounds = self._bounds(relaxed)
        if self.weighted:
            return TreatedModel(self.problem, "sos1", bounds, self.weighted)
        try:
            cut = TreatedModel(self.problem, "sos1_cut", bounds)
        except RefusedError:
            return TreatedModel(self.problem, "sos1", bounds)
        cut.tighten(self._reach())
        # The cut may hold products of variables without bounds, of which SCIP proves nothing.
        return TreatedModel(self.problem, "sos1", bounds) if cut.program.loose.any() else cut

    def _bounds(self, relaxed: TreatedModel) -> dict[str, tuple[float, float]]:
        """Of variables of both levels: what rows imply, and what an F no worse than the best one allows."""
        bounds = dict(self.compilation.ranges)
        if self.best is not None:
            margin = self.best.cost + tolerances.CERTIFICATE * tolerances.scale(self.best.cost)
            box = box_below(relaxed.program, np.zeros(relaxed.program.parameters.numel()), margin)
            for name, low, high in zip(relaxed.program.names, *box, strict=True) if box is not None else ():
                if name in bounds:
                    bounds[name] = max(low, bounds[name][0]), min(high, bounds[name][1])
        return bounds

    def _why_no_global_half(self, treated: TreatedModel) -> str | None:
        if self.settings.engine == "ipopt":
            return "engine='ipopt' is local: no bound"
        size = size_of(treated.program)
        if size <= LARGEST_GRAPH or self.settings.engine != "auto":
            return None
        return (
            f"the global half was left out: the single-level model compiles to {size} instructions, more than"
            f" {LARGEST_GRAPH}; engine='scip' tries it all the same"
        )

    def _descend(self, treated: TreatedModel, seconds: float, engine: str | None = None) -> None:
        """The local half: a sequence of relaxations from several starts; the best of their verified ends."""
        engine = engine or ("ipopt" if self.settings.engine == "auto" else self.settings.engine)
        until = min(time.monotonic() + seconds, self.deadline)
        sequence = Sequence(treated, engine)
        rng = np.random.default_rng(self.settings.seed)
        found: list[Descent] = []
        for x in starts(self.problem, rng, self.count):
            if found and time.monotonic() > until:
                break
            found.append(sequence(treated.start(x, None), lambda: until - time.monotonic()))
        for descent in sorted(found, key=lambda d: (not d.stationary, d.objective))[:_LOOKED_AT]:
            self._consider(treated, treated.point_from(descent.values), descent.stationary)
        self._tell_descents(
            f"local half ({treated.treatment.name}, {engine})", found, bool(treated.program.integer.any())
        )

    def _tell_descents(self, half: str, found: list[Descent], discrete: bool) -> None:
        converged = f"{sum(d.stationary for d in found)} of {len(found)} starts converged"
        how = f"{len(found)} starts, integers relaxed and rounded" if discrete else converged
        best = "no end verified" if self.best is None else f"best F = {self._user(self.best.cost):.8g}"
        self._say(f"{half}: {how}, {best}")
        if self.best is not None and self.best.stationary:
            self.termination = Termination.OPTIMALITY
        elif time.monotonic() > self.deadline:
            self.termination = Termination.TIME_LIMIT

    def _prove(self, exact: TreatedModel) -> None:
        """The global half: bound, infeasibility, or a better point."""
        if not exact.treatment.exact:
            raise RefusedError(
                f"complementarity={exact.treatment.name!r} is neither exact nor a sequence; nothing can be concluded"
            )
        engine = proving_engine(exact.program, self.settings.engine)
        exact.tighten(self._reach())
        start = self._polish(exact, self.best.values) if self.best is not None else None
        self._say(
            f"global half ({exact.treatment.name}, {engine}): {exact.program.n} variables, {exact.program.m} rows,"
            f" {len(exact.conditions.pairs)} complementarity pairs"
        )
        solve = GlobalSolve(exact, engine, self.observer, self.proves)
        apart = solved_by_pieces(exact.program, engine, self._left() / 4) if exact.program.loose.any() else None
        answer = solve(start, self._left()) if apart is None else apart
        if answer.status is Status.INFEASIBLE:
            if exact.treatment.name in _THIN:
                self._say(f"{answer.message}, which numerical trouble says too where {exact.treatment.name} is thin")
                self._prove(TreatedModel(self.problem, "sos1"))
            else:
                self._conclude_infeasible(answer)
            return
        if answer.status is Status.UNBOUNDED or (
            answer.y is None and math.isinf(answer.bound) and "inforunbd" in answer.message
        ):
            self._conclude_unbounded(exact, solve)
            return
        if self.proves:
            self.bound = max(self.bound, answer.bound)
            if math.isfinite(self.bound):
                self.observer.bounded(None, self._user(self.bound))
        if answer.y is not None:
            self._consider(exact, answer.y, False)
            self._polish(exact, exact.by_name(answer.y))
        if math.isinf(answer.bound) and self.best is not None and self.best.cost <= -_DEEP:
            self._conclude_unbounded(exact, solve, max(FAR, -_FARTHER * self.best.cost))
            return
        self.termination = _why_stopped(answer, self._left())
        self.troubled = answer.status is Status.FAILED and self.termination is Termination.STALLED
        if self.best is None and answer.status is Status.OPTIMAL:
            self.termination = Termination.STALLED
            self._say(
                "the engine's optimum is no point of the problem within its tolerances: the best F may not be attained"
            )

    def _reach(self) -> dict[str, tuple[float, float]]:
        """Bounds on the followers' answers that hold for every x, where they can be had; anew with a new best point."""
        if self._reached is not None and self._reached[0] is self.best:
            return self._reached[1]
        anchors = [] if self.best is None else [np.array(list(self.best.point.lower.values()), dtype=float)]
        if not any(is_category(var) for var in self.problem.variables):
            ends = np.array([self.compilation.ranges[var.name] for var in self.problem.variables]).reshape(-1, 2)
            finite = np.isfinite(ends)
            low = np.where(finite[:, 0], ends[:, 0], np.where(finite[:, 1], ends[:, 1] - _FAR_OFF, -_FAR_OFF))
            high = np.where(finite[:, 1], ends[:, 1], np.where(finite[:, 0], ends[:, 0] + _FAR_OFF, _FAR_OFF))
            replies = [self.response(x) for x in (low, (low + high) / 2, high)]
            anchors += [reply.y for reply in replies if reply.y is not None]
        found = answer_bounds(self.compilation, self.conditions.convex, anchors)
        self._reached = self.best, found
        return found

    def _left(self) -> float:
        return max(self.deadline - time.monotonic(), 0.0)

    def _conclude_infeasible(self, answer: Answer) -> None:
        self.termination = Termination.OPTIMALITY
        if self.best is not None:
            self._say(f"{answer.message}, though a verified point is known: the claim is dropped")
            self.termination = Termination.ERROR
        elif self.proves:
            self.claim = Verdict.INFEASIBLE
            self._say(why_infeasible(self.problem, min(self._left(), _EXPLAINING)))
        else:
            self._say(f"{answer.message}; for want of the conditions above this is no proof about the problem")

    def _conclude_unbounded(self, exact: TreatedModel, solve: GlobalSolve, far: float = FAR) -> None:
        """Believe it only with a verified point that is far down."""
        self.termination = Termination.STALLED
        answer = solve.far_point(self._left(), far)
        if answer.y is not None:
            self._consider(exact, answer.y, False)
            self._polish(exact, exact.by_name(answer.y))
        if self.best is not None and self.best.cost <= -0.99 * far:
            low = f"F = {self._user(self.best.cost):.3g} at a verified point"
            self._say(f"unbounded: the engine's relaxation is, and {low}")
            self.claim, self.termination = Verdict.UNBOUNDED, Termination.OPTIMALITY
        else:
            self._say(
                "the engine calls the single-level model unbounded, but no verified point is far down: not claimed"
            )

    @cached_property
    def _plain(self) -> TreatedModel:
        return TreatedModel(self.problem, "sos1")

    def _polish(self, exact: TreatedModel, values: Values) -> Array | None:
        """Solve the piece a point lies on; keep its solution if it verifies, and return it as a start.

        Pieces are told apart by sets: rows that state the pairs otherwise hold only to a tolerance.
        """
        if not exact.program.sos1 and not exact.conditions.pairs and self.best is not None and self.best.stationary:
            return exact.point_from(values)
        sets = exact if exact.treatment.name == "sos1" else self._plain
        found = solve_piece(sets, values)
        if found is None:
            return None
        self._consider(sets, *found, exact=True)
        return exact.point_from(sets.by_name(found[0]))

    def _consider(self, treated: TreatedModel, point: Array, stationary: bool, *, exact: bool = False) -> None:
        """Assess a point and keep it if it is the best so far."""
        found = self.assess(*treated.read(point))
        if found is None:
            return
        new = Incumbent(found, stationary, exact, treated.by_name(point))
        if self.best is None or new.beats(self.best):
            self.best = new if self.best is None else new.inheriting(self.best)
            bound = self._user(self.bound) if math.isfinite(self.bound) else None
            self.observer.bounded(self._user(found.cost), bound)

    def _finding(self) -> Finding:
        other = self._refuted()
        bound = self._user(self.bound) if math.isfinite(self.bound) else None
        finding = Finding(self.termination, self.claim, bound=bound, convexity=self.conditions.word, notes=self.notes)
        if other is not None:
            finding.upper, finding.lower = other
            finding.claim = Verdict.BEST_FOUND
            return finding
        if self.claim is not Verdict.FAILED or self.best is None:
            return finding
        finding.upper, finding.lower = self.best.point.upper, dict(self.best.point.lower)
        if self.proves and self.compilation.closes(self.best.cost, self.bound):
            finding.claim = Verdict.CERTIFIED_GLOBAL
        elif self.conditions.holds and self.best.stationary:
            finding.claim = Verdict.VERIFIED_LOCAL
        else:
            finding.claim = Verdict.BEST_FOUND
        return finding

    def _refuted(self) -> tuple[dict[str, Any], dict[str, float]] | None:
        """A point that beats the bound, or that should not be: the claim is withdrawn."""
        level = math.inf if self.claim is Verdict.INFEASIBLE else self.bound
        if self.claim is Verdict.UNBOUNDED or level == -math.inf or self.termination is Termination.INTERRUPTED:
            return None
        found = Challenge(self.compilation, self.response, SHARE * self.limit).beats(level)
        if found is None:
            return None
        self._say(withdrawn(self.problem, level, found))
        self.bound, self.claim, self.termination = -math.inf, Verdict.FAILED, Termination.STALLED
        return found.upper, found.lower

    def _user(self, cost: float) -> float:
        return self.problem.sense * cost

    def _say(self, message: str) -> None:
        self.notes.append(message)
        self.observer.said(message)


_THIN = ("product", "strong_duality")  # treatments whose rows have no interior: "infeasible" is asked of sets again
_FAR_OFF = 1e4  # of an x without bounds, where the followers' answers may serve as anchors
_DEEP = 1e5  # F below minus this at a verified point and no bound: it may fall without end
_FARTHER = 1e2  # then it does if some point is so many times as far down
_LAST = 0.1  # seconds left of which an engine that was given a limit made nothing
_EXPLAINING = 10.0  # seconds for saying why there is no point
_LOOKED_AT = 3  # ends of local sequences that are verified; the best is nearly always the first


def _options(settings: Settings) -> int:
    """The number of local starts, the only option there is."""
    count = int(settings.options.get("starts", DEFAULT_STARTS))
    if count < 1:
        raise OptionError(f"starts={count}: at least one is needed")
    return count


def _why_stopped(answer: Answer, left: float) -> Termination:
    if answer.interrupted:
        return Termination.INTERRUPTED
    if answer.status is Status.OPTIMAL:
        return Termination.OPTIMALITY
    return Termination.TIME_LIMIT if left <= _LAST else Termination.STALLED
