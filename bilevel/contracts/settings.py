"""What was asked of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
    workers : int or str
        Processes that evaluate upper points, or the address of others that do.
    executor : concurrent.futures.Executor, optional
        Whose workers do.
    study : str, storage or None
        Where evaluated points are stored, and found again.
    shared : bool
        Whether several drivers work on that study.
    enqueue : tuple of dict
        Upper points to try before those of the search, values by name.
    evaluation_time_limit : float or None
        Seconds that one call of a response function may take, where its follower sets none.
    callbacks : tuple of callable
        Called as ``callback(study, trial)`` with every outcome of a search.
    pruner : str, object or None
        Who stops evaluations that are not worth their rest: a name, with options in brackets, or one of Optuna's.
    repeats : int
        How many times response functions are asked at each point.
    top : int or None
        How many of the best points are asked again at the end, with new seeds; 5 where functions are repeated.
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
    workers: int | str = 1
    executor: Any = None
    study: Any = None
    shared: bool = False
    enqueue: tuple[dict[str, Any], ...] = ()
    evaluation_time_limit: float | None = None
    callbacks: tuple[Any, ...] = ()
    pruner: Any = None
    repeats: int = 1
    top: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
