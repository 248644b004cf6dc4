"""The local half of the KKT path: a sequence of relaxations from several starts, quick at any size."""

from __future__ import annotations

import time
from functools import cached_property

import numpy as np

from bilevel.contracts.finding import Termination
from bilevel.errors import RefusedError
from bilevel.solvers.single_level.halves.case import Case
from bilevel.solvers.single_level.halves.known import Book
from bilevel.solvers.single_level.local_descent import Descent, Sequence, solve_piece, starts
from bilevel.solvers.single_level.treated_model import TreatedModel

_LOOKED_AT = 3  # ends of local sequences that are verified; the best is nearly always the first


class LocalHalf:
    """The best of the verified ends of some sequences.

    Parameters
    ----------
    case : Case
        What is to be solved.
    book : Book
        What is found is entered there.
    count : int
        How many starts.
    """

    def __init__(self, case: Case, book: Book, count: int) -> None:
        self._case, self._book, self._count = case, book, count

    def run(self, treated: TreatedModel, seconds: float, engine: str) -> None:
        """From every start for which there is time, the first in any case."""
        until = min(time.monotonic() + seconds, self._case.deadline)
        sequence = Sequence(treated, engine)
        rng = np.random.default_rng(self._case.settings.seed)
        found: list[Descent] = []
        for x in starts(self._case.problem, rng, self._count):
            if found and time.monotonic() > until:
                break
            found.append(sequence(treated.start(x, None), lambda: until - time.monotonic()))
            self._first_point(treated, found[-1])
        for descent in sorted(found, key=lambda d: (not d.stationary, d.objective))[:_LOOKED_AT]:
            self._book.consider(treated, treated.point_from(descent.values), descent.stationary)
        self._tell(f"local half ({treated.treatment.name}, {engine})", found, bool(treated.program.integer.any()))

    def _first_point(self, treated: TreatedModel, descent: Descent) -> None:
        """While there is no point: an end, or the solution of the piece it lies on, whose y is an answer."""
        if self._book.best is not None or not descent.stationary:
            return
        self._book.consider(treated, treated.point_from(descent.values), True)
        if self._book.best is None and self._sets is not None:
            solved = solve_piece(self._sets, descent.values)
            if solved is not None:
                self._book.consider(self._sets, *solved, exact=True)

    @cached_property
    def _sets(self) -> TreatedModel | None:
        try:
            return TreatedModel(self._case.problem, "sos1")
        except RefusedError:
            return None

    def _tell(self, half: str, found: list[Descent], discrete: bool) -> None:
        converged = f"{sum(d.stationary for d in found)} of {len(found)} starts converged"
        how = f"{len(found)} starts, integers relaxed and rounded" if discrete else converged
        best = self._book.best
        end = "no end verified" if best is None else f"best F = {self._book.user(best.cost):.8g}"
        self._book.say(f"{half}: {how}, {end}")
        if self._book.known.stationary:
            self._book.stop(Termination.OPTIMALITY)
        elif self._case.over:
            self._book.stop(Termination.TIME_LIMIT)
