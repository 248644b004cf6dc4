"""The KKT path: optimality conditions in place of the lower level, solved globally and locally.

problem -> convexity (proved, or refused) -> ``bilevel.kkt`` -> a treatment of the complementarity pairs -> an engine
-> x, y -> the same verification as every other path.

``auto`` does both halves, which hand on what is known (:mod:`bilevel.solvers.single_level.halves`). A local one: the
treatment ``scholtes`` through Ipopt from the model's initial values and seeded random starts, quick at any size. And a
global one: the treatments that the structure asks for, in turn (:mod:`bilevel.solvers.single_level.treatments`),
through an engine that proves its bound (SCIP), with the local incumbent for a start. A treatment named by the user is
run alone.

Where the worst of several optima counts, that is a condition of its own: see ``worst_case`` and ``active_sides``.

What may be claimed is told in :mod:`bilevel.solvers.single_level.equivalence` and
:mod:`bilevel.solvers.single_level.global_proof`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from bilevel import registry
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.contracts.treatment import Treatment
from bilevel.convexity.uniqueness import refuse_ties
from bilevel.deadline import OutOfTime, heard
from bilevel.errors import OptionError, RefusedError
from bilevel.kkt.conditions import refuse_follower
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.response.missing_slopes import slope_missing_in_the_box
from bilevel.solvers.rounds.challenge import SHARE, Challenge, withdrawn
from bilevel.solvers.single_level.density import refuse_dense
from bilevel.solvers.single_level.global_proof import LARGEST_GRAPH, size_of
from bilevel.solvers.single_level.halves.case import Case
from bilevel.solvers.single_level.halves.global_half import GlobalHalf
from bilevel.solvers.single_level.halves.known import Book
from bilevel.solvers.single_level.halves.local_half import LocalHalf
from bilevel.solvers.single_level.treated_model import TreatedModel

DEFAULT_STARTS = 4
_CLOSED_FORM = "rational"
_OF_THE_WORST = ("active_sides", "worst_case")
_LOCAL_SHARE = 0.15  # of the time, for the local half where a global one follows


@register("kkt")
class KKT(Path):
    """Optimality conditions in place of the lower level: global by SOS1 and SCIP, local by Scholtes and Ipopt.

    Take it when the lower level is convex and you want a proof; with up to three real upper variables ``upper_boxes``
    branches on these alone and mostly closes sooner.
    """

    preference = 0.5
    multipliers = True
    pessimistic = True
    options: ClassVar[Mapping[str, type]] = {"starts": int, "dual_bounds": dict}

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        for follower in problem.followers:
            refuse_follower(follower)
        try:
            refuse_ties(problem, self.name)
        except RefusedError as refusal:
            return _at_worst(problem, settings, observer, refusal)
        refuse_dense(Compilation.of(problem), settings)
        if settings.complementarity == settings.engine == "auto" and "dual_bounds" not in settings.options:
            try:  # no pairs, and stationarity solved for y in closed form: the same model, proved in milliseconds
                return registry.get(Path, _CLOSED_FORM)().run(problem, settings, observer)
            except RefusedError:
                pass
        return _Walk(problem, settings, observer).run()


def _at_worst(problem: Problem, settings: Settings, observer: Observer, refusal: RefusedError) -> Finding:
    """Pessimistic, with several optima below: by the paths that write what is worst among them as conditions too."""
    if settings.complementarity == "auto" and "dual_bounds" not in settings.options and not problem.multipliers:
        for name in _OF_THE_WORST:
            try:
                return registry.get(Path, name)().run(problem, settings, observer)
            except RefusedError:
                continue
    raise refusal


class _Walk:
    """One run: which halves, in what order; what they find is in the book, so that an interruption loses nothing."""

    def __init__(self, problem: Problem, settings: Settings, observer: Observer) -> None:
        self.starts = _options(settings)
        self.observer = observer
        self.case = Case.of(problem, settings)
        self.book = Book(self.case.compilation, self.case.response, observer)
        for remark in self.case.equivalence.remarks:
            self.book.say(remark)

    def run(self) -> Finding:
        """Both halves, or the treatment that was asked for."""
        case, book = self.case, self.book
        name = case.settings.complementarity
        try:
            if name == "auto":
                self._both()
            elif registry.get(Treatment, name)().schedule():
                engine = "ipopt" if case.settings.engine == "auto" else case.settings.engine
                self._local(case.treated(name), case.limit, engine)
            else:
                self._global(case.equivalence.holds).prove(case.treated(name))
        except KeyboardInterrupt:
            book.stop(Termination.INTERRUPTED)
        except OutOfTime:
            heard()
            book.stop(Termination.TIME_LIMIT)
        known = book.known
        nothing = not known.stationary and known.claim is Verdict.FAILED and not math.isfinite(known.bound)
        if nothing and not case.over:
            for missing in slope_missing_in_the_box(case.response):
                book.say(missing)
        return self._finding()

    def _both(self) -> None:
        case, book = self.case, self.book
        relaxed = case.treated("scholtes")
        alone = _why_no_global_half(relaxed, case.settings.engine)
        self._local(relaxed, case.limit * (_LOCAL_SHARE if alone is None else 1.0), "ipopt")
        if alone is not None:
            book.say(alone)
            return
        try:
            self._global(case.equivalence.holds or bool(case.weighted)).in_turn(relaxed)
        except RefusedError as refusal:
            if case.settings.engine != "auto" or book.best is None:
                raise
            book.say(f"no global half: {refusal}")

    def _local(self, treated: TreatedModel, seconds: float, engine: str) -> None:
        LocalHalf(self.case, self.book, self.starts).run(treated, seconds, engine)

    def _global(self, proves: bool) -> GlobalHalf:
        return GlobalHalf(self.case, self.book, self.observer, proves)

    def _finding(self) -> Finding:
        case, book = self.case, self.book
        other = self._refuted()
        known = book.known
        finding = Finding(
            known.termination,
            known.claim,
            bound=book.bound,
            convexity=case.equivalence.word,
            notes=list(known.notes),
        )
        if other is not None:
            finding.upper, finding.lower = other
            finding.claim = Verdict.BEST_FOUND
            return finding
        if known.claim is not Verdict.FAILED or known.best is None:
            return finding
        finding.upper, finding.lower = known.best.point.upper, dict(known.best.point.lower)
        if case.compilation.closes(known.best.cost, known.bound):  # there is one only where it is proved
            finding.claim = Verdict.CERTIFIED_GLOBAL
        elif case.equivalence.holds and known.best.stationary:
            finding.claim = Verdict.VERIFIED_LOCAL
        else:
            finding.claim = Verdict.BEST_FOUND
        return finding

    def _refuted(self) -> tuple[dict[str, Any], dict[str, float]] | None:
        """A point that beats the bound, or that should not be: the claim is withdrawn."""
        case, known = self.case, self.book.known
        level = math.inf if known.claim is Verdict.INFEASIBLE else known.bound
        if known.claim is Verdict.UNBOUNDED or level == -math.inf or known.termination is Termination.INTERRUPTED:
            return None
        found = Challenge(case.compilation, case.response, SHARE * case.limit).beats(level)
        if found is None:
            return None
        self.book.say(withdrawn(case.problem, level, found))
        self.book.withdraw()
        return found.upper, found.lower


def _why_no_global_half(treated: TreatedModel, engine: str) -> str | None:
    if engine == "ipopt":
        return "engine='ipopt' is local: no bound"
    size = size_of(treated.program)
    if size <= LARGEST_GRAPH or engine != "auto":
        return None
    return (
        f"the global half was left out: the single-level model compiles to {size} instructions, more than"
        f" {LARGEST_GRAPH}; engine='scip' tries it all the same"
    )


def _options(settings: Settings) -> int:
    """The number of local starts."""
    count = int(settings.options.get("starts", DEFAULT_STARTS))
    if count < 1:
        raise OptionError(f"starts={count}: at least one is needed")
    return count
