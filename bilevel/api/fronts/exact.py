r"""Exact fronts: the epsilon-constraint method over whatever exact path accepts the single problem.

    min  F_1 + delta sum_j F_j / r_j     s.t.  F_j <= e_j,   j = 2..k

is AUGMECON's problem (Mavrotas 2009; Mavrotas and Florios 2013) with the slacks e_j - F_j written out: its optima are
nondominated, not weakly so. The ends are lexicographic: F_i alone, then the others where F_i is at its best. That is
known to 1e-8 or so, and where F_i is flat the others gain from that by its root. So an end is the point with the best
F_i where it is proved that the others cannot gain more than ``_GAINED`` of their ranges, else one that gives them that.
The same is asked of every certified point: with ``F_1`` at its best to the certificate's tolerance, the weighted sum
leaves the others no more than that.

A proved bound on one of these problems is one on F_1 wherever the limits hold, and what these bounds leave open is
:func:`bilevel.upper.front.missed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bilevel.api.auto.choosing import apart, exactly, walk
from bilevel.api.fronts.limits import covered, grid, within_cell
from bilevel.api.last_resort import verified
from bilevel.arrays import Array
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.deadline import Deadline, current, passed, within
from bilevel.errors import RefusedError
from bilevel.reading.problem import Problem
from bilevel.reading.several.objectives import SeveralObjectives
from bilevel.results.fronts.front import FrontPoint
from bilevel.results.result import Result
from bilevel.upper.front import Cell, Proof, ends, missed, nondominated, ranges_of
from bilevel.verify.fronts import point_of
from bilevel.verify.judging import unbounded_at_once

Solve = Callable[[Problem, Settings, Observer], tuple[str, Finding]]

_DELTA = 1e-2  # the weight of the other objectives, each over its range
_DELTA_AT_ENDS = 1e-3
_SLACK = 1e-8  # relative: how much worse F_i may be where the others are optimised at its best
_GAINED = 5e-3  # of the ranges: what the others may gain at a point that counts as nondominated
_SAME = 1e-6  # of a range: differences up to it are none
_FINE = 1e-3  # of the ranges: what may be missing is not looked for below it unless asked
_RUNS = 4  # per point asked for, at most
_AHEAD = 4.0  # times its share of the time that one run may take


@dataclass
class Found:
    """What became of an exact front.

    Attributes
    ----------
    points : list of FrontPoint
        Nondominated, each with a verdict of its own.
    termination : Termination
        Why it stopped.
    verdict : Verdict
        Of the whole.
    gap : float or None
        What may be missing.
    used : str
        Which path solved the single problems.
    notes : list of str
        What a reader should know.
    """

    points: list[FrontPoint]
    termination: Termination
    verdict: Verdict
    gap: float | None
    used: str
    notes: list[str]


@dataclass
class _End:
    """What is known of one end: F_i alone, and the others where it is at its best."""

    place: int
    alone: Result
    point: FrontPoint | None
    first: Result
    other: FrontPoint | None


def solver_of(method: str, path: type[Path] | None) -> Solve:
    """What solves one of the single problems: a path by name, or the first exact one that takes it."""
    if path is None:
        return exactly

    def solve(problem: Problem, settings: Settings, observer: Observer) -> tuple[str, Finding]:
        return method, apart(path, problem, settings, observer) or walk(path, problem, settings, observer)

    return solve


class ExactFront:
    """One exact front under way.

    Parameters
    ----------
    several : SeveralObjectives
        The model.
    solve : callable
        What solves a single problem.
    settings : Settings
        What was asked; the time limit is for all.
    observer : Observer
        Hears what is said.
    points : int
        Points asked for.
    gap : float or None
        Go on until what may be missing is at most this.
    patient : bool
        Whether to go on where there is no proof of the ends; else that is a refusal.
    """

    def __init__(
        self,
        several: SeveralObjectives,
        solve: Solve,
        settings: Settings,
        observer: Observer,
        points: int,
        gap: float | None,
        patient: bool,
    ) -> None:
        self._several, self._solve, self._settings, self._observer = several, solve, settings, observer
        self._wanted, self._gap, self._patient = points, gap, patient
        self._points: list[FrontPoint] = []
        self._proofs: list[Proof] = []
        self._ideal = np.full(len(several), -math.inf)
        self._names: dict[str, None] = {}
        self._complaints: dict[str, int] = {}
        self._runs = 0
        self._planned = 2 * len(several) + points

    def run(self) -> Found:
        """The ends, then points between them until there are enough, the gap is closed or the time is up.

        Raises
        ------
        RefusedError
            If no exact path takes the single problem.
        """
        try:
            ended = self._ends()
            if ended is not None:
                return ended
            termination = self._between()
        except KeyboardInterrupt:
            termination = Termination.INTERRUPTED
        return self._found(termination)

    def _ends(self) -> Found | None:
        """The payoff table; a finding where it shows that there is no front."""
        count, ends_found = len(self._several), []
        for i in range(count):
            alone = self._answer([float(j == i) for j in range(count)], {})
            name = self._several.names[i]
            if alone.verdict is Verdict.INFEASIBLE:
                return self._none(alone, alone.notes)
            if alone.verdict is Verdict.UNBOUNDED:
                note = f"{name} alone is unbounded, and a front of it has no end; bound it by a constraint"
                return self._none(alone, [note, *alone.notes])
            if alone.bound is not None:
                self._ideal[i] = alone.bound
                if i == 0:
                    self._proofs.append(Proof((math.inf,) * (count - 1), alone.bound))
            if not self._patient and alone.verdict is not Verdict.CERTIFIED_GLOBAL:
                raise RefusedError(f"{alone.method} brought home no proof of the best {name}")
            if not alone.verdict.holds_a_point or alone.upper_objective is None:
                self._complain(f"the best {name} was not found: {'; '.join(alone.notes)}")
                continue
            first = self._others(i, alone.upper_objective)
            ends_found.append(_End(i, alone, self._whole_point(alone), first, self._whole_point(first)))
        self._take_ends(ends_found)
        return None

    def _whole_point(self, answer: Result) -> FrontPoint | None:
        """An answer as a point of the front, where it is one and no variable of other objectives is missing."""
        whole = self._several.whole
        above = {var.name for var in whole.variables} <= answer.upper.keys()
        below = {var.name for var in whole.reported_variables} <= answer.lower.keys()
        return point_of(whole, answer) if answer.verdict.holds_a_point and above and below else None

    def _others(self, i: int, best: float) -> Result:
        """The best of the other objectives where one is at its best."""
        limit = best + _SLACK * max(1.0, abs(best))
        return self._answer([float(j != i) for j in range(len(self._several))], {i: limit})

    def _take_ends(self, found: list[_End]) -> None:
        """At each end the point with F_i at its best where the others can hardly gain, else one that they gain from."""
        known = [point for end in found for point in (end.point, end.other) if point is not None]
        if not known:
            return
        width = ranges_of(*ends(self._costs_of(known)))
        for end in found:
            point, others = end.other, np.delete(np.arange(len(width)), end.place)
            if point is not None:  # nobody limits how much better F_i can be but its own bound
                point.verdict = weakest([point, end.alone])
            if end.point is not None and end.first.bound is not None:
                left = self._costs_of([end.point])[0, others].sum() - end.first.bound
                point = end.point if left <= _GAINED * width[others].sum() else point
            if point is None or point.verdict is not Verdict.CERTIFIED_GLOBAL:
                point = self._augmented_end(end, width) or point
            if point is None or point.verdict is not Verdict.CERTIFIED_GLOBAL:
                self._complain(f"the others at the best {self._several.names[end.place]} are not certified")
            self._points += [] if point is None else [point]

    def _augmented_end(self, end: _End, width: Array) -> FrontPoint | None:
        """The same without a limit on F_i: ``F_i + delta sum_j F_j / r_j`` tells what the others can gain."""
        weight = _DELTA_AT_ENDS * width[end.place]
        weights = weight / width
        weights[end.place] = 1.0
        augmented = self._answer(weights.tolist(), {})
        if end.point is not None and augmented.bound is not None:
            gain = (float(self._costs_of([end.point])[0] @ weights) - augmented.bound) / weight
            if gain <= _GAINED:
                return end.point
        self._lower(augmented, weight)
        return self._whole_point(augmented)

    def _lower(self, answer: Result, weight: float) -> None:
        """Take the certificate from an answer whose gap, small as it is, leaves the others too much."""
        if answer.verdict is Verdict.CERTIFIED_GLOBAL:
            assert answer.bound is not None
            assert answer.upper_objective is not None
            if answer.upper_objective - answer.bound > _GAINED * weight:
                answer.verdict = Verdict.BEST_FOUND
                self._complain("a bound closes on the first objective, and not on the others")

    def _between(self) -> Termination:
        """Points between the ends."""
        most = _RUNS * self._wanted
        steps = grid(*self._table(), self._wanted) if len(self._several) > 2 and len(self._points) > 1 else iter(())
        tried: set[tuple[float, ...]] = set()
        while not passed():
            limits = next((step for step in steps if not covered(step, self._proofs, self._costs())), None)
            if limits is None:
                limits = self._next(tried)
                enough = len(self._several) > 2 or len(self._front()) >= self._wanted
                if limits is None or (self._gap is None and enough):
                    return Termination.OPTIMALITY
                if self._gap is None and self._runs >= most:
                    return Termination.BUDGET
            tried.add(limits)
            self._inside(limits)
        return Termination.TIME_LIMIT

    def _next(self, tried: set[tuple[float, ...]]) -> tuple[float, ...] | None:
        """The limits that cut the worst cell that can be cut."""
        least = _FINE if self._gap is None else self._gap
        for cell in self._missed():
            limits = self._cut(cell) if cell.gap > least else None
            if limits is not None and limits not in tried:
                return limits
        return None

    def _cut(self, cell: Cell) -> tuple[float, ...] | None:
        ideal, nadir = self._table()
        return within_cell(cell, self._costs(), nadir, ranges_of(ideal, nadir))

    def _inside(self, limits: tuple[float, ...]) -> None:
        """One run: the best F_1 within some limits on the others."""
        ideal, nadir = self._table()
        weight = _DELTA * float(ranges_of(ideal, nadir)[0])
        share = weight / ranges_of(ideal, nadir)[1:]
        answer = self._answer([1.0, *share], {j + 1: e for j, e in enumerate(limits) if e < math.inf})
        if answer.verdict is Verdict.INFEASIBLE:
            self._proofs.append(Proof(limits, math.inf))
            return
        self._lower(answer, weight)
        if answer.bound is not None:
            self._proofs.append(Proof(limits, answer.bound, tuple(share.tolist())))
        if answer.verdict.holds_a_point:
            self._keep(answer, share)
        else:
            self._complain(f"no point within a limit: {'; '.join(answer.notes)}")

    def _answer(self, weights: Sequence[float], limits: dict[int, float]) -> Result:
        """One single problem, solved and verified."""
        problem = self._several.scalarised(weights, limits)
        settings = replace(self._settings, time_limit=self._share())
        with within(Deadline.after(settings.time_limit)):
            endless = unbounded_at_once(problem)
            used, finding = ("", endless) if endless else self._solve(problem, settings, self._observer)
        self._runs += 1
        if used:
            self._names[used] = None
        if finding.termination is Termination.INTERRUPTED:
            raise KeyboardInterrupt
        return verified(problem, finding, used)

    def _share(self) -> float | None:
        left = None if current().end == math.inf else max(current().left, 0.0)
        return None if left is None else min(left, _AHEAD * left / max(1, self._planned - self._runs))

    def _keep(self, answer: Result, share: Array) -> None:
        point = point_of(self._several.whole, answer)
        if answer.bound is not None:
            point.bound = self._several.senses[0] * (answer.bound - float(share @ self._costs_of([point])[0, 1:]))
        self._points.append(point)
        values = ", ".join(f"{name} {value:.6g}" for name, value in point.upper_objectives.items())
        self._observer.said(f"{len(self._points)}: {values}")

    def _complain(self, complaint: str) -> None:
        self._complaints[complaint] = self._complaints.get(complaint, 0) + 1

    def _costs(self) -> Array:
        return self._costs_of(self._points)

    def _costs_of(self, points: Sequence[FrontPoint]) -> Array:
        names, senses = self._several.names, self._several.senses
        rows = [[sense * p.upper_objectives[name] for name, sense in zip(names, senses, strict=True)] for p in points]
        return np.array(rows, dtype=float).reshape(len(rows), len(names))

    def _table(self) -> tuple[Array, Array]:
        """Ideal and nadir as far as they are known."""
        costs = self._costs()
        return ends(costs) if len(costs) else (np.zeros(len(self._several)), np.ones(len(self._several)))

    def _front(self) -> list[FrontPoint]:
        costs = self._costs()
        if not len(costs):
            return []
        kept = nondominated(costs, _SAME * ranges_of(*ends(costs)))
        order = [k for k in np.argsort(costs[:, 0], kind="stable") if kept[k]]
        return [self._points[k] for k in order]

    def _missed(self) -> list[Cell]:
        ideal, nadir = self._table()
        return missed(self._costs(), self._proofs, self._ideal, ranges_of(ideal, nadir)) if self._points else []

    def _found(self, termination: Termination) -> Found:
        points = self._front()
        notes = [f"epsilon-constraint: {self._runs} single problems, by {' and '.join(self._names) or 'no path'}"]
        notes += [f"{text} ({count} times)" if count > 1 else text for text, count in self._complaints.items()]
        if not points:
            return Found([], termination, Verdict.FAILED, None, "+".join(self._names), notes)
        worst = max((cell.gap for cell in self._missed()), default=0.0)
        gap = worst if math.isfinite(worst) else None
        if self._gap is not None and worst > self._gap:
            notes.append(f"what may be missing was not brought down to gap={self._gap:g}")
        return Found(points, termination, weakest(points), gap, "+".join(self._names), notes)

    def _none(self, alone: Result, notes: list[str]) -> Found:
        return Found([], alone.termination, alone.verdict, None, alone.method, list(notes))


_RANK = [Verdict.FAILED, Verdict.BEST_FOUND, Verdict.VERIFIED_LOCAL, Verdict.CERTIFIED_GLOBAL]


def weakest(points: Sequence[FrontPoint | Result]) -> Verdict:
    """What is true of all points."""
    return min((point.verdict for point in points), key=_RANK.index, default=Verdict.FAILED)
