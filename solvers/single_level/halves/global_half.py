"""The global half of the KKT path: a bound, infeasibility, or a better point, by treatments that change nothing.

It starts from the best point that is known and asks an engine that proves its bound
(:mod:`bilevel.solvers.single_level.global_proof`).
"""

from __future__ import annotations

import math
from functools import cache, cached_property

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.finding import Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.errors import RefusedError
from bilevel.programs.answer import Answer, Status
from bilevel.programs.extents import box_below
from bilevel.reading.pieces import is_category
from bilevel.solvers.single_level.assessment import Incumbent
from bilevel.solvers.single_level.global_proof import FAR, GlobalSolve, proving_engine
from bilevel.solvers.single_level.halves.case import Case
from bilevel.solvers.single_level.halves.known import Book
from bilevel.solvers.single_level.infeasibility import why_infeasible
from bilevel.solvers.single_level.local_descent import solve_piece
from bilevel.solvers.single_level.pieces import solved_by_pieces
from bilevel.solvers.single_level.reach import answer_bounds
from bilevel.solvers.single_level.treated_model import TreatedModel, Values
from bilevel.solvers.single_level.treatments import SETS, treatments_in_turn

_THIN = ("product", "strong_duality")  # treatments whose rows have no interior: "infeasible" is asked of sets again
_TRIAL, _LEAST_TRIAL = 0.2, 2.0  # of the time left, and seconds, for a treatment that is one of several
_FAR_OFF = 1e4  # of an x without bounds, where the followers' answers may serve as anchors
_DEEP = 1e5  # F below minus this at a verified point and no bound: it may fall without end
_FARTHER = 1e2  # then it does if some point is so many times as far down
_LAST = 0.1  # seconds left of which an engine that was given a limit made nothing
_EXPLAINING = 10.0  # seconds for saying why there is no point


