"""What was found of a front: its points, each with a verdict of its own, and what the whole amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bilevel.arrays import Array
from bilevel.contracts.finding import Verdict
from bilevel.results.outcome import Outcome, finite
from bilevel.upper.front import ends, normalised_hypervolume, ranges_of

if TYPE_CHECKING:
    from bilevel.upper.archive import Evaluation


@dataclass
class FrontPoint:
    """One nondominated point, verified like the answer of any other run.

    Attributes
    ----------
    upper, lower : dict
        ``{component name: value}``.
    upper_objectives : dict of float
        Every F_j at the re-solved y, by the Objective's name, in the user's sense.
    verdict : Verdict
        ``certified_global``: proved, to tolerance, that no point is better in one objective and as good in the others.
    bound : float or None
        Proved of the first objective, in the user's sense: no point as good as this one in the others has a better one.
    lower_objective, bilevel_gap, upper_violation, lower_violation : float or None
        As in a Result.
    """

    upper: dict[str, Any]
    lower: dict[str, Any]
    upper_objectives: dict[str, float]
    verdict: Verdict
    bound: float | None = None
    lower_objective: float | None = None
    bilevel_gap: float | None = None
    upper_violation: float | None = None
    lower_violation: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names."""
        return {**asdict(self), "verdict": str(self.verdict)}


@dataclass(repr=False, eq=False)
class FrontOutcome(Outcome):
    """What one run found on several objectives.

    Attributes
    ----------
    front : list of FrontPoint
        Nondominated and verified, in the order of the first objective, the best first. ``upper`` and ``lower`` are
        those of :attr:`compromise`.
    senses : dict of int
        By objective, +1 where it is minimised and -1 where it is maximised.
    front_gap : float or None
        Proved: of every point of the true front, seen or not, there is one here that is worse by at most this share of
        the objectives' ranges in each of them. None where that is not known.
    """

    front: Sequence[FrontPoint] = field(default_factory=list)
    senses: dict[str, int] = field(default_factory=dict)
    front_gap: float | None = None

    _apart: ClassVar[tuple[str, ...]] = (
        *Outcome._apart,
        *("upper_objective", "bound", "gap", "front", "senses", "front_gap"),
    )

    def __repr__(self) -> str:
        shown = f"method={self.method!r}, verdict={str(self.verdict)!r}, front of {len(self.front)} points"
        return f"{type(self).__name__}({shown}, front_gap={self.front_gap})"

    @property
    def costs(self) -> Array:
        """The front, every objective minimised, shape (n, k)."""
        rows = [[sense * point.upper_objectives[name] for name, sense in self.senses.items()] for point in self.front]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.senses))

    @property
    def hypervolume(self) -> float | None:
        """The hypervolume of the front, its own ideal at 0 and nadir at 1, the reference point at 1.1 in each.

        In a comparison ideal and nadir are those of all fronts together (:attr:`FrontComparison.hypervolumes`).
        """
        return normalised_hypervolume(self.costs, self.costs) if self.front else None

    @property
    def compromise(self) -> FrontPoint | None:
        """The point nearest to the ideal one, by ranges: what the model's variables hold after a run."""
        if not self.front:
            return None
        ideal, nadir = ends(self.costs)
        away = ((self.costs - ideal) / ranges_of(ideal, nadir)) ** 2
        return self.front[int(np.argmin(away.sum(axis=1)))]

    def costs_of(self, evaluation: Evaluation) -> list[float]:
        """The objectives at a point of the history, minimised."""
        return [sense * evaluation.upper_objectives[name] for name, sense in self.senses.items()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the fields of every outcome but F and its bound, and those of a front."""
        plain = {
            **super().to_dict(),
            "front": [point.to_dict() for point in self.front],
            "senses": {name: "maximize" if sense < 0 else "minimize" for name, sense in self.senses.items()},
            "hypervolume": self.hypervolume,
            "front_gap": self.front_gap,
        }
        cleaned: dict[str, Any] = finite(plain)
        return cleaned
