"""Every upper point that was tried, in order, failures included."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, overload

import numpy as np

from bilevel import tolerances
from bilevel.arrays import Array, Point
from bilevel.programs.answer import Status


@dataclass(slots=True)
class Evaluation:
    """One upper point and what came of it.

    Attributes
    ----------
    index : int
        Its place in the history.
    point : tuple
        Its coordinates in the space.
    upper, lower : dict
        Values of the upper and of the followers' variables, by component name; ``lower`` is empty where there was no
        answer.
    status : Status
        What became of the lower level.
    upper_objective : float
        F in the user's sense; NaN where there was no answer.
    lower_objective : tuple of float
        f of each follower in the user's sense.
    upper_violation : float
        Largest violation of an upper constraint (coupling ones included).
    cost : float
        F to be minimised: ``upper_objective`` with the leader's sense taken out.
    proved : bool
        Whether every follower's answer, and the choice among ties, is proved optimal (or proved not to exist).
    seconds : float
        Time it took.
    message : str
        Why it failed.
    gradient : tuple of float, optional
        dF/dx, minimised, in the variables' own units; only for searches that use or welcome it.
    coupling : tuple of float, optional
        The bodies of the coupling constraints, where ``gradient`` is given and there are any.
    jacobian : tuple of tuple of float, optional
        Their derivatives in x, one row per constraint.
    misshapen : bool
        Whether it failed because a response function's answer was of a wrong shape.
    upper_objectives : dict of float
        Where the leader has several objectives each of them, by name, in the user's sense; ``upper_objective`` is then
        NaN, and ``cost`` their sum, each minimised.
    costs : tuple of float
        The same, minimised, in the order of the objectives.
    reports : tuple of (float, float)
        ``(step, value)`` as a response function reported them on its way, in the user's sense; or ``(fidelity, F)``.
    repeats : int
        How many times the functions were asked; ``upper_objective`` is F at the mean of their answers.
    standard_error : float
        Of F, where they were asked more than once.
    bound : float
        What F is proved to be no better than, in the user's sense, at a point stopped by such a proof; NaN elsewhere.
    estimate : float
        What F, minimised, may be expected to be at a pruned point: for a search to learn from, never an incumbent.
    spared : tuple of float
        What was left out, of how much: followers' solves at a point stopped by a proof; the fidelity where points are
        looked at from below (negative at a point that went all the way). Empty elsewhere.
    """

    index: int
    point: Point
    upper: dict[str, Any]
    lower: dict[str, Any] = field(default_factory=dict)
    status: Status = Status.FAILED
    upper_objective: float = math.nan
    lower_objective: tuple[float, ...] = ()
    upper_violation: float = math.nan
    cost: float = math.nan
    proved: bool = False
    seconds: float = 0.0
    message: str = ""
    gradient: tuple[float, ...] | None = None
    coupling: tuple[float, ...] | None = None
    jacobian: tuple[tuple[float, ...], ...] | None = None
    misshapen: bool = False
    upper_objectives: dict[str, float] = field(default_factory=dict)
    costs: tuple[float, ...] = ()
    reports: tuple[tuple[float, float], ...] = ()
    repeats: int = 1
    standard_error: float = math.nan
    bound: float = math.nan
    estimate: float = math.nan
    spared: tuple[float, ...] = ()

    @property
    def pruned(self) -> bool:
        """Whether it was stopped before it was done."""
        return self.status is Status.PRUNED

    @property
    def answered(self) -> bool:
        """Whether the lower level had an answer and F is a number there."""
        return self.status is Status.OPTIMAL and math.isfinite(self.cost)

    @property
    def feasible(self) -> bool:
        """Whether it is a bilevel-feasible point: answered, and within the upper constraints."""
        return self.answered and self.upper_violation <= tolerances.FEASIBILITY

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and data frames."""
        plain = asdict(self)
        for inner in ("cost", "gradient", "coupling", "jacobian", "misshapen", "costs", "estimate", "spared"):
            del plain[inner]
        if not self.upper_objectives:
            del plain["upper_objectives"]
        plain["status"] = str(self.status)
        plain["feasible"], plain["pruned"] = self.feasible, self.pruned
        return plain