class GlobalHalf:
    """What an engine proves.

    Parameters
    ----------
    case : Case
        What is to be solved.
    book : Book
        What is known before; what is found is entered there.
    observer : Observer
        Hears of an engine's bounds while it runs.
    proves : bool
        Whether a bound on the single-level model is one on F.
    """

    def __init__(self, case: Case, book: Book, observer: Observer, proves: bool) -> None:
        self._case, self._book, self._observer, self._proves = case, book, observer, proves
        self._reached: tuple[Incumbent | None, dict[str, tuple[float, float]]] | None = None
        self._troubled = False  # whether the engine gave up before its time

    def in_turn(self, relaxed: TreatedModel) -> None:
        """Treatments as the structure asks for them, each for a while, then the best of them for the rest."""
        case, book = self._case, self._book
        ranges = self._bounds(relaxed)

        @cache
        def build(name: str) -> TreatedModel:
            model = TreatedModel(case.problem, name, ranges, case.weighted, case.dual_bounds)
            model.tighten(self._reach())
            return model

        names, why = treatments_in_turn(case.problem, case.settings.engine, bool(case.weighted), build)
        if len(names) == 1:
            self.prove(build(names[0]))
            if names[0] != SETS and (self._troubled or self._open()):
                self.prove(build(SETS))
            return
        book.say(why)
        bounds: dict[str, float] = {}
        for name in names:
            bounds[name] = self.prove(build(name), max(_TRIAL * case.left, _LEAST_TRIAL))
            if book.known.settled(case.compilation):
                return
            if case.over:
                book.stop(Termination.TIME_LIMIT)
                return
        best = max(names, key=bounds.__getitem__)
        book.say(f"none of them settled it; the rest of the time is for {best}")
        self.prove(build(best))

    def _open(self) -> bool:
        """Whether the engine was done before its time with a point that is none: the bound stays apart from F."""
        known = self._book.known
        done = known.termination is Termination.OPTIMALITY and not self._case.over
        return self._proves and done and not known.settled(self._case.compilation)

    def _bounds(self, relaxed: TreatedModel) -> dict[str, tuple[float, float]]:
        """Of variables of both levels: what rows imply, and what an F no worse than the best one allows."""
        bounds = dict(self._case.compilation.ranges)
        best = self._book.best
        if best is not None:
            margin = best.cost + tolerances.CERTIFICATE * tolerances.scale(best.cost)
            box = box_below(relaxed.program, np.zeros(relaxed.program.parameters.numel()), margin)
            for name, low, high in zip(relaxed.program.names, *box, strict=True) if box is not None else ():
                if name in bounds:
                    bounds[name] = max(low, bounds[name][0]), min(high, bounds[name][1])
        return bounds

    def prove(self, exact: TreatedModel, seconds: float = math.inf) -> float:
        """Bound, infeasibility, or a better point; the engine's bound on this model.

        Raises
        ------
        RefusedError
            If the treatment is not exact, or no engine proves anything of the model.
        """
        case, book = self._case, self._book
        if not exact.treatment.exact:
            raise RefusedError(
                f"complementarity={exact.treatment.name!r} is neither exact nor a sequence; nothing can be concluded"
            )
        engine = proving_engine(exact.program, case.settings.engine)
        exact.tighten(self._reach())
        start = self._polish(exact, book.best.values) if book.best is not None else None
        book.say(
            f"global half ({exact.treatment.name}, {engine}): {exact.program.n} variables, {exact.program.m} rows,"
            f" {len(exact.conditions.pairs)} complementarity pairs"
        )
        proves = self._proves and not self._believes(exact)
        solve = GlobalSolve(exact, engine, self._observer, proves)
        apart = solved_by_pieces(exact.program, engine, case.left / 4) if exact.program.loose.any() else None
        answer = solve(start, min(seconds, case.left)) if apart is None else apart
        if answer.status is Status.INFEASIBLE:
            if exact.treatment.name in _THIN:
                book.say(f"{answer.message}, which numerical trouble says too where {exact.treatment.name} is thin")
                return self.prove(case.treated("sos1"))
            self._conclude_infeasible(answer, proves)
            return -math.inf
        if answer.status is Status.UNBOUNDED or (
            answer.y is None and math.isinf(answer.bound) and "inforunbd" in answer.message
        ):
            self._conclude_unbounded(exact, solve)
            return -math.inf
        if proves:
            book.raise_bound(answer.bound)
        self._keep(exact, answer)
        if math.isinf(answer.bound) and book.best is not None and book.best.cost <= -_DEEP:
            self._conclude_unbounded(exact, solve, max(FAR, -_FARTHER * book.best.cost))
            return -math.inf
        why = _why_stopped(answer, case.left)
        book.stop(why)
        self._troubled = answer.status is Status.FAILED and why is Termination.STALLED
        if book.best is None and answer.status is Status.OPTIMAL:
            book.stop(Termination.STALLED)
            book.say(
                "the engine's optimum is no point of the problem within its tolerances: the best F may not be attained"
            )
        return answer.bound

    def _believes(self, exact: TreatedModel) -> bool:
        """Whether the model rests on bounds of multipliers that the user gave and nothing proves; says which."""
        believed = [f"{source} {side}" for source, side in exact.conditions.believed]
        if believed:
            self._book.say(
                f"given in dual_bounds and not proved: {', '.join(believed[:4])}; no bound on F, no certificate"
            )
        return bool(believed)

    def _reach(self) -> dict[str, tuple[float, float]]:
        """Bounds on the followers' answers that hold for every x, where they can be had; anew with a new best point."""
        case, best = self._case, self._book.best
        if self._reached is not None and self._reached[0] is best:
            return self._reached[1]
        anchors = [] if best is None else [np.array(list(best.point.lower.values()), dtype=float)]
        if not any(is_category(var) for var in case.problem.variables):
            ends = np.array([case.compilation.ranges[var.name] for var in case.problem.variables]).reshape(-1, 2)
            finite = np.isfinite(ends)
            low = np.where(finite[:, 0], ends[:, 0], np.where(finite[:, 1], ends[:, 1] - _FAR_OFF, -_FAR_OFF))
            high = np.where(finite[:, 1], ends[:, 1], np.where(finite[:, 0], ends[:, 0] + _FAR_OFF, _FAR_OFF))
            replies = [case.response(x) for x in (low, (low + high) / 2, high)]
            anchors += [reply.y for reply in replies if reply.y is not None]
        found = answer_bounds(case.compilation, case.equivalence.convex, anchors)
        self._reached = best, found
        return found

    def _conclude_infeasible(self, answer: Answer, proves: bool) -> None:
        case, book = self._case, self._book
        book.stop(Termination.OPTIMALITY)
        if book.best is not None:
            book.say(f"{answer.message}, though a verified point is known: the claim is dropped")
            book.stop(Termination.ERROR)
        elif proves:
            book.claim(Verdict.INFEASIBLE)
            book.say(why_infeasible(case.problem, min(case.left, _EXPLAINING)))
        else:
            book.say(f"{answer.message}; for want of the conditions above this is no proof about the problem")

    def _conclude_unbounded(self, exact: TreatedModel, solve: GlobalSolve, far: float = FAR) -> None:
        """Believe it only with a verified point that is far down."""
        book = self._book
        book.stop(Termination.STALLED)
        self._keep(exact, solve.far_point(self._case.left, far))
        if book.best is not None and book.best.cost <= -0.99 * far:
            low = f"F = {book.user(book.best.cost):.3g} at a verified point"
            book.say(f"unbounded: the engine's relaxation is, and {low}")
            book.claim(Verdict.UNBOUNDED)
        else:
            book.say(
                "the engine calls the single-level model unbounded, but no verified point is far down: not claimed"
            )

    def _keep(self, exact: TreatedModel, answer: Answer) -> None:
        """An answer's point, if it has one, and the solution of the piece it lies on."""
        if answer.y is not None:
            self._book.consider(exact, answer.y, False)
            self._polish(exact, exact.by_name(answer.y))

    @cached_property
    def _plain(self) -> TreatedModel:
        return TreatedModel(self._case.problem, "sos1")

    def _polish(self, exact: TreatedModel, values: Values) -> Array | None:
        """Solve the piece a point lies on; keep its solution if it verifies, and return it as a start.

        Pieces are told apart by sets: rows that state the pairs otherwise hold only to a tolerance.
        """
        if not exact.program.sos1 and not exact.conditions.pairs and self._book.known.stationary:
            return exact.point_from(values)
        sets = exact if exact.treatment.name == "sos1" and not self._case.dual_bounds else self._plain
        found = solve_piece(sets, values)
        if found is None:
            return None
        self._book.consider(sets, *found, exact=True)
        return exact.point_from(sets.by_name(found[0]))


def _why_stopped(answer: Answer, left: float) -> Termination:
    if answer.interrupted:
        return Termination.INTERRUPTED
    if answer.status is Status.OPTIMAL:
        return Termination.OPTIMALITY
    return Termination.TIME_LIMIT if left <= _LAST else Termination.STALLED
