"""What a path hands over: the point it found, what it claims of it, and why it stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bilevel.upper.archive import Archive, Evaluation

if TYPE_CHECKING:
    from bilevel.upper.conditions import Condition
    from bilevel.upper.dimension import Dimension


class Verdict(StrEnum):
    """What is true of the answer."""

    CERTIFIED_GLOBAL = "certified_global"
    """A proved bound on F closes on the F of a point whose lower level was re-solved."""
    VERIFIED_LOCAL = "verified_local"
    """A stationary point of the single-level model whose y was re-solved and found optimal."""
    BEST_FOUND = "best_found"
    """The best of a search; its y was re-solved and found optimal."""
    INFEASIBLE = "infeasible"
    """Proved: no point meets both levels."""
    UNBOUNDED = "unbounded"
    """Proved: F has no finite optimum."""
    FAILED = "failed"
    """Nothing that could be verified."""

    @property
    def holds_a_point(self) -> bool:
        """Whether there is a verified answer (exit code 0)."""
        return self in (Verdict.CERTIFIED_GLOBAL, Verdict.VERIFIED_LOCAL, Verdict.BEST_FOUND)


class Termination(StrEnum):
    """Why the run stopped."""

    OPTIMALITY = "optimality"
    BUDGET = "budget"
    TIME_LIMIT = "time_limit"
    INTERRUPTED = "interrupted"
    STALLED = "stalled"
    ERROR = "error"


@dataclass
class Finding:
    """What a path brings home, before anything is verified.

    Attributes
    ----------
    termination : Termination
        Why it stopped.
    claim : Verdict
        The most it could claim; the verification lowers it where the point does not bear it out.
    upper : dict or None
        Values of the upper variables at the point found, by name.
    lower : dict or None
        The followers' answer the path holds for optimal.
    bound : float or None
        A proved bound on F, in the user's sense.
    archive : Archive
        Upper points tried.
    convexity : str
        Of the lower level, where the path looked into it.
    notes : list of str
        What a reader of the result should know: which treatment, which engine, why no certificate.
    again : list of (Evaluation, Evaluation)
        Points as the search had them, and as they were when their functions were asked again with new seeds.
    schedule : list of dict
        Where the answer was trained with one x after another: for each leg its ``upper``, its ``steps``, how many were
        done ``after`` it, and F then. ``upper`` is the last of them.
    space : tuple of Dimension
        In which the archive's points are coordinates; empty where it was no search over a space.
    conditions : tuple of Condition
        Which of its dimensions matter only sometimes.
    """

    termination: Termination
    claim: Verdict
    upper: dict[str, Any] | None = None
    lower: dict[str, Any] | None = None
    bound: float | None = None
    archive: Archive = field(default_factory=Archive)
    convexity: str = "unknown"
    notes: list[str] = field(default_factory=list)
    again: list[tuple[Evaluation, Evaluation]] = field(default_factory=list)
    schedule: list[dict[str, Any]] = field(default_factory=list)
    space: tuple[Dimension, ...] = ()
    conditions: tuple[Condition, ...] = ()
