"""Every upper point that was tried, in order, failures included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from bilevel import tolerances
from bilevel.arrays import Point
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
        for inner in ("cost", "gradient", "coupling", "jacobian", "misshapen", "estimate", "spared"):
            del plain[inner]
        plain["status"] = str(self.status)
        plain["feasible"], plain["pruned"] = self.feasible, self.pruned
        return plain


class Archive:
    """The history of a run and its incumbent."""

    def __init__(self) -> None:
        self.evaluations: list[Evaluation] = []
        self.incumbent: Evaluation | None = None
        self._seen: set[Point] = set()

    def add(self, evaluation: Evaluation) -> None:
        """Append one evaluation; it becomes the incumbent if it is feasible and strictly better."""
        self.evaluations.append(evaluation)
        self._seen.add(evaluation.point)
        if evaluation.feasible and (self.incumbent is None or evaluation.cost < self.incumbent.cost):
            self.incumbent = evaluation

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
