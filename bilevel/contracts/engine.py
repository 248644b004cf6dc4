"""What a part must be able to do to take its place: paths, searches, surrogates, treatments and engines.

Abstract or final: methods inherit from these contracts and from nothing else of ours. This module imports nothing
heavy, so that a search can be written and listed without Pyomo or CasADi.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bilevel.programs.answer import Answer, Answers, ClosedForm
    from bilevel.programs.program import Program


class Solver(ABC):
    """A program made ready by an engine: everything that does not depend on the parameters is done.

    Attributes
    ----------
    watch : callable or None
        ``watch(incumbent, bound)``, called as either moves by engines that have both (infinite where there is none
        yet).
    gap : float or None
        Absolute or relative gap at which an engine that has both may stop; its own where None.
    uses : frozenset of str
        Other engines that it asks in turn: who wants a second opinion avoids these as well.
    """

    watch: Callable[[float, float], None] | None = None
    gap: float | None = None
    uses: frozenset[str] = frozenset()

    @abstractmethod
    def __call__(
        self,
        parameters: NDArray[np.float64],
        start: NDArray[np.float64] | None = None,
        time_limit: float | None = None,
    ) -> Answer:
        """Solve the program at these parameters.

        Parameters
        ----------
        parameters : ndarray of shape (p,)
            Values of the program's parameters.
        start : ndarray of shape (n,), optional
            A point to start from; a hint, never needed.
        time_limit : float, optional
            Seconds.
        """

    def many(self, parameters: NDArray[np.float64]) -> Answers | None:
        """Solve the program at many values of its parameters in one call; None where that gains nothing.

        Parameters
        ----------
        parameters : ndarray of shape (m, p)
            One value a row.
        """
        return None


class Engine(Part):
    """Solves programs. A new one is a file in ``solvers/engines`` with ``@register("name")``."""

    warms: ClassVar[bool] = False
    """Whether a start near the answer saves time. Searches then look for one among the points already answered; a
    solver that gets nowhere from it must try its own start before it gives up."""

    specialises: ClassVar[bool] = False
    """Whether a program that it takes at all is best left to it: how well others suit is then asked only where it
    refuses, because to say so may cost more than its answer."""

    second_opinion: ClassVar[float] = 20.0
    """Seconds that another engine's word on its proved optima of nonconvex programs is worth; where that is less than a
    proof is given, it is asked itself once more."""

    @abstractmethod
    def suits(self, program: Program) -> float:
        """How well this engine fits the program: 0 if it cannot take it, else larger is better (at most 1).

        Only an engine that answers with a proof on this class of programs may give more than 0.5.
        """

    @abstractmethod
    def prepare(self, program: Program) -> Solver:
        """Do once what does not depend on the parameters."""

    def closed_form(self, program: Program) -> ClosedForm | None:
        """The answer as a formula, where there is one that is faster than solving; it goes with ``prepare``."""
        return None


Predicate = Callable[[Sequence[Any]], bool]
