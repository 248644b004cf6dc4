"""What was found, in words that are never better than what was proved."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilevel.upper.archive import Archive, Evaluation

if TYPE_CHECKING:
    from bilevel.upper.conditions import Condition
    from bilevel.upper.space import Dimension


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
    space: tuple[Dimension, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass
class Result:
    """The outcome of one run; section "Reading a result" of the README explains each field.

    Attributes
    ----------
    method : str
        What was run.
    verdict : Verdict
        What is true.
    termination : Termination
        Why it stopped.
    upper_objective, lower_objective : float or None
        F and f at the re-solved y, in the user's sense; f is the sum over followers where there are several.
    upper, lower : dict
        ``{component name: value}``.
    bound, gap : float or None
        A proved bound on F, and ``|F - bound| / max(1, |F|)``.
    bilevel_gap : float or None
        f(x, y) minus the best f for that x from an independent solve, the largest over followers, in the minimising
        sense.
    upper_violation, lower_violation : float or None
        Largest constraint violation.
    convexity : str
        ``proved``, ``refuted: <witness>`` or ``unknown``.
    evaluations : int
        Upper points tried.
    seconds : float
        Time of the whole run.
    history : list of Evaluation
        Every point tried, in order.
    notes : list of str
        What a reader should know.
    space : tuple of Dimension
        In which the history's points are coordinates; empty where the method is no search over upper points.
    conditions : tuple of Condition
        Which of its dimensions matter only sometimes (``ActiveWhen``).
    """

    method: str
    verdict: Verdict
    termination: Termination
    upper_objective: float | None = None
    lower_objective: float | None = None
    upper: dict[str, Any] = field(default_factory=dict)
    lower: dict[str, Any] = field(default_factory=dict)
    bound: float | None = None
    gap: float | None = None
    bilevel_gap: float | None = None
    upper_violation: float | None = None
    lower_violation: float | None = None
    convexity: str = "unknown"
    evaluations: int = 0
    seconds: float = 0.0
    history: list[Evaluation] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list)
    space: tuple[Dimension, ...] = field(default=(), repr=False)
    conditions: tuple[Condition, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        from bilevel.results.text import as_text, result_report

        return as_text(result_report(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names; numbers that are not finite become None."""
        own = [name for name in self.__dataclass_fields__ if name not in ("history", "space", "conditions")]
        plain = {name: getattr(self, name) for name in own}
        plain["verdict"], plain["termination"] = str(self.verdict), str(self.termination)
        plain["history"] = [evaluation.to_dict() for evaluation in self.history]
        plain["space"] = [asdict(dimension) for dimension in self.space]
        plain["conditions"] = [{**asdict(condition), "when": sorted(condition.when)} for condition in self.conditions]
        cleaned: dict[str, Any] = _finite(plain)
        return cleaned

    def to_json(self, path: str | Path | None = None) -> str:
        """The same as JSON text, also written to a file if a path is given."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def plot(self, path: str | Path | None = None, known: float | None = None) -> Any:
        """Draw the run: the incumbent, the surrogate with its uncertainty, which variables matter, slices.

        Parameters
        ----------
        path : str or Path, optional
            Where to write; the ending says the format (``.png``, ``.pdf``, ``.svg``).
        known : float, optional
            A value of F to measure by: the exact one, or the best known. A certified bound is drawn by itself.

        Returns
        -------
        Figure
            Made without pyplot.
        """
        from bilevel.results.plots.comparison import plot_result

        return plot_result(self, path, known)

    def report(self, path: str | Path) -> None:
        """Write all that was found as one HTML page, pictures included, that needs nothing else."""
        from bilevel.results.page import result_page

        Path(path).write_text(result_page(self), encoding="utf-8")

    def to_frame(self) -> Any:
        """The history as a pandas ``DataFrame``, a row per point, a column per variable (needs pandas)."""
        import pandas

        rows = []
        for evaluation in self.history:
            row = evaluation.to_dict()
            rows.append({**row.pop("upper"), **row.pop("lower"), **row})
        return pandas.DataFrame(rows)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "item"):
        return _finite(value.item())
    return value
