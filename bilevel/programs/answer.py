"""What an engine found out about one program: a status, and an answer where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Status(StrEnum):
    """What an engine found out about one program."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    FAILED = "failed"
    REFUSED = "refused"
    """Not for this engine at these parameters (a Hessian that turned out indefinite, say): another should take it."""
    PRUNED = "pruned"
    """Stopped before it was done, as not worth the rest: there is no answer, and nothing went wrong."""


@dataclass(slots=True)
class Answer:
    """An engine's reply to one program at one value of its parameters.

    Attributes
    ----------
    status : Status
        What was found.
    y : ndarray of shape (n,), optional
        The optimal point, or the best one known where ``status`` is FAILED.
    objective : float
        The program's objective (always minimised) at ``y``.
    bound : float
        A lower bound on the optimal objective that the engine vouches for; ``-inf`` where it has none. A convex program
        solved to its tolerances counts as proved, so there ``bound`` equals ``objective``.
    unique : bool
        Whether ``y`` is known to be the only optimum.
    message : str
        Why it is not optimal, in the engine's words.
    interrupted : bool
        Whether the user stopped the engine (one that catches the interrupt itself); ``y`` and ``bound`` are what it
        had.
    """

    status: Status
    y: NDArray[np.float64] | None = None
    objective: float = float("nan")
    bound: float = float("-inf")
    unique: bool = False
    message: str = ""
    interrupted: bool = False

    @property
    def proved(self) -> bool:
        """Whether the objective is the global optimum up to the certificate tolerance, or there provably is none."""
        from bilevel.tolerances import closes

        if self.status is Status.OPTIMAL:
            return closes(self.objective, self.bound)
        return self.status in (Status.INFEASIBLE, Status.UNBOUNDED)


@dataclass(frozen=True, slots=True)
class Answers:
    """An engine's replies to one program at m values of its parameters.

    Attributes
    ----------
    y : ndarray of shape (m, n)
        The optimal points.
    objective : ndarray of shape (m,)
        The objective there.
    holds : ndarray of bool, shape (m,)
        Where these are proved and the only optima; elsewhere the program is to be solved by itself.
    """

    y: NDArray[np.float64]
    objective: NDArray[np.float64]
    holds: NDArray[np.bool_]


@dataclass(frozen=True)
class ClosedForm:
    """A program's answer as a formula in its parameters.

    Attributes
    ----------
    y : SX of shape (n, 1)
        The optimum.
    objective : SX scalar
        Its objective.
    margin : SX scalar
        Above zero exactly where the formula is what the engine would answer: y proved, and the only optimum.
    """

    y: Any
    objective: Any
    margin: Any


@dataclass(frozen=True, eq=False, slots=True)
class Face:
    """All optima of a program, by one of them: ``y + directions t`` wherever ``low <= rows t <= high``.

    Attributes
    ----------
    directions : ndarray of shape (n, k)
        None of them zero, k is 0 where the optimum is the only one.
    rows : ndarray of shape (m, k)
    low, high : ndarray of shape (m,)
    """

    directions: NDArray[np.float64]
    rows: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
