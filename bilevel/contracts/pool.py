"""What a pool of workers must be able to do: hold a problem compiled elsewhere, and do tasks with it there."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from bilevel.reading.problem import Problem


class Pool(Part):
    """Workers that each hold a problem, compiled once. A new one is a file in ``solvers/pools``.

    Parameters
    ----------
    problem : Problem
        Handed to each worker once.
    extra : Any
        Whatever else the tasks want.
    count : int
        How many workers.

    Raises
    ------
    OptionError
        If the problem cannot be handed over.
    """

    @abstractmethod
    def __init__(self, problem: Problem, extra: Any, count: int) -> None: ...

    @abstractmethod
    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have ``task(response, extra, *arguments)`` called by a worker; ``response`` is the problem's, compiled there.

        The future raises ``concurrent.futures.BrokenExecutor`` where a worker died, be it of this task or of another.
        """

    @abstractmethod
    def anew(self, count: int) -> Pool:
        """Another pool that holds the same, of so many workers."""

    @abstractmethod
    def close(self, wait: bool = False) -> None:
        """End the workers, whatever they are at."""
