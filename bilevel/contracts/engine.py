"""What a part must be able to do to take its place: paths, searches, surrogates, treatments and engines.

Abstract or final: methods inherit from these contracts and from nothing else of ours. This module imports nothing
heavy, so that a search can be written and listed without Pyomo or CasADi.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bilevel.programs.program import Program
    from bilevel.reading.problem import Problem
    from bilevel.results.result import Finding
    from bilevel.upper.archive import Archive, Evaluation
    from bilevel.upper.space import Space

Point = tuple[float, ...]
"""Coordinates of an upper point, one per dimension: an integer for a sequence or an integer, else a float."""


class Part(ABC):  # noqa: B024 - what a part must do depends on its kind
    """Anything that is registered under a name."""

    name: ClassVar[str] = ""


class Status(StrEnum):
    """What an engine found out about one program."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    FAILED = "failed"
    REFUSED = "refused"
    """Not for this engine at these parameters (a Hessian that turned out indefinite, say): another should take it."""


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


class Engine(Part):
    """Solves programs. A new one is a file in ``solvers/engines`` with ``@register("name")``."""

    warms: ClassVar[bool] = False
    """Whether a start near the answer saves time. Searches then look for one among the points already answered; a
    solver that gets nowhere from it must try its own start before it gives up."""

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


class Search(Part):
    """Proposes upper points and learns from them (ask/tell). A new one is a file in ``solvers/searches``.

    Parameters
    ----------
    space : Space
        The upper search space.
    rng : numpy.random.Generator
        The only source of randomness.
    budget : int or None
        How many evaluations there will be, where that is known; of a stored study it is not, which can always go on.
    **options
        The search's own, keyword only, with defaults. An option nobody takes is an error that lists those there are.
    """

    uses_gradients: ClassVar[bool] = False
    """Whether evaluations should carry ``gradient``; the outer loop refuses problems that have none."""

    welcomes_gradients: bool = False
    """Whether evaluations should carry ``gradient`` where F has one, a search that does without elsewhere: under
    coupling constraints, at a kink, where the follower answers by a function or a gradient would cost too much."""

    curvature: Callable[[NDArray[np.float64], NDArray[np.float64]], Any] | None = None
    """Set by the outer loop on a search that is given gradients where it is to be had: ``curvature(x, y)`` gives the
    function that multiplies with the Hessian of F(x, y(x)) (:mod:`bilevel.sensitivity.second_order`), or None."""

    keeps_coupling: ClassVar[bool] = False
    """Whether it leads to points that keep the coupling constraints, by the values and derivatives of these that
    evaluations carry beside ``gradient``. One that uses gradients and does not is refused problems with such."""

    coupling: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    """Set by the outer loop on a search with ``keeps_coupling``: the coupling constraints' lower and upper bounds, each
    of shape (m,), infinite where there is none; None where there is no such constraint."""

    learns: ClassVar[bool] = True
    """Whether what it is told changes what it asks next. Where it does not, points may be asked far ahead."""

    def __init__(self, space: Space, rng: np.random.Generator, budget: int | None) -> None:
        self.space = space
        self.rng = rng
        self.budget = budget

    @abstractmethod
    def ask(self, count: int = 1) -> list[Point]:
        """Propose up to ``count`` points that the space allows and that were never proposed before.

        Fewer, or none, means that the search has nothing more to propose.
        """

    def tell(self, evaluation: Evaluation) -> None:
        """Learn the outcome of a point, proposed by this search or not (a starting point, a resumed history)."""

    @property
    def remark(self) -> str:
        """Why it proposes no more, where the space is not used up."""
        return ""

    def close(self) -> None:
        """Release what the search holds; it is not asked again."""


class Surrogate(Part):
    """A model of an expensive function from few values, on the unit box."""

    @abstractmethod
    def fit(self, points: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """Fit to ``values`` of shape (n,) at ``points`` of shape (n, d)."""

    @abstractmethod
    def predict(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation at ``points`` of shape (m, d), each of shape (m,)."""


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


@dataclass(frozen=True)
class Settings:
    """What a user asked of one run.

    Attributes
    ----------
    method : str
        Name of a path or search.
    budget : int or None
        Largest number of upper points evaluated.
    seed : int
        Seed of every random choice.
    time_limit : float or None
        Seconds for the whole run.
    complementarity : str
        Name of a treatment, or ``auto``.
    engine : str
        Name of an engine for the single-level model, or ``auto``.
    allow_nonconvex : bool
        Let the KKT path go on without a proof of convexity; the verdict is then at most ``best_found``.
    attitude : str
        ``optimistic`` or ``pessimistic``; the problem that a path is given has it too.
    workers : int
        Processes that evaluate upper points.
    study : str or None
        Where evaluated points are stored, and found again.
    options : dict
        Options of the method itself.
    """

    method: str = "auto"
    budget: int | None = None
    seed: int = 0
    time_limit: float | None = None
    complementarity: str = "auto"
    engine: str = "auto"
    allow_nonconvex: bool = False
    attitude: str = "optimistic"
    workers: int = 1
    study: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Observer:
    """Watches a run. The default one sees nothing; the command line's draws the progress line."""

    def started(self, method: str, settings: Settings) -> None:
        """A method begins."""

    def evaluated(self, archive: Archive) -> None:
        """One more upper point was evaluated; it is the archive's last."""

    def bounded(self, incumbent: float | None, bound: float | None) -> None:
        """An exact method moved its incumbent or its bound (in the user's sense)."""

    def said(self, message: str) -> None:
        """Something worth a line in the transcript was decided."""

    def finished(self, method: str) -> None:
        """The method ended."""


class Path(Part):
    """A walk from problem to finding: the search path's loop, the KKT path. A new one is a file in ``solvers``."""

    preference: ClassVar[float] = 0.0
    """``auto`` tries paths in falling order of this, never one at 0. Above 0 belong paths that prove."""

    share: ClassVar[float] = 1.0
    """What it gets of the time limit in ``auto``, where a search follows if it brings home no proof."""

    pessimistic: ClassVar[bool] = False
    """Whether it finds the worst of the follower's optima itself. Others are given a pessimistic problem only where
    the follower's answer is proved unique, so that both attitudes mean the same."""

    multipliers: ClassVar[bool] = False
    """Whether it takes problems whose upper level mentions a lower constraint's multiplier (``dual_of``)."""

    conditions: ClassVar[bool] = False
    """Whether conditional upper variables (``ActiveWhen``) rest where they are inactive. To the others they are free
    everywhere, and problems where that makes a difference are refused for them."""

    @abstractmethod
    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        """Solve the problem.

        Raises
        ------
        RefusedError
            If this path does not accept the problem.
        """


Predicate = Callable[[Sequence[Any]], bool]
