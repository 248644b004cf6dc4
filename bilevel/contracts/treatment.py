"""What a treatment of complementarity pairs must be able to do."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

GIVEN = "given"
"""The provenance of a bound on a multiplier that a user gave and nothing proves."""


class Treatment(Part):
    """Turns the complementarity pairs of a KKT model into something an engine takes.

    The docstring of each says Source, Target, Exact when and Refuses. A new one is a file in
    ``solvers/complementarity``.
    """

    exact: ClassVar[bool] = False
    """Whether a proof about the treated model is a proof about the pairs."""

    def refusal(self, model: Any) -> str | None:
        """Why this treatment cannot take the model, or None."""
        return None

    @abstractmethod
    def apply(self, model: Any) -> None:
        """Add the rows that enforce every pair of the model's KKT block, on one Block named ``complementarity``."""

    def schedule(self) -> Sequence[float]:
        """Values of the mutable Param ``complementarity.epsilon`` to solve for in turn; empty without that Param."""
        return ()
