"""What a pool of workers must be able to do: hold a problem compiled elsewhere, and do tasks with it there."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from bilevel.contracts.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from bilevel.reading.problem import Problem


class TaskLost(BrokenExecutor):
    """A task was lost with all others, as when a scheduler is restarted: its worker did not die of it."""


class Pool(Part):
    """Workers that each hold a problem, compiled once. A new one is a file in ``solvers/pools``.

    Parameters
    ----------
    problem : Problem
        Handed to each worker once.
    extra : Any
        Whatever else the tasks want.
    where : Any
        How many workers; or where they are, as the pool's kind names it.

    Raises
    ------
    OptionError
        If the problem cannot be handed over, or there are no workers at that place.
    """

    together: ClassVar[bool] = True
    """Whether a worker that dies takes the others with it, so that all tasks raise and a pool made anew goes on."""

    @abstractmethod
    def __init__(self, problem: Problem, extra: Any, where: Any) -> None: ...

    @classmethod
    @abstractmethod
    def workers(cls, where: Any) -> int:
        """How many workers there are at a place: as many points are out at once.

        Raises
        ------
        OptionError
            If nobody is there.
        """

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