class Rows(Protocol):
    """Evaluations in a row that are arrays until somebody reads one (:mod:`bilevel.upper.batch`).

    Attributes
    ----------
    points : sequence of tuple
        Their coordinates.
    costs : ndarray of shape (n,)
        F to be minimised.
    others : mapping of int to Evaluation
        By place in the row, those that are more than an answer with its proof.
    """

    @property
    def points(self) -> Sequence[Point]:
        """See the attributes."""

    @property
    def costs(self) -> Array:
        """See the attributes."""

    @property
    def others(self) -> Mapping[int, Evaluation]:
        """See the attributes."""

    def evaluation(self, place: int) -> Evaluation:
        """The one at a place in the row."""

    def best(self) -> int | None:
        """The place of the first feasible one of least cost."""


class History(Sequence[Evaluation]):
    """Evaluations in their order; those that came in arrays are made when they are read.

    Reading, comparing and slicing are a list's. ``pickle`` and ``copy`` see evaluations alone.

    Parameters
    ----------
    evaluations : iterable of Evaluation
        To begin with.
    """

    def __init__(self, evaluations: Iterable[Evaluation] = ()) -> None:
        self._made: list[Evaluation | None] = list(evaluations)
        self._singles = list(range(len(self._made)))
        self._starts: list[int] = []
        self._rows: list[Rows] = []

    def append(self, evaluation: Evaluation) -> None:
        """One more."""
        self._singles.append(len(self._made))
        self._made.append(evaluation)

    def take(self, rows: Rows) -> None:
        """Several more."""
        start = len(self._made)
        self._starts.append(start)
        self._rows.append(rows)
        self._made += [None] * len(rows.points)
        for place, evaluation in rows.others.items():
            self._singles.append(start + place)
            self._made[start + place] = evaluation

    def singles(self, first: int = 0) -> Iterator[Evaluation]:
        """Those from a place on that may be more than an answer with its proof: all others were answered and proved."""
        return (self[place] for place in self._singles[bisect_left(self._singles, first) :])

    def costs(self) -> Array:
        """F to be minimised at each, shape (n,); NaN where there was no answer."""
        found = np.empty(len(self))
        for start, rows in zip(self._starts, self._rows, strict=True):
            found[start : start + len(rows.points)] = rows.costs
        found[self._singles] = [self[place].cost for place in self._singles]
        return found

    def copy(self) -> History:
        """Another that grows for itself."""
        other = History()
        other._made, other._singles = self._made.copy(), self._singles.copy()
        other._starts, other._rows = self._starts.copy(), self._rows.copy()
        return other

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, place: int) -> Evaluation: ...
    @overload
    def __getitem__(self, place: slice) -> list[Evaluation]: ...
    def __getitem__(self, place: int | slice) -> Evaluation | list[Evaluation]:
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(len(self)))]
        found = self._made[place]
        if found is None:
            place = range(len(self))[place]
            batch = bisect_right(self._starts, place) - 1
            found = self._made[place] = self._rows[batch].evaluation(place - self._starts[batch])
        return found

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (History, list)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> Any:
        return History, (list(self),)


class Archive:
    """The history of a run and its incumbent."""

    def __init__(self) -> None:
        self.evaluations = History()
        self.incumbent: Evaluation | None = None
        self._seen: set[Point] = set()

    def add(self, evaluation: Evaluation) -> None:
        """Append one evaluation; it becomes the incumbent if it is feasible and strictly better."""
        self.evaluations.append(evaluation)
        self._seen.add(evaluation.point)
        if evaluation.feasible and (self.incumbent is None or evaluation.cost < self.incumbent.cost):
            self.incumbent = evaluation

    def take(self, rows: Rows) -> None:
        """Append several in their order, with the incumbent that one after the other would leave."""
        start = len(self.evaluations)
        self.evaluations.take(rows)
        self._seen.update(rows.points)
        best = rows.best()
        if best is not None and (self.incumbent is None or rows.costs[best] < self.incumbent.cost):
            self.incumbent = self.evaluations[start + best]

    def extend(self, other: Iterable[Evaluation]) -> None:
        """Append another run's evaluations, numbered on."""
        for evaluation in other:
            evaluation.index = len(self.evaluations)
            self.add(evaluation)

    def __len__(self) -> int:
        return len(self.evaluations)

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(self.evaluations)

    def __contains__(self, point: object) -> bool:
        return point in self._seen
