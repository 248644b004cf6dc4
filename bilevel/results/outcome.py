"""What was found, as records: one run's outcome, and several of them ranked.

Abstract, in words that are never better than what was proved. Text, page and pictures take these; what a user holds
(:class:`bilevel.results.result.Result`, :class:`bilevel.results.comparison.Comparison`) adds the views and no field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from bilevel.arrays import as_python
from bilevel.contracts.finding import Termination, Verdict
from bilevel.results.as_json import AsJson
from bilevel.upper.archive import Evaluation
from bilevel.upper.failures import failures_of
from bilevel.upper.saved import saved_of

if TYPE_CHECKING:
    from pandas import DataFrame

    from bilevel.upper.conditions import Condition
    from bilevel.upper.dimension import Dimension


@dataclass
class Outcome(AsJson):
    """What one run found; docs/guide.md explains each field under "Reading a result".

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
    noise : float or None
        By how much F differed, relative to ``max(1, |F|)``, where a response function answered differently when it was
        asked again at the same point; None where it did not.
    standard_error : float or None
        Of ``upper_objective``, where response functions were asked several times at the answer.
    again : list of dict
        Points asked again at the end with new seeds: ``upper``, F in the search and again, and both standard errors.
    schedule : list of dict
        Of an answer that was trained with one x after another (``pbt``): for each leg its ``upper``, its ``steps``, how
        many were done ``after`` it, and ``upper_objective`` then.
    reported : dict of float
        What was declared to be evaluated for the answer alone (``report_once``), by name.
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
    refused : bool
        Whether the method did not accept the model, and so ran nothing (in a comparison).
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
    noise: float | None = None
    standard_error: float | None = None
    again: list[dict[str, Any]] = field(default_factory=list, repr=False)
    schedule: list[dict[str, Any]] = field(default_factory=list, repr=False)
    reported: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    history: Sequence[Evaluation] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list)
    space: tuple[Dimension, ...] = field(default=(), repr=False)
    conditions: tuple[Condition, ...] = field(default=(), repr=False)
    refused: bool = False

    _apart: ClassVar[tuple[str, ...]] = ("history", "space", "conditions")

    @property
    def pictures(self) -> Mapping[str, Callable[[Any], None]]:
        """What the model brings to be drawn, by name: each draws on a matplotlib figure."""
        return {}

    def near(self, within: float = 0.01) -> list[Evaluation]:
        """The feasible points of the history whose F is within a share of the best one's, the best first.

        Many points may fit about as well: what differs between them is not known from the data.

        Parameters
        ----------
        within : float
            A share of ``max(|F|, 1e-12)`` at the best point of the history.
        """
        points = sorted((e for e in self.history if e.feasible), key=lambda e: e.cost)
        if not points:
            return []
        most = points[0].cost + within * max(abs(points[0].upper_objective), 1e-12)
        return [e for e in points if e.cost <= most]

    @property
    def failures(self) -> dict[str, int]:
        """How many points of the history have no answer, by reason, the commonest first."""
        return failures_of(self.history)

    @property
    def saved(self) -> dict[str, Any]:
        """The work that pruning spared: ``pruned`` points of ``points``, ``spared`` of ``whole`` in ``unit``s."""
        return saved_of(self.history)

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names, ``failures`` and ``saved``; numbers that are not finite become None."""
        own = [one.name for one in fields(self) if one.name not in self._apart]
        plain = {name: getattr(self, name) for name in own}
        plain["verdict"], plain["termination"] = str(self.verdict), str(self.termination)
        plain["failures"] = self.failures
        plain["saved"] = self.saved
        plain["history"] = [evaluation.to_dict() for evaluation in self.history]
        plain["space"] = [asdict(dimension) for dimension in self.space]
        plain["conditions"] = [{**asdict(condition), "when": sorted(condition.when)} for condition in self.conditions]
        cleaned: dict[str, Any] = finite(plain)
        return cleaned

    def to_frame(self) -> DataFrame:
        """The history as a pandas ``DataFrame``, a row per point, a column per variable (needs pandas)."""
        import pandas

        rows = []
        for evaluation in self.history:
            row = evaluation.to_dict()
            rows.append({**row.pop("upper"), **row.pop("lower"), **row})
        return pandas.DataFrame(rows)


R = TypeVar("R", bound=Outcome)


@dataclass
class Ranking(AsJson, Generic[R]):
    """What several methods found on one model.

    Attributes
    ----------
    results : list of Outcome
        One per method that was run or refused, in the order asked for.
    sense : int
        +1 where the leader minimises, -1 where it maximises.
    not_run : list of str
        Methods that an interruption kept from starting or finishing.
    interrupted : bool
        Whether there was one (Ctrl-C).
    """

    results: list[R]
    sense: int = 1
    not_run: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def best(self) -> R | None:
        """The certified result, else the one with the best F; None where no method found a point."""
        points = [r for r in self.results if r.verdict.holds_a_point and r.upper_objective is not None]
        certified = [r for r in points if r.verdict is Verdict.CERTIFIED_GLOBAL]
        return min(certified or points, key=self._cost, default=None)

    @property
    def exact(self) -> float | None:
        """The certified F, or None."""
        best = self.best
        return best.upper_objective if best is not None and best.verdict is Verdict.CERTIFIED_GLOBAL else None

    def distance(self, result: R) -> float | None:
        """How much worse a result's F is than the certified one; None where either is missing."""
        if self.exact is None or result.upper_objective is None:
            return None
        return self.sense * (result.upper_objective - self.exact)

    def _cost(self, result: R) -> float:
        assert result.upper_objective is not None
        return self.sense * result.upper_objective

    def to_dict(self) -> dict[str, Any]:
        """Plain values: ``exact``, ``sense``, ``not_run``, and ``results``, each under the field names of a Result."""
        return {
            "exact": self.exact,
            "sense": "maximize" if self.sense < 0 else "minimize",
            "not_run": list(self.not_run),
            "results": [{**result.to_dict(), "distance": self.distance(result)} for result in self.results],
        }

    def to_frame(self) -> DataFrame:
        """A pandas ``DataFrame`` with a row per method (needs pandas)."""
        import pandas

        left_out = ("upper", "lower", "history", "notes", "failures", "front", "senses")
        rows = [{k: v for k, v in row.items() if k not in left_out} for row in self.to_dict()["results"]]
        return pandas.DataFrame(rows)


def finite(value: Any) -> Any:
    """The same with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(finite, value)) if isinstance(value, tuple) else list(map(finite, value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    plain = as_python(value)
    return value if plain is value else finite(plain)
